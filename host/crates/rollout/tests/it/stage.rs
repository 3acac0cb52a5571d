//! One agent on a stage: a [`World`] whose questions are answered well unless a test says otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, AgentView, Arm, Content, Decided, Digest, Event, Explanation, Fault, FaultKind,
    HandOverError, HandedOver, HealthOutcome, Identity, Measure, Mirrored, Moment, Order,
    OrderError, PolicyCall, PolicyMode, PolicyRef, RollbackAnswer, Settings, StateFrom,
    StateSource, Step, StrategyAnswer, Verdict, VersionNumber, combine,
};
use caxton_sim::{Asks, Question, World};

pub(crate) const START: u64 = 1_000_000;

/// How questions are answered.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) pin: Result<(), Fault>,
    pub(crate) prepare: Result<(), &'static str>,
    pub(crate) health: HealthOutcome,
    pub(crate) drains: bool,
    pub(crate) cut: u64,
    pub(crate) verdict: Result<Verdict, Fault>,
    /// Of policies that say something else.
    pub(crate) others: BTreeMap<&'static str, Result<Verdict, Fault>>,
    /// Of all policies that monitor.
    pub(crate) monitored: Result<Verdict, Fault>,
    /// Those that monitor answer at once.
    pub(crate) monitors: bool,
    pub(crate) step: Step,
    /// The strategy policy gives no answer but this.
    pub(crate) lost_step: Option<Fault>,
    /// Why state is not handed over; none where it is.
    pub(crate) hand_over: Option<HandOverError>,
    /// Hand-overs are answered at all.
    pub(crate) hands: bool,
    /// What the journal answers, where it does not write at once; none where it does not answer.
    pub(crate) written: Option<Result<(), &'static str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) agent: AgentName,
    pub(crate) settings: Settings,
    pub(crate) answers: Answers,
    pub(crate) has_health: bool,
    pub(crate) stateful: bool,
    /// What those say that monitor, where they are not to be heard yet.
    pub(crate) monitors: Vec<Event>,
    /// Requests and failures of whoever serves, a second.
    pub(crate) load: (u64, u64),
}

pub(crate) fn fault(policy: &str, kind: FaultKind) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind,
        message: format!("{kind:?}"),
    }
}

fn verdict(verdict: Verdict) -> RollbackAnswer {
    RollbackAnswer {
        verdict,
        why: Explanation {
            summary: "so it looks".to_owned(),
            ..Explanation::default()
        },
        state: Vec::new(),
    }
}

pub(crate) fn content(component: u8, has_health: bool) -> Content {
    let identity = Identity {
        component: Digest::new([component; 32]),
        config: Digest::new([0; 32]),
    };
    Content {
        identity,
        size: 10,
        has_health,
        stateful: false,
    }
}

pub(crate) fn measure(number: VersionNumber, requests: u64, failures: u64) -> Measure {
    let arm = Arm {
        requests,
        failures,
        ..Arm::default()
    };
    Measure {
        number,
        arm,
        callers: 0,
        failing_callers: 0,
        mirrored: None,
    }
}

