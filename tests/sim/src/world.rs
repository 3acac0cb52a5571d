//! The outside of the core, as far as it can be checked: who is ready, who serves, which questions are open.
//!
//! A [`World`] carries commands out in its own books, complains about every one that breaks a promise of the core, and
//! leaves it to its driver when and how each question is answered.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use caxton_rollout::{
    AgentName, AgentView, Command, Context, Decided, Event, Fleet, FleetSettings, HotReloadId,
    HotReloadStatus, Identity, Moment, Order, OrderError, PolicyCall, ReloadMetrics, StateSource,
    Ticket, VersionNumber, Window,
};

use crate::books::{Books, Broken, Checked};
use crate::carrying::named;
use crate::journal::Journal;

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
    /// Is it written?
    Write,
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
    pub(crate) max_reloads: usize,
    pub(crate) seed: u64,
    /// What is remembered.
    pub journal: Journal,
    /// How many steps there were.
    steps: u64,
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
    /// The same, of the reload.
    pub context: Option<Box<Context>>,
    /// The same, of the candidate as a whole.
    pub metrics: ReloadMetrics,
    /// The last round's decision.
    pub decided: Option<Decided>,
    /// By agent, the reload whose monitors were asked last and have not answered, and when.
    pub(crate) monitoring: BTreeMap<AgentName, (HotReloadId, Ticket, Moment)>,
    /// How many reloads have begun.
    pub reloads: u64,
    /// How many moves to each status were seen.
    pub seen: BTreeMap<HotReloadStatus, u64>,
    /// What waits to be written is written at once, unless a driver does that itself.
    pub writes_at_once: bool,
    /// Answers of a journal that writes at once.
    pub(crate) written: VecDeque<Event>,
    /// Where reloads stood, as far as that was written, when the host was killed.
    pub killed: BTreeMap<HotReloadStatus, u64>,
    /// How often each of the rarer things came up.
    pub reached: BTreeMap<&'static str, u64>,
}

impl World {
    /// A world without agents.
    #[must_use]
    pub fn new(max_reloads: usize, seed: u64) -> Self {
        Self {
            fleet: Fleet::new(FleetSettings { max_reloads, seed }),
            now: Moment(1_000_000),
            max_reloads,
            seed,
            journal: Journal::default(),
            steps: 0,
            books: BTreeMap::new(),
            open: Vec::new(),
            log: String::new(),
            quiet: false,
            decisions: Vec::new(),
            windows: Vec::new(),
            context: None,
            metrics: ReloadMetrics::default(),
            decided: None,
            reloads: 0,
            seen: BTreeMap::new(),
            monitoring: BTreeMap::new(),
            writes_at_once: true,
            written: VecDeque::new(),
            killed: BTreeMap::new(),
            reached: BTreeMap::new(),
        }
    }

    /// Tells the core something, carries out what it answers, and checks all promises.
    ///
    /// # Errors
    /// The core has broken one.
    pub fn tell(&mut self, event: Event) -> Checked {
        self.tell_one(event)?;
        self.answer_written()
    }

    /// Hands back what was written at once.
    fn answer_written(&mut self) -> Checked {
        while let Some(event) = self.written.pop_front() {
            self.tell_one(event)?;
        }
        Ok(())
    }

    fn tell_one(&mut self, event: Event) -> Checked {
        self.journal.configured(&event);
        match &event {
            Event::Written {
                agent,
                ticket,
                result,
            } => self.journal.answered(agent, *ticket, result.is_ok()),
            Event::Wanted {
                agent,
                content,
                settings,
            } => {
                let books = self.books.entry(agent.clone()).or_default();
                books.rounds.file_came(&event);
                books.present = true;
                books.contents.insert(content.identity);
                if !settings.rollback.quarantine {
                    books.quarantined.remove(&content.identity);
                }
                if content.stateful && settings.reload.preserve_state {
                    books.stateful.insert(content.identity);
                }
            }
            Event::Removed { agent } | Event::Disabled { agent } => {
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
            Event::Monitored { agent, ticket, .. } => {
                let waits = |(_, asked, _): &(HotReloadId, Ticket, Moment)| asked == ticket;
                if self.monitoring.get(agent).is_some_and(waits) {
                    self.monitoring.remove(agent);
                }
            }
            _ => {}
        }
        if !self.quiet {
            self.note_event(&event);
        }
        let judged = match &event {
            Event::Judged { agent, ticket, .. } => Some((agent.clone(), *ticket)),
            _ => None,
        };
        let commands = self.fleet.step(self.now, event);
        self.carry_out(judged, commands)
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
                self.carry_out(None, commands)?;
                self.answer_written()?;
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

    pub(crate) fn carry_out(
        &mut self,
        judged: Option<(AgentName, Ticket)>,
        commands: Vec<Command>,
    ) -> Checked {
        for (name, books) in &mut self.books {
            let judged = judged.as_ref().filter(|(agent, _)| agent == name);
            let ticket = judged.map(|(_, ticket)| *ticket);
            let told = books.rounds.check(name, ticket, books.traffic, &commands);
            named(name, told)?;
        }
        for command in commands {
            if !self.quiet {
                self.note(&command);
                let short = crate::decisions::short(&command);
                self.decisions.extend(short.map(|short| (self.now, short)));
            }
            if let Command::Decided(decision) = &command {
                self.decided = Some(decision.outcome.clone());
            }
            for rare in crate::decisions::rare(&command) {
                *self.reached.entry(rare).or_default() += 1;
            }
            self.carry_out_one(command)?;
        }
        self.steps += 1;
        // It copies everything: now and then is enough to find what is always so.
        if self.steps.is_multiple_of(8) {
            for name in self.books.keys() {
                named(name, self.is_remembered(name))?;
            }
        }
        self.check()
    }

    /// What policies are told and what is remembered is long: figures stand for it.
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
            Command::Remember { memory, ticket } => {
                let pointers = (memory.next, memory.serving, memory.permanent, &memory.kept);
                let many = (memory.endings.len(), memory.history.len());
                let reload = &memory.reload;
                writeln!(
                    self.log,
                    "  -> Remember {ticket:?} {pointers:?} {many:?} {reload:?}"
                )
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
}
