//! A long life with faults, from a seed: files come and go, answers are late, lost, doubled or bad, operators interfere.

use std::collections::BTreeMap;
use std::time::Duration;

use caxton_rollout::{AgentName, Event, FaultKind, HealthOutcome, Moment, PolicyMode, Ticket};

use crate::books::Broken;
use crate::chance::{fault, handed_over, step, strange, verdict};
use crate::rng::Rng;
use crate::wishes::{any_order, wanted};
use crate::world::{Asks, Question, World};

/// Events in the queue carry a number, so that those of the same moment keep their order.
type Key = (Moment, u64);

/// What is to happen later.
#[derive(Debug, Clone)]
pub(crate) enum Later {
    /// Somebody does something to an agent.
    Touch(usize),
    /// Host ticks.
    Tick(usize),
    /// The question is answered.
    Answer(Ticket),
    /// An answer comes for the second time.
    Again(Event),
    /// The directory is read after a start.
    Speak(usize),
    /// The core wanted to be woken.
    Wake,
}

/// One run.
#[derive(Debug)]
pub struct Simulation {
    /// The core and its outside.
    pub world: World,
    pub(crate) rng: Rng,
    pub(crate) queue: BTreeMap<Key, Later>,
    sequence: u64,
    pub(crate) agents: Vec<AgentName>,
    /// What the directory asks for.
    pub(crate) files: BTreeMap<AgentName, Event>,
    /// Those of whose versions nearly all keep state; of the others nearly none does.
    keeping: Vec<AgentName>,
    pub(crate) scheduled: Vec<Ticket>,
    /// Whether faults happen; not any more while it winds down.
    pub(crate) faults: bool,
    /// Nothing can be written until then.
    pub(crate) full_until: Moment,
}

