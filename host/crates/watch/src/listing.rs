//! Looking at the directory and reading its files. Nothing here writes.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    str,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    Content, Loss, Options, Problem, Role,
    folder::{Look, Seen, Stamp, Take, Taken},
    role,
};

/// Entries that are looked at, ignored ones included: far above any real deployment, and a
/// listing of so many still takes milliseconds.
const ENTRIES_MAX: usize = 10_000;

/// Bytes read between two looks at whether to stop.
const PIECE: usize = 1024 * 1024;

/// How long after a write another one can leave the same dates: the kernel takes them from a clock
/// that ticks every 1 to 10 ms.
const GRAIN: Duration = Duration::from_millis(50);

/// The same for file systems that are polled: some network ones keep whole seconds, FAT keeps
/// every second one.
const GRAIN_POLLED: Duration = Duration::from_secs(2);

/// Where a link in the directory leads, by the file it ends at; the value is the link's own name.
pub(crate) type Links = BTreeMap<PathBuf, String>;

/// Lists the directory, following links.
pub(crate) fn look(directory: &Path) -> (Look, Links) {
    match list(directory) {
        Ok(listed) => listed,
        Err(error) => (Look::Lost(loss(directory, &error)), Links::new()),
    }
}

fn list(directory: &Path) -> io::Result<(Look, Links)> {
    let device = device(&fs::metadata(directory)?);
    let mut files = BTreeMap::new();
    let mut links = Links::new();
    for (count, entry) in fs::read_dir(directory)?.enumerate() {
        if count >= ENTRIES_MAX {
            let directory = directory.to_owned();
            let limit = ENTRIES_MAX;
            return Ok((Look::Lost(Loss::TooMany { directory, limit }), Links::new()));
        }
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if role(&file) == Role::Ignored {
            continue;
        }
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if let Some(seen) = see(&path, is_link) {
            if is_link && let Ok(target) = fs::canonicalize(&path) {
                links.insert(target, file.clone());
            }
            files.insert(file, seen);
        }
    }
    Ok((Look::Listed { device, files }, links))
}

/// What the path leads to; nothing when it went away since it was listed.
fn see(path: &Path, is_link: bool) -> Option<Seen> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Some(Seen::File(stamp(&meta))),
        Ok(meta) if meta.is_dir() => Some(Seen::Other("a directory")),
        Ok(_) => Some(Seen::Other("a pipe, socket or device")),
        Err(error) if error.kind() == ErrorKind::NotFound => is_link.then_some(Seen::Dangling),
        Err(error) => Some(Seen::Unreadable(error.to_string())),
    }
}

fn loss(directory: &Path, error: &io::Error) -> Loss {
    let directory = directory.to_owned();
    match error.kind() {
        ErrorKind::NotFound => Loss::Missing { directory },
        ErrorKind::NotADirectory => Loss::NotADirectory { directory },
        _ => Loss::Unreadable {
            directory,
            why: error.to_string(),
        },
    }
}

