//! Components of policies by digest, in the data directory: a reload keeps the policy that it began with although its file was
//! replaced, and what was recorded can be asked again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use caxton_rollout::Digest;
use sha2::{Digest as _, Sha256};

use crate::config::unhex;
use crate::host::make_private;

/// Components that are kept: more than are in use, so that records of some weeks can be asked again.
const FILES_MAX: usize = 128;

/// Bytes of all of them; a Python policy has 18 MB.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How a file ends that is being written.
const UNFINISHED: &str = ".new";

/// How old such a file must be until it surely is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The folder. What it does blocks.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    pub(super) fn within(data: &Path) -> Self {
        Self {
            folder: data.join("policies"),
        }
    }

    /// Keeps a component, and removes the oldest of those that are in nobody's use, as far as there are too many. That some
    /// of these stay is not worth more than a warning.
    ///
    /// # Errors
    /// The component is not kept.
    pub(super) fn put(
        &self,
        digest: Digest,
        bytes: &[u8],
        in_use: &BTreeSet<Digest>,
    ) -> io::Result<()> {
        let path = self.path(digest);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if fs::metadata(&path).is_ok_and(|facts| facts.len() == size) {
            // The oldest go first; one that is used again is not old.
            return File::options()
                .write(true)
                .open(&path)?
                .set_modified(SystemTime::now());
        }
        self.write(&path, bytes)?;
        if let Err(error) = self.prune(digest, in_use) {
            tracing::warn!(folder = %self.folder.display(), "old components of policies stay: {error}");
        }
        Ok(())
    }

    /// Two who write the same component at once, also from two hosts, each have a file of their own until it is whole.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        make_private(&self.folder)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}{UNFINISHED}", std::process::id());
        let beside = self.folder.join(name);
        let written = (|| {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// The component, if it is there and whole.
    pub(super) fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(digest)).ok()?;
        let found = Digest::new(Sha256::digest(&bytes).into());
        (found == digest).then_some(bytes)
    }

    /// Goes on where one cannot be removed; the last such error is returned.
    fn prune(&self, newest: Digest, in_use: &BTreeSet<Digest>) -> io::Result<()> {
        let mut kept = Vec::new();
        let mut result = Ok(());
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            let name = entry.file_name();
            let changed = facts.modified()?;
            let is_old = || changed.elapsed().is_ok_and(|age| age > ABANDONED);
            if name.to_string_lossy().ends_with(UNFINISHED) && is_old() {
                result = fs::remove_file(entry.path()).and(result);
            }
            let digest = name.to_str().and_then(|name| name.strip_suffix(".wasm"));
            if let Some(digest) = digest.and_then(unhex).map(Digest::new) {
                kept.push((changed, facts.len(), digest));
            }
        }
        kept.sort();
        let mut files = kept.len();
        let mut bytes: u64 = kept.iter().map(|(_, size, _)| size).sum();
        for (_, size, digest) in kept {
            if files <= FILES_MAX && bytes <= BYTES_MAX {
                break;
            }
            if digest != newest && !in_use.contains(&digest) {
                match fs::remove_file(self.path(digest)) {
                    Ok(()) => {
                        files -= 1;
                        bytes = bytes.saturating_sub(size);
                    }
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest::new(Sha256::digest(bytes).into())
    }

    #[test]
    fn what_is_kept_comes_back_unless_it_was_changed() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::within(data.path());
        let digest = digest_of(b"one");
        assert_eq!(kept.get(digest), None);
        kept.put(digest, b"one", &BTreeSet::new()).unwrap();
        kept.put(digest, b"one", &BTreeSet::new()).unwrap();
        assert_eq!(kept.get(digest).unwrap(), b"one");
        fs::write(kept.path(digest), b"two").unwrap();
        assert_eq!(kept.get(digest), None);
    }

    #[test]
    fn there_are_never_too_many_and_none_in_use_goes() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::within(data.path());
        let bytes = |n: usize| n.to_string().into_bytes();
        let in_use = BTreeSet::from([digest_of(&bytes(0))]);
        for n in 0..FILES_MAX + 5 {
            let digest = digest_of(&bytes(n));
            kept.put(digest, &bytes(n), &in_use).unwrap();
            let age = Duration::from_secs(10_000 - n as u64);
            let file = File::options().write(true).open(kept.path(digest)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        let left = fs::read_dir(data.path().join("policies")).unwrap().count();
        assert_eq!(left, FILES_MAX);
        for (n, there) in [(0, true), (1, false), (FILES_MAX + 4, true)] {
            let found = kept.get(digest_of(&bytes(n)));
            assert_eq!(found.is_some(), there, "{n}");
        }
    }

    #[test]
    fn what_cannot_be_removed_is_no_reason_not_to_keep() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::within(data.path());
        let folder = data.path().join("policies");
        // A folder, which is not removed like a file.
        let stuck = folder.join(format!("{}.wasm", digest_of(b"stuck")));
        fs::create_dir_all(&stuck).unwrap();
        let abandoned = folder.join("1-0.new");
        fs::write(&abandoned, "half").unwrap();
        let age = SystemTime::now() - 2 * ABANDONED;
        for path in [&stuck, &abandoned] {
            File::open(path).unwrap().set_modified(age).unwrap();
        }
        for n in 0..=FILES_MAX {
            let bytes = n.to_string().into_bytes();
            kept.put(digest_of(&bytes), &bytes, &BTreeSet::new())
                .unwrap();
            assert!(kept.get(digest_of(&bytes)).is_some(), "{n}");
        }
        assert!(stuck.exists());
        assert!(!abandoned.exists());
        assert_eq!(fs::read_dir(folder).unwrap().count(), FILES_MAX);
    }

    #[test]
    fn many_who_keep_the_same_at_once_do_not_meet() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::within(data.path());
        let bytes = vec![7; 1 << 20];
        let digest = digest_of(&bytes);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let unused = BTreeSet::new();
                    kept.write(&kept.path(digest), &bytes).unwrap();
                    kept.put(digest, &bytes, &unused).unwrap();
                });
            }
        });
        assert_eq!(kept.get(digest), Some(bytes));
        let left = fs::read_dir(data.path().join("policies")).unwrap().count();
        assert_eq!(left, 1);
    }
}
