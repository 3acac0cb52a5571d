//! Looks at what stands in the journal's place before anything rests on it: whose it is, of which layout, and whether it is
//! whole; and sets up connections to it.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::fault::{Fault, What, probe};
use super::migrate::{self, APPLICATION, BACKUP, LAYOUT, STEPS};
use super::open::Refusal;

/// How long whoever holds it locked, a person with sqlite3 for instance, is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Bytes up to which all of it is checked at each start. Of a larger one everything but the decision records and events is:
/// damage in those is found when they are read.
const CHECKED_WHOLE: u64 = 256 * 1024 * 1024;

/// Tables that are checked in a larger one.
const CHECKED: [&str; 8] = [
    "agents",
    "versions",
    "contents",
    "reloads",
    "endings",
    "pins",
    "snapshots",
    "recordings",
];

/// What stands there.
#[derive(Debug)]
pub(super) enum Checked {
    /// A whole journal of the present layout.
    Whole(Connection),
    /// The same on a full disk: it can be read and not written.
    Unwritable(Connection, Fault),
    /// It is damaged, in this way.
    Damaged(String),
}

/// Why it was not found out.
enum Stop {
    Sql(rusqlite::Error),
    Refused(Refusal),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Opens what is there.
pub(super) fn check(journal: &Path) -> Result<Checked, Refusal> {
    if let Some(found) = newer(journal)? {
        return Err(found);
    }
    let fault = match attempt(journal, false) {
        Ok(checked) => return Ok(checked),
        Err(Stop::Refused(refusal)) => return Err(refusal),
        Err(Stop::Sql(error)) => Fault::of(&error, journal),
    };
    if fault.what != What::World {
        // Without its tables it is none.
        return Ok(Checked::Damaged(fault.problem));
    }
    // On a full disk a host goes on with what it knows, and with what is written there it can start.
    let is_full = probe(journal).is_some_and(|problem| {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(problem.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    });
    match attempt(journal, true) {
        Ok(Checked::Whole(connection)) if is_full => {
            Ok(Checked::Unwritable(connection, fault.explained(journal)))
        }
        _ => Err(fault.into()),
    }
}

/// What the file's header says, before SQLite touches it: one of a newer host stays as it is.
fn newer(journal: &Path) -> Result<Option<Refusal>, Fault> {
    let mut header = Vec::new();
    let file = fs::File::open(journal).map_err(|error| Fault::io(&error, journal))?;
    file.take(100)
        .read_to_end(&mut header)
        .map_err(|error| Fault::io(&error, journal))?;
    let word = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
    };
    if !header.starts_with(b"SQLite format 3\0") {
        return Ok(None);
    }
    Ok(refusal(word(68).unwrap_or(0), word(60).unwrap_or(0)))
}

fn refusal(application: i64, layout: i64) -> Option<Refusal> {
    if application == BACKUP {
        return Some(Refusal::from(Fault::world(
            "it is a backup",
            "move it away and restore it into an empty data directory",
        )));
    }
    (application == APPLICATION && layout > LAYOUT).then(|| Refusal {
        too_new: Some(layout),
        fault: Fault::world("it was written by a newer release", "run that release"),
    })
}

/// Opens and checks it; `alone` reads it without anything beside it that would have to be written.
fn attempt(journal: &Path, alone: bool) -> Result<Checked, Stop> {
    if fs::metadata(journal).is_ok_and(|facts| facts.len() == 0) {
        return Ok(Checked::Damaged("it is empty".to_owned()));
    }
    let mut connection = connect(journal)?;
    // Until it is clear that it is ours, nothing of it changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if alone {
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    }
    let application = migrate::application(&connection)?;
    let layout = migrate::layout(&connection)?;
    if let Some(refusal) = refusal(application, layout) {
        return Err(Stop::Refused(refusal));
    }
    if application != APPLICATION || layout < 1 {
        return Ok(Checked::Damaged("it is no journal".to_owned()));
    }
    if let Some(problem) = damaged(&connection, journal)? {
        return Ok(Checked::Damaged(problem));
    }
    if !migrate::is_as_made(&connection, layout)? {
        let problem = "its tables are not as they were made";
        return Ok(Checked::Damaged(problem.to_owned()));
    }
    if alone {
        if layout != LAYOUT {
            return Ok(Checked::Damaged("it is of an earlier layout".to_owned()));
        }
        return Ok(Checked::Whole(connection));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    configure(&connection)?;
    migrate::migrate(&mut connection, STEPS, LAYOUT)?;
    touch(&connection)?;
    Ok(Checked::Whole(connection))
}

fn connect(journal: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        journal,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    // What stands in the file is input: it defines no functions and changes no schema by the back door.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let problem = format!("its file system has no shared memory: journal mode is {mode}");
        return Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_CANTOPEN),
            Some(problem),
        ));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Whether it can be written: SQLite opens a file that cannot be as if nothing were wrong.
fn touch(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('opened_at', datetime('now'))",
        [],
    )?;
    Ok(())
}

/// What is wrong with it; none where nothing is.
fn damaged(connection: &Connection, journal: &Path) -> rusqlite::Result<Option<String>> {
    let size = fs::metadata(journal).map_or(0, |facts| facts.len());
    let checks = if size <= CHECKED_WHOLE {
        vec!["PRAGMA quick_check(1)".to_owned()]
    } else {
        let check = |table| format!("PRAGMA quick_check({table})");
        CHECKED.into_iter().map(check).collect()
    };
    for check in checks {
        let said: String = connection.query_row(&check, [], |row| row.get(0))?;
        if said != "ok" {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA query_only = ON;")?;
    Ok(connection)
}
