//! Finds records in the journal, for those who ask for them.

use std::time::Duration;

use caxton_rollout::{AgentName, HotReloadId, Moment};
use caxton_store::{Act, Journal, Reader, RecordsOf};

/// How long whoever reads waits for what is still to be written.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// The way to what was recorded.
#[derive(Debug, Clone)]
pub struct RecordsReader {
    journal: Journal,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub reload: Option<HotReloadId>,
    pub agent: Option<AgentName>,
    /// Of reloads that were going on at this time, or began later.
    pub since: Option<Moment>,
}

/// How much of what was decided can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Everything that was decided before this was asked.
    All,
    /// What was written before the journal could be written no more.
    Earlier,
    /// The disk says nothing.
    Nothing,
}

impl RecordsReader {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Waits until everything is on the disk that was decided before this was called, as long as that may take.
    pub(crate) async fn written(&self) -> Readable {
        match tokio::time::timeout(FLUSH_WAIT, self.journal.flush()).await {
            Ok(true) => Readable::All,
            Ok(false) => Readable::Earlier,
            Err(_) => Readable::Nothing,
        }
    }

    /// What there is of it, the reload that began first before the others, and what reads it. It takes as long as the disk does.
    pub(crate) fn list(&self, wanted: &Selection) -> Result<(Reader, Vec<RecordsOf>), String> {
        let reader = self.journal.reader().map_err(|error| error.to_string())?;
        let mut found = reader.records()?;
        found.retain(|of| wanted.fits(of));
        Ok((reader, found))
    }

    /// What operators did, newest first, at most `most`. It takes as long as the disk does.
    pub(crate) fn acts(&self, agent: Option<&AgentName>, most: u64) -> Result<Vec<Act>, String> {
        let reader = self.journal.reader().map_err(|error| error.to_string())?;
        reader.acts(agent, most)
    }
}

impl Selection {
    fn fits(&self, of: &RecordsOf) -> bool {
        self.reload.is_none_or(|id| of.reload == id)
            && self.agent.as_ref().is_none_or(|agent| of.agent == *agent)
            && self.since.is_none_or(|since| of.changed >= since)
    }
}
