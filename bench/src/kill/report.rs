//! What a trial comes to: how often everything was hit, and what must not have been.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::aim::Aim;
use super::autopsy::Autopsy;
use super::judge::Requests;
use super::seen::STATUSES;
use crate::figures::at;

/// Violations that are printed; the first ones tell the most.
const SHOWN: usize = 30;

/// The row of bytes that were put into a folder by digest.
pub const BLOB: &str = "(bytes by digest)";

/// How often something was hit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hits {
    /// It was the last that was seen before the kill; of writes: it is in the last transaction.
    pub last: u32,
    /// The newest reload of some agent stood there.
    pub standing: u32,
}

/// What a trial comes to.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills.
    pub kills: u32,
    /// Of those, how many while a host started.
    pub while_starting: u32,
    /// By status.
    pub statuses: BTreeMap<String, Hits>,
    /// By table of the journal.
    pub writes: BTreeMap<String, u32>,
    /// Reloads that were interrupted.
    pub interrupted: u32,
    /// From a start to the first good answer of every agent.
    pub starts: Vec<Duration>,
    /// From a start to the addresses that the host announces.
    pub announced: Vec<Duration>,
    /// Requests of all lives.
    pub requests: Requests,
    /// Events, orders and results that were told before a kill and looked for after it.
    pub looked_for: u64,
    /// The largest journal.
    pub journal_bytes: u64,
    /// What must not be, by the kill after which it was found.
    pub violations: Vec<(u32, String)>,
    /// What each status and each kind of write has to be hit.
    pub each_at_least: u32,
}

impl Report {
    /// One with all rows that must be there.
    #[must_use]
    pub fn expecting(each_at_least: u32) -> Self {
        let statuses = STATUSES.map(|status| (status.to_owned(), Hits::default()));
        Self {
            statuses: statuses.into(),
            writes: BTreeMap::from([(BLOB.to_owned(), 0)]),
            each_at_least,
            ..Self::default()
        }
    }

    /// Takes in what a kill hit.
    pub fn hit(&mut self, last_status: Option<&str>, found: &Autopsy) {
        if let Some(hits) = last_status.and_then(|status| self.statuses.get_mut(status)) {
            hits.last += 1;
        }
        for status in &found.standing {
            if let Some(hits) = self.statuses.get_mut(status) {
                hits.standing += 1;
            }
        }
        for table in &found.tables {
            let hit = u32::from(found.written.contains(table));
            *self.writes.entry(table.clone()).or_default() += hit;
        }
        *self.writes.entry(BLOB.to_owned()).or_default() += u32::from(found.blob);
        let going_on = found.agents.values().filter(|a| a.going_on.is_some());
        self.interrupted += u32::try_from(going_on.count()).unwrap_or(u32::MAX);
        self.journal_bytes = self.journal_bytes.max(found.bytes);
    }

    /// What was hit least so far.
    #[must_use]
    pub fn least(&self, rng: &mut fastrand::Rng) -> Aim {
        let statuses = STATUSES.iter().map(|status| {
            let hits = self.statuses.get(*status).map_or(0, |hits| hits.last);
            (hits, Aim::Status(status))
        });
        let writes = self.writes.iter().map(|(table, hits)| {
            let aim = if table == BLOB {
                Aim::Blob
            } else {
                Aim::Write(table.clone())
            };
            (*hits, aim)
        });
        let all: Vec<(u32, Aim)> = statuses.chain(writes).collect();
        let fewest = all.iter().map(|(hits, _)| *hits).min().unwrap_or_default();
        let candidates = all.into_iter().filter(|(hits, _)| *hits == fewest);
        let aims: Vec<Aim> = candidates.map(|(_, aim)| aim).collect();
        rng.choice(aims).unwrap_or(Aim::Chance)
    }

    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.hit_too_seldom().is_empty()
    }

    fn hit_too_seldom(&self) -> Vec<&str> {
        let statuses = self.statuses.iter().map(|(name, hits)| (name, hits.last));
        let writes = self.writes.iter().map(|(name, hits)| (name, *hits));
        statuses
            .chain(writes)
            .filter(|(_, hits)| *hits < self.each_at_least)
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} kills, {} of them while a host started; {} reloads interrupted",
            self.kills, self.while_starting, self.interrupted
        )?;
        writeln!(
            f,
            "\n{:<18} {:>22} {:>22}",
            "status", "killed right after it", "a reload stood there"
        )?;
        for (status, hits) in &self.statuses {
            writeln!(f, "{status:<18} {:>22} {:>22}", hits.last, hits.standing)?;
        }
        writeln!(f, "\n{:<18} {:>22}", "write to", "killed right after it")?;
        for (table, hits) in &self.writes {
            writeln!(f, "{table:<18} {hits:>22}")?;
        }
        let (starts, announced) = (sorted(&self.starts), sorted(&self.announced));
        writeln!(
            f,
            "\nstart to the first answer of every agent: median {:.2} s, max {:.2} s; to both surfaces: median {:.2} s, max {:.2} s",
            at(&starts, 50).as_secs_f64(),
            at(&starts, 100).as_secs_f64(),
            at(&announced, 50).as_secs_f64(),
            at(&announced, 100).as_secs_f64(),
        )?;
        let r = self.requests;
        writeln!(
            f,
            "requests: {} answered, {} failed by a version that fails on purpose, {} cut by immediate reloads, {} at the kill, \
             {} before all served, {} lost",
            r.good, r.by_version, r.cut_by_immediate, r.at_the_kill, r.before_ready, r.lost
        )?;
        writeln!(
            f,
            "told before a kill and found after it: {} events, orders and results; journal at most {} KiB",
            self.looked_for,
            self.journal_bytes / 1024
        )?;
        let seldom = self.hit_too_seldom();
        if !seldom.is_empty() {
            writeln!(
                f,
                "hit less than {} times: {}",
                self.each_at_least,
                seldom.join(", ")
            )?;
        }
        writeln!(f, "violations: {}", self.violations.len())?;
        for (kill, violation) in self.violations.iter().take(SHOWN) {
            writeln!(f, "  after kill {kill}: {violation}")?;
        }
        Ok(())
    }
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
}
