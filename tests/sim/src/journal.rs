//! The journal outside of the core: what was handed out to be remembered, how much of it is on the disk, and what a start finds.
//!
//! What was handed out is written in its order. Whoever asked with a ticket waits for the answer; everything else goes on. When
//! the host is killed, what is on the disk is all there is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use caxton_rollout::{
    AgentName, Event, Fleet, FleetSettings, HotReloadStatus, Identity, Memory, Remembered,
    Settings, Ticket, VersionNumber,
};

use crate::books::{Books, Checked, broken};
use crate::carrying::named;
use crate::world::{Asks, Question, World};

/// How many results the core keeps of an agent.
const MAX_HISTORY: usize = 50;

/// What was handed out and what of it is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// On the disk, by agent.
    pub disk: BTreeMap<AgentName, Arc<Memory>>,
    /// Everything that was ever written, in order; only where [`Journal::keeps_all`] says so.
    pub all: Vec<Arc<Memory>>,
    /// Whether [`Journal::all`] is kept.
    pub keeps_all: bool,
    /// Handed out and not written, oldest first.
    queue: VecDeque<(Arc<Memory>, Option<Ticket>)>,
    /// What was handed out last of each agent, and whether a move waits for it.
    last: BTreeMap<AgentName, (Arc<Memory>, Option<Ticket>)>,
    /// Written with a ticket that was answered: what the moves that follow may rest on.
    granted: BTreeMap<AgentName, (Ticket, Arc<Memory>)>,
    /// Not answered yet.
    asked: BTreeMap<Ticket, Arc<Memory>>,
    /// Which content each number stands for, as far as that was ever written.
    numbers: BTreeMap<(AgentName, VersionNumber), Identity>,
    /// How each agent's versions are judged, by content.
    settings: BTreeMap<(AgentName, Identity), Arc<Settings>>,
    /// How often the host was killed.
    pub starts: u64,
}

impl Journal {
    fn write(&mut self, memory: Arc<Memory>) -> Checked {
        for version in &memory.versions {
            let number = (memory.agent.clone(), version.number);
            let identity = version.content.identity;
            if *self.numbers.entry(number).or_insert(identity) != identity {
                return broken(format!(
                    "{}: {} stood for another content",
                    memory.agent, version.number
                ));
            }
        }
        if self.keeps_all {
            self.all.push(memory.clone());
        }
        self.disk.insert(memory.agent.clone(), memory);
        Ok(())
    }

    /// Writes so many of those that wait.
    pub(crate) fn write_some(&mut self, count: usize) -> Checked {
        for _ in 0..count {
            let Some((memory, _)) = self.queue.pop_front() else {
                break;
            };
            self.write(memory)?;
        }
        Ok(())
    }

    /// How many wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The disk is full: what was asked with this ticket will never be written; false where it was already.
    pub(crate) fn refuse(&mut self, ticket: Ticket) -> bool {
        let before = self.queue.len();
        self.queue.retain(|(_, waits)| *waits != Some(ticket));
        before > self.queue.len()
    }

    /// Everything up to this ticket is written.
    pub(crate) fn write_up_to(&mut self, ticket: Ticket) -> Checked {
        let at = self
            .queue
            .iter()
            .position(|(_, waits)| *waits == Some(ticket));
        self.write_some(at.map_or(0, |at| at + 1))
    }

    pub(crate) fn configured(&mut self, event: &Event) {
        if let Event::Wanted {
            agent,
            content,
            settings,
        } = event
        {
            let key = (agent.clone(), content.identity);
            self.settings.insert(key, settings.clone());
        }
    }

    pub(crate) fn answered(&mut self, agent: &AgentName, ticket: Ticket, well: bool) {
        if let Some(memory) = self.asked.remove(&ticket)
            && well
        {
            let newest = |(granted, _): &(Ticket, Arc<Memory>)| *granted < ticket;
            if self.granted.get(agent).is_none_or(newest) {
                self.granted.insert(agent.clone(), (ticket, memory));
            }
        }
    }

    pub(crate) fn granted(&self, agent: &AgentName) -> Option<&Memory> {
        self.granted.get(agent).map(|(_, memory)| &**memory)
    }

