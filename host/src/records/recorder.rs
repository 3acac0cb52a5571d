//! What the controller hands decisions to: lines are made here and now, and the journal writes them in their turn.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Context, Decided, HotReloadId, HotReloadResult, Moment, Notice, Plan, PolicyMode,
    RollbackAnswer, Ticket, Window,
};
use caxton_store::{Journal, RecordBatch};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::taken_over::take_over;
use super::trail::Trail;
use super::{Asked, Judged, Question, Record, RecordsReader, Said};

/// Bytes of one reload's records: some hours of judging under traffic, or a day without. The journal leaves room for its end
/// beyond that.
pub(super) const RELOAD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a host that stops waits for what is still to be written.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Reloads that are over and whose monitors may still have something to say of the last round, which is the one that
/// matters most. They have seconds for it; more reloads than this do not end in that time.
const OVER_HELD: usize = 16;

/// Records reloads; nobody waits for it, and nothing that it does can fail for its caller.
pub struct Recorder {
    journal: Journal,
    reloads: BTreeMap<HotReloadId, Recorded>,
    /// Of those, reloads that are over, the one that ended first before the others.
    over: VecDeque<HotReloadId>,
    /// What an earlier release recorded is on its way into the journal.
    taking_over: JoinHandle<()>,
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
    /// Records into the journal, and the way to read it. What an earlier release left in DATA/records is taken over beside.
    #[must_use]
    pub fn start(journal: &Journal, data_dir: &Path) -> (Self, RecordsReader) {
        let recorder = Self {
            journal: journal.clone(),
            reloads: BTreeMap::new(),
            over: VecDeque::new(),
            taking_over: tokio::spawn(take_over(journal.clone(), data_dir.join("records"))),
        };
        (recorder, RecordsReader::new(journal.clone()))
    }

    /// Returns when all is written, or it takes too long.
    pub async fn stop(&self) {
        self.taking_over.abort();
        let written = tokio::time::timeout(STOP_WAIT, self.journal.flush()).await;
        if !matches!(written, Ok(true)) {
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

    /// How the reload uses this policy.
    pub(crate) fn mode(&self, reload: HotReloadId, policy: &str) -> PolicyMode {
        self.reloads
            .get(&reload)
            .map_or(PolicyMode::Enforce, |recorded| recorded.trail.mode(policy))
    }

    /// The reload has its policies.
    pub(crate) fn pinned(&mut self, at: Moment, reload: HotReloadId, policies: Vec<Asked>) {
        self.record(at, reload, |trail| Ok(trail.began(at, policies)));
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
            None => {
                self.after_the_end(at, agent, reload, &record, true);
                // An earlier process may have begun it.
                self.journal.records_over(reload);
            }
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
        self.journal.records_over(reload);
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
        let Some(batch) = recorded.batch(at, reload, &records, RELOAD_BYTES_MAX) else {
            return;
        };
        if !self.journal.record(batch) {
            // Also where it was this that was to be told.
            recorded.keeps = Keeps::Lost("they came faster than the disk takes them");
        }
    }

    /// A line about a reload that is over, for the records that it has, if it has some.
    fn after_the_end(
        &self,
        at: Moment,
        agent: &AgentName,
        reload: HotReloadId,
        record: &Record,
        ends: bool,
    ) {
        // Where there is no room for it the journal says so, and the result before it stands.
        self.journal.record(RecordBatch {
            agent: agent.clone(),
            reload,
            at,
            lines: lines_of([record].into_iter()),
            begins: false,
            ends,
        });
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

    /// What of `records` is kept, as lines; none where that is nothing.
    fn batch(
        &mut self,
        at: Moment,
        reload: HotReloadId,
        records: &[Record],
        most: u64,
    ) -> Option<RecordBatch> {
        if !self.trail.has_begun() {
            return None;
        }
        let ends = records
            .iter()
            .any(|record| matches!(record, Record::Ended { .. }));
        let mut lines = Vec::new();
        if self.keeps == Keeps::All {
            lines = lines_of(records.iter());
            self.bytes = self.bytes.saturating_add(size(&lines));
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
        Some(RecordBatch {
            agent: self.agent.clone(),
            reload,
            at,
            lines,
            begins: !std::mem::replace(&mut self.begun, true),
            ends,
        })
    }
}

fn results(records: &[Record]) -> impl Iterator<Item = &Record> {
    let is_result = |record: &&Record| matches!(record, Record::Ended { .. });
    records.iter().filter(is_result)
}

fn size(lines: &[String]) -> u64 {
    // With their ends.
    lines.iter().map(|line| line.len() as u64 + 1).sum()
}

/// Only plain values are in records, so writing one cannot fail.
fn lines_of<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<String> {
    records
        .filter_map(|record| serde_json::to_string(record).ok())
        .collect()
}

#[cfg(test)]
mod tests;
