//! Opens a journal as it stands there: makes it where there is none, brings it to the present layout, and has what is damaged
//! set aside and read as far as that goes.
//!
//! A journal is made under another name and renamed once it is whole: one that is empty is damaged, not new.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::check::{Checked, check};
use super::collect::damaged;
use super::fault::Fault;
use super::migrate::{self, LAYOUT, STEPS};
use super::salvage;
pub(super) use crate::blobs::beside;
use crate::blobs::{make_private, new_file, sync_folder};

/// How the journal's file is called in a data directory.
pub(super) const NAME: &str = "journal.sqlite3";

/// Which file is open: the path may come to lead to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub journal: PathBuf,
    /// It was seen that what was open stands there no more: another file may get the same number.
    is_gone: bool,
    #[cfg(unix)]
    file: Option<(u64, u64)>,
}

/// An open journal.
#[derive(Debug)]
pub(super) struct OpenJournal {
    pub connection: Connection,
    /// Why it can be read and not written: then the connection is for reading once, and is closed.
    pub unwritable: Option<Fault>,
    pub place: Place,
    /// What could not be read, what was done about it, and what that means: one sentence each.
    pub damage: Vec<String>,
}

/// Why it was not opened.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The layout of one that a newer host has written.
    pub too_new: Option<i64>,
    pub fault: Fault,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            too_new: None,
            fault,
        }
    }
}

impl Place {
    fn of(journal: &Path) -> Self {
        Self {
            journal: journal.to_owned(),
            is_gone: false,
            #[cfg(unix)]
            file: identity(journal),
        }
    }

    /// Whether the file that was opened stands there; that it does not is kept in mind.
    pub(super) fn look(&mut self) -> bool {
        let is_there = self.is_there();
        // Where it cannot be looked at now it may be there still.
        if !is_there
            && !fs::metadata(&self.journal)
                .is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
        {
            self.is_gone = true;
        }
        is_there
    }

    #[cfg(unix)]
    fn is_there(&self) -> bool {
        self.file.is_some() && identity(&self.journal) == self.file
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> bool {
        self.journal.exists()
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let facts = fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino()))
}

/// Opens the journal, and makes it where there is none.
///
/// # Errors
/// Nothing is there then that was not there before, and nothing has changed.
pub(super) fn open(journal: &Path) -> Result<OpenJournal, Refusal> {
    let made = Made::before(journal);
    match open_or_make(journal) {
        Ok(opened) => Ok(opened),
        Err(mut refusal) => {
            made.undo();
            if refusal.too_new.is_none() {
                refusal.fault = refusal.fault.explained(journal);
            }
            Err(refusal)
        }
    }
}

/// Opens once more what was open in this place, or what stands there now.
///
/// # Errors
/// It cannot be written still.
pub(super) fn again(before: &Place) -> Result<OpenJournal, Fault> {
    let journal = &before.journal;
    let mut opened = open(journal).map_err(|refusal| refusal.fault)?;
    if let Some(fault) = opened.unwritable {
        return Err(fault);
    }
    let is_another = opened.place != *before;
    if is_another || !opened.damage.is_empty() {
        // What names configurations, policies and states may not stand in it.
        damaged(&opened.connection).map_err(|error| Fault::of(&error, journal))?;
    }
    if is_another && opened.damage.is_empty() {
        opened.damage.push(format!(
            "{} was removed or replaced while the host ran: what is remembered of agents was written into it anew, and what stood in \
             it besides is lost, states and configurations of versions among it",
            journal.display()
        ));
    }
    Ok(opened)
}

