//! The outside of the core, as far as it can be checked: who is ready, who serves, which questions are open.
//!
//! A [`World`] carries commands out in its own books, complains about every one that breaks a promise of the core, and
//! leaves it to its driver when and how each question is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::books::{Books, Broken, Checked, Handing, broken};
use caxton_rollout::{
    AgentName, AgentView, Command, Event, Fleet, FleetSettings, Happened, HotReloadStatus,
    Identity, MAX_WINDOWS, Moment, Notice, Order, OrderError, PolicyCall, StateSource, Ticket,
    VersionNumber, Window,
};

/// More live versions of one agent than the core lets there be: its own bound for those that come in, and those that
/// may be warm, serving or coming in beside it.
const MAX_LIVE: usize = 10;

/// A question that the core has asked and nobody has answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Who is asked about.
    pub agent: AgentName,
    /// To be brought back.
    pub ticket: Ticket,
    /// What is asked.
    pub asks: Asks,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asks {
    /// Are the policies there?
    Pin,
    /// Bring this version up.
    Prepare(VersionNumber, Identity),
    /// How is the version to come in, if not as configured?
    Plan(Box<caxton_rollout::Plan>),
    /// Is it well?
    Health(VersionNumber),
    /// Has it ended its calls?
    Drain(VersionNumber),
    /// How many calls were ended?
    Cut(VersionNumber),
    /// Has it its state?
    HandOver {
        /// Who gets it.
        to: VersionNumber,
        /// Where from.
        source: StateSource,
    },
    /// What do the policies say?
    Judge {
        /// The rollback policies.
        rollback: Vec<PolicyCall>,
        /// Whether the strategy policy is asked, too.
        strategy: bool,
    },
}

/// The core and what is outside of it.
#[derive(Debug, Clone)]
pub struct World {
    /// What is being tried.
    pub fleet: Fleet,
    /// The virtual clock.
    pub now: Moment,
    max_reloads: usize,
    /// By agent.
    pub books: BTreeMap<AgentName, Books>,
    /// Not answered yet, oldest first.
    pub open: Vec<Question>,
    /// Every command in order, as text: what two runs are compared by.
    pub log: String,
    /// Nothing is written to the log: for drivers that copy the world often.
    pub quiet: bool,
    /// The decisions in order, short, for tables.
    pub decisions: Vec<(Moment, String)>,
    /// What the policies were last told.
    pub windows: Vec<Window>,
    /// How many reloads have begun.
    pub reloads: u64,
    /// How many moves to each status were seen.
    pub seen: BTreeMap<HotReloadStatus, u64>,
    /// How often each of the rarer things came up.
    pub reached: BTreeMap<&'static str, u64>,
}

fn named(agent: &AgentName, checked: Checked) -> Checked {
    checked.map_err(|Broken(what)| Broken(format!("{agent}: {what}")))
}

impl World {
    /// A world without agents.
    #[must_use]
    pub fn new(max_reloads: usize, seed: u64) -> Self {
        Self {
            fleet: Fleet::new(FleetSettings { max_reloads, seed }),
            now: Moment(1_000_000),
            max_reloads,
            books: BTreeMap::new(),
            open: Vec::new(),
            log: String::new(),
            quiet: false,
            decisions: Vec::new(),
            windows: Vec::new(),
            reloads: 0,
            seen: BTreeMap::new(),
            reached: BTreeMap::new(),
        }
    }

    /// Tells the core something, carries out what it answers, and checks all promises.
    ///
    /// # Errors
    /// The core has broken one.
    pub fn tell(&mut self, event: Event) -> Checked {
        match &event {
            Event::Wanted {
                agent,
                content,
                settings,
            } => {
                let books = self.books.entry(agent.clone()).or_default();
                books.present = true;
                books.contents.insert(content.identity);
                if content.stateful && settings.reload.preserve_state {
                    books.stateful.insert(content.identity);
                }
            }
            Event::Removed { agent } => {
                if let Some(books) = self.books.get_mut(agent) {
                    books.present = false;
                }
            }
            Event::Prepared { agent, ticket } => self.came_up(agent, *ticket, true),
            Event::PrepareFailed { agent, ticket, .. } => self.came_up(agent, *ticket, false),
            Event::HandedOver {
                agent,
                ticket,
                result,
            } => {
                if let Some(books) = self.books.get_mut(agent) {
                    books.handed_over(*ticket, result);
                }
            }
            Event::Measured {
                agent, versions, ..
            } => {
                if let Some(books) = self.books.get_mut(agent) {
                    books.answered(versions);
                }
            }
            _ => {}
        }
        if !self.quiet {
            self.note_event(&event);
        }
        let commands = self.fleet.step(self.now, event);
        self.carry_out(commands)
    }

