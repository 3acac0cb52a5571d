//! Asks policies, each reload those that it began with.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use caxton_rollout::{
    Command, Context, Event, Fault, FaultKind, PolicyCall, PolicyMode, ReloadMetrics,
    RollbackAnswer, StrategyAnswer, Window, combine,
};
use caxton_runtime::policy::{Call, Policy, PolicyKind};

use super::agent::Pinned;
use super::{Controller, Done};
use crate::policies::Policies;

/// Looks up all policies of a reload; fails with the first that cannot be used.
pub(super) fn pin(
    policies: Arc<Policies>,
    strategy: PolicyCall,
    rollback: Vec<PolicyCall>,
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
            let policy = policies.find(&call.name, kind, &call.settings).await?;
            pinned.insert(call.name, policy);
        }
        Ok(Arc::new(pinned))
    }
}

/// What the policies are told at one tick.
struct Facts {
    context: Box<Context>,
    metrics: ReloadMetrics,
    windows: Arc<[Window]>,
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
                self.spawn_event(async move {
                    let plan = match pinned.get(&policy.name) {
                        Some(p) => told(p, p.begin(&policy.settings, &context, &configured).await),
                        None => Err(not_pinned(&policy.name)),
                    };
                    Event::Planned {
                        agent,
                        ticket,
                        plan,
                    }
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
                let pinned = self.pinned(&agent, reload);
                let done = self.done.clone();
                let facts = Facts {
                    context,
                    metrics,
                    windows,
                };
                self.tasks.spawn(async move {
                    let answers = ask(&pinned, &rollback, PolicyMode::Enforce, &facts).await;
                    let judgement = combine(&answers);
                    let strategy = match strategy.filter(|_| judgement.asks_strategy()) {
                        Some(call) => Some(next(&pinned, &call, judgement.fit(), &facts).await),
                        None => None,
                    };
                    let judged = Event::Judged {
                        agent: agent.clone(),
                        ticket,
                        rollback: answers,
                        strategy,
                    };
                    let _ = done.send(Done::Event(judged));
                    let monitoring = ask(&pinned, &rollback, PolicyMode::Monitor, &facts).await;
                    if !monitoring.is_empty() {
                        let _ = done.send(Done::Event(Event::Monitored {
                            agent,
                            ticket,
                            rollback: monitoring,
                        }));
                    }
                });
            }
            _ => {}
        }
    }

    fn pinned(
        &self,
        agent: &caxton_rollout::AgentName,
        reload: caxton_rollout::HotReloadId,
    ) -> Pinned {
        self.agents
            .get(agent)
            .and_then(|entry| entry.pinned.get(&reload))
            .cloned()
            .unwrap_or_default()
    }
}

async fn ask(
    pinned: &Pinned,
    calls: &[PolicyCall],
    mode: PolicyMode,
    facts: &Facts,
) -> Vec<(String, Result<RollbackAnswer, Fault>)> {
    let mut answers = Vec::new();
    for call in calls.iter().filter(|call| call.mode == mode) {
        let answer = match pinned.get(&call.name) {
            Some(policy) => told(
                policy,
                policy
                    .evaluate(
                        &call.settings,
                        &facts.context,
                        &facts.metrics,
                        &facts.windows,
                        &call.state,
                    )
                    .await,
            ),
            None => Err(not_pinned(&call.name)),
        };
        answers.push((call.name.clone(), answer));
    }
    answers
}

async fn next(
    pinned: &Pinned,
    call: &PolicyCall,
    fit: bool,
    facts: &Facts,
) -> Result<StrategyAnswer, Fault> {
    let policy = pinned
        .get(&call.name)
        .ok_or_else(|| not_pinned(&call.name))?;
    let call = policy
        .next(
            &call.settings,
            &facts.context,
            fit,
            &facts.metrics,
            &facts.windows,
            &call.state,
        )
        .await;
    told(policy, call)
}

/// The answer of a call whose log lines and corrections were handed on.
fn told<T>(policy: &Policy, call: Call<T>) -> Result<T, Fault> {
    let name = policy.name();
    for line in &call.log.lines {
        tracing::debug!(policy = name, level = ?line.level, "{}", line.text);
    }
    if call.log.dropped > 0 {
        tracing::warn!(
            policy = name,
            dropped = call.log.dropped,
            "too many log lines in one call"
        );
    }
    for note in &call.notes {
        tracing::warn!(policy = name, "{note}");
    }
    call.answer
}

fn not_pinned(policy: &str) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind: FaultKind::Missing,
        message: "it was not there when the reload began".to_owned(),
    }
}