    /// Takes everything back that was written after so many writes; needs [`Journal::keeps_all`].
    pub fn rewind(&mut self, writes: usize) {
        let all = std::mem::take(&mut self.all);
        self.disk.clear();
        self.numbers.clear();
        for memory in all.into_iter().take(writes) {
            // It was written before, and so it can be written again.
            let _ = self.write(memory);
        }
    }

    /// What is on the disk, with the settings of what is permanent.
    #[must_use]
    pub fn remembered(&self) -> Vec<Remembered> {
        let one = |memory: &Arc<Memory>| {
            let of = |number: &VersionNumber| {
                let known = |version: &&caxton_rollout::VersionMemory| version.number == *number;
                let version = memory.versions.iter().find(known)?;
                let key = (memory.agent.clone(), version.content.identity);
                self.settings.get(&key).cloned()
            };
            Remembered {
                memory: (**memory).clone(),
                settings: memory.permanent.as_ref().and_then(of),
            }
        };
        self.disk.values().map(one).collect()
    }
}

impl World {
    /// Something is to be remembered.
    pub(crate) fn remember(&mut self, memory: Memory, ticket: Option<Ticket>) -> Checked {
        let (agent, memory) = (memory.agent.clone(), Arc::new(memory));
        if ticket.is_some() && !widens(&memory) {
            return broken(format!("{agent}: what is safe waits: {memory:?}"));
        }
        let journal = &mut self.journal;
        journal.last.insert(agent.clone(), (memory.clone(), ticket));
        if let Some(ticket) = ticket {
            journal.asked.insert(ticket, memory.clone());
        }
        if self.writes_at_once {
            let event = |ticket| Event::Written {
                agent,
                ticket,
                result: Ok(()),
            };
            self.written.extend(ticket.map(event));
            return self.journal.write(memory);
        }
        journal.queue.push_back((memory, ticket));
        let question = |ticket| Question {
            agent,
            ticket,
            asks: Asks::Write,
        };
        self.open.extend(ticket.map(question));
        Ok(())
    }

    /// The journal answers whoever waits with this ticket, and everything that was handed out before is written with it.
    ///
    /// # Errors
    /// The core has broken a promise.
    pub fn write(&mut self, question: &Question, result: Result<(), String>) -> Checked {
        let ticket = question.ticket;
        match result {
            Ok(()) => self.journal.write_up_to(ticket)?,
            Err(_) => {
                self.journal.refuse(ticket);
            }
        }
        self.tell(Event::Written {
            agent: question.agent.clone(),
            ticket,
            result,
        })
    }

    /// What was handed out last says what is, unless a move waits for it.
    pub(crate) fn is_remembered(&self, agent: &AgentName) -> Checked {
        let Some(memory) = self.fleet.memory(agent) else {
            return Ok(());
        };
        let Some((last, ticket)) = self.journal.last.get(agent) else {
            return broken("nothing of it was ever to be remembered");
        };
        let waits = ticket.is_some_and(|ticket| self.journal.asked.contains_key(&ticket));
        if waits || same(&memory, last) {
            return Ok(());
        }
        broken(format!("{last:?} is remembered, and {memory:?} is"))
    }

    /// The host is killed and started: only what is on the disk is there, and the directory has not been looked at.
    ///
    /// # Errors
    /// The core has broken a promise.
    pub fn restart(&mut self) -> Checked {
        let journal = &mut self.journal;
        journal.starts += 1;
        journal.queue.clear();
        journal.asked.clear();
        journal.granted.clear();
        journal.last = journal
            .disk
            .iter()
            .map(|(name, memory)| (name.clone(), (memory.clone(), None)))
            .collect();
        self.open.clear();
        self.written.clear();
        self.monitoring.clear();
        let books = std::mem::take(&mut self.books);
        for (name, old) in books {
            let memory = self.journal.disk.get(&name);
            let fresh = old.restarted(memory.map(|memory| &**memory));
            self.books.insert(name, fresh);
        }
        for ((name, number), identity) in &self.journal.numbers {
            if let Some(books) = self.books.get_mut(name) {
                books.identities.insert(*number, *identity);
            }
        }
        let settings = FleetSettings {
            max_reloads: self.max_reloads,
            seed: self.seed.wrapping_add(self.journal.starts << 32),
        };
        let remembered = self.journal.remembered();
        let (fleet, commands) = Fleet::restore(settings, self.now, remembered);
        self.fleet = fleet;
        for (name, books) in &mut self.books {
            let view = self.fleet.view(name);
            let permanent = view.and_then(|view| view.permanent);
            let Some(number) = permanent.filter(|number| books.keeps_state(*number)) else {
                continue;
            };
            // It comes up as it was saved last.
            books.as_saved = Some(number);
            books.missed.insert(number, 0);
        }
        self.carry_out(None, commands)?;
        for (name, memory) in &self.journal.disk {
            named(name, self.keeps_history(name, memory))?;
        }
        Ok(())
    }