    /// Gives an operator's order; a refused one must change nothing.
    ///
    /// # Errors
    /// The core has broken a promise. That it refuses an order is none.
    pub fn order(
        &mut self,
        agent: &AgentName,
        order: Order,
    ) -> Result<Result<(), OrderError>, Broken> {
        let before = self.fleet.view(agent);
        if !self.quiet {
            let _ = writeln!(self.log, "{} <- {agent}: {order}", self.now.0);
        }
        match self.fleet.order(self.now, agent, order) {
            Ok(commands) => {
                if order == Order::Retry
                    && let Some(books) = self.books.get_mut(agent)
                {
                    books.quarantined.clear();
                }
                self.carry_out(commands)?;
                Ok(Ok(()))
            }
            Err(refused) => {
                let after = self.fleet.view(agent);
                let same = match (&before, &after) {
                    (Some(before), Some(after)) => {
                        let stands = |view: &AgentView| {
                            let reload = view.reload.as_ref();
                            let at = reload.map(|reload| (reload.id, reload.status, reload.stage));
                            let since = reload.map(|reload| (reload.since, reload.paused));
                            (view.serving, view.split, at, since, view.candidate)
                        };
                        stands(before) == stands(after)
                    }
                    (None, None) => true,
                    _ => false,
                };
                if same {
                    Ok(Err(refused))
                } else {
                    Err(Broken(format!("{refused}: yet it changed")))
                }
            }
        }
    }

    /// Takes the question from the open ones; none if it was answered or taken back.
    pub fn take(&mut self, ticket: Ticket) -> Option<Question> {
        let at = self
            .open
            .iter()
            .position(|question| question.ticket == ticket)?;
        Some(self.open.remove(at))
    }

