//! What the controller hands decisions to: lines are made here and now, and written by a thread of their own.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Attention, Context, Decided, HotReloadId, HotReloadResult, Moment, Notice, Plan,
    PolicyMode, RollbackAnswer, Ticket, Window,
};
use serde_json::{Value, json};

use super::queue::{Batch, Queue};
use super::trail::Trail;
use super::write::{ALL_BYTES_MAX, Writer, line};
use super::{Asked, Judged, Question, Record, RecordsReader, Said};

/// Bytes of one reload's records: some hours of judging under traffic, or a day without.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a host that stops waits for what is still to be written.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Reloads that are over and whose monitors may still have something to say of the last round, which is the one that
/// matters most. They have seconds for it; more reloads than this do not end in that time.
const OVER_HELD: usize = 16;

/// Records reloads; nobody waits for it, and nothing that it does can fail for its caller.
pub struct Recorder {
    queue: Queue,
    reloads: BTreeMap<HotReloadId, Recorded>,
    /// Of those, reloads that are over, the one that ended first before the others.
    over: VecDeque<HotReloadId>,
}

/// A reload that goes on.
struct Recorded {
    agent: AgentName,
    trail: Trail,
    begun: bool,
    bytes: u64,
    keeps: Keeps,
}

/// What is still kept of a reload.
#[derive(PartialEq)]
enum Keeps {
    All,
    /// Lines were lost, for this reason, which is to be told once there is room for it.
    Lost(&'static str),
    Results,
}

impl Recorder {
    /// Records into DATA/records, and the way to read them.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn start(data_dir: &Path) -> io::Result<(Self, RecordsReader)> {
        let folder = data_dir.join("records");
        let (queue, jobs) = Queue::new();
        let writer = Writer::new(
            folder.clone(),
            queue.health(),
            FILE_BYTES_MAX,
            ALL_BYTES_MAX,
        );
        std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || writer.run(jobs))?;
        let reader = RecordsReader::new(folder, queue.clone());
        let recorder = Self {
            queue,
            reloads: BTreeMap::new(),
            over: VecDeque::new(),
        };
        Ok((recorder, reader))
    }

    /// What an operator must know of it.
    #[must_use]
    pub fn attention(&self) -> Option<Attention> {
        self.queue.health().attention()
    }

    /// Returns when all is written, or it takes too long.
    pub async fn stop(self) {
        if tokio::time::timeout(STOP_WAIT, self.queue.flush())
            .await
            .is_err()
        {
            tracing::warn!("the last decision records were not written in time");
        }
    }

    /// The reload asks for its policies, in these modes.
    pub(crate) fn pins(
        &mut self,
        agent: &AgentName,
        reload: HotReloadId,
        modes: BTreeMap<String, PolicyMode>,
    ) {
        self.reload(agent, reload).trail.take_modes(modes);
    }

    /// The reload has its policies.
    pub(crate) fn pinned(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        policies: impl FnOnce(&dyn Fn(&str) -> PolicyMode) -> Vec<Asked>,
    ) {
        self.record(at, reload, |trail| {
            let policies = policies(&|name| trail.mode(name));
            Ok(trail.began(at, policies))
        });
    }

    /// The strategy policy has said how the version is to come in.
    pub(crate) fn planned(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        context: &Context,
        configured: Plan,
        said: Said<Plan>,
    ) {
        self.record(at, reload, |trail| {
            Ok(trail.planned(at, context, configured, said))
        });
    }

    /// An interval was measured.
    pub(crate) fn measured(&mut self, at: Moment, reload: HotReloadId, window: &Window) {
        self.record(at, reload, |trail| Ok(trail.measured(window)));
    }

    /// The policies are asked.
    pub(crate) fn asked(&mut self, at: Moment, reload: HotReloadId, question: &Question<'_>) {
        self.record(at, reload, |trail| trail.asked(at, question));
    }

    /// Something was decided; handed over before it is done.
    pub(crate) fn judged(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        judged: Judged,
        decided: Option<Decided>,
    ) {
        self.record(at, reload, |trail| Ok(trail.judged(at, judged, decided)));
    }

    /// Those that monitor have spoken.
    pub(crate) fn monitored(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        ticket: Ticket,
        said: Vec<Said<RollbackAnswer>>,
    ) {
        self.record(at, reload, |trail| Ok(trail.monitored(at, ticket, said)));
        if self.over.contains(&reload) && !self.awaits_monitors(reload) {
            self.over.retain(|over| *over != reload);
            self.close(reload);
        }
    }

    /// Something happened to a reload.
    pub(crate) fn told(&mut self, at: Moment, notice: &Notice) {
        let Some(reload) = notice.reload else { return };
        let mut event = serde_json::to_value(notice).unwrap_or_default();
        if let Some(event) = event.as_object_mut() {
            event.insert("at".to_owned(), json!(at));
        }
        if matches!(notice.what, caxton_rollout::Happened::ReloadStarted { .. }) {
            self.reload(&notice.agent, reload);
        }
        if self.reloads.contains_key(&reload) {
            self.record(at, reload, |trail| Ok(trail.told(event)));
        } else {
            self.after_the_end(at, &notice.agent, reload, &Record::Told { event }, false);
        }
    }

    /// The reload has a result, or another one.
    pub(crate) fn ended(&mut self, at: Moment, agent: &AgentName, result: &HotReloadResult) {
        let reload = result.id;
        let record = Record::Ended {
            result: serde_json::to_value(result).unwrap_or_default(),
        };
        match self
            .reloads
            .get(&reload)
            .map(|known| known.trail.has_begun())
        {
            Some(true) => self.record(at, reload, |_| Ok(vec![record])),
            // It never had policies, and there is nothing to record of it.
            Some(false) => {
                self.reloads.remove(&reload);
            }
            None => self.after_the_end(at, agent, reload, &record, true),
        }
    }

    /// The reload asks its policies no more.
    pub(crate) fn unpinned(&mut self, reload: HotReloadId) {
        let Some(recorded) = self.reloads.get(&reload) else {
            return;
        };
        if !recorded.trail.awaits_monitors() {
            self.close(reload);
            return;
        }
        self.over.push_back(reload);
        if self.over.len() > OVER_HELD
            && let Some(first) = self.over.pop_front()
        {
            self.close(first);
        }
    }

    fn awaits_monitors(&self, reload: HotReloadId) -> bool {
        let recorded = self.reloads.get(&reload);
        recorded.is_some_and(|recorded| recorded.trail.awaits_monitors())
    }

    fn close(&mut self, reload: HotReloadId) {
        self.reloads.remove(&reload);
        self.queue.close(reload);
    }

    fn reload(&mut self, agent: &AgentName, reload: HotReloadId) -> &mut Recorded {
        self.reloads.entry(reload).or_insert_with(|| Recorded {
            agent: agent.clone(),
            trail: Trail::new(agent.clone(), reload),
            begun: false,
            bytes: 0,
            keeps: Keeps::All,
        })
    }

    fn record(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        make: impl FnOnce(&mut Trail) -> Result<Vec<Record>, &'static str>,
    ) {
        let Some(recorded) = self.reloads.get_mut(&reload) else {
            return;
        };
        let records = match make(&mut recorded.trail) {
            Ok(records) => records,
            Err(why) => {
                // Once: what went wrong at one tick goes wrong at all that follow.
                if recorded.lose(why) {
                    tracing::warn!(agent = %recorded.agent, %reload, "its decisions are recorded no more: {why}");
                }
                Vec::new()
            }
        };
        let Some(batch) = recorded.batch(at, reload, &records, FILE_BYTES_MAX) else {
            return;
        };
        if !self.queue.write(batch) {
            // Also where it was this that was to be told.
            recorded.keeps = Keeps::Lost("they came faster than the disk takes them");
        }
    }

    /// A line about a reload that is over, for the file that it has, if it has one.
    fn after_the_end(
        &self,
        at: Moment,
        agent: &AgentName,
        reload: HotReloadId,
        record: &Record,
        ends: bool,
    ) {
        if let Ok(bytes) = line(record) {
            self.queue.write(Batch {
                agent: agent.clone(),
                reload,
                at,
                bytes,
                lines: 1,
                begins: false,
                ends,
            });
        }
    }
}