/// Reads a settled pair. Nothing at all when `stop` said so.
pub(crate) fn read(
    directory: &Path,
    take: &Take,
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Option<Taken> {
    // The small one first: while it cannot be read, the large one need not be.
    let config_file = format!("{}.toml", take.name);
    let config = match take
        .config
        .map(|stamp| read_file(&directory.join(&config_file), stamp, stop))
    {
        None => None,
        Some(Ok(bytes)) => Some(bytes),
        Some(Err(end)) => return end.taken(config_file, Taken::BadConfig),
    };
    if let Some(Err(error)) = config.as_deref().map(str::from_utf8) {
        return Some(Taken::BadConfig(Problem::NotText {
            file: config_file,
            at: error.valid_up_to(),
        }));
    }
    let component_file = format!("{}.wasm", take.name);
    let bytes = match read_file(&directory.join(&component_file), take.component, stop) {
        Ok(bytes) => bytes,
        Err(end) => return end.taken(component_file, Taken::BadComponent),
    };
    if (options.incomplete)(&bytes) {
        return Some(Taken::Incomplete);
    }
    Some(Taken::Whole {
        component: Content::new(bytes),
        config: config.map(Content::new),
        again: again(take, options),
    })
}

/// How long to wait for reading once more, where a file is so young that its dates prove nothing.
fn again(take: &Take, options: &Options) -> Option<Duration> {
    let grain = if options.poll { GRAIN_POLLED } else { GRAIN };
    let now = SystemTime::now();
    let young = |date: SystemTime| now.duration_since(date).map_or(true, |age| age < grain);
    [Some(take.component), take.config]
        .into_iter()
        .flatten()
        .flat_map(|stamp| [stamp.modified, stamp.changed])
        .flatten()
        .any(young)
        .then_some(grain)
}

enum ReadEnd {
    Moved,
    Stopped,
    Unreadable(String),
}

impl ReadEnd {
    fn taken(self, file: String, bad: fn(Problem) -> Taken) -> Option<Taken> {
        match self {
            Self::Stopped => None,
            Self::Moved => Some(Taken::Moved),
            Self::Unreadable(why) => Some(bad(Problem::Unreadable { file, why })),
        }
    }
}

impl From<io::Error> for ReadEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::UnexpectedEof => Self::Moved,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

/// The whole file, if it is what it was when it was settled, before reading and after.
fn read_file(path: &Path, settled: Stamp, stop: &dyn Fn() -> bool) -> Result<Arc<[u8]>, ReadEnd> {
    let mut file = open(path)?;
    if stamp(&file.metadata()?) != settled {
        return Err(ReadEnd::Moved);
    }
    let len = usize::try_from(settled.len)
        .map_err(|_| ReadEnd::Unreadable("too large for this machine's memory".to_owned()))?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
    for piece in Arc::make_mut(&mut bytes).chunks_mut(PIECE) {
        if stop() {
            return Err(ReadEnd::Stopped);
        }
        file.read_exact(piece)?;
    }
    let more = file.read(&mut [0])? > 0;
    if more || stamp(&file.metadata()?) != settled {
        return Err(ReadEnd::Moved);
    }
    Ok(bytes)
}

/// What was a file at the last look may be a pipe by now, and opening one waits for its writer.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn stamp(meta: &Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;

    let seconds = u64::try_from(meta.ctime()).ok().map(Duration::from_secs);
    let nanos = u64::try_from(meta.ctime_nsec())
        .ok()
        .map(Duration::from_nanos);
    let changed = seconds
        .zip(nanos)
        .and_then(|(seconds, nanos)| SystemTime::UNIX_EPOCH.checked_add(seconds + nanos));
    Stamp {
        len: meta.len(),
        modified: meta.modified().ok(),
        changed,
        device: meta.dev(),
        inode: meta.ino(),
    }
}

#[cfg(not(unix))]
fn stamp(meta: &Metadata) -> Stamp {
    Stamp {
        len: meta.len(),
        modified: meta.modified().ok(),
        changed: None,
        device: 0,
        inode: 0,
    }
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems have no such number"
)]
fn device(meta: &Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;

    Some(meta.dev())
}

#[cfg(not(unix))]
fn device(_: &Metadata) -> Option<u64> {
    None
}

/// What tells the directory itself from another one at the same path.
pub(crate) fn identity(directory: &Path) -> Option<(u64, u64)> {
    let stamp = stamp(&fs::metadata(directory).ok()?);
    Some((stamp.device, stamp.inode))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{process::Command, sync::mpsc, thread};

    use super::*;

    /// Between the look and the read somebody puts a pipe there, to which nobody writes.
    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        fs::write(&path, "a1").unwrap();
        let settled = stamp(&fs::metadata(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let (sender, read) = mpsc::channel();
        thread::spawn(move || {
            let moved = matches!(read_file(&path, settled, &|| false), Err(ReadEnd::Moved));
            sender.send(moved).unwrap();
        });
        assert_eq!(read.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}