fn open_or_make(journal: &Path) -> Result<OpenJournal, Refusal> {
    let mut damage = Vec::new();
    salvage::finish(journal, &mut damage).map_err(|error| Fault::io(&error, journal))?;
    if !exists(journal).map_err(|error| Fault::io(&error, journal))? {
        let lost = lost(journal);
        make(journal, lost.is_some())?;
        damage.extend(lost);
    }
    let mut checked = check(journal)?;
    if let Checked::Damaged(problem) = &checked {
        damage.extend(salvage::salvage(journal, problem)?);
        checked = check(journal)?;
    }
    let (connection, unwritable) = match checked {
        Checked::Whole(connection) => (connection, None),
        Checked::Unwritable(connection, fault) => (connection, Some(fault)),
        Checked::Damaged(problem) => {
            return Err(Refusal::from(Fault::world(
                format!("what was read of it into a new one is damaged, too: {problem}"),
                "look at the health of the disk and of the memory",
            )));
        }
    };
    Ok(OpenJournal {
        connection,
        unwritable,
        place: Place::of(journal),
        damage,
    })
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What it means that there is no journal where there was one.
fn lost(journal: &Path) -> Option<String> {
    let artifacts = fs::read_dir(journal.with_file_name("artifacts")).ok()?;
    (artifacts.flatten().next().is_some()).then(|| {
        format!(
            "{} is not there although artifacts of agents are: what was decided before, quarantines among it, is not known; agents \
             are deployed from their files as if for the first time",
            journal.display()
        )
    })
}

/// Makes a journal with nothing in it; in the place of one that was lost it says so.
fn make(journal: &Path, is_lost: bool) -> Result<(), Fault> {
    let io = |error: io::Error| Fault::io(&error, journal);
    let sql = |error: rusqlite::Error| Fault::of(&error, journal);
    if let Some(folder) = journal.parent() {
        make_private(folder).map_err(io)?;
    }
    let unfinished = beside(journal, ".new");
    let made = (|| {
        let mut connection = build(&unfinished, LAYOUT)?;
        if is_lost {
            damaged(&connection).map_err(sql)?;
        }
        finish(&mut connection).map_err(sql)?;
        drop(connection);
        settle(&unfinished, journal).map_err(io)
    })();
    if made.is_err() {
        remove(&unfinished);
    }
    made
}

/// A database with the tables of a layout, in a file that nobody else knows of and that takes no care: it is synced when it
/// is whole.
pub(super) fn build(path: &Path, layout: i64) -> Result<Connection, Fault> {
    remove(path);
    new_file(path).map_err(|error| Fault::io(&error, path))?;
    let built = || {
        let mut connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;",
        )?;
        migrate::migrate(&mut connection, STEPS, layout)?;
        Ok(connection)
    };
    built().map_err(|error| Fault::of(&error, path))
}

/// Makes such a database one as journals are.
pub(super) fn finish(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate::migrate(connection, STEPS, LAYOUT)?;
    connection.execute_batch("PRAGMA journal_mode = DELETE;")
}

/// Gives a whole file its name, for good.
pub(super) fn settle(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, path)?;
    sync_folder(path)
}

/// Removes a database with what SQLite puts beside it.
pub(super) fn remove(path: &Path) {
    for ending in ["", "-journal", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, ending));
    }
}

/// What was there before a journal was opened.
struct Made {
    journal: PathBuf,
    had_journal: bool,
    /// What SQLite puts beside it and was not there.
    new: Vec<PathBuf>,
    /// Folders that are not there yet, the innermost first.
    folders: Vec<PathBuf>,
}

impl Made {
    fn before(journal: &Path) -> Self {
        let folders = journal.ancestors().skip(1);
        let folders =
            folders.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        Self {
            journal: journal.to_owned(),
            had_journal: fs::symlink_metadata(journal).is_ok() || salvage::is_unfinished(journal),
            new: ["-shm", "-wal"]
                .map(|ending| beside(journal, ending))
                .into_iter()
                .filter(|path| !path.exists())
                .collect(),
            folders: folders.map(Path::to_owned).collect(),
        }
    }

    fn undo(self) {
        if !self.had_journal {
            remove(&self.journal);
        }
        for path in self.new {
            // In a log that is not empty something stands.
            let holds_something = path
                .extension()
                .is_some_and(|ending| ending == "sqlite3-wal")
                && fs::metadata(&path).is_ok_and(|facts| facts.len() > 0);
            if !holds_something {
                let _ = fs::remove_file(path);
            }
        }
        for folder in self.folders {
            // Only what is empty goes.
            let _ = fs::remove_dir(folder);
        }
    }
}