impl Recorded {
    /// Whether anything is lost by it that was not lost before.
    fn lose(&mut self, why: &'static str) -> bool {
        let loses = self.keeps == Keeps::All;
        if loses {
            self.keeps = Keeps::Lost(why);
        }
        loses
    }

    /// What of `records` is kept, as bytes; none where that is nothing.
    fn batch(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        records: &[Record],
        most: u64,
    ) -> Option<Batch> {
        if !self.trail.has_begun() {
            return None;
        }
        let ends = records
            .iter()
            .any(|record| matches!(record, Record::Ended { .. }));
        let mut lines = Vec::new();
        if self.keeps == Keeps::All {
            lines = lines_of(records.iter());
            let size = lines.iter().map(Vec::len).sum::<usize>() as u64;
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > most {
                self.keeps = Keeps::Results;
                lines = lines_of([&Record::Full { at }].into_iter().chain(results(records)));
            }
        } else {
            if let Keeps::Lost(why) = self.keeps {
                self.keeps = Keeps::Results;
                let event: Value = json!({
                    "at": at, "agent": self.agent, "reload": reload, "kind": "records-lost",
                    "reason": format!("lines are missing from here on: {why}"),
                });
                lines = lines_of([&Record::Told { event }, &Record::Full { at }].into_iter());
            }
            lines.extend(lines_of(results(records)));
        }
        if lines.is_empty() {
            return None;
        }
        Some(Batch {
            agent: self.agent.clone(),
            reload,
            at,
            lines: lines.len() as u64,
            bytes: lines.concat(),
            begins: !std::mem::replace(&mut self.begun, true),
            ends,
        })
    }
}

fn results(records: &[Record]) -> impl Iterator<Item = &Record> {
    let is_result = |record: &&Record| matches!(record, Record::Ended { .. });
    records.iter().filter(is_result)
}

/// Only plain values are in records, so writing one cannot fail.
fn lines_of<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Vec<u8>> {
    records.filter_map(|record| line(record).ok()).collect()
}

#[cfg(test)]
mod tests;
