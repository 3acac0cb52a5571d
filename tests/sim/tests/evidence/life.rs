//! An agent with traffic in virtual time: version 1 serves, version 2 comes in, and `evidence` judges.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, AgentView, Arm, Bucket, Content, Digest, Event, HandedOver, HealthOutcome,
    HotReloadResult, Identity, LATENCY_BOUNDS_US, Measure, Mirrored, PolicyMode, Settings,
    StateFrom, Strategy, VersionNumber, combine,
};
use caxton_sim::{Asks, Question, Rng, World};

use crate::judge;

/// How often a version fails in a second of the life, in per cent.
pub(crate) type Fails = fn(version: u64, second: u64) -> u64;

/// One life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) fails: Fails,
    /// Requests a second.
    pub(crate) load: u64,
    agent: AgentName,
    rng: Rng,
    second: u64,
    /// Requests that version 2 answered, callers' only, and copies.
    pub(crate) answered: u64,
    pub(crate) copies: u64,
    pub(crate) failed: u64,
}

pub(crate) fn number(number: u64) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

impl Life {
    /// Version 1 has served for a while.
    pub(crate) fn new(seed: u64, strategy: Strategy, load: u64, fails: Fails) -> Self {
        let mut life = Self {
            world: World::new(5, seed),
            settings: Settings::default(),
            fails,
            load,
            agent: AgentName::try_new("hello").unwrap(),
            rng: Rng::new(seed),
            second: 0,
            answered: 0,
            copies: 0,
            failed: 0,
        };
        life.world.quiet = true;
        life.settings.reload.strategy = strategy;
        life.drop_file(1);
        life.pass(600);
        life
    }

    pub(crate) fn drop_file(&mut self, component: u8) {
        let identity = Identity {
            component: Digest::new([component; 32]),
            config: Digest::new([0; 32]),
        };
        let content = Content {
            identity,
            size: 10,
            has_health: false,
            stateful: false,
        };
        let settings = Arc::new(self.settings.clone());
        let agent = self.agent.clone();
        self.tell(Event::Wanted {
            agent,
            content,
            settings,
        });
    }

    pub(crate) fn view(&self) -> AgentView {
        self.world.fleet.view(&self.agent).unwrap()
    }

    pub(crate) fn serving(&self) -> u64 {
        self.view().serving.unwrap().get()
    }

    /// The results, newest first.
    pub(crate) fn history(&self) -> Vec<HotReloadResult> {
        self.world.fleet.history(&self.agent).unwrap()
    }

    pub(crate) fn attention(&self) -> Vec<(&'static str, String)> {
        let list = self.view().attention.into_iter();
        list.map(|attention| (attention.kind, attention.text))
            .collect()
    }

    /// Whether the reload that brings in version 2 has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.view().reload.is_none()
    }

    /// Lets seconds pass until the reload has ended; answers with how many.
    pub(crate) fn until_over(&mut self, at_most: u64) -> u64 {
        (0..at_most)
            .find(|_| {
                self.pass(1);
                self.is_over()
            })
            .map_or(at_most, |seconds| seconds + 1)
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let end = self.world.now.after(Duration::from_secs(1));
            while let Some(due) = self.world.fleet.next_wakeup().filter(|due| *due <= end) {
                self.world.now = due;
                self.tell(Event::Time);
            }
            let start = caxton_rollout::Moment(end.0 - 1_000);
            self.world.now = end;
            self.second += 1;
            let versions = self.traffic();
            let agent = self.agent.clone();
            self.tell(Event::Measured {
                agent,
                start,
                end,
                versions,
            });
        }
    }

    fn traffic(&mut self) -> Vec<Measure> {
        let books = self.world.books.get(&self.agent);
        let Some(traffic) = books.and_then(|books| books.traffic) else {
            return Vec::new();
        };
        let share = traffic.split.map_or(0, |split| u64::from(split.percent));
        let to_candidate = (0..self.load)
            .filter(|_| self.rng.below(100) < share)
            .count() as u64;
        let mut versions = vec![self.measure(traffic.serving, self.load - to_candidate)];
        if let Some(split) = traffic.split {
            versions.push(self.measure(split.candidate, to_candidate));
        }
        if let Some(listener) = traffic.listener {
            let arm = self.arm(listener, self.load);
            self.copies += arm.requests;
            let mirrored = Mirrored {
                arm,
                mismatches: 0,
                skipped: 0,
            };
            versions.push(Measure {
                number: listener,
                arm: Arm::default(),
                callers: 0,
                failing_callers: 0,
                mirrored: Some(mirrored),
            });
        }
        versions
    }

    fn measure(&mut self, number: VersionNumber, requests: u64) -> Measure {
        let arm = self.arm(number, requests);
        if number.get() == 2 {
            self.answered += arm.requests;
            self.failed += arm.failures;
        }
        Measure {
            number,
            callers: arm.requests,
            failing_callers: arm.failures,
            arm,
            mirrored: None,
        }
    }

    fn arm(&mut self, number: VersionNumber, requests: u64) -> Arm {
        let rate = (self.fails)(number.get(), self.second);
        let failures = (0..requests).filter(|_| self.rng.below(100) < rate).count() as u64;
        let latency = if requests == 0 {
            Vec::new()
        } else {
            let bucket = |up_to_us| Bucket {
                up_to_us,
                count: if up_to_us < 2_000 { 0 } else { requests },
            };
            LATENCY_BOUNDS_US.map(bucket).to_vec()
        };
        Arm {
            requests,
            failures,
            callers: requests,
            failing_callers: failures,
            latency_total_us: requests * 1_800,
            latency,
            ..Arm::default()
        }
    }

    fn tell(&mut self, event: Event) {
        self.world.tell(event).unwrap();
        while let Some(ticket) = self.world.open.first().map(|question| question.ticket) {
            let question = self.world.take(ticket).unwrap();
            let answer = self.answer(question);
            self.world.tell(answer).unwrap();
        }
    }

    fn answer(&self, question: Question) -> Event {
        let Question {
            agent,
            ticket,
            asks,
        } = question;
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
                result: Ok(()),
            },
            Asks::Prepare(..) => Event::Prepared { agent, ticket },
            Asks::Plan(configured) => Event::Planned {
                agent,
                ticket,
                plan: Ok(*configured),
            },
            Asks::Health(_) => Event::Health {
                agent,
                ticket,
                outcome: HealthOutcome::Passed,
            },
            Asks::HandOver { .. } => Event::HandedOver {
                agent,
                ticket,
                result: Ok(HandedOver {
                    state_from: StateFrom::Live,
                    cut: 0,
                }),
            },
            Asks::Drain(_) => Event::Drained { agent, ticket },
            Asks::Cut(_) => Event::Cut {
                agent,
                ticket,
                calls: 0,
            },
            Asks::Judge { rollback, strategy } => {
                let context = self.world.context.as_ref().unwrap();
                let windows = &self.world.windows;
                let enforcing = rollback
                    .iter()
                    .filter(|call| call.mode == PolicyMode::Enforce);
                let answers = enforcing.map(|call| {
                    let answer = judge::evaluate(context, &self.world.metrics, windows, call);
                    (call.name.clone(), answer)
                });
                let answers: Vec<_> = answers.collect();
                let judged = combine(&answers);
                let next = judge::next(context, &self.world.metrics, windows, judged.fit());
                Event::Judged {
                    agent,
                    ticket,
                    rollback: answers,
                    strategy: (strategy && judged.asks_strategy()).then_some(Ok(next)),
                }
            }
        }
    }
}
