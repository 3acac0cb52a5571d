//! Reads what can be read of a damaged journal into a new one, row by row, and puts the damaged one aside.
//!
//! The new one is whole and on the disk before the damaged one moves, and whoever is killed in between finds it at the next
//! start: at every moment one of the two is there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::collect::damaged as damaged_now;
use super::fault::Fault;
use super::migrate::{self, APPLICATION, LAYOUT};
use super::open::{beside, build, finish as complete, remove, settle};
use super::queue::now;
use super::rows::int;
use crate::blobs::sync_folder;

/// How many damaged journals stay for whoever wants to look at them.
const ASIDE_MAX: usize = 3;

/// How far beyond a row that cannot be read the next one is looked for: beyond the numbers that one page of it can hold, and
/// many pages after it.
const LEAP_MAX: u32 = 40;

/// A table, how its rows are called for people, and what it means where some are missing.
const TABLES: [(&str, &str, &str); 11] = [
    (
        "agents",
        "agents",
        "those are deployed from their files again",
    ),
    ("versions", "versions", "those cannot be gone back to"),
    (
        "contents",
        "contents of versions",
        "those cannot be gone back to",
    ),
    (
        "endings",
        "quarantined and set-aside contents",
        "those come in again when their file is there",
    ),
    ("reloads", "reloads", "those are missing in the history"),
    (
        "pins",
        "policies of reloads",
        "those reloads begin with the present policies",
    ),
    (
        "snapshots",
        "saved states",
        "those agents begin with an older state or none",
    ),
    ("acts", "operators' acts", "nothing rests on them"),
    ("events", "events", "nothing rests on them"),
    (
        "recordings",
        "reloads' decision records",
        "nothing rests on them",
    ),
    (
        "records",
        "lines of decision records",
        "nothing rests on them",
    ),
];

/// Where a new one is built, and how it is called while the damaged one moves.
const BUILDING: &str = ".salvaging";
const WHOLE: &str = ".salvaged";

/// Ends what an earlier start has begun.
pub(super) fn finish(journal: &Path, damage: &mut Vec<String>) -> io::Result<()> {
    let whole = beside(journal, WHOLE);
    if !fs::exists(&whole)? {
        return Ok(());
    }
    if fs::exists(journal)? {
        if !is_journal(&whole) {
            // None of ours: there is nothing to take from it.
            remove(&whole);
            return Ok(());
        }
        // Its log may have moved already: what stands there is less than what was read of it.
        put_aside(journal)?;
    }
    settle(&whole, journal)?;
    forget_old(journal);
    damage.push(format!(
        "{} was damaged; an earlier start read what could be read of it, and put it aside beside it",
        journal.display()
    ));
    Ok(())
}

/// Whether an earlier start has left something unfinished beside the journal.
pub(super) fn is_unfinished(journal: &Path) -> bool {
    fs::symlink_metadata(beside(journal, WHOLE)).is_ok()
}

/// Whether a whole journal stands there. What is built here gets its name only once it is one.
fn is_journal(path: &Path) -> bool {
    let whole = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let rows = Connection::open_with_flags(path, flags)?;
        let said: String = rows.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(said == "ok" && migrate::application(&rows)? == APPLICATION)
    };
    whole().unwrap_or(false)
}

/// Puts a damaged journal aside, and what can be read of it in its place; says what is lost.
///
/// # Errors
/// The damaged one stays where it is, or the next start goes on with what was read of it.
pub(super) fn salvage(journal: &Path, problem: &str) -> Result<Vec<String>, Fault> {
    let building = beside(journal, BUILDING);
    let whole = beside(journal, WHOLE);
    let read = (|| {
        let read = rescue(journal, &building)?;
        settle(&building, &whole).map_err(|error| Fault::io(&error, &whole))?;
        Ok(read)
    })();
    let read = read.inspect_err(|_: &Fault| remove(&building))?;
    let io = |error: io::Error| Fault::io(&error, journal);
    // Where that fails half of it may have moved, and what was read is the only one that is whole.
    let aside = put_aside(journal).map_err(io)?;
    settle(&whole, journal).map_err(io)?;
    forget_old(journal);
    let mut damage = vec![format!(
        "{} is damaged ({problem}); it is kept as {}, and what could be read of it was taken over",
        journal.display(),
        aside.display()
    )];
    damage.extend(read);
    Ok(damage)
}