    fn came_up(&mut self, agent: &AgentName, ticket: Ticket, well: bool) {
        let Some(books) = self.books.get_mut(agent) else {
            return;
        };
        if let Some(number) = books.preparing.remove(&ticket)
            && well
        {
            books.ready.insert(number);
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>) -> Checked {
        for command in commands {
            if !self.quiet {
                self.note(&command);
                let short = crate::decisions::short(&command);
                self.decisions.extend(short.map(|short| (self.now, short)));
            }
            for rare in crate::decisions::rare(&command) {
                *self.reached.entry(rare).or_default() += 1;
            }
            self.carry_out_one(command)?;
        }
        self.check()
    }

    /// What policies are told is long: its figures stand for it.
    fn note(&mut self, command: &Command) {
        let _ = match command {
            Command::Judge {
                agent,
                ticket,
                metrics,
                windows,
                ..
            } => {
                let (count, last) = (windows.len(), windows.last().map(|window| window.end_ms));
                let told = (
                    metrics.requests_processed,
                    metrics.requests_failed,
                    count,
                    last,
                );
                writeln!(self.log, "  -> Judge {agent} {ticket:?} {told:?}")
            }
            command => writeln!(self.log, "  -> {command:?}"),
        };
    }

    /// An event in the log; what was measured in short.
    fn note_event(&mut self, event: &Event) {
        let now = self.now.0;
        let _ = match event {
            Event::Measured {
                agent, versions, ..
            } => {
                let counts: Vec<_> = versions
                    .iter()
                    .map(|m| (m.number.get(), m.arm.requests, m.arm.failures))
                    .collect();
                writeln!(self.log, "{now} <- Measured {agent} {counts:?}")
            }
            event => writeln!(self.log, "{now} <- {event:?}"),
        };
    }

    fn ask(&mut self, agent: AgentName, ticket: Ticket, asks: Asks) -> Checked {
        if self.open.iter().any(|question| question.ticket == ticket) {
            return broken(format!("{ticket:?} is given out twice"));
        }
        self.open.push(Question {
            agent,
            ticket,
            asks,
        });
        Ok(())
    }

    fn carry_out_one(&mut self, command: Command) -> Checked {
        match command {
            Command::Pin { agent, ticket, .. } => self.ask(agent, ticket, Asks::Pin),
            Command::Plan {
                agent,
                ticket,
                configured,
                ..
            } => self.ask(agent, ticket, Asks::Plan(Box::new(configured))),
            Command::Prepare {
                agent,
                ticket,
                number,
                identity,
            } => {
                let books = self.books.entry(agent.clone()).or_default();
                books.prepare(ticket, number, identity)?;
                self.ask(agent, ticket, Asks::Prepare(number, identity))
            }
            Command::CheckHealth {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Health(number))
            }
            Command::Route { agent, traffic } => {
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.route(self.now, traffic))
            }
            Command::HandOver {
                agent,
                ticket,
                to,
                source,
                timeout,
            } => {
                let until = self.now.after(timeout);
                let hand = Handing {
                    ticket,
                    to,
                    source,
                    until,
                };
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.hand_over(self.now, hand))?;
                self.ask(agent, ticket, Asks::HandOver { to, source })
            }
            Command::Drain {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Drain(number))
            }
            Command::Cut {
                agent,
                ticket,
                number,
            } => {
                self.is_up(&agent, number)?;
                self.ask(agent, ticket, Asks::Cut(number))
            }
            Command::Judge {
                agent,
                ticket,
                windows,
                rollback,
                strategy,
                context,
                ..
            } => {
                if windows.len() > MAX_WINDOWS || context.history.len() > 16 {
                    return broken(format!(
                        "{agent}: a policy is told more than the contract says"
                    ));
                }
                if windows
                    .iter()
                    .any(|window| window.end_ms <= window.start_ms)
                {
                    return broken(format!("{agent}: a window ends before it starts"));
                }
                self.windows = windows.to_vec();
                self.ask(
                    agent,
                    ticket,
                    Asks::Judge {
                        rollback,
                        strategy: strategy.is_some(),
                    },
                )
            }
            Command::Unload { agent, number } => {
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.unload(number))
            }
            Command::Forget { agent, identity } => {
                let known = self
                    .books
                    .get_mut(&agent)
                    .is_some_and(|b| b.contents.remove(&identity));
                if known {
                    Ok(())
                } else {
                    broken(format!("{agent}: forgets what nobody knows"))
                }
            }
            Command::Tell(notice) => self.hear(notice),
            Command::Finished { agent, result } => {
                if !result.status.is_terminal() {
                    return broken(format!("{agent}: {:?} is no end", result.status));
                }
                let books = self.books.entry(agent.clone()).or_default();
                named(&agent, books.finished(&result))?;
                books.results.insert(result.id, result);
                Ok(())
            }
            Command::Unpin { .. } => Ok(()),
        }
    }

    fn is_up(&self, agent: &AgentName, number: VersionNumber) -> Checked {
        let up = self
            .books
            .get(agent)
            .is_some_and(|books| books.ready.contains(&number));
        if up {
            Ok(())
        } else {
            broken(format!("{agent}: {number} is used and is not ready"))
        }
    }

    fn hear(&mut self, notice: Notice) -> Checked {
        let Notice {
            agent,
            reload,
            what,
        } = notice;
        let books = self.books.entry(agent.clone()).or_default();
        match (what, reload) {
            (Happened::ReloadStarted { .. }, Some(id)) => {
                self.reloads += 1;
                if books
                    .statuses
                    .insert(id, HotReloadStatus::Pending)
                    .is_some()
                {
                    return broken(format!("{agent}: reload {id} begins twice"));
                }
            }
            (Happened::StatusChanged { from, to, .. }, Some(id)) => {
                *self.seen.entry(to).or_default() += 1;
                let before = books.statuses.insert(id, to);
                if before != Some(from) || !from.may_become(to) {
                    return broken(format!("{agent}: {before:?}, said {from:?}, to {to:?}"));
                }
            }
            (Happened::CallsCut { number, calls }, _) if books.cut == Some((number, calls)) => {
                books.cut = None;
            }
            (Happened::Quarantined { identity, .. }, _) => {
                books.quarantined.insert(identity);
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&self) -> Checked {
        if self.fleet.next_wakeup().is_some_and(|due| due <= self.now) {
            return broken("a wake-up is due and nothing came of it");
        }
        let mut preparing = 0;
        for (name, books) in &self.books {
            let Some(view) = self.fleet.view(name) else {
                continue;
            };
            named(name, books.check(self.now))?;
            if view.serving != books.serving() {
                return broken(format!("{name}: the core forgot who serves"));
            }
            if view.serving.is_some() != view.permanent.is_some() {
                return broken(format!(
                    "{name}: serving {:?}, permanent {:?}",
                    view.serving, view.permanent
                ));
            }
            let live: BTreeSet<_> = self.fleet.live(name).into_iter().collect();
            let loaded = books
                .preparing
                .values()
                .chain(&books.ready)
                .copied()
                .collect();
            if live != loaded {
                return broken(format!("{name}: live is {live:?}, loaded {loaded:?}"));
            }
            if live.len() > MAX_LIVE {
                return broken(format!("{name}: {} versions live at once", live.len()));
            }
            // One that is ready and waits for an operator or a policy has given its slot back.
            let comes = view
                .reload
                .is_some_and(|reload| reload.status == HotReloadStatus::Preparing);
            if comes && view.candidate.map(|candidate| candidate.number) != view.serving {
                preparing += 1;
            }
        }
        if preparing > self.max_reloads {
            return broken(format!("{preparing} versions are prepared at once"));
        }
        Ok(())
    }
}
