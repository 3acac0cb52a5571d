//! Bytes by digest, each a file of its own: whole or not there.
//!
//! A file is written under a temporary name beside its place, synced, renamed, and its folder is synced: whoever is killed
//! between any two of these leaves either nothing or all of it, and at most a temporary file, which is removed when it is
//! surely nobody's any more, at the next start for certain. What is read is compared with its digest.

mod disk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caxton_rollout::Digest;
use sha2::{Digest as _, Sha256};

pub use self::disk::make_private;
use self::disk::{UNFINISHED, is_there, write};
pub(crate) use self::disk::{beside, new_file, sync_folder};
use crate::journal::io_help;

/// How old a file that was being written must be until it surely is nobody's any more, while the host runs.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// How long a damaged file is kept for whoever wants to know what became of it.
const DAMAGED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How the name of a file ends that was found damaged.
const DAMAGED: &str = ".damaged";

/// What bytes are, which decides where they stand and what collects them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// An agent's component: `artifacts/SHA256.wasm`.
    Component,
    /// An agent's configuration, defaults included: `artifacts/SHA256.toml`.
    Config,
    /// A policy's component: `policies/SHA256.wasm`.
    Policy,
    /// What an agent saved of its state: `state/SHA256.bin`.
    State,
}

impl BlobKind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Component, Self::Config, Self::Policy, Self::State];

    /// The folder in the data directory, and how names end in it.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Component => ("artifacts", ".wasm"),
            Self::Config => ("artifacts", ".toml"),
            Self::Policy => ("policies", ".wasm"),
            Self::State => ("state", ".bin"),
        }
    }

    /// What brings such a file back.
    fn remedy(self) -> &'static str {
        match self {
            Self::Component | Self::Config => {
                "copy the agent's file into its directory again, or bring back a backup"
            }
            Self::Policy => {
                "copy the policy's file into its directory again, or bring back a backup"
            }
            Self::State => "bring back a backup, or go on with an older state or an empty one",
        }
    }
}

/// Why bytes cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There are none with this digest.
    #[error("{path} is not there; {help}")]
    Absent {
        /// Where they would be.
        path: String,
        /// What to do.
        help: String,
    },
    /// They are not what was written; they were set aside.
    #[error("{path} is damaged: {problem}; {help}")]
    Damaged {
        /// Where they were.
        path: String,
        /// What is wrong with them.
        problem: String,
        /// What to do.
        help: String,
    },
    /// The system refuses.
    #[error("{path}: {problem}; {help}")]
    Io {
        /// Where.
        path: String,
        /// What it said.
        problem: io::Error,
        /// What to do.
        help: String,
    },
}

/// A file of bytes as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: BlobKind,
    /// What its name says of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
}

/// The folders of bytes in a data directory. What it does blocks.
#[derive(Debug, Clone)]
pub struct Blobs {
    data: PathBuf,
}

