//! Asks policies, each reload those that it began with.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use caxton_rollout::{
    AgentName, Command, Context, Event, Fault, HotReloadId, Plan, PolicyCall, PolicyMode,
    RollbackAnswer, Ticket,
};
use caxton_runtime::policy::PolicyKind;
use caxton_store::Pin;
use serde_json::Value;

use super::agent::Pinned;
use super::asking::{Facts, answers, ask, judge, not_pinned, told};
use super::{Controller, Done};
use crate::policies::{PinnedPolicy, Policies};
use crate::records::{Asked, Judged, Question, Said};

/// Looks up all policies of a reload, those that it `held` before a restart as they were then; fails with the first that cannot be
/// used.
pub(super) fn pin(
    policies: Arc<Policies>,
    strategy: PolicyCall,
    rollback: Vec<PolicyCall>,
    held: Vec<Pin>,
) -> impl Future<Output = Result<Pinned, Fault>> + Send + 'static {
    let wanted = std::iter::once((PolicyKind::Strategy, strategy))
        .chain(
            rollback
                .into_iter()
                .map(|call| (PolicyKind::Rollback, call)),
        )
        .collect::<Vec<_>>();
    async move {
        let mut pinned = BTreeMap::new();
        for (kind, call) in wanted {
            let before = held.iter().find(|pin| pin.policy == call.name);
            let found = match before.filter(|pin| pin.kind == kind.to_string()) {
                Some(pin) => policies.pin_again(pin).await?,
                None => policies.pin(&call.name, kind, &call.settings).await?,
            };
            pinned.insert(call.name, found);
        }
        Ok(Arc::new(pinned))
    }
}

/// What policies have answered.
pub(super) enum Heard {
    /// How the version is to come in.
    Planned {
        agent: AgentName,
        ticket: Ticket,
        reload: HotReloadId,
        context: Box<Context>,
        configured: Box<Plan>,
        said: Box<Said<Plan>>,
    },
    /// What those that enforce make of it.
    Judged {
        agent: AgentName,
        reload: HotReloadId,
        judged: Box<Judged>,
    },
    /// What those that monitor make of it.
    Monitored {
        agent: AgentName,
        reload: HotReloadId,
        ticket: Ticket,
        said: Vec<Said<RollbackAnswer>>,
    },
}

fn pin_of(name: &str, pinned: &PinnedPolicy, mode: PolicyMode) -> Pin {
    Pin {
        policy: name.to_owned(),
        kind: pinned.policy.kind().to_string(),
        mode,
        digest: pinned.policy.digest(),
        settings: pinned.settings.clone(),
    }
}

impl Controller {
    pub(super) fn ask_policies(&mut self, command: Command) {
        match command {
            Command::Plan {
                agent,
                ticket,
                reload,
                context,
                configured,
                policy,
            } => {
                let pinned = self.pinned(&agent, reload);
                self.spawn(async move {
                    let said = match pinned.get(&policy.name) {
                        Some(p) => {
                            let call = p.policy.begin(&p.settings, &context, &configured).await;
                            told(&agent, &p.policy, call)
                        }
                        None => not_pinned(&policy.name),
                    };
                    Done::Heard(Heard::Planned {
                        agent,
                        ticket,
                        reload,
                        context,
                        configured: Box::new(configured),
                        said: Box::new(said),
                    })
                });
            }
            Command::Judge {
                agent,
                ticket,
                reload,
                context,
                metrics,
                windows,
                rollback,
                strategy,
            } => {
                let question = Question {
                    ticket,
                    context: &context,
                    metrics: &metrics,
                    windows: &windows,
                    calls: rollback.iter().chain(&strategy).collect(),
                };
                self.recorder.asked(self.clock.now(), reload, &question);
                let pinned = self.pinned(&agent, reload);
                let done = self.done.clone();
                let facts = Facts {
                    agent,
                    context,
                    metrics,
                    windows,
                };
                self.tasks.spawn(async move {
                    let judged = judge(&pinned, ticket, &rollback, strategy, &facts).await;
                    let agent = facts.agent.clone();
                    let _ = done.send(Done::Heard(Heard::Judged {
                        agent: agent.clone(),
                        reload,
                        judged: Box::new(judged),
                    }));
                    let said = ask(&pinned, &rollback, PolicyMode::Monitor, &facts).await;
                    if !said.is_empty() {
                        let _ = done.send(Done::Heard(Heard::Monitored {
                            agent,
                            reload,
                            ticket,
                            said,
                        }));
                    }
                });
            }
            _ => {}
        }
    }

