//! What of an agent outlives the process, taken from it: [`Agent::memory`] copies it, [`Agent::is_like`] compares without
//! copying, since nearly every step changes nothing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::agent::Agent;
use crate::carry::After;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Back, Progress, Reload};
use crate::versions::Record;
use crate::{
    AgentName, Aside, Command, HotReloadStatus, Memory, Past, ReloadMemory, ReturnMemory,
    VersionMemory, VersionNumber,
};

impl Memory {
    /// Whether nothing is known of the agent: it was forgotten, and a journal forgets it, too.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let nothing = Self {
            removed_at: self.removed_at,
            ..Self::nothing(self.agent.clone())
        };
        self.removed_at.is_some() && *self == nothing
    }

    /// Of an agent of which nothing is known.
    pub(crate) fn nothing(agent: AgentName) -> Self {
        Self {
            agent,
            next: Some(VersionNumber::FIRST),
            wanted: None,
            serving: None,
            permanent: None,
            kept: Vec::new(),
            versions: Vec::new(),
            reload: None,
            endings: Vec::new(),
            history: Vec::new(),
            removed_at: None,
            last_error: None,
            rollbacks: Vec::new(),
        }
    }
}

impl Agent {
    /// What is to be remembered of it now.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            agent: self.name.clone(),
            next: self.next,
            wanted: self.wanted.as_ref().map(|wanted| wanted.content.identity),
            serving: self.serving,
            permanent: self.permanent,
            kept: self.kept.clone(),
            versions: self.named().map(remembered).collect(),
            reload: self.reload_memory(),
            endings: self.endings.memories().collect(),
            history: self.history.iter().cloned().collect(),
            removed_at: self.removed_at,
            last_error: self.last_error.clone(),
            rollbacks: self.rollbacks.clone(),
        }
    }

    /// Whether that is what is to be remembered of it now.
    pub(crate) fn is_like(&self, memory: &Memory) -> bool {
        let same = |(one, other): (&Arc<Past>, &Arc<Past>)| Arc::ptr_eq(one, other) || one == other;
        let wanted = self.wanted.as_ref().map(|wanted| wanted.content.identity);
        let pointers = (
            self.next,
            wanted,
            self.serving,
            self.permanent,
            self.removed_at,
        );
        let known = (
            memory.next,
            memory.wanted,
            memory.serving,
            memory.permanent,
            memory.removed_at,
        );
        pointers == known
            && self.kept == memory.kept
            && self.last_error == memory.last_error
            && self.rollbacks == memory.rollbacks
            && self.reload_memory() == memory.reload
            && self.history.len() == memory.history.len()
            && self.history.iter().zip(&memory.history).all(same)
            && self
                .named()
                .map(remembered)
                .eq(memory.versions.iter().cloned())
            && self.endings.are(&memory.endings)
    }

    /// The versions that a pointer, `kept`, the reload or one that was interrupted names, by number.
    fn named(&self) -> impl Iterator<Item = (VersionNumber, &Record)> {
        let mut named: BTreeSet<VersionNumber> = self.kept.iter().copied().collect();
        named.extend(self.serving);
        named.extend(self.permanent);
        named.extend(
            self.interrupted
                .as_ref()
                .map(|interrupted| interrupted.number),
        );
        if let Some(reload) = &self.reload {
            named.insert(reload.number);
            named.extend(reload.stable);
        }
        named.extend(self.returning().map(|(target, _)| target));
        let records = named.into_iter();
        records.filter_map(|number| Some((number, self.versions.records.get(&number)?)))
    }

    /// Where it goes back to, and why: from the moment that is decided, however long the target takes.
    fn returning(&self) -> Option<(VersionNumber, Returning<'_>)> {
        if let Some(carry) = &self.carry {
            return match &carry.then {
                After::Back(why) => Some((carry.target, Returning::Back(why))),
                After::Cancel(reason) => Some((carry.target, Returning::Cancelled(reason))),
                After::Home => None,
            };
        }
        let reload = self.reload.as_ref()?;
        match &reload.progress {
            Progress::Returning(back) => Some((back.target, Returning::Back(&back.why))),
            Progress::HandingOver(moving) => {
                let reason = crate::orders::why_cancelled(moving.ended_by?);
                Some((self.serving?, Returning::Cancelled(reason)))
            }
            _ => None,
        }
    }

    fn reload_memory(&self) -> Option<ReloadMemory> {
        let returning = self.returning().map(|(target, way)| way.memory(target));
        let Some(reload) = &self.reload else {
            // Only its state is on the way back: the reload that had completed is taken up again once that is there.
            let (number, returning) = (self.permanent?, returning?);
            let id = self.versions.records.get(&number)?.reload;
            let past = self.history.iter().find(|past| past.result.id == id)?;
            return Some(ReloadMemory {
                id,
                number,
                stable: past.result.from,
                status: HotReloadStatus::Completed,
                strategy: past.result.strategy,
                stage: None,
                split: 100,
                started_at: past.result.started_at,
                returning: Some(returning),
            });
        };
        Some(ReloadMemory {
            id: reload.id,
            number: reload.number,
            stable: reload.stable,
            status: reload.progress.status(),
            strategy: reload.strategy(),
            stage: reload.stage().map(|_| reload.stage_index()),
            split: reload.split(),
            started_at: reload.started,
            returning,
        })
    }

    /// Gives out what is to be remembered where that has changed, before everything else of this step; and asks for what a move
    /// waits for.
    pub(crate) fn remember(&mut self, cx: &mut Cx<'_>) {
        let mut words = Vec::new();
        let waits = self.due.as_ref().and_then(|due| due.before());
        let changed = !self.is_like(waits.unwrap_or(&self.told));
        if changed {
            self.told = self.memory();
            words.push(Command::Remember {
                memory: Box::new(self.told.clone()),
                ticket: None,
            });
        }
        words.extend(self.ask_to_write(cx, changed));
        let start = cx.start.min(cx.out.len());
        cx.out.splice(start..start, words);
    }
}

/// How it goes back.
enum Returning<'a> {
    Back(&'a Back),
    Cancelled(&'a str),
}

impl Returning<'_> {
    fn memory(&self, target: VersionNumber) -> ReturnMemory {
        let (aside, reason) = match self {
            Self::Back(why) => (why.by.aside(), why.reason.clone()),
            Self::Cancelled(reason) => (Some(Aside::Ended), (*reason).to_owned()),
        };
        ReturnMemory {
            target,
            aside,
            reason,
        }
    }
}

fn remembered((number, record): (VersionNumber, &Record)) -> VersionMemory {
    VersionMemory {
        number,
        content: record.content,
        reload: record.reload,
        created_at: record.created_at,
        usage: record.usage,
    }
}

impl Reload {
    /// Whether this move gives a version more than it has.
    pub(crate) fn widens(&self, due: &Move) -> bool {
        // What follows a hand-over was written before it, and requests wait at the gate.
        let written = matches!(self.progress, Progress::HandingOver(_));
        match due {
            Move::Stage(_) | Move::HandOver(_) | Move::Complete(_) => true,
            Move::Listen | Move::Swap => !written,
            Move::Share { percent, .. } => {
                matches!(self.progress, Progress::Splitting(split) if *percent > split.percent)
            }
            _ => false,
        }
    }
}