impl Blobs {
    /// Those of this data directory; folders are made when something is put into them.
    #[must_use]
    pub fn within(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
        }
    }

    /// Keeps bytes: when this returns they are on the disk, whole, under their digest.
    ///
    /// What is there already is compared, not written again, and counts as just put.
    ///
    /// # Errors
    /// They are not kept, and nothing of them is left.
    pub fn put(&self, kind: BlobKind, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::new(Sha256::digest(bytes).into());
        let path = self.path(kind, digest);
        let written = is_there(&path, bytes).and_then(|there| {
            if there {
                // Another thread may have renamed it and not yet synced the folder.
                sync_folder(&path)
            } else {
                write(&path, bytes)
            }
        });
        written.map_err(|problem| io_error(&path, problem))?;
        Ok(digest)
    }

    /// The bytes, compared with their digest.
    ///
    /// A damaged file is renamed to `*.damaged`, so that the next [`Self::put`] of the same bytes heals it.
    ///
    /// # Errors
    /// They are not there, or not what was written.
    pub fn get(&self, kind: BlobKind, digest: Digest) -> Result<Arc<[u8]>, BlobError> {
        let path = self.path(kind, digest);
        let bytes = fs::read(&path).map_err(|problem| match problem.kind() {
            io::ErrorKind::NotFound => BlobError::Absent {
                path: path.display().to_string(),
                help: kind.remedy().to_owned(),
            },
            _ => io_error(&path, problem),
        })?;
        if Digest::new(Sha256::digest(&bytes).into()) == digest {
            return Ok(bytes.into());
        }
        let aside = beside(&path, DAMAGED);
        let kept = match fs::rename(&path, &aside) {
            Ok(()) => format!("it was renamed to {}", aside.display()),
            Err(problem) => format!("it cannot be renamed: {problem}"),
        };
        Err(BlobError::Damaged {
            path: path.display().to_string(),
            problem: format!(
                "its {} bytes do not have the digest that its name says, and {kept}",
                bytes.len()
            ),
            help: kind.remedy().to_owned(),
        })
    }

    /// Where the bytes stand, for messages.
    #[must_use]
    pub fn path(&self, kind: BlobKind, digest: Digest) -> PathBuf {
        self.data.join(Self::name(kind, digest))
    }

    /// The same within a data directory.
    pub(crate) fn name(kind: BlobKind, digest: Digest) -> String {
        let (folder, ending) = kind.place();
        format!("{folder}/{digest}{ending}")
    }

    /// Everything of one kind that stands there.
    ///
    /// # Errors
    /// The folder cannot be read; one that is not there holds nothing.
    pub fn list(&self, kind: BlobKind) -> Result<Vec<Found>, BlobError> {
        let (folder, ending) = kind.place();
        let folder = self.data.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(problem) => return Err(io_error(&folder, problem)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|problem| io_error(&folder, problem))?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(ending));
            let Some(digest) = digest.and_then(|digest| digest.parse().ok()) else {
                continue;
            };
            // It may have gone meanwhile.
            if let Ok(facts) = entry.metadata() {
                found.push(Found {
                    kind,
                    digest,
                    bytes: facts.len(),
                });
            }
        }
        Ok(found)
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(&self, kind: BlobKind, digest: Digest) -> Result<(), BlobError> {
        let path = self.path(kind, digest);
        match fs::remove_file(&path) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&path, problem))
            }
            _ => Ok(()),
        }
    }

    /// Removes a file that was put so long ago; false where it stays because it is younger.
    ///
    /// # Errors
    /// It stays.
    pub(crate) fn remove_old(
        &self,
        kind: BlobKind,
        digest: Digest,
        age: Duration,
    ) -> Result<bool, BlobError> {
        let _guard = disk::age();
        let path = self.path(kind, digest);
        let put_at = match fs::metadata(&path).and_then(|facts| facts.modified()) {
            Ok(put_at) => put_at,
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(problem) => return Err(io_error(&path, problem)),
        };
        // Where the clock was set back, a file of the future is young.
        let is = SystemTime::now().duration_since(put_at);
        if is.unwrap_or_default() < age {
            return Ok(false);
        }
        self.remove(kind, digest).map(|()| true)
    }

    /// Removes every file that was being written. Nobody else may be at this directory.
    pub(crate) fn clear(&self) {
        self.remove_beside(|name, _| name.ends_with(UNFINISHED));
    }

    /// Removes what nobody finishes any more, and what was found damaged long ago.
    pub(crate) fn tidy(&self, now: SystemTime) {
        self.remove_beside(|name, entry| {
            let most = if name.ends_with(UNFINISHED) {
                ABANDONED
            } else if name.ends_with(DAMAGED) {
                DAMAGED_KEPT
            } else {
                return false;
            };
            let changed = entry.metadata().and_then(|facts| facts.modified());
            let age = changed.map(|changed| now.duration_since(changed).unwrap_or_default());
            age.is_ok_and(|age| age > most)
        });
    }

    /// Removes what stands beside the files, where that is wanted.
    fn remove_beside(&self, is_wanted: impl Fn(&str, &fs::DirEntry) -> bool) {
        for kind in [BlobKind::Component, BlobKind::Policy, BlobKind::State] {
            let entries = fs::read_dir(self.data.join(kind.place().0));
            for entry in entries.into_iter().flatten().flatten() {
                if is_wanted(&entry.file_name().to_string_lossy(), &entry)
                    && let Err(problem) = fs::remove_file(entry.path())
                {
                    tracing::warn!("{} cannot be removed: {problem}", entry.path().display());
                }
            }
        }
    }
}

fn io_error(path: &Path, problem: io::Error) -> BlobError {
    BlobError::Io {
        path: path.display().to_string(),
        help: io_help(&problem, path),
        problem,
    }
}

#[cfg(test)]
mod tests;