    /// Takes answers to the core, and to the records before anything that the core makes of them is carried out.
    pub(super) fn on_heard(&mut self, heard: Heard) {
        let now = self.clock.now();
        match heard {
            Heard::Planned {
                agent,
                ticket,
                reload,
                context,
                configured,
                said,
            } => {
                let plan = said.answer.clone();
                self.heard(&agent, reload, &said);
                self.recorder
                    .planned(now, reload, &context, *configured, *said);
                self.step(Event::Planned {
                    agent,
                    ticket,
                    plan,
                });
            }
            Heard::Judged {
                agent,
                reload,
                judged,
            } => {
                let ticket = judged.ticket;
                for said in &judged.rollback {
                    self.heard(&agent, reload, said);
                }
                if let Some(said) = &judged.strategy {
                    self.heard(&agent, reload, said);
                }
                let commands = self.tell_core(Event::Judged {
                    agent,
                    ticket,
                    rollback: answers(&judged.rollback),
                    strategy: judged.strategy.as_ref().map(|said| said.answer.clone()),
                });
                let decided = commands.iter().find_map(|command| match command {
                    Command::Decided(decision) if decision.ticket == ticket => {
                        Some(decision.outcome.clone())
                    }
                    _ => None,
                });
                self.recorder.judged(now, reload, *judged, decided);
                self.execute_all(commands);
            }
            Heard::Monitored {
                agent,
                reload,
                ticket,
                said,
            } => {
                let rollback = answers(&said);
                for said in &said {
                    self.heard(&agent, reload, said);
                }
                self.recorder.monitored(now, reload, ticket, said);
                self.step(Event::Monitored {
                    agent,
                    ticket,
                    rollback,
                });
            }
        }
    }

    /// An answer that nobody waits for any more changes nothing of what a reload holds.
    pub(super) fn on_pinned(
        &mut self,
        agent: AgentName,
        ticket: Ticket,
        reload: HotReloadId,
        result: Result<Pinned, Fault>,
    ) {
        if !self.fleet.awaits_pins(&agent, ticket) {
            return;
        }
        let result = result.map(|pinned| {
            self.record_pinned(&agent, reload, &pinned);
            if let Some(entry) = self.agents.get_mut(&agent) {
                entry.hold(reload, pinned);
            }
        });
        self.step(Event::Pinned {
            agent,
            ticket,
            result,
        });
    }

    /// Counts the answer, and warns of what had to be corrected, of each such thing once in a reload.
    fn heard<T>(&mut self, agent: &AgentName, reload: HotReloadId, said: &Said<T>) {
        let fault = said.answer.as_ref().err();
        self.telemetry.asked(&said.policy, said.duration, fault);
        let Some(entry) = self.agents.get_mut(agent) else {
            return;
        };
        let policy = said.policy.as_str();
        let dropped = (said.log.dropped > 0).then_some("too many log lines in one call");
        for note in said.notes.iter().map(String::as_str).chain(dropped) {
            if entry.is_new(reload, policy, note) {
                tracing::warn!(%agent, policy, "{note}");
            }
        }
    }

    /// From here on the reload is recorded.
    fn record_pinned(&mut self, agent: &AgentName, reload: HotReloadId, pinned: &Pinned) {
        let now = self.clock.now();
        let mode = |name: &str| self.recorder.mode(reload, name);
        let pin = |(name, pinned): (&String, &PinnedPolicy)| pin_of(name, pinned, mode(name));
        let pins = pinned.iter().map(pin).collect();
        let asked = |(name, pinned): (&String, &PinnedPolicy)| Asked {
            policy: name.clone(),
            kind: pinned.policy.kind(),
            mode: mode(name),
            digest: pinned.policy.digest(),
            // It was checked to be an object when it was pinned.
            settings: serde_json::from_str(&pinned.settings).unwrap_or(Value::Null),
        };
        let asked = pinned.iter().map(asked).collect();
        self.recorder.pinned(now, reload, asked);
        self.store.journal.pinned(agent, reload, pins);
    }

    fn pinned(&self, agent: &AgentName, reload: HotReloadId) -> Pinned {
        self.agents
            .get(agent)
            .and_then(|entry| entry.pinned.get(&reload))
            .cloned()
            .unwrap_or_default()
    }
}
