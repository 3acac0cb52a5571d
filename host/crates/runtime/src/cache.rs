//! Compiled components on disk, agents' and policies', so that each is compiled once and not at each start.
//!
//! A file is found by the digest of the component and of all that the engine compiles with, and begins with a SHA-256 over
//! these and the compiled code. It is read whole and checked before the code is taken; it is never mapped, because a
//! file that shrinks under a mapping kills the process. A file that does not fit is as good as none.
//!
//! Compiled code is as trusted as this binary, and whoever can write a file can write its checksum. So nobody but this user
//! may be able to: the folder is made this user's alone, the folder around it, in which it could be swapped, must be writable
//! for no other user, and each file must be this user's own. Otherwise nothing is kept or taken.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use caxton_rollout::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What is compiled, and how much of it is kept.
#[derive(Debug)]
pub(crate) struct Kind {
    /// In words.
    what: &'static str,
    /// Ending of its files: all kinds share a folder, and none removes another's.
    ending: &'static str,
    /// How many are kept.
    files: usize,
    /// Bytes of all of them.
    bytes: u64,
}

/// More policies than one host uses, over several releases of it; the code of one in Python takes some 60 MB.
pub(crate) const POLICIES: Kind = Kind {
    what: "policies",
    ending: ".compiled",
    files: 64,
    bytes: 1024 * 1024 * 1024,
};

/// A thousand agents, each with the versions that are kept of it and a new one, over a change of the engine. The code of one in
/// Rust takes half a megabyte; of one in Python or JavaScript, of which a host has fewer, some 60 MB.
pub(crate) const AGENTS: Kind = Kind {
    what: "agents",
    ending: ".agent",
    files: 10_000,
    bytes: 8 * 1024 * 1024 * 1024,
};

/// Fewer agents have a fuel limit. Their code is for an engine of its own, which meters it.
pub(crate) const METERED: Kind = Kind {
    what: "agents with a fuel limit",
    ending: ".metered",
    files: 1_000,
    bytes: 1024 * 1024 * 1024,
};

/// Bytes of a checksum.
const CHECKSUM: usize = 32;

/// How old a file that was being written must be until it surely is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Bytes of the largest file that is read: nothing that an agent or a policy may be compiles to more.
const FILE_MAX: u64 = 1024 * 1024 * 1024;

/// Ending of a file that is being written.
const UNFINISHED: &str = ".new";

