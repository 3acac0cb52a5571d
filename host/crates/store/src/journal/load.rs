//! Reads what is remembered of agents. Rows are input: one that makes no sense is taken out, kept for people, and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use caxton_rollout::{AgentName, Aside, EndingMemory, HotReloadId, Memory, VersionNumber};
use rusqlite::{Connection, params};

use super::collect::damaged;
use super::fields::Fields;
use super::parse::{ReloadRow, agent, content, ending, pin, reload, snapshot, version};
use super::queue::now;
use super::rows::{Known, int};
use crate::StoredAgent;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub agents: Vec<StoredAgent>,
    pub known: BTreeMap<AgentName, Known>,
    pub damage: Vec<String>,
}

/// Rows that make no sense.
#[derive(Debug, Default)]
struct Unreadable(Vec<(&'static str, i64, String, String)>);

/// Reads all rows of a table in an order.
fn each<T>(
    rows: &Connection,
    (table, order): (&'static str, &str),
    unreadable: &mut Unreadable,
    read: impl Fn(&Fields<'_>) -> Result<T, String>,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> rusqlite::Result<()> {
    let mut statement = rows.prepare(&format!(
        "SELECT rowid AS row_number, * FROM {table} ORDER BY {order}"
    ))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let fields = Fields(row);
        if let Err(reason) = read(&fields).and_then(&mut take) {
            let place = row.get("row_number")?;
            unreadable.0.push((table, place, reason, fields.shown()));
        }
    }
    Ok(())
}

/// Everything that is remembered of agents.
pub(super) fn load(rows: &Connection) -> rusqlite::Result<Loaded> {
    let mut found: BTreeMap<AgentName, Found> = BTreeMap::new();
    let mut bad = Unreadable::default();
    each(
        rows,
        ("agents", "name"),
        &mut bad,
        agent,
        |(memory, damage)| {
            found.insert(memory.agent.clone(), Found::of(memory, damage));
            Ok(())
        },
    )?;
    let lonely = "there is no such agent";
    let read = |row: &Fields<'_>| Ok((row.parsed::<AgentName>("agent")?, version(row)?));
    each(
        rows,
        ("versions", "agent, place"),
        &mut bad,
        read,
        |(agent, (version, kept))| {
            let found = found.get_mut(&agent).ok_or(lonely)?;
            found.kept.extend(kept.map(|place| (place, version.number)));
            found.stored.memory.versions.push(version);
            Ok(())
        },
    )?;
    let read = |row: &Fields<'_>| Ok((row.parsed::<AgentName>("agent")?, ending(row)?));
    each(
        rows,
        ("endings", "agent, place"),
        &mut bad,
        read,
        |(agent, ending)| {
            let found = found.get_mut(&agent).ok_or(lonely)?;
            found.stored.memory.endings.push(ending);
            Ok(())
        },
    )?;
    let read = |row: &Fields<'_>| Ok((row.parsed::<AgentName>("agent")?, reload(row)?));
    each(
        rows,
        ("reloads", "agent, rank DESC"),
        &mut bad,
        read,
        |(agent, reload)| {
            let found = found.get_mut(&agent).ok_or(lonely)?;
            found.take(reload)
        },
    )?;
    // Of an agent that nothing else is remembered of yet: it was taken, and the host was killed.
    each(
        rows,
        ("contents", "agent, taken_at"),
        &mut bad,
        content,
        |content| {
            if let Some(found) = found.get_mut(&content.agent) {
                found.stored.contents.push(content);
            }
            Ok(())
        },
    )?;
    each(
        rows,
        ("pins", "reload, place"),
        &mut bad,
        pin,
        |(agent, reload, pin)| {
            if let Some(found) = found.get_mut(&agent) {
                found.stored.pins.entry(reload).or_default().push(pin);
            }
            Ok(())
        },
    )?;
    each(
        rows,
        ("snapshots", "agent, number"),
        &mut bad,
        snapshot,
        |snapshot| {
            if let Some(found) = found.get_mut(&snapshot.agent) {
                found.stored.snapshots.push(snapshot);
            }
            Ok(())
        },
    )?;
    Ok(loaded(rows, found, bad))
}

fn loaded(rows: &Connection, found: BTreeMap<AgentName, Found>, bad: Unreadable) -> Loaded {
    let mut loaded = Loaded::default();
    let is_whole = bad.0.is_empty();
    if !is_whole {
        // First: whoever is killed in between finds the rows once more.
        nothing_goes(rows);
    }
    loaded.damage = set_aside(rows, bad);
    for (agent, found) in found {
        let before = loaded.damage.len();
        let (stored, ranks) = found.finish(&mut loaded.damage);
        let known = Known {
            memory: stored.memory.clone(),
            ranks,
            // Otherwise rows stand there that nobody has read.
            sure: is_whole && loaded.damage.len() == before,
        };
        loaded.known.insert(agent, known);
        loaded.agents.push(stored);
    }
    if is_whole && !loaded.damage.is_empty() {
        nothing_goes(rows);
    }
    loaded
}

/// Files that nothing names any more stay for now, so that a person can bring back what named them.
fn nothing_goes(rows: &Connection) {
    if let Err(error) = damaged(rows) {
        tracing::warn!("that something was lost is not recorded: {error}");
    }
}

/// Moves rows that make no sense to where people find them; where that fails they stay, and are told again next time.
fn set_aside(rows: &Connection, bad: Unreadable) -> Vec<String> {
    let mut tables: BTreeMap<&str, (u64, String)> = BTreeMap::new();
    for (table, place, reason, shown) in bad.0 {
        let moved = rows
            .execute(
                "INSERT INTO unreadable (at, origin, reason, row) VALUES (?1, ?2, ?3, ?4)",
                params![int(now().0), table, reason, shown],
            )
            .and_then(|_| rows.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [place]));
        if let Err(error) = moved {
            tracing::warn!("a row of {table} that makes no sense stays: {error}");
        }
        let (count, _) = tables.entry(table).or_insert((0, reason));
        *count += 1;
    }
    let sentence = |(table, (count, reason))| {
        format!(
            "{count} rows of the table {table} in the journal make no sense and were moved to the table unreadable; the first: {reason}"
        )
    };
    tables.into_iter().map(sentence).collect()
}

/// One agent while its rows are read.
struct Found {
    stored: StoredAgent,
    kept: BTreeMap<i64, VersionNumber>,
    ranks: BTreeMap<HotReloadId, i64>,
    highest: Option<VersionNumber>,
    damage: Vec<String>,
}

impl Found {
    fn of(memory: Memory, damage: Vec<String>) -> Self {
        Self {
            stored: StoredAgent {
                memory,
                contents: Vec::new(),
                pins: BTreeMap::new(),
                snapshots: Vec::new(),
            },
            kept: BTreeMap::new(),
            ranks: BTreeMap::new(),
            highest: None,
            damage,
        }
    }

    fn take(&mut self, row: ReloadRow) -> Result<(), String> {
        let memory = &mut self.stored.memory;
        if row.going_on.is_some() && memory.reload.is_some() {
            return Err("two reloads of one agent go on".to_owned());
        }
        self.ranks.insert(row.id, row.rank);
        self.highest = self.highest.max(Some(row.number));
        memory.history.extend(row.past.map(Arc::new));
        if row.going_on.is_some() {
            memory.reload = row.going_on;
        }
        Ok(())
    }

    /// What is left agrees with itself.
    fn finish(mut self, damage: &mut Vec<String>) -> (StoredAgent, BTreeMap<HotReloadId, i64>) {
        damage.append(&mut self.damage);
        let memory = &mut self.stored.memory;
        memory.kept = self.kept.into_values().collect();
        let agent = memory.agent.clone();
        let is_there = |number: &VersionNumber| {
            memory
                .versions
                .iter()
                .any(|version| version.number == *number)
        };
        for (name, pointer) in [
            ("serving", &mut memory.serving),
            ("permanent", &mut memory.permanent),
        ] {
            if let Some(number) = pointer.take_if(|number| !is_there(number)) {
                damage.push(format!(
                    "{agent}: its {name} version {number} is not in the journal; it is deployed from its file again"
                ));
            }
        }
        if let Some(reload) = memory.reload.take_if(|reload| !is_there(&reload.number)) {
            damage.push(format!(
                "{agent}: version {} of its reload {} is not in the journal; that reload is not taken up again",
                reload.number, reload.id
            ));
        }
        damage.extend(find_the_way_back(memory));
        let highest = memory.versions.iter().map(|version| version.number).max();
        let highest = highest.max(self.highest);
        let after = highest.map_or(Some(VersionNumber::FIRST), VersionNumber::next);
        if memory
            .next
            .is_some_and(|next| after.is_none_or(|after| next < after))
        {
            damage.push(format!(
                "{agent}: the number of its next version was given already; it goes on with the first that was not"
            ));
            memory.next = after;
        }
        (self.stored, self.ranks)
    }
}

/// Where the version that a reload goes back to is lost, another one takes its place. Where there is none, a candidate that is
/// permanent stays, and what was decided of another one holds.
fn find_the_way_back(memory: &mut Memory) -> Option<String> {
    let version = |number: VersionNumber| {
        let mut versions = memory.versions.iter();
        versions.find(move |version| version.number == number)
    };
    let reload = memory.reload.as_mut()?;
    let lost = reload.returning.as_ref()?.target;
    if version(lost).is_some() {
        return None;
    }
    let told = format!(
        "{}: version {lost}, to which its reload {} goes back, is not in the journal",
        memory.agent, reload.id
    );
    let others = memory.permanent.iter().chain(&memory.kept);
    let mut others = others.filter(|number| **number != reload.number);
    if let (Some(other), Some(returning)) = (others.next(), reload.returning.as_mut()) {
        returning.target = *other;
        return Some(format!("{told}; it goes back to version {other}"));
    }
    let returning = reload.returning.take()?;
    if memory.permanent == Some(reload.number) {
        return Some(format!("{told}, and no other one: it stays as it is"));
    }
    let candidate = version(reload.number)?;
    let blamed = returning
        .aside
        .filter(|aside| matches!(aside, Aside::Quarantined | Aside::Ended));
    let identity = candidate.content.identity;
    if let Some(aside) = blamed
        && memory
            .endings
            .iter()
            .all(|ending| ending.identity != identity)
    {
        memory.endings.push(EndingMemory {
            identity,
            aside,
            reason: returning.reason,
            since: now(),
            again_at: None,
            blocks: true,
            tries: 1,
        });
    }
    Some(format!(
        "{told}, and no other one; what was decided of version {} holds",
        reload.number
    ))
}
