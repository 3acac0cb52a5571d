//! What SQLite and the system say, in words: what is wrong, and what helps.

use std::any::Any;
use std::io::{self, Write as _};
use std::path::Path;

use rusqlite::ffi;

use crate::blobs::new_file;

/// Why something could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// What is wrong.
    pub(crate) problem: String,
    /// What helps.
    pub(crate) help: String,
}

/// What a fault is about, which decides what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The world around the journal: it may be well again by itself.
    World,
    /// The journal's own bytes.
    Damage,
    /// What was to be written; anything else can be.
    Item,
}

impl Fault {
    pub(crate) fn world(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: What::World,
            problem: problem.into(),
            help: help.into(),
        }
    }

    /// What the thread that writes said last.
    pub(crate) fn panic(said: &(dyn Any + Send)) -> Self {
        let said = said
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| said.downcast_ref::<String>().map(String::as_str))
            .unwrap_or_default();
        Self::world(
            format!("the thread that writes failed: {said}"),
            "report this as a fault of the host",
        )
    }

    /// What SQLite says of the journal in this file.
    pub(crate) fn of(error: &rusqlite::Error, path: &Path) -> Self {
        let path = path.display();
        let folder = folder_of(&path.to_string());
        let (what, help) = match error.sqlite_error().map(|error| error.extended_code) {
            Some(code) => match code & 0xff {
                ffi::SQLITE_FULL => (What::World, format!("make room on the disk of {folder}")),
                ffi::SQLITE_READONLY | ffi::SQLITE_PERM => (
                    What::World,
                    format!(
                        "let this user write to {folder} and the files in it, and see that its disk is not mounted read-only"
                    ),
                ),
                ffi::SQLITE_CANTOPEN => (
                    What::World,
                    format!("see that {folder} is there and that this user may write to it"),
                ),
                ffi::SQLITE_IOERR => (
                    What::World,
                    format!(
                        "make room on the disk of {folder}, or look at its health: the system's log says more"
                    ),
                ),
                ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => (
                    What::World,
                    format!("end the program that holds {path} locked"),
                ),
                ffi::SQLITE_NOMEM => (What::World, "give the host more memory".to_owned()),
                ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_FORMAT => (
                    What::Damage,
                    format!("look at the health of the disk of {folder}"),
                ),
                _ => (What::Item, "report this as a fault of the host".to_owned()),
            },
            None => (What::Item, "report this as a fault of the host".to_owned()),
        };
        Self {
            what,
            problem: said(error),
            help,
        }
    }

    /// What the system says of a file.
    pub(crate) fn io(error: &io::Error, path: &Path) -> Self {
        Self::world(error.to_string(), io_help(error, path))
    }

    /// The same with what the system says where it refuses any file in the journal's folder: SQLite does not tell why.
    pub(crate) fn explained(self, journal: &Path) -> Self {
        match probe(journal) {
            Some(problem) if self.what == What::World => Self::io(&problem, journal),
            _ => self,
        }
    }

    /// One sentence.
    pub(crate) fn sentence(&self, subject: &str) -> String {
        format!("{subject}: {}; {}", self.problem, self.help)
    }
}

/// What an error of SQLite is about.
pub(crate) fn what(error: &rusqlite::Error) -> What {
    Fault::of(error, Path::new("")).what
}

/// What SQLite says, with the finer code where that says more: which part of reading and writing failed.
fn said(error: &rusqlite::Error) -> String {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return error.to_string();
    };
    let said = message
        .clone()
        .unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned());
    if code.extended_code == code.extended_code & 0xff {
        said
    } else {
        format!("{said} (SQLite's code {})", code.extended_code)
    }
}

/// Why no file can be written beside the journal; none where one can be.
pub(crate) fn probe(journal: &Path) -> Option<io::Error> {
    let folder = journal.parent().filter(|folder| folder.is_dir())?;
    let path = folder.join(format!(".probe-{}", std::process::id()));
    let probed = new_file(&path).and_then(|mut file| file.write_all(&[0; 64 * 1024]));
    // It is there unless it could not be made.
    let _ = std::fs::remove_file(path);
    probed.err()
}

fn folder_of(path: &str) -> String {
    let folder = Path::new(path).parent();
    folder.map_or_else(|| ".".to_owned(), |folder| folder.display().to_string())
}

/// What helps where the system refuses something of this file.
pub(crate) fn io_help(error: &io::Error, path: &Path) -> String {
    let folder = folder_of(&path.display().to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            format!("make room on the disk of {folder}")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("mount the disk of {folder} so that it can be written to")
        }
        io::ErrorKind::PermissionDenied => {
            format!("let this user read and write {folder} and the files in it")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!(
                "move away what stands where a folder belongs, or choose another data directory than {folder}"
            )
        }
        _ => format!("look at the disk of {folder}: its room, its health, the system's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(code: i32) -> What {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        Fault::of(&error, Path::new("/data/journal.sqlite3")).what
    }

    #[test]
    fn what_is_wrong_decides_whether_it_is_tried_again() {
        assert_eq!(what(ffi::SQLITE_FULL), What::World);
        assert_eq!(what(ffi::SQLITE_IOERR_FSYNC), What::World);
        assert_eq!(what(ffi::SQLITE_READONLY_DBMOVED), What::World);
        assert_eq!(what(ffi::SQLITE_CORRUPT), What::Damage);
        assert_eq!(what(ffi::SQLITE_NOTADB), What::Damage);
        assert_eq!(what(ffi::SQLITE_CONSTRAINT), What::Item);
        assert_eq!(what(ffi::SQLITE_TOOBIG), What::Item);
    }

    #[test]
    fn a_sentence_names_the_place_and_what_helps() {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None);
        let sentence = Fault::of(&error, Path::new("/data/journal.sqlite3"))
            .sentence("/data/journal.sqlite3 cannot be written");
        assert_eq!(
            sentence,
            "/data/journal.sqlite3 cannot be written: database or disk is full; make room on the disk of /data"
        );
    }
}