impl Simulation {
    /// A run with a fleet of a few agents, whose number comes from the seed, too.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = 1 + rng.below(8);
        let names = (0..count).map(|at| AgentName::try_new(format!("agent-{at}")));
        let agents: Vec<AgentName> = names.filter_map(Result::ok).collect();
        let keeping = agents.iter().filter(|_| rng.percent(50)).cloned().collect();
        let mut world = World::new(1 + rng.below(4) as usize, seed);
        world.writes_at_once = false;
        let mut simulation = Self {
            world,
            rng,
            queue: BTreeMap::new(),
            sequence: 0,
            scheduled: Vec::new(),
            faults: true,
            keeping,
            agents,
            files: BTreeMap::new(),
            full_until: Moment::default(),
        };
        for at in 0..simulation.agents.len() {
            simulation.later(1, Later::Touch(at));
            simulation.later(1_000, Later::Tick(at));
        }
        simulation
    }

    /// Runs until so many reloads have begun, then takes all files away, waits, and looks for what was left behind.
    ///
    /// # Errors
    /// A promise of the core was broken.
    pub fn run(&mut self, reloads: u64) -> Result<(), Broken> {
        self.run_only(reloads)?;
        self.wind_down()
    }

    /// The same, and leaves everything as it stands then.
    ///
    /// # Errors
    /// A promise of the core was broken.
    pub fn run_only(&mut self, reloads: u64) -> Result<(), Broken> {
        while self.world.reloads < reloads {
            self.turn()?;
        }
        Ok(())
    }

    /// One event: the next in the queue.
    fn turn(&mut self) -> Result<(), Broken> {
        let Some(((at, _), later)) = self.queue.pop_first() else {
            return Err(Broken("nothing will ever happen again".to_owned()));
        };
        self.world.now = self.world.now.max(at);
        match later {
            Later::Touch(agent) => {
                self.touch(agent)?;
                let wait = self
                    .rng
                    .pick(&[50, 700, 3_000, 20_000, 120_000, 900_000], 1_000);
                let wait = 1 + self.rng.below(wait);
                self.later(wait, Later::Touch(agent));
            }
            Later::Tick(agent) => {
                self.tick(agent)?;
                let wait = self.rng.pick(&[1_000, 1_000, 5_000, 30_000], 1_000);
                self.later(wait, Later::Tick(agent));
            }
            Later::Answer(ticket) => {
                self.scheduled.retain(|known| *known != ticket);
                if let Some(question) = self.world.take(ticket) {
                    let event = self.answer(&question)?;
                    self.answer_of_monitors(&question);
                    if self.faults && self.rng.percent(5) {
                        let wait = self.rng.below(90_000);
                        self.later(wait, Later::Again(event.clone()));
                    }
                    self.world.tell(event)?;
                }
            }
            Later::Again(event) => self.world.tell(event)?,
            Later::Speak(agent) => self.speak(agent)?,
            Later::Wake => self.world.tell(Event::Time)?,
        }
        self.keep_journal()?;
        self.schedule();
        Ok(())
    }

    pub(crate) fn later(&mut self, wait_ms: u64, what: Later) {
        let at = self.world.now.after(Duration::from_millis(wait_ms));
        self.sequence += 1;
        self.queue.insert((at, self.sequence), what);
    }

    /// Gives every new question a time for its answer, and the core its wake-up.
    fn schedule(&mut self) {
        let new: Vec<(Ticket, u64)> = self
            .world
            .open
            .iter()
            .filter(|question| !self.scheduled.contains(&question.ticket))
            .map(|question| (question.ticket, usual_delay(&question.asks)))
            .collect();
        for (ticket, usual) in new {
            self.scheduled.push(ticket);
            let lost = self.faults && self.rng.percent(3);
            if lost {
                self.world.take(ticket);
                continue;
            }
            let slow = if self.rng.percent(10) { 40 } else { 1 };
            let delay = self.rng.below(usual * slow);
            self.later(delay, Later::Answer(ticket));
        }
        let open = &self.world.open;
        self.scheduled
            .retain(|known| open.iter().any(|question| question.ticket == *known));
        if let Some(due) = self.world.fleet.next_wakeup()
            && self
                .queue
                .first_key_value()
                .is_none_or(|((next, _), _)| *next > due)
        {
            self.sequence += 1;
            self.queue.insert((due, self.sequence), Later::Wake);
        }
    }

    /// Drops a file, takes one away, gives an order, or lets a long time pass at once.
    fn touch(&mut self, agent: usize) -> Result<(), Broken> {
        let Some(name) = self.agents.get(agent).cloned() else {
            return Ok(());
        };
        match self.rng.below(100) {
            0..60 => {
                let keeps_state = self.keeping.contains(&name);
                let event = wanted(&mut self.rng, name.clone(), keeps_state);
                self.files.insert(name, event.clone());
                self.world.tell(event)
            }
            60..68 => {
                self.files.remove(&name);
                self.world.tell(Event::Removed { agent: name })
            }
            68..97 => {
                let order = any_order(&mut self.rng);
                self.world.order(&name, order).map(|_| ())
            }
            _ => {
                let jump = self.rng.below(5 * 3_600_000);
                self.world.now = self.world.now.after(Duration::from_millis(jump));
                self.world.tell(Event::Time)
            }
        }
    }

    /// Those that monitor answer after the decision, some of them much later, and now and then not at all.
    fn answer_of_monitors(&mut self, question: &Question) {
        let Asks::Judge { rollback, .. } = &question.asks else {
            return;
        };
        let asked = rollback
            .iter()
            .filter(|call| call.mode == PolicyMode::Monitor);
        let rng = &mut self.rng;
        let said = asked.map(|call| (call.name.clone(), verdict(rng, &call.name)));
        let said: Vec<_> = said.collect();
        if said.is_empty() || (self.faults && self.rng.percent(5)) {
            return;
        }
        let usual = self.rng.pick(&[50, 3_000, 30_000, 100_000], 50);
        let wait = self.rng.below(usual);
        let event = Event::Monitored {
            agent: question.agent.clone(),
            ticket: question.ticket,
            rollback: said,
        };
        self.later(wait, Later::Again(event));
    }

    fn answer(&mut self, question: &Question) -> Result<Event, Broken> {
        let Question {
            agent,
            ticket,
            asks,
        } = question.clone();
        let faults = self.faults;
        let rng = &mut self.rng;
        let bad = faults && rng.percent(15);
        Ok(match asks {
            Asks::Write => return self.answer_write(agent, ticket, bad),
            Asks::Pin => {
                let result = if bad {
                    Err(fault("standard", FaultKind::Missing))
                } else {
                    Ok(())
                };
                Event::Pinned {
                    agent,
                    ticket,
                    result,
                }
            }
            Asks::Prepare(..) if bad => {
                let error = "it cannot be brought up".to_owned();
                Event::PrepareFailed {
                    agent,
                    ticket,
                    error,
                    hosts_fault: rng.percent(30),
                }
            }
            Asks::Prepare(..) => Event::Prepared { agent, ticket },
            Asks::Plan(configured) => {
                let plan = if bad {
                    Err(fault("standard", FaultKind::Trap))
                } else {
                    Ok(*configured)
                };
                Event::Planned {
                    agent,
                    ticket,
                    plan: plan.map(|plan| strange(rng, plan)),
                }
            }
            Asks::Health(_) => {
                let outcome = match rng.below(if bad { 3 } else { 1 }) {
                    1 => HealthOutcome::Busy,
                    2 => HealthOutcome::Failed("it does not feel well".to_owned()),
                    _ => HealthOutcome::Passed,
                };
                Event::Health {
                    agent,
                    ticket,
                    outcome,
                }
            }
            Asks::HandOver { source, .. } => Event::HandedOver {
                agent,
                ticket,
                result: handed_over(rng, source, bad),
            },
            Asks::Drain(_) => Event::Drained { agent, ticket },
            Asks::Cut(_) => Event::Cut {
                agent,
                ticket,
                calls: rng.below(3),
            },
            Asks::Judge { rollback, strategy } => {
                let enforcing = rollback
                    .into_iter()
                    .filter(|call| call.mode == PolicyMode::Enforce);
                let rollback = enforcing.map(|call| (call.name.clone(), verdict(rng, &call.name)));
                let rollback = rollback.collect();
                let strategy = strategy.then(|| step(rng));
                Event::Judged {
                    agent,
                    ticket,
                    rollback,
                    strategy,
                }
            }
        })
    }

    /// No more faults; all files go; after two hours nothing may be live and nothing remembered outside.
    fn wind_down(&mut self) -> Result<(), Broken> {
        self.faults = false;
        self.queue
            .retain(|_, later| !matches!(later, Later::Touch(_)));
        self.full_until = Moment::default();
        self.files.clear();
        for agent in self.agents.clone() {
            self.world.tell(Event::Removed { agent })?;
        }
        self.schedule();
        let end = self.world.now.after(Duration::from_secs(2 * 3_600));
        while self.world.now < end {
            self.turn()?;
        }
        for (name, books) in &self.world.books {
            let live = self.world.fleet.live(name);
            if !live.is_empty() || !books.contents.is_empty() || !books.ready.is_empty() {
                return Err(Broken(format!(
                    "{name}: left behind {live:?} {:?}",
                    books.contents
                )));
            }
        }
        Ok(())
    }
}

fn usual_delay(asks: &Asks) -> u64 {
    match asks {
        Asks::Write => 20,
        Asks::Pin | Asks::Plan(_) | Asks::Judge { .. } => 50,
        Asks::Health(_) => 200,
        Asks::Prepare(..) => 2_000,
        Asks::Drain(_) => 4_000,
        Asks::HandOver { .. } => 500,
        Asks::Cut(_) => 100,
    }
}