/// Moves the journal with what belongs to it.
fn put_aside(journal: &Path) -> io::Result<PathBuf> {
    let seconds = now().0 / 1000;
    let names = (0..100).map(|count| match count {
        0 => beside(journal, &format!(".damaged-{seconds}")),
        more => beside(journal, &format!(".damaged-{seconds}-{more}")),
    });
    let mut free = names.filter(|name| fs::symlink_metadata(name).is_err());
    let aside = match half_aside(journal) {
        Some(aside) => aside,
        None => free.next().ok_or(io::ErrorKind::AlreadyExists)?,
    };
    // First what is only good beside it: a log that stays would be played into the new one.
    for ending in ["-wal", "-journal"] {
        if fs::metadata(beside(journal, ending)).is_ok_and(|facts| facts.len() == 0) {
            fs::remove_file(beside(journal, ending))?;
        }
        match fs::rename(beside(journal, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let _ = fs::remove_file(beside(journal, "-shm"));
    sync_folder(journal)?;
    fs::rename(journal, &aside)?;
    sync_folder(journal)?;
    Ok(aside)
}

/// Where an earlier start has put the journal's log before it was killed: there it belongs, too.
fn half_aside(journal: &Path) -> Option<PathBuf> {
    let start = format!("{}.damaged-", journal.file_name()?.to_str()?);
    let entries = fs::read_dir(journal.parent()?).ok()?;
    entries.flatten().find_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.starts_with(&start))?;
        let of = ["-wal", "-journal"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))?;
        let aside = journal.with_file_name(of);
        // Nothing is replaced.
        let is_free = ["-wal", "-journal"].iter().all(|ending| {
            [&aside, journal]
                .iter()
                .any(|path| fs::symlink_metadata(beside(path, ending)).is_err())
        });
        (is_free && fs::symlink_metadata(&aside).is_err()).then_some(aside)
    })
}

/// Removes the oldest of those that were put aside, as far as there are too many.
fn forget_old(journal: &Path) {
    let (Some(folder), Some(name)) = (journal.parent(), journal.file_name()) else {
        return;
    };
    let start = format!("{}.damaged-", name.to_string_lossy());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut aside: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            let is_one =
                name.starts_with(&start) && !name.ends_with("-wal") && !name.ends_with("-journal");
            is_one.then(|| {
                (
                    entry.metadata().and_then(|facts| facts.modified()).ok(),
                    entry.path(),
                )
            })
        })
        .collect();
    aside.sort();
    for (_, path) in aside.iter().rev().skip(ASIDE_MAX) {
        remove(path);
    }
}

/// Reads everything into a new database; says what is lost.
fn rescue(journal: &Path, building: &Path) -> Result<Vec<String>, Fault> {
    let damaged = source(journal);
    let layout = damaged.as_ref().ok().and_then(|damaged| {
        let layout = migrate::layout(damaged).ok()?;
        (1..=LAYOUT).contains(&layout).then_some(layout)
    });
    let mut new = build(building, layout.unwrap_or(LAYOUT))?;
    take_over(damaged, &mut new).map_err(|error| Fault::of(&error, building))
}

fn take_over(
    damaged: rusqlite::Result<Connection>,
    new: &mut Connection,
) -> rusqlite::Result<Vec<String>> {
    new.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
    let mut lost = Vec::new();
    match &damaged {
        Ok(damaged) => {
            for table in TABLES {
                lost.extend(copy(damaged, new, table)?);
            }
        }
        Err(error) => lost.push(format!("nothing of it could be read: {error}")),
    }
    lost.extend(mend(new)?);
    damaged_now(new)?;
    new.execute_batch("COMMIT")?;
    complete(new)?;
    Ok(lost)
}

