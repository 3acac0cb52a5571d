//! What the journal's write-ahead log holds: which pages its last transaction wrote, and whose they are.
//!
//! The log and its index are read as files (<https://www.sqlite.org/walformat.html>), so that looking takes no lock of SQLite and never
//! slows the host. Whose a page is, only SQLite itself can say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// The journal's file in the data directory.
pub const JOURNAL: &str = "journal.sqlite3";

/// Bytes before the first frame.
const LOG_HEADER: u64 = 32;
/// Bytes before a frame's page.
const FRAME_HEADER: u64 = 24;
/// In the index: how many transactions were written since it was made.
const CHANGES: u64 = 8;
/// In the index: how many frames of the log count.
const FRAMES: u64 = 16;

/// The last transaction in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Last {
    /// Differs from that of every other transaction since the host's start.
    pub change: u32,
    /// The pages that it wrote.
    pub pages: Vec<u32>,
}

/// The log of a journal.
#[derive(Debug)]
pub struct Log {
    log: File,
    index: File,
    page: u64,
}

impl Log {
    /// The log beside this journal.
    ///
    /// # Errors
    /// There is none: the journal has not been written to since its host started.
    pub fn beside(journal: &Path) -> Result<Self> {
        let log = File::open(with(journal, "-wal"))?;
        let index = File::open(with(journal, "-shm"))?;
        let page = big(&log, 8).context("the log has no header yet")?;
        Ok(Self {
            log,
            index,
            page: u64::from(page),
        })
    }

    /// Which transaction is the last: cheap enough to be asked all the time.
    #[must_use]
    pub fn change(&self) -> u32 {
        native(&self.index, CHANGES).unwrap_or_default()
    }

    /// The last transaction. Torn where the host writes at this moment; asking again helps.
    #[must_use]
    pub fn last(&self) -> Last {
        let change = self.change();
        let frames = u64::from(native(&self.index, FRAMES).unwrap_or_default());
        let mut pages = Vec::new();
        for frame in (1..=frames).rev() {
            let at = LOG_HEADER + (frame - 1) * (FRAME_HEADER + self.page);
            let (Some(page), Some(size)) = (big(&self.log, at), big(&self.log, at + 4)) else {
                break;
            };
            // The frame that ends a transaction says how large the journal is after it; the others have 0 there.
            if size != 0 && !pages.is_empty() {
                break;
            }
            pages.push(page);
        }
        Last { change, pages }
    }
}

/// Which table each page of a journal belongs to.
#[derive(Debug, Default)]
pub struct Owners(BTreeMap<u32, String>);

impl Owners {
    /// As the journal says now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(journal: &Path) -> Result<Self> {
        Self::read(&open_to_read(journal)?)
    }

    pub(super) fn read(connection: &Connection) -> Result<Self> {
        let mut ask = connection.prepare(
            "SELECT pageno, tbl_name FROM dbstat JOIN sqlite_schema USING (name) WHERE type IN ('table', 'index')",
        )?;
        let rows = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    /// The tables that a transaction wrote to.
    #[must_use]
    pub fn tables(&self, last: &Last) -> BTreeSet<String> {
        let names = last.pages.iter().filter_map(|page| self.0.get(page));
        names.cloned().collect()
    }

    /// Whether it knows all pages: the journal may have grown since.
    #[must_use]
    pub fn know(&self, last: &Last) -> bool {
        // The first page is that of the schema, which every growth writes to.
        last.pages
            .iter()
            .all(|page| *page == 1 || self.0.contains_key(page))
    }
}

/// The journal, to be looked into while its host writes it.
///
/// # Errors
/// It cannot be opened.
pub fn open_to_read(journal: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // Whoever looks must change nothing, even as the last one who leaves.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// The file of this name with an ending added.
#[must_use]
pub fn with(journal: &Path, ending: &str) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn big(file: &File, at: u64) -> Option<u32> {
    bytes(file, at).map(u32::from_be_bytes)
}

fn native(file: &File, at: u64) -> Option<u32> {
    bytes(file, at).map(u32::from_ne_bytes)
}

fn bytes(file: &File, at: u64) -> Option<[u8; 4]> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_transaction_is_told_by_its_tables() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join(JOURNAL);
        let writer = Connection::open(&journal).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = wal; CREATE TABLE one (a); CREATE TABLE two (b); CREATE INDEX b ON two (b);",
            )
            .unwrap();
        let log = Log::beside(&journal).unwrap();
        let told = || {
            let last = log.last();
            let owners = Owners::of(&journal).unwrap();
            assert!(owners.know(&last), "{last:?}");
            owners.tables(&last).into_iter().collect::<Vec<_>>()
        };
        let before = log.change();
        writer
            .execute_batch("INSERT INTO two VALUES (1), (2)")
            .unwrap();
        assert_eq!(told(), ["two"]);
        assert_ne!(log.change(), before);
        writer.execute_batch("INSERT INTO one VALUES (1)").unwrap();
        assert_eq!(told(), ["one"]);
        writer
            .execute_batch("BEGIN; INSERT INTO two VALUES (3); UPDATE one SET a = 2; COMMIT")
            .unwrap();
        assert_eq!(told(), ["one", "two"]);
        writer
            .execute_batch("PRAGMA wal_checkpoint(RESTART); INSERT INTO one VALUES (3)")
            .unwrap();
        assert_eq!(told(), ["one"]);
    }
}
