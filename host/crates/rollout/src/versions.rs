//! The versions of one agent and how alive each of them is. Who is routed to is decided elsewhere.
//!
//! Liveness follows from the pointers: [`Versions::sweep`] unloads what nothing points to, so that no transition has to
//! remember to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mint::Cx;
use crate::usage::Used;
use crate::{
    Command, Content, Digest, Happened, HotReloadId, Measure, Moment, ResourceUsage, Restored,
    Ticket, VersionNumber,
};

/// How long calls that were told to end may take to do so, before the version is dropped all the same.
const CUT_PATIENCE: Duration = Duration::from_secs(30);

/// How alive a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Only its content is there.
    Cold,
    /// It is being brought up.
    Preparing(Ticket),
    /// It can be routed to.
    Ready,
    /// It gets no new calls; those that run may end by themselves until then.
    Draining {
        ticket: Ticket,
        cut_at: Moment,
        cause: Option<HotReloadId>,
    },
    /// The calls that run are being ended.
    Cutting { ticket: Ticket },
}

/// A state that was saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saved {
    pub(crate) at: Moment,
    /// What the version has when it is simply routed to again.
    pub(crate) leaves: Restored,
    /// Calls that other versions have answered since: this state does not know of them.
    pub(crate) missed: u64,
}

/// One accepted version.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) content: Content,
    pub(crate) life: Life,
    /// The reload that brought it in.
    pub(crate) reload: HotReloadId,
    /// When that began.
    pub(crate) created_at: Moment,
    /// What it has used up to now.
    pub(crate) used: Used,
    /// The same when it was last permanent or served.
    pub(crate) usage: Option<ResourceUsage>,
    /// Its state as it was saved last.
    pub(crate) saved: Option<Saved>,
}

/// All versions that are live or can be gone back to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    pub(crate) records: BTreeMap<VersionNumber, Record>,
    /// Cuts whose count has not come in: it is wanted even if the version serves again meanwhile.
    cuts: BTreeMap<Ticket, Cutting>,
}

/// Calls that were told to end.
#[derive(Debug, Clone, Copy)]
struct Cutting {
    number: VersionNumber,
    until: Moment,
    cause: Option<HotReloadId>,
}

impl Versions {
    pub(crate) fn content(&self, number: VersionNumber) -> Option<Content> {
        self.records.get(&number).map(|record| record.content)
    }

    pub(crate) fn is(&self, number: Option<VersionNumber>, content: &Content) -> bool {
        let known = number.and_then(|number| self.content(number));
        known.is_some_and(|known| known.identity == content.identity)
    }

