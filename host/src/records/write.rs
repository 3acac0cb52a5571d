//! The one thread that writes records, and what it keeps of them: DATA/records/AGENT/RELOAD.jsonl.
//!
//! Each batch is appended in one write to a file that is opened for it: nothing is buffered here, and a thousand reloads
//! hold no files open. It is no journal and is not synced: what a power cut takes, nothing rests on.
//!
//! What must hold: a file has whole lines only, unless the host was killed in the middle of a write; files of an earlier
//! process are removed for room and otherwise left as they are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use caxton_rollout::{AgentName, HotReloadId};
use tokio::sync::mpsc;

use super::Record;
use super::queue::{Batch, Health, Job};
use crate::host::make_private;

/// Bytes of all records together: hundreds of reloads that were judged for a quarter of an hour under traffic.
pub(super) const ALL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Bytes that results may add to a file that has reached its bound: a result is short, and is amended while calls end.
const ENDED_BYTES_MAX: u64 = 1024 * 1024;

/// How the name of a reload's file ends.
pub(super) const ENDING: &str = ".jsonl";

/// Where the records of a reload are.
pub(super) fn path(folder: &Path, agent: &AgentName, reload: HotReloadId) -> PathBuf {
    folder
        .join(agent.as_ref())
        .join(format!("{reload}{ENDING}"))
}

/// A file of records as it was found.
pub(super) struct Found {
    pub path: PathBuf,
    pub bytes: u64,
    pub changed: SystemTime,
}

/// Every file of records, of all agents; what cannot be looked at is passed over.
pub(super) fn found(folder: &Path) -> Vec<Found> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let agents = entries(folder).map(|entry| entry.path());
    let files = agents.flat_map(|agent| entries(&agent).collect::<Vec<_>>());
    files
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(ENDING))
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(Found {
                path: entry.path(),
                bytes: about.len(),
                changed: about.modified().ok()?,
            })
        })
        .collect()
}

/// See the module's documentation.
pub(super) struct Writer {
    folder: PathBuf,
    health: Arc<Health>,
    /// The most that one file holds before its results.
    file_max: u64,
    all_max: u64,
    all: u64,
    /// Room is looked for again once there are more bytes than this. Where only files of reloads that go on are left,
    /// looking at once more would find them again, and looks at every file that there is.
    look_above: u64,
    /// Reloads that go on: their files stay.
    open: BTreeSet<HotReloadId>,
    /// Of those, reloads of which lines were lost on the way to the disk.
    broken: BTreeSet<HotReloadId>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf, health: Arc<Health>, file_max: u64, all_max: u64) -> Self {
        Self {
            folder,
            health,
            file_max,
            all_max,
            all: 0,
            look_above: all_max,
            open: BTreeSet::new(),
            broken: BTreeSet::new(),
        }
    }

    /// Writes until nobody is left who could hand anything over.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        self.all = found(&self.folder).iter().map(|file| file.bytes).sum();
        self.make_room();
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Write(batch) => {
                    let size = batch.bytes.len();
                    self.take(batch);
                    // Only now: what is being written takes memory still.
                    self.health.taken(size);
                }
                Job::Close(reload) => {
                    self.close(reload);
                }
                Job::Flush(done) => {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
        }
    }

    fn close(&mut self, reload: HotReloadId) {
        self.broken.remove(&reload);
        if self.open.remove(&reload) {
            self.look_above = self.all_max;
        }
    }

    fn take(&mut self, mut batch: Batch) {
        if batch.begins {
            self.open.insert(batch.reload);
        }
        let broken = self.broken.contains(&batch.reload);
        if broken && !batch.ends {
            self.health.count(batch.lines);
            return;
        }
        if broken {
            let mut bytes = line(&Record::Full { at: batch.at }).unwrap_or_default();
            bytes.append(&mut batch.bytes);
            batch.bytes = bytes;
        }
        match self.append(&batch) {
            Ok(0) => {}
            Ok(written) => {
                self.broken.remove(&batch.reload);
                if batch.begins {
                    self.health.is_well();
                }
                self.all = self.all.saturating_add(written);
                if self.all > self.look_above {
                    self.make_room();
                }
            }
            Err(problem) => {
                if self.open.contains(&batch.reload) {
                    self.broken.insert(batch.reload);
                }
                let folder = self.folder.display();
                let text = format!("{folder} cannot be written: {problem}");
                let command = format!("make room, or mend what is wrong with {folder}");
                self.health.lose(batch.at, batch.lines, text, command);
            }
        }
    }

    /// How many bytes were written: none where the reload has no file.
    fn append(&self, batch: &Batch) -> io::Result<u64> {
        let path = path(&self.folder, &batch.agent, batch.reload);
        if batch.begins
            && let Some(folder) = path.parent()
        {
            make_private(folder)?;
        }
        let mut options = File::options();
        options.append(true).create(batch.begins);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = match options.open(&path) {
            Ok(file) => file,
            // It was never begun, or its beginning was lost, or it was removed for room.
            Err(problem) if problem.kind() == io::ErrorKind::NotFound && !batch.begins => {
                return Ok(0);
            }
            Err(problem) => return Err(problem),
        };
        let before = file.metadata()?.len();
        let size = batch.bytes.len() as u64;
        if before.saturating_add(size) > self.file_max.saturating_add(ENDED_BYTES_MAX) {
            return Ok(0);
        }
        match file.write_all(&batch.bytes) {
            Ok(()) => Ok(size),
            Err(problem) => {
                // No half a line stays: the next one would be lost with it.
                let _ = file.set_len(before);
                Err(problem)
            }
        }
    }

    /// Makes room, and notes when to look for some again.
    fn make_room(&mut self) {
        self.remove_oldest();
        self.look_above = if self.all > self.all_max {
            self.all.saturating_add(self.all_max / 10)
        } else {
            self.all_max
        };
    }

    /// Removes what was not written to for longest, until a tenth is free again; reloads that go on keep theirs.
    fn remove_oldest(&mut self) {
        let mut files = found(&self.folder);
        files.sort_by_key(|file| file.changed);
        self.all = files.iter().map(|file| file.bytes).sum();
        if self.all <= self.all_max {
            return;
        }
        let enough = self.all_max / 10 * 9;
        for file in files {
            if self.all <= enough {
                break;
            }
            let reload = reload_of(&file.path);
            if reload.is_some_and(|reload| self.open.contains(&reload)) {
                continue;
            }
            match fs::remove_file(&file.path) {
                Ok(()) => self.all = self.all.saturating_sub(file.bytes),
                Err(problem) => {
                    tracing::warn!("{} cannot be removed: {problem}", file.path.display());
                }
            }
            if let Some(agent) = file.path.parent() {
                // It goes with its last file; as long as there are others, this fails.
                let _ = fs::remove_dir(agent);
            }
        }
    }
}

/// Which reload a file is about.
pub(super) fn reload_of(path: &Path) -> Option<HotReloadId> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(ENDING)?.parse().ok()
}

/// A record as one line, with its end.
pub(super) fn line(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests;