    /// Every reload that was written is there, as it ended or as it was ended by the start.
    fn keeps_history(&self, name: &AgentName, memory: &Memory) -> Checked {
        let Some(history) = self.fleet.history(name) else {
            return broken("it is forgotten");
        };
        // Where it is full, what a start adds pushes the oldest out.
        for past in memory.history.iter().take(MAX_HISTORY - 1) {
            let id = past.result.id;
            let Some(now) = history.iter().find(|result| result.id == id) else {
                return broken(format!("{id} is not in the history any more"));
            };
            let back = now.status == HotReloadStatus::RolledBack;
            if now.status != past.result.status && !back {
                return broken(format!("{id} ended otherwise: {now:?}"));
            }
        }
        let ended = |id| history.iter().any(|result| result.id == id);
        match &memory.reload {
            Some(reload) if !ended(reload.id) => broken("what went on has no end"),
            _ => Ok(()),
        }
    }
}

impl Books {
    /// What is known outside after a start: the directory, and what is on the disk.
    fn restarted(self, memory: Option<&Memory>) -> Self {
        let mut fresh = Self {
            present: self.present,
            stateful: self.stateful,
            comes_back: true,
            ..Self::default()
        };
        fresh.rounds.wanted = self.rounds.wanted;
        let Some(memory) = memory else { return fresh };
        let identity = |version: &caxton_rollout::VersionMemory| version.content.identity;
        fresh.contents = memory.versions.iter().map(identity).collect();
        for past in &memory.history {
            fresh.statuses.insert(past.result.id, past.result.status);
            fresh.results.insert(past.result.id, past.result.clone());
        }
        if let Some(reload) = &memory.reload {
            fresh.statuses.insert(reload.id, reload.status);
        }
        let blamed = memory
            .endings
            .iter()
            .filter(|ending| ending.blocks && ending.aside == caxton_rollout::Aside::Quarantined);
        fresh.quarantined = blamed.map(|ending| ending.identity).collect();
        // A way back that was decided ends as one, and puts out of the way what it was to.
        let goes_back = memory.reload.as_ref().and_then(|reload| {
            let blamed = Some(caxton_rollout::Aside::Quarantined);
            let back = reload.returning.as_ref()?;
            let candidate =
                |version: &&caxton_rollout::VersionMemory| version.number == reload.number;
            let version = memory.versions.iter().find(candidate);
            version.filter(|_| back.aside == blamed).map(identity)
        });
        fresh.quarantined.extend(goes_back);
        fresh
    }
}

/// Whether that is what a version has more after a move that waits.
fn widens(memory: &Memory) -> bool {
    let completed = memory
        .history
        .first()
        .is_some_and(|past| past.result.status == HotReloadStatus::Completed);
    match &memory.reload {
        Some(reload) if reload.returning.is_some() => false,
        Some(reload) => matches!(
            reload.status,
            HotReloadStatus::InProgress | HotReloadStatus::Completed
        ),
        None => completed,
    }
}

/// Histories are compared by who they are first: they are long.
fn same(one: &Memory, other: &Memory) -> bool {
    let past = one.history.iter().zip(&other.history);
    let bare = |memory: &Memory| Memory {
        history: Vec::new(),
        ..memory.clone()
    };
    one.history.len() == other.history.len()
        && past.into_iter().all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
        && bare(one) == bare(other)
}
