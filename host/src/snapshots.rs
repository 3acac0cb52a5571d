//! Snapshots of agents' state on disk: what a host that stops leaves to the one that starts after it.
//!
//! One file an agent, `DATA/state/NAME.snapshot`: a line of JSON that says what it is, then the bytes as the agent gave them.
//! It is written beside the old one, synced and renamed, so that there is always a whole one; it is read only if its length and
//! digest are as its first line says. One that was loaded is kept as `NAME.snapshot.taken` until the next stop: after a stop that was
//! none it is the newest that there is, and what was answered since is not in it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use caxton_rollout::{AgentName, Digest};
use caxton_runtime::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::unhex;
use crate::host::make_private;

/// What the first line calls the rest.
const KIND: &str = "caxton-snapshot/1";
/// The longest first line: a format's name is short.
const MAX_HEADER: u64 = 64 << 10;

/// Why a stored snapshot cannot be used. Starting the agent empty instead would lose what it remembers.
#[derive(Debug, thiserror::Error)]
#[error(
    "its saved state {} cannot be used: {problem}; restore the file from a backup, or remove it to start the agent empty",
    .path.display()
)]
pub(crate) struct SnapshotError {
    path: PathBuf,
    problem: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    agent: AgentName,
    /// The version that saved it.
    number: u64,
    /// Of that version's component.
    component: String,
    format: String,
    bytes: u64,
    sha256: String,
}

/// A snapshot and where it was found.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) snapshot: Snapshot,
    pub(crate) path: PathBuf,
    /// An earlier start loaded it already, and no stop has stored a newer one.
    pub(crate) taken: bool,
}

/// The folder of all agents' snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    /// The snapshots of this data directory; the folder is made when the first one is stored.
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("state"),
        }
    }

    fn path(&self, agent: &AgentName) -> PathBuf {
        self.folder.join(format!("{agent}.snapshot"))
    }

    fn taken_path(&self, agent: &AgentName) -> PathBuf {
        self.folder.join(format!("{agent}.snapshot.taken"))
    }

    /// Notes that the agent goes on from its snapshot.
    pub(crate) fn take(&self, agent: &AgentName) -> io::Result<()> {
        fs::rename(self.path(agent), self.taken_path(agent))
    }

    /// Replaces the agent's snapshot. It takes as long as the disk does.
    pub(crate) fn store(&self, agent: &AgentName, snapshot: &Snapshot) -> io::Result<()> {
        make_private(&self.folder)?;
        let header = Header {
            kind: KIND.to_owned(),
            agent: agent.clone(),
            number: snapshot.number,
            component: Digest::new(snapshot.digest).to_string(),
            format: snapshot.format.clone(),
            bytes: snapshot.data.len() as u64,
            sha256: digest_of(&snapshot.data),
        };
        // Beside the other files of the folder and never of an agent's name, which has no dot.
        let beside = self.folder.join(format!("{agent}.snapshot.new"));
        let mut file = private_file(&beside)?;
        serde_json::to_writer(&mut file, &header)?;
        file.write_all(b"\n")?;
        file.write_all(&snapshot.data)?;
        file.sync_all()?;
        fs::rename(&beside, self.path(agent))?;
        // It is there unless nothing was loaded.
        let _ = fs::remove_file(self.taken_path(agent));
        File::open(&self.folder)?.sync_all()
    }

    /// The agent's snapshot; none if there never was one.
    pub(crate) fn load(&self, agent: &AgentName) -> Result<Option<Stored>, SnapshotError> {
        for (path, taken) in [(self.path(agent), false), (self.taken_path(agent), true)] {
            let snapshot = match File::open(&path) {
                Ok(file) => read(file),
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => continue,
                Err(problem) => Err(problem.to_string()),
            };
            return match snapshot {
                Ok(snapshot) => Ok(Some(Stored {
                    snapshot,
                    path,
                    taken,
                })),
                Err(problem) => Err(SnapshotError { path, problem }),
            };
        }
        Ok(None)
    }
}

fn read(file: File) -> Result<Snapshot, String> {
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    let mut head = file.by_ref().take(MAX_HEADER);
    head.read_until(b'\n', &mut line)
        .map_err(|e| e.to_string())?;
    let header: Header =
        serde_json::from_slice(&line).map_err(|e| format!("its first line is damaged ({e})"))?;
    if header.kind != KIND {
        return Err(format!("it is a {:?}, not a {KIND:?}", header.kind));
    }
    if length != line.len() as u64 + header.bytes {
        return Err("its length is not what its first line says".to_owned());
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data).map_err(|e| e.to_string())?;
    if digest_of(&data) != header.sha256 {
        return Err("its bytes are not those that were written".to_owned());
    }
    let component = unhex(&header.component).ok_or("its first line names no component")?;
    Ok(Snapshot {
        number: header.number,
        digest: component,
        format: header.format,
        data: data.into(),
    })
}

/// In lower-case hexadecimal.
fn digest_of(data: &[u8]) -> String {
    Digest::new(Sha256::digest(data).into()).to_string()
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(data: &'static [u8]) -> Snapshot {
        Snapshot {
            number: 3,
            digest: [7; 32],
            format: "count/1".to_owned(),
            data: data.into(),
        }
    }

    #[test]
    fn what_was_stored_last_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::within(folder.path());
        let agent: AgentName = "counter".parse().unwrap();
        assert!(snapshots.load(&agent).unwrap().is_none());
        snapshots.store(&agent, &snapshot(b"first\nline")).unwrap();
        snapshots.store(&agent, &snapshot(b"second\n")).unwrap();
        let stored = snapshots.load(&agent).unwrap().unwrap();
        let loaded = stored.snapshot;
        assert!(!stored.taken);
        assert_eq!(loaded.data, &b"second\n"[..]);
        assert_eq!((loaded.number, loaded.digest), (3, [7; 32]));
        assert_eq!(loaded.format, "count/1");
        let files = fs::read_dir(folder.path().join("state")).unwrap().count();
        assert_eq!(files, 1);
        snapshots.take(&agent).unwrap();
        assert!(snapshots.load(&agent).unwrap().unwrap().taken);
        snapshots.store(&agent, &snapshot(b"third")).unwrap();
        let files = fs::read_dir(folder.path().join("state")).unwrap().count();
        assert_eq!(files, 1, "the one that was taken is gone");
        assert!(!snapshots.load(&agent).unwrap().unwrap().taken);
    }

    #[test]
    fn a_damaged_file_is_refused_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::within(folder.path());
        let agent: AgentName = "counter".parse().unwrap();
        snapshots.store(&agent, &snapshot(b"twelve bytes")).unwrap();
        let path = snapshots.path(&agent);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for (damaged, what) in [
            (&whole[..whole.len() - 1], "length"),
            (&flipped[..], "bytes"),
            (b"", "first line"),
            (b"{}", "first line"),
        ] {
            fs::write(&path, damaged).unwrap();
            let error = snapshots.load(&agent).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(
                error.contains("remove it to start the agent empty"),
                "{error}"
            );
        }
    }
}
