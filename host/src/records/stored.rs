//! Finds records on the disk, for those who ask for them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caxton_rollout::{AgentName, HotReloadId, Moment};

use super::Record;
use super::queue::Queue;
use super::write::{Found, found, reload_of};

/// The longest first line: settings have at most 64 KiB for each policy, and an agent has a handful.
const FIRST_LINE_MAX: u64 = 4 * 1024 * 1024;

/// How long whoever reads waits for what is still to be written.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// The way to what was recorded.
#[derive(Debug, Clone)]
pub struct RecordsReader {
    folder: PathBuf,
    queue: Queue,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub reload: Option<HotReloadId>,
    pub agent: Option<AgentName>,
    /// Of reloads that were going on at this time, or began later.
    pub since: Option<Moment>,
}

/// The records of one reload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stored {
    pub began: Moment,
    pub path: PathBuf,
    /// As many as there were; it may grow while it is read.
    pub bytes: u64,
}

impl RecordsReader {
    pub(super) fn new(folder: PathBuf, queue: Queue) -> Self {
        Self { folder, queue }
    }

    /// Waits until everything is on the disk that was decided before this was called; false where that takes too long.
    pub(crate) async fn is_written(&self) -> bool {
        let flushed = tokio::time::timeout(FLUSH_WAIT, self.queue.flush());
        flushed.await.unwrap_or(false)
    }

    /// What there is of it, the reload that began first before the others. It takes as long as the disk does.
    pub(crate) fn list(&self, wanted: &Selection) -> Vec<Stored> {
        let fits = |file: &Found| {
            let of_reload = wanted
                .reload
                .is_none_or(|id| reload_of(&file.path) == Some(id));
            let of_agent = wanted
                .agent
                .as_ref()
                .is_none_or(|agent| file.path.starts_with(self.folder.join(agent.as_ref())));
            let recent = wanted
                .since
                .is_none_or(|since| moment(file.changed) >= since);
            of_reload && of_agent && recent
        };
        let files = found(&self.folder).into_iter().filter(fits);
        let mut stored: Vec<Stored> = files
            .filter_map(|file| {
                Some(Stored {
                    began: began(&file.path)?,
                    path: file.path,
                    bytes: file.bytes,
                })
            })
            .collect();
        stored.sort();
        stored
    }
}

fn moment(time: SystemTime) -> Moment {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::default().after(since)
}

/// When the reload of this file began; none where the file says nothing that can be read.
fn began(path: &Path) -> Option<Moment> {
    let mut first = Vec::new();
    let mut file = BufReader::new(File::open(path).ok()?.take(FIRST_LINE_MAX));
    file.read_until(b'\n', &mut first).ok()?;
    match serde_json::from_slice(&first) {
        Ok(Record::Began(began)) => Some(began.at),
        _ => {
            tracing::debug!("{} does not begin as records do", path.display());
            None
        }
    }
}
