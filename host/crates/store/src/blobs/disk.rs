//! How files come to stand whole in their places.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How the name of a file ends that is being written.
pub(super) const UNFINISHED: &str = ".new";

/// Held while it is decided that a file is old and goes, and while one becomes young: whoever puts bytes that are about to be
/// removed writes them anew.
static AGE: Mutex<()> = Mutex::new(());

/// See [`AGE`].
pub(super) fn age() -> MutexGuard<'static, ()> {
    AGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether exactly these bytes stand there; then they count as just put.
pub(super) fn is_there(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(problem) => return Err(problem),
    };
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut rest = bytes;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut chunk)?;
        let (Some(found), Some(wanted)) = (chunk.get(..count), rest.get(..count)) else {
            return Ok(false);
        };
        if found != wanted {
            return Ok(false);
        }
        if count == 0 {
            break;
        }
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(rest.is_empty() && make_young(&file, path))
}

/// It counts as just put; false where it is to be written anew: where its time cannot be set, collection would think it old, and
/// it may have been removed since it was opened.
pub(super) fn make_young(file: &File, path: &Path) -> bool {
    let _guard = age();
    file.set_modified(SystemTime::now()).is_ok() && path.exists()
}

/// Two who write the same at once, also in two processes, each have a file of their own until it is whole.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{count}{UNFINISHED}", std::process::id());
    let unfinished = path.with_file_name(name);
    let written = (|| {
        let mut file = new_file(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let _guard = age();
        fs::rename(&unfinished, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    sync_folder(path)
}

/// A file for this user alone.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a folder for this user alone, and those around it, for good; one that is there keeps its mode.
///
/// # Errors
/// It cannot be made, or the folder around it cannot be written out.
pub fn make_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    sync_folder(folder)
}

/// What was renamed or made in the folder around `path` survives a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let around = match path.parent() {
        Some(around) if !around.as_os_str().is_empty() => around,
        // Of a single name, the folder around is the one that the process is in.
        _ => Path::new("."),
    };
    File::open(around)?.sync_all()
}

/// The path with something after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