/// A hand-over that went well; with calls that had to be cut, the last checkpoint takes the place of a `save`.
fn handed_over(source: StateSource, calls: u64) -> HandedOver {
    let (state_from, cut) = match source {
        StateSource::Live { cut: true, .. } if calls > 0 => (StateFrom::Checkpoint, calls),
        StateSource::Live { .. } => (StateFrom::Live, 0),
        StateSource::Snapshot => (StateFrom::Snapshot, 0),
        StateSource::Fresh => (StateFrom::None, 0),
    };
    HandedOver { state_from, cut }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(5, 1),
            agent: AgentName::try_new("hello").unwrap(),
            settings: Settings::default(),
            answers: Answers {
                pin: Ok(()),
                prepare: Ok(()),
                health: HealthOutcome::Passed,
                drains: true,
                cut: 0,
                verdict: Ok(Verdict::Proceed),
                others: BTreeMap::new(),
                monitored: Ok(Verdict::Proceed),
                monitors: true,
                step: Step::Wait,
                lost_step: None,
                hand_over: None,
                hands: true,
                written: None,
            },
            stateful: false,
            has_health: false,
            monitors: Vec::new(),
            load: (10, 0),
        }
    }

    /// The same with an agent that keeps state.
    pub(crate) fn keeping_state() -> Self {
        let mut stage = Self::new();
        stage.stateful = true;
        stage.drop_file(1);
        stage.world.decisions.clear();
        stage
    }

    /// A stage on which version 1, of content 1, serves.
    pub(crate) fn serving() -> Self {
        let mut stage = Self::new();
        stage.drop_file(1);
        stage.world.decisions.clear();
        stage
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.world.tell(event).unwrap();
        self.answer_all();
    }

    pub(crate) fn drop_file(&mut self, component: u8) {
        let (agent, settings) = (self.agent.clone(), Arc::new(self.settings.clone()));
        let content = Content {
            stateful: self.stateful,
            ..content(component, self.has_health)
        };
        self.tell(Event::Wanted {
            agent,
            content,
            settings,
        });
    }

    pub(crate) fn remove(&mut self) {
        let agent = self.agent.clone();
        self.tell(Event::Removed { agent });
    }

    pub(crate) fn disable(&mut self) {
        let agent = self.agent.clone();
        self.tell(Event::Disabled { agent });
    }

    pub(crate) fn order(&mut self, order: Order) -> Result<(), OrderError> {
        let agent = self.agent.clone();
        let taken = self.world.order(&agent, order).unwrap();
        self.answer_all();
        taken
    }

    pub(crate) fn view(&self) -> AgentView {
        self.world.fleet.view(&self.agent).unwrap()
    }

    /// Lets seconds pass, each with its tick, and wakes the core when it wants to be.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let end = self.world.now.after(Duration::from_secs(1));
            while let Some(due) = self.world.fleet.next_wakeup().filter(|due| *due <= end) {
                self.world.now = due;
                self.tell(Event::Time);
            }
            let start = self.world.now;
            self.world.now = end;
            self.tick(Moment(start.0.min(end.0 - 1_000)), end);
        }
    }

    /// Lets time pass in one piece, without ticks.
    pub(crate) fn sleep(&mut self, seconds: u64) {
        let end = self.world.now.after(Duration::from_secs(seconds));
        while let Some(due) = self.world.fleet.next_wakeup().filter(|due| *due <= end) {
            self.world.now = due;
            self.tell(Event::Time);
        }
        self.world.now = end;
        self.tell(Event::Time);
    }

    fn tick(&mut self, start: Moment, end: Moment) {
        let traffic = self.world.books.get(&self.agent).and_then(|b| b.traffic);
        let Some(traffic) = traffic else {
            return;
        };
        let (requests, failures) = self.load;
        let mut versions = vec![measure(traffic.serving, requests, failures)];
        if let Some(split) = traffic.split {
            let share = (requests * u64::from(split.percent)).div_ceil(100);
            versions = vec![
                measure(traffic.serving, requests - share, failures),
                measure(split.candidate, share, 0),
            ];
        }
        if let Some(listener) = traffic.listener {
            let mirrored = Mirrored {
                arm: measure(listener, requests, failures).arm,
                mismatches: 1,
                skipped: 0,
            };
            // Copies that somebody counts as requests are none all the same.
            versions.push(Measure {
                mirrored: Some(mirrored),
                ..measure(listener, 7, 0)
            });
        }
        let agent = self.agent.clone();
        self.tell(Event::Measured {
            agent,
            start,
            end,
            versions,
        });
    }

    pub(crate) fn answer_all(&mut self) {
        loop {
            let (drains, hands) = (self.answers.drains, self.answers.hands);
            let writes = self.answers.written.is_some();
            let answerable = |question: &&Question| match question.asks {
                Asks::Drain(_) => drains,
                Asks::HandOver { .. } => hands,
                Asks::Write => writes,
                _ => true,
            };
            let Some(ticket) = self.world.open.iter().find(answerable).map(|q| q.ticket) else {
                return;
            };
            let question = self.world.take(ticket).unwrap();
            if let (Asks::Write, Some(result)) = (&question.asks, self.answers.written) {
                let result = result.map_err(str::to_owned);
                self.world.write(&question, result).unwrap();
                continue;
            }
            let after = self.monitored(&question);
            let event = self.answer(question);
            self.world.tell(event).unwrap();
            match after {
                Some(after) if self.answers.monitors => self.world.tell(after).unwrap(),
                after => self.monitors.extend(after),
            }
        }
    }

    /// What those say that only monitor, after the decision.
    fn monitored(&self, question: &Question) -> Option<Event> {
        let Asks::Judge { rollback, .. } = &question.asks else {
            return None;
        };
        let monitors = |call: &&PolicyCall| call.mode == PolicyMode::Monitor;
        let said = self.answers.monitored.clone();
        let answers = rollback.iter().filter(monitors);
        let answers = answers.map(|call| (call.name.clone(), said.clone().map(verdict)));
        let answers: Vec<_> = answers.collect();
        (!answers.is_empty()).then(|| Event::Monitored {
            agent: question.agent.clone(),
            ticket: question.ticket,
            rollback: answers,
        })
    }

    pub(crate) fn answer(&self, question: Question) -> Event {
        let Question {
            agent,
            ticket,
            asks,
        } = question;
        let answers = self.answers.clone();
        match asks {
            // The world writes at once.
            Asks::Write => Event::Written {
                agent,
                ticket,
                result: Ok(()),
            },
            Asks::Pin => Event::Pinned {
                agent,
                ticket,
                result: answers.pin,
            },
            Asks::Prepare(..) => match answers.prepare {
                Ok(()) => Event::Prepared { agent, ticket },
                Err(error) => {
                    let error = error.to_owned();
                    Event::PrepareFailed {
                        agent,
                        ticket,
                        error,
                        hosts_fault: false,
                    }
                }
            },
            Asks::Plan(configured) => Event::Planned {
                agent,
                ticket,
                plan: Ok(*configured),
            },
            Asks::Health(_) => Event::Health {
                agent,
                ticket,
                outcome: answers.health,
            },
            Asks::HandOver { source, .. } => Event::HandedOver {
                agent,
                ticket,
                result: match answers.hand_over {
                    Some(error) => Err(error),
                    None => Ok(handed_over(source, answers.cut)),
                },
            },
            Asks::Drain(_) => Event::Drained { agent, ticket },
            Asks::Cut(_) => Event::Cut {
                agent,
                ticket,
                calls: answers.cut,
            },
            Asks::Judge { rollback, strategy } => {
                let enforcing = rollback
                    .into_iter()
                    .filter(|call| call.mode == PolicyMode::Enforce);
                let of = |name: &str| {
                    let other = answers.others.get(name);
                    other.unwrap_or(&answers.verdict).clone().map(verdict)
                };
                let rollback = enforcing.map(|call| (call.name.clone(), of(&call.name)));
                let rollback: Vec<_> = rollback.collect();
                let strategy = strategy && combine(&rollback).asks_strategy();
                let (step, why) = (answers.step, Explanation::default());
                let next = StrategyAnswer {
                    step,
                    why,
                    next_check: None,
                    state: Vec::new(),
                };
                Event::Judged {
                    agent,
                    ticket,
                    rollback,
                    strategy: strategy.then_some(match answers.lost_step {
                        Some(fault) => Err(fault),
                        None => Ok(next),
                    }),
                }
            }
        }
    }

    /// Lets so many seconds pass, and leaves the question that follows unanswered.
    pub(crate) fn ask(&mut self, seconds: u64) {
        let (agent, start) = (self.agent.clone(), self.world.now);
        self.world.now = start.after(Duration::from_secs(seconds));
        let end = self.world.now;
        let event = Event::Measured {
            agent,
            start,
            end,
            versions: Vec::new(),
        };
        self.world.tell(event).unwrap();
    }

    /// The host is killed and started; the directory has not been looked at yet.
    pub(crate) fn restart(&mut self) {
        self.world.restart().unwrap();
        self.answer_all();
    }

    /// From here on nothing is written before the journal answers.
    pub(crate) fn journal_answers(&mut self, written: Option<Result<(), &'static str>>) {
        self.world.writes_at_once = false;
        self.answers.written = written;
        self.answer_all();
    }

    /// One more rollback policy.
    pub(crate) fn also(&mut self, name: &str, mode: PolicyMode) {
        self.settings.rollback.policies.push(PolicyRef {
            name: name.to_owned(),
            mode,
            settings: "{}".to_owned(),
        });
    }

    /// What came of the last round of judging.
    pub(crate) fn decided(&self) -> Decided {
        self.world.decided.clone().unwrap()
    }

    /// The decisions so far as a table: seconds, and what.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for (at, what) in &self.world.decisions {
            let _ = writeln!(table, "{:<5} {what}", (at.0 - START) / 1_000);
        }
        table
    }
}