/// Removes what a process that was killed was writing: the folder is one host's.
fn remove_unfinished(folder: &Path) {
    let own = format!("{}-", std::process::id());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(UNFINISHED) && !name.starts_with(&own) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Compiled code of one kind, for one engine.
#[derive(Debug)]
pub(crate) struct Cache {
    kind: &'static Kind,
    folder: PathBuf,
    /// SHA-256 of everything about the engine that matters to compiled code: version, target, settings.
    engine: Digest,
    /// That nothing can be kept has been said, and nothing was kept since.
    told: AtomicBool,
}

impl Cache {
    /// The cache in `folder`, which is made if it is not there. None where others could put files into it, or put another
    /// folder in its place.
    pub(crate) fn open(kind: &'static Kind, folder: &Path, engine: &Engine) -> Option<Self> {
        if let Err(error) = private(folder) {
            tracing::warn!(
                folder = %folder.display(),
                "{} are compiled anew at each start, because their code cannot be kept: {error}",
                kind.what
            );
            return None;
        }
        remove_unfinished(folder);
        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Some(Self {
            kind,
            folder: folder.to_owned(),
            engine: Digest::new(hasher.0.finalize().into()),
            told: AtomicBool::new(false),
        })
    }

    /// The compiled component, if it is there and whole.
    pub(crate) fn get(&self, engine: &Engine, component: Digest) -> Option<Component> {
        let path = self.path(component);
        let (bytes, file) = read(&path)
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %path.display(), "compiled anew: {error}");
                }
            })
            .ok()?;
        match self.restore(engine, component, &bytes) {
            Ok(restored) => {
                // The oldest files go first; one that is used is not old.
                let _ = file.set_modified(SystemTime::now());
                Some(restored)
            }
            Err(why) => {
                tracing::warn!(file = %path.display(), "compiled anew: {why}");
                None
            }
        }
    }

    fn restore(
        &self,
        engine: &Engine,
        component: Digest,
        bytes: &[u8],
    ) -> Result<Component, String> {
        let (checksum, code) = bytes
            .split_first_chunk::<CHECKSUM>()
            .ok_or("the file was cut short")?;
        if *checksum != self.checksum(component, code) {
            return Err("the file is not what was written".to_owned());
        }
        #[expect(
            unsafe_code,
            reason = "`deserialize` runs what it is given as machine code, so the bytes must come from `Component::serialize` \
                      of a compatible engine. They come from a file that this user owns and no other may write, which \
                      `read` asked of the open file itself; when the cache was opened, no other user could write to its \
                      folder or to the one around it. So this user wrote it, and is trusted as with this binary. That \
                      what was written is whole, for this component and this engine, is what the SHA-256 before it says. \
                      The bytes stand in memory and do not change any more."
        )]
        // SAFETY: see the reason above.
        let restored = unsafe { Component::deserialize(engine, code) };
        restored.map_err(|error| format!("{error:#}"))
    }

    /// Keeps a compiled component; of the others those in `used` last go to make room. Failing to is not worth more than a warning,
    /// and one is enough: it serves without.
    pub(crate) fn put(&self, component: Digest, compiled: &Component, used: &[Digest]) -> bool {
        let written = compiled
            .serialize()
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|code| self.write(component, &code));
        let folder = self.folder.display();
        let is_kept = written.is_ok();
        match written {
            Ok(()) => self.told.store(false, Ordering::Relaxed),
            Err(error) if !self.told.swap(true, Ordering::Relaxed) => {
                let what = self.kind.what;
                tracing::warn!(%folder, "compiled code of {what} is not kept, so that the next start compiles: {error}");
            }
            Err(error) => tracing::debug!(%folder, %component, "not kept: {error}"),
        }
        if let Err(error) = self.prune(used) {
            tracing::debug!(%folder, "old files stay: {error}");
        }
        is_kept
    }

    fn write(&self, component: Digest, code: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = self.path(component);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let beside = self
            .folder
            .join(format!("{}-{count}{UNFINISHED}", std::process::id()));
        let written = (|| {
            let mut file = new_file(&beside)?;
            file.write_all(&self.checksum(component, code))?;
            file.write_all(code)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Removes the files that were used longest ago, as far as there are too many; those of what is in use go last.
    fn prune(&self, used: &[Digest]) -> io::Result<()> {
        let used: HashSet<PathBuf> = used.iter().map(|digest| self.path(*digest)).collect();
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let facts = match entry.metadata() {
                Ok(facts) => facts,
                // What was being written has its own name by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let last_used = facts.modified()?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(self.kind.ending) {
                let path = entry.path();
                kept.push((used.contains(&path), last_used, facts.len(), path));
            } else if name.ends_with(UNFINISHED)
                && last_used.elapsed().is_ok_and(|age| age > ABANDONED)
            {
                fs::remove_file(entry.path())?;
            }
        }
        kept.sort();
        let mut bytes: u64 = kept.iter().map(|(_, _, size, _)| size).sum();
        let mut files = kept.len();
        for (_, _, size, path) in kept {
            if files <= self.kind.files && bytes <= self.kind.bytes {
                break;
            }
            fs::remove_file(path)?;
            files -= 1;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }

    fn path(&self, component: Digest) -> PathBuf {
        self.folder
            .join(format!("{component}-{}{}", self.engine, self.kind.ending))
    }

    fn checksum(&self, component: Digest, code: &[u8]) -> [u8; CHECKSUM] {
        Sha256::new()
            .chain_update(component.bytes())
            .chain_update(self.engine.bytes())
            .chain_update(code)
            .finalize()
            .into()
    }
}

/// Makes the folder this user's alone.
fn private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    if let Some(around) = folder.parent() {
        // Of a single name, the folder around is the one that the process is in.
        let around = if around.as_os_str().is_empty() {
            Path::new(".")
        } else {
            around
        };
        guarded(around, &fs::metadata(around)?)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Only the owner, and root, may do this.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    guarded(folder, &fs::metadata(folder)?)
}

/// Fails where another user than this one and root can change what is there.
fn guarded(path: &Path, facts: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let path = path.display();
        // Where a folder is sticky, nobody else can move or remove what is this user's.
        let is_sticky = facts.is_dir() && facts.mode() & 0o1000 != 0;
        if facts.mode() & 0o022 != 0 && !is_sticky {
            return Err(io::Error::other(format!(
                "{path} can be written by others, who could put code of theirs there; close it with: chmod 700 {path}"
            )));
        }
        #[cfg(target_os = "linux")]
        if ![0, rustix::process::geteuid().as_raw()].contains(&facts.uid()) {
            return Err(io::Error::other(format!(
                "{path} belongs to another user; use a data directory of your own"
            )));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, facts);
    Ok(())
}

fn read(path: &Path) -> io::Result<(Vec<u8>, File)> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let facts = file.metadata()?;
    guarded(path, &facts)?;
    let size = facts.len();
    if size > FILE_MAX {
        return Err(io::Error::other(format!("the file has {size} bytes")));
    }
    let mut bytes = Vec::new();
    (&mut file).take(size).read_to_end(&mut bytes)?;
    Ok((bytes, file))
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A hasher whose result is the same in every process; the standard library's promises that for no two releases.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not used: the digest is.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
