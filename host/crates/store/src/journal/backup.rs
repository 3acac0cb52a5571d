//! Everything that a start needs in one file, and the way back.
//!
//! A backup is an SQLite database: the journal's tables as they were at one moment, and one more, `files`, with the bytes that
//! they name. A person can look into it with sqlite3.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use caxton_rollout::Digest;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest as _, Sha256};

use super::check;
use super::collect::named;
use super::fault::Fault;
use super::migrate::{self, APPLICATION, BACKUP, LAYOUT};
use super::open::{NAME, beside, finish, remove, settle};
use super::types::BackedUp;
use crate::blobs::{make_private, new_file, sync_folder};
use crate::{BlobKind, Blobs};

/// The table of files, in a backup only.
const FILES: &str = "CREATE TABLE files (
  -- The files beside the journal that it names.
  path   TEXT NOT NULL PRIMARY KEY,  -- in the data directory: artifacts/SHA256.wasm, ...
  sha256 TEXT NOT NULL,
  bytes  BLOB NOT NULL
) STRICT;";

/// Writes a backup of the journal and what it names.
pub(super) fn backup(
    journal: &Path,
    blobs: &Blobs,
    to: &Path,
    files: &Mutex<()>,
) -> Result<BackedUp, String> {
    let subject = format!("{} cannot be written", to.display());
    let io = |error: io::Error| Fault::io(&error, to).sentence(&subject);
    if fs::symlink_metadata(to).is_ok() {
        return Err(format!(
            "{} is there already; remove it or choose another name",
            to.display()
        ));
    }
    // Nothing is removed meanwhile that is about to be read.
    let _guard = files.lock().unwrap_or_else(PoisonError::into_inner);
    let unfinished = unfinished(to);
    new_file(&unfinished).map_err(io)?;
    let made = (|| {
        let missing = fill(journal, blobs, &unfinished)?;
        settle_new(&unfinished, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{} was made by somebody else meanwhile", to.display())
            }
            _ => io(error),
        })?;
        Ok::<_, String>(missing)
    })();
    let (count, missing) = made.inspect_err(|_| remove(&unfinished))?;
    Ok(BackedUp {
        path: to.to_owned(),
        bytes: fs::metadata(to).map_err(io)?.len(),
        files: count,
        missing,
    })
}

/// Gives a whole file its name, for good; whoever else has made one of that name meanwhile keeps it.
fn settle_new(unfinished: &Path, to: &Path) -> io::Result<()> {
    fs::File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, to) {
        Ok(()) => {
            remove(unfinished);
            sync_folder(to)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // The file system has no second names: a moment is left in which somebody else's is replaced.
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => settle(unfinished, to),
    }
}

fn unfinished(to: &Path) -> PathBuf {
    beside(to, &format!(".{}.new", std::process::id()))
}

/// How many files are in it, and what is missing.
fn fill(journal: &Path, blobs: &Blobs, to: &Path) -> Result<(u64, Vec<String>), String> {
    let sql = |error: rusqlite::Error| Fault::of(&error, to).sentence(&to.display().to_string());
    let from = check::reader(journal).map_err(|error| {
        Fault::of(&error, journal).sentence(&format!("{} cannot be read", journal.display()))
    })?;
    let mut copy = Connection::open(to).map_err(sql)?;
    Backup::new(&from, &mut copy)
        .and_then(|backup| backup.step(-1))
        .map_err(sql)?;
    drop(from);
    // One file is all there is of it, also for whoever copies it. It is synced as a whole.
    copy.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;",
    )
    .map_err(sql)?;
    copy.execute_batch(FILES).map_err(sql)?;
    copy.pragma_update(None, "application_id", BACKUP)
        .map_err(sql)?;
    let mut count = 0;
    let mut missing = Vec::new();
    for kind in BlobKind::ALL {
        for digest in named(&copy, kind).map_err(sql)? {
            match blobs.get(kind, digest) {
                Ok(bytes) => {
                    copy.execute(
                        "INSERT INTO files (path, sha256, bytes) VALUES (?1, ?2, ?3)",
                        params![Blobs::name(kind, digest), digest.to_string(), &*bytes],
                    )
                    .map_err(sql)?;
                    count += 1;
                }
                // Of what is quarantined the bytes need not be there.
                Err(error) => missing.push(error.to_string()),
            }
        }
    }
    Ok((count, missing))
}

/// Makes a data directory of a backup. The directory may hold nothing of a store; it is made where it is not there.
///
/// # Errors
/// One sentence: what is wrong, where, and what to do. Nothing is left in the directory then.
pub fn restore_backup(file: &Path, data: &Path) -> Result<BackedUp, String> {
    for name in [
        NAME,
        // What is left of another journal would be played into this one, or take its place.
        "journal.sqlite3-wal",
        "journal.sqlite3-journal",
        "journal.sqlite3-shm",
        "journal.sqlite3.salvaged",
        "artifacts",
        "policies",
        "state",
    ] {
        let path = data.join(name);
        let is_empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if fs::symlink_metadata(&path).is_ok() && !is_empty {
            return Err(format!(
                "{} is there already; a backup is restored into a new or empty directory: move {} away, or choose another one",
                path.display(),
                data.display()
            ));
        }
    }
    let was_there = data.exists();
    let mut written = Vec::new();
    let restored = restore(file, data, &mut written);
    if restored.is_err() {
        for path in written {
            let _ = fs::remove_file(path);
        }
        remove(&data.join(NAME));
        remove(&beside(&data.join(NAME), ".new"));
        for folder in ["artifacts", "policies", "state"] {
            let _ = fs::remove_dir(data.join(folder));
        }
        if !was_there {
            let _ = fs::remove_dir(data);
        }
    }
    restored
}