    /// Whether it can be routed to now.
    pub(crate) fn is_ready(&self, number: VersionNumber) -> bool {
        let ready = |life| !matches!(life, Life::Cold | Life::Preparing(_));
        self.records
            .get(&number)
            .is_some_and(|record| ready(record.life))
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = VersionNumber> {
        let live = self
            .records
            .iter()
            .filter(|(_, record)| record.life != Life::Cold);
        live.map(|(number, _)| *number)
    }

    fn set(&mut self, number: VersionNumber, life: Life) {
        if let Some(record) = self.records.get_mut(&number) {
            record.life = life;
        }
    }

    /// Its state was saved, and this is what it left.
    pub(crate) fn save(&mut self, number: VersionNumber, now: Moment, leaves: Restored) {
        if let Some(record) = self.records.get_mut(&number) {
            record.saved = Some(Saved {
                at: now,
                leaves,
                missed: 0,
            });
        }
    }

    /// It goes on with its state.
    pub(crate) fn forget_saved(&mut self, number: Option<VersionNumber>) {
        let record = number.and_then(|number| self.records.get_mut(&number));
        if let Some(record) = record {
            record.saved = None;
        }
    }

    pub(crate) fn saved(&self, number: VersionNumber) -> Option<Saved> {
        self.records.get(&number)?.saved
    }

    /// The version that serves has answered so many calls more.
    pub(crate) fn answered(&mut self, serving: VersionNumber, calls: u64) {
        for (number, record) in &mut self.records {
            if let Some(saved) = record.saved.as_mut().filter(|_| *number != serving) {
                saved.missed = saved.missed.saturating_add(calls);
            }
        }
    }

    /// What was counted of each.
    pub(crate) fn measured(&mut self, measures: &[Measure]) {
        for measure in measures {
            if let Some(record) = self.records.get_mut(&measure.number) {
                record.used.add(measure);
            }
        }
    }

    /// It is not waited for any more; true where it was.
    pub(crate) fn give_up(&mut self, number: VersionNumber) -> bool {
        let prepares = |record: &&mut Record| matches!(record.life, Life::Preparing(_));
        let record = self.records.get_mut(&number).filter(prepares);
        record.map(|record| record.life = Life::Cold).is_some()
    }

    /// Asks for it to be brought up, unless it is on its way.
    pub(crate) fn prepare(&mut self, cx: &mut Cx<'_>, number: VersionNumber) {
        let Some(record) = self.records.get(&number) else {
            return;
        };
        if record.life != Life::Cold {
            return;
        }
        let identity = record.content.identity;
        let ticket = cx.ticket();
        self.set(number, Life::Preparing(ticket));
        let agent = cx.agent.clone();
        cx.command(Command::Prepare {
            agent,
            ticket,
            number,
            identity,
        });
    }

    /// The version whose preparation this ticket is about, which is over with that.
    pub(crate) fn prepared(&mut self, ticket: Ticket, well: bool) -> Option<VersionNumber> {
        let waits = |record: &Record| record.life == Life::Preparing(ticket);
        let number = *self.records.iter().find(|(_, record)| waits(record))?.0;
        self.set(number, if well { Life::Ready } else { Life::Cold });
        Some(number)
    }

    /// It is routed to: whatever was to end on it may go on.
    pub(crate) fn serves(&mut self, number: VersionNumber) {
        self.set(number, Life::Ready);
    }

    /// It is routed to no more: its calls may end by themselves for so long.
    pub(crate) fn drain(
        &mut self,
        cx: &mut Cx<'_>,
        number: VersionNumber,
        wait: Duration,
        cause: Option<HotReloadId>,
    ) {
        if wait.is_zero() {
            return self.cut(cx, number, cause);
        }
        let ticket = cx.ticket();
        self.set(
            number,
            Life::Draining {
                ticket,
                cut_at: cx.now.after(wait),
                cause,
            },
        );
        let agent = cx.agent.clone();
        cx.command(Command::Drain {
            agent,
            ticket,
            number,
        });
    }

    /// It is routed to no more, and its calls are ended.
    pub(crate) fn cut(
        &mut self,
        cx: &mut Cx<'_>,
        number: VersionNumber,
        cause: Option<HotReloadId>,
    ) {
        let (ticket, until) = (cx.ticket(), cx.now.after(CUT_PATIENCE));
        self.set(number, Life::Cutting { ticket });
        self.cuts.insert(
            ticket,
            Cutting {
                number,
                until,
                cause,
            },
        );
        let agent = cx.agent.clone();
        cx.command(Command::Cut {
            agent,
            ticket,
            number,
        });
    }

    /// Nothing runs on it any more.
    pub(crate) fn drained(&mut self, ticket: Ticket) {
        for record in self.records.values_mut() {
            if matches!(record.life, Life::Draining { ticket: waits, .. } if waits == ticket) {
                record.life = Life::Ready;
            }
        }
    }

    /// Its calls were ended; answers with the reload that was the cause.
    pub(crate) fn was_cut(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        calls: u64,
    ) -> Option<HotReloadId> {
        let Cutting { number, cause, .. } = self.cuts.remove(&ticket)?;
        self.end_cut(number, ticket);
        if calls > 0 {
            cx.tell(cause, Happened::CallsCut { number, calls });
        }
        cause
    }

    fn end_cut(&mut self, number: VersionNumber, ticket: Ticket) {
        if let Some(record) = self.records.get_mut(&number)
            && matches!(record.life, Life::Cutting { ticket: waits } if waits == ticket)
        {
            record.life = Life::Ready;
        }
    }

    /// Cuts what has drained for too long, and gives up on cuts that do not end.
    pub(crate) fn keep_time(&mut self, cx: &mut Cx<'_>) {
        let lives: Vec<_> = self
            .records
            .iter()
            .map(|(number, record)| (*number, record.life))
            .collect();
        for (number, life) in lives {
            match life {
                Life::Draining { cut_at, cause, .. } if cut_at <= cx.now => {
                    self.cut(cx, number, cause);
                }
                _ => {}
            }
        }
        let late: Vec<_> = self
            .cuts
            .iter()
            .filter(|(_, cut)| cut.until <= cx.now)
            .collect();
        let late: Vec<_> = late
            .into_iter()
            .map(|(ticket, cut)| (*ticket, cut.number))
            .collect();
        for (ticket, number) in late {
            self.cuts.remove(&ticket);
            self.end_cut(number, ticket);
        }
    }

    /// When [`Self::keep_time`] has something to do.
    pub(crate) fn due(&self) -> impl Iterator<Item = Moment> {
        let draining = self
            .records
            .values()
            .filter_map(|record| match record.life {
                Life::Draining { cut_at, .. } => Some(cut_at),
                _ => None,
            });
        draining.chain(self.cuts.values().map(|cut| cut.until))
    }

    /// Unloads what nobody needs, and forgets what can never be gone back to.
    pub(crate) fn sweep(
        &mut self,
        cx: &mut Cx<'_>,
        needed: impl Fn(VersionNumber) -> bool,
        kept: &[VersionNumber],
    ) {
        for (number, record) in &mut self.records {
            let idle = matches!(record.life, Life::Ready | Life::Preparing(_));
            if idle && !needed(*number) {
                record.life = Life::Cold;
                let agent = cx.agent.clone();
                cx.command(Command::Unload {
                    agent,
                    number: *number,
                });
            }
        }
        self.records.retain(|number, record| {
            record.life != Life::Cold || needed(*number) || kept.contains(number)
        });
    }
}

/// A version as policies see it.
pub(crate) fn described(number: VersionNumber, content: &Content) -> crate::Version {
    let (digest, config_digest): (Digest, Digest) =
        (content.identity.component, content.identity.config);
    crate::Version {
        number,
        digest,
        config_digest,
        size: content.size,
    }
}