/// The damaged one, as little of it trusted as possible and nothing of it changed.
fn source(journal: &Path) -> rusqlite::Result<Connection> {
    let open = |flags| {
        let damaged =
            Connection::open_with_flags(journal, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        damaged.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        damaged.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        damaged.execute_batch("PRAGMA query_only = ON; PRAGMA cell_size_check = ON")?;
        damaged.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(damaged)
    };
    open(OpenFlags::SQLITE_OPEN_READ_ONLY)
        .or_else(|_: rusqlite::Error| open(OpenFlags::SQLITE_OPEN_READ_WRITE))
}

/// What is left agrees with itself: what hangs on an agent whose row is lost gets such a row, so that a quarantine holds.
fn mend(new: &Connection) -> rusqlite::Result<Option<String>> {
    new.execute(
        "DELETE FROM records WHERE reload NOT IN (SELECT reload FROM recordings)",
        [],
    )?;
    let made = new.execute(
        "INSERT INTO agents (name, next_number, rollbacks, updated_at, last_error)
         SELECT agent, max(number) + 1, '[]', ?1, 'its row in the journal was lost with a damaged page'
         FROM (SELECT agent, number FROM versions UNION ALL SELECT agent, number FROM reloads UNION ALL SELECT agent, 0 FROM endings)
         WHERE agent NOT IN (SELECT name FROM agents) GROUP BY agent",
        [int(now().0)],
    )?;
    Ok((made > 0).then(|| {
        format!(
            "of {made} agents it is not known any more which version served; they are deployed from their files again, and what was \
             quarantined stays out"
        )
    }))
}

/// Copies what can be read of one table; says what is lost.
fn copy(
    damaged: &Connection,
    new: &Connection,
    (table, called, meaning): (&str, &str, &str),
) -> rusqlite::Result<Option<String>> {
    let columns: Vec<String> = new
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let names = columns.join(", ");
    let marks = vec!["?"; columns.len() + 1].join(", ");
    let mut insert = new.prepare(&format!(
        "INSERT OR IGNORE INTO {table} (rowid, {names}) VALUES ({marks})"
    ))?;
    let mut there = BTreeSet::new();
    let problem = rows(damaged, table, columns.len(), &mut |row| {
        let place = row.first().cloned();
        // One that does not fit into the table makes no sense.
        if insert
            .execute(params_from_iter(row))
            .is_ok_and(|count| count > 0)
            && let Some(Value::Integer(place)) = place
        {
            there.insert(place);
        }
    });
    let expected = damaged.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get::<_, i64>(0)
    });
    let read = there.len();
    let expected = expected
        .ok()
        .and_then(|expected| usize::try_from(expected).ok());
    Ok(match (expected, problem) {
        (Some(expected), _) if expected > read => Some(format!(
            "{read} of {expected} {called} were read; {meaning}"
        )),
        (None, Some(_)) => Some(format!(
            "{read} {called} were read, and how many there were is not known; of those that are missing: {meaning}"
        )),
        _ => None,
    })
}

/// Hands out every row of a table that can be read; answers with the first problem.
///
/// It goes forward up to a row that cannot be read, leaps over it as far as needed, and goes on; then the same backward,
/// for what was leapt over.
fn rows(
    damaged: &Connection,
    table: &str,
    columns: usize,
    take: &mut impl FnMut(Vec<Value>),
) -> Option<rusqlite::Error> {
    let mut first = None;
    for (order, beyond) in [("", '>'), (" DESC", '<')] {
        let mut from: Option<i64> = None;
        let mut leap = 0;
        while leap <= LEAP_MAX {
            let start = from.map_or(String::new(), |from| {
                format!(" WHERE rowid {beyond} {from}")
            });
            // By their places: what a column is called may be what is damaged.
            let sql = format!("SELECT rowid, * FROM {table}{start} ORDER BY rowid{order}");
            let before = from;
            let Err(error) = scan(damaged, &sql, columns, &mut from, take) else {
                break;
            };
            first.get_or_insert(error);
            if from != before {
                leap = 0;
            }
            let far = 1_i64 << leap;
            leap += 1;
            from = match beyond {
                '>' => Some(from.unwrap_or(0).saturating_add(far)),
                // Without a last one there is nothing to go back from.
                _ => match from {
                    Some(from) => Some(from.saturating_sub(far)),
                    None => break,
                },
            };
        }
        if first.is_none() {
            break;
        }
    }
    first
}

fn scan(
    damaged: &Connection,
    sql: &str,
    columns: usize,
    last: &mut Option<i64>,
    take: &mut impl FnMut(Vec<Value>),
) -> rusqlite::Result<()> {
    let mut statement = damaged.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        *last = Some(row.get(0)?);
        // Text that is none is taken out here; it could not be written.
        let values: rusqlite::Result<Vec<Value>> = (0..=columns).map(|at| row.get(at)).collect();
        if let Ok(values) = values {
            take(values);
        }
    }
    Ok(())
}