fn restore(file: &Path, data: &Path, written: &mut Vec<PathBuf>) -> Result<BackedUp, String> {
    let subject = format!("{} cannot be restored", file.display());
    let sql = |error: rusqlite::Error| Fault::of(&error, file).sentence(&subject);
    let not_one =
        |problem: &str| format!("{subject}: {problem}; choose a file that `caxton backup` made");
    // It may stand where nothing can be written, and nothing is written to it.
    let backup =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sql)?;
    let application = migrate::application(&backup).map_err(|_| not_one("it is no backup"))?;
    if application != BACKUP {
        return Err(not_one("it is no backup"));
    }
    let layout = migrate::layout(&backup).map_err(sql)?;
    if layout > LAYOUT {
        return Err(format!(
            "{subject}: it was made by a newer release (its layout is {layout}, this one knows {LAYOUT}); run that release"
        ));
    }
    let said: String = backup
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(sql)?;
    if said != "ok" {
        return Err(not_one(&format!("it is damaged ({said})")));
    }
    make_private(data).map_err(|error| {
        Fault::io(&error, data).sentence(&format!("{} cannot be made", data.display()))
    })?;
    let files = files(&backup, &Blobs::within(data), written).map_err(|problem| match problem {
        Problem::Sql(error) => sql(error),
        Problem::File(problem) => format!("{subject}: {problem}"),
    })?;
    let journal = data.join(NAME);
    let unfinished = beside(&journal, ".new");
    let io = |error: io::Error| {
        Fault::io(&error, &journal).sentence(&format!("{} cannot be written", journal.display()))
    };
    new_file(&unfinished).map_err(io)?;
    rebuild(&backup, &unfinished).map_err(|error| {
        Fault::of(&error, &journal).sentence(&format!("{} cannot be written", journal.display()))
    })?;
    settle(&unfinished, &journal).map_err(io)?;
    Ok(BackedUp {
        path: data.to_owned(),
        bytes: fs::metadata(&journal).map_err(io)?.len(),
        files,
        missing: Vec::new(),
    })
}

enum Problem {
    Sql(rusqlite::Error),
    File(String),
}

/// Puts the files where they belong. Their names are input: what is none of ours goes nowhere.
fn files(backup: &Connection, blobs: &Blobs, written: &mut Vec<PathBuf>) -> Result<u64, Problem> {
    let mut statement = backup
        .prepare("SELECT path, bytes FROM files")
        .map_err(Problem::Sql)?;
    let mut rows = statement.query([]).map_err(Problem::Sql)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(Problem::Sql)? {
        let name: String = row.get(0).map_err(Problem::Sql)?;
        let bytes = row.get_ref(1).map_err(Problem::Sql)?;
        let bytes = bytes
            .as_blob()
            .map_err(|error| Problem::File(error.to_string()))?;
        let digest = Digest::new(Sha256::digest(bytes).into());
        let kind = BlobKind::ALL
            .into_iter()
            .find(|kind| Blobs::name(*kind, digest) == name)
            .ok_or_else(|| {
                Problem::File(format!(
                    "the file {name:?} in it is damaged: its bytes do not have the digest that its name says"
                ))
            })?;
        written.push(blobs.path(kind, digest));
        blobs
            .put(kind, bytes)
            .map_err(|error| Problem::File(error.to_string()))?;
        count += 1;
    }
    Ok(count)
}

/// Makes a journal of a backup's tables.
fn rebuild(backup: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut journal = Connection::open(to)?;
    Backup::new(backup, &mut journal)?.step(-1)?;
    journal.execute_batch(
        "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; DROP TABLE files; VACUUM;",
    )?;
    journal.pragma_update(None, "application_id", APPLICATION)?;
    finish(&mut journal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_has_made_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [unfinished, to] = ["unfinished", "to"].map(|name| folder.path().join(name));
        fs::write(&unfinished, "mine").unwrap();
        fs::write(&to, "theirs").unwrap();
        let error = settle_new(&unfinished, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"theirs");
        #[cfg(unix)]
        {
            // Also a link that leads nowhere is somebody's.
            fs::remove_file(&to).unwrap();
            std::os::unix::fs::symlink("nowhere", &to).unwrap();
            let error = settle_new(&unfinished, &to).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        fs::remove_file(&to).unwrap();
        settle_new(&unfinished, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"mine");
        assert!(!unfinished.exists());
    }
}
