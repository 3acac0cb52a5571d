//! Reads what is on the disk, with a connection of its own: it never waits for the thread that writes.

use std::path::{Path, PathBuf};

use caxton_rollout::{AgentName, HotReloadId};
use rusqlite::{Connection, Params};

use super::check;
use super::fault::Fault;
use super::fields::Fields;
use super::rows::int;
use super::types::{Act, EventRow, RecordsOf};

/// Reads what is written. What it does blocks.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    journal: PathBuf,
}

impl Reader {
    pub(super) fn open(journal: &Path) -> Result<Self, Fault> {
        let connection = check::reader(journal).map_err(|error| Fault::of(&error, journal))?;
        Ok(Self {
            connection,
            journal: journal.to_owned(),
        })
    }

    /// Which reloads have decision records, the one that began first before the others.
    ///
    /// # Errors
    /// One sentence.
    pub fn records(&self) -> Result<Vec<RecordsOf>, String> {
        self.all(
            "SELECT * FROM recordings ORDER BY began, reload",
            [],
            |row| {
                Ok(RecordsOf {
                    agent: row.parsed("agent")?,
                    reload: row.parsed("reload")?,
                    began: row.time("began")?,
                    changed: row.time("changed")?,
                    lines: row.count("lines")?,
                    bytes: row.count("bytes")?,
                })
            },
        )
    }

    /// Lines of one reload's records, in their order, from the `from`th (0 the first) on, at most `most`.
    ///
    /// # Errors
    /// One sentence.
    pub fn lines(&self, reload: HotReloadId, from: u64, most: u64) -> Result<Vec<String>, String> {
        self.all(
            "SELECT text FROM records WHERE reload = ?1 AND line >= ?2 ORDER BY line LIMIT ?3",
            (reload.to_string(), int(from), int(most)),
            |row| row.text("text"),
        )
    }

    /// What operators did, newest first.
    ///
    /// # Errors
    /// One sentence.
    pub fn acts(&self, agent: Option<&AgentName>, most: u64) -> Result<Vec<Act>, String> {
        self.newest(
            "SELECT * FROM acts ORDER BY seq DESC LIMIT ?1",
            "SELECT * FROM acts WHERE agent = ?2 ORDER BY seq DESC LIMIT ?1",
            agent,
            most,
            |row| {
                Ok(Act {
                    at: row.time("at")?,
                    agent: row.parsed("agent")?,
                    order: row.text("act")?,
                    refused: row.opt_text("refused")?,
                })
            },
        )
    }

    /// What happened, newest first.
    ///
    /// # Errors
    /// One sentence.
    pub fn events(&self, agent: Option<&AgentName>, most: u64) -> Result<Vec<EventRow>, String> {
        self.newest(
            "SELECT * FROM events ORDER BY seq DESC LIMIT ?1",
            "SELECT * FROM events WHERE agent = ?2 ORDER BY seq DESC LIMIT ?1",
            agent,
            most,
            |row| {
                Ok(EventRow {
                    seq: row.count("seq")?,
                    at: row.time("at")?,
                    agent: row.opt_parsed("agent")?,
                    reload: row.opt_parsed("reload")?,
                    kind: row.text("kind")?,
                    detail: row.text("detail")?,
                })
            },
        )
    }

    /// Rows of all agents or, by an index, of one.
    fn newest<T>(
        &self,
        of_all: &str,
        of_one: &str,
        agent: Option<&AgentName>,
        most: u64,
        read: impl Fn(&Fields<'_>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        match agent {
            Some(agent) => self.all(of_one, (int(most), agent.as_ref()), read),
            None => self.all(of_all, (int(most),), read),
        }
    }

    /// A row that makes no sense is passed over.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Fields<'_>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let all = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                match read(&Fields(row)) {
                    Ok(value) => all.push(value),
                    Err(problem) => {
                        tracing::warn!("a row of the journal is passed over: {problem}")
                    }
                }
            }
            Ok(all)
        };
        all().map_err(|error: rusqlite::Error| {
            let subject = format!("{} cannot be read", self.journal.display());
            Fault::of(&error, &self.journal).sentence(&subject)
        })
    }
}
