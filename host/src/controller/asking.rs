//! The calls of policies, in the order and with the parallelism in which a round needs them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Context, Digest, Fault, FaultKind, PolicyCall, PolicyMode, ReloadMetrics,
    RollbackAnswer, StrategyAnswer, Ticket, Window, combine,
};
use caxton_runtime::policy::{Call, LogLevel, Policy, PolicyLog};
use futures::stream::{self, StreamExt as _};

use super::agent::Pinned;
use crate::records::{Judged, Said};

/// Policies of one reload that monitor and are asked at the same time.
const MONITORS_AT_ONCE: usize = 2;

/// What the policies are told at one tick.
pub(super) struct Facts {
    pub agent: AgentName,
    pub context: Box<Context>,
    pub metrics: ReloadMetrics,
    pub windows: Arc<[Window]>,
}

/// Those that enforce, and then the strategy policy, where they leave it something to say.
pub(super) async fn judge(
    pinned: &Pinned,
    ticket: Ticket,
    calls: &[PolicyCall],
    strategy: Option<PolicyCall>,
    facts: &Facts,
) -> Judged {
    let rollback = ask(pinned, calls, PolicyMode::Enforce, facts).await;
    let judgement = combine(&answers(&rollback));
    let fit = judgement.fit();
    let strategy = match strategy.filter(|_| judgement.asks_strategy()) {
        Some(call) => Some(next(pinned, &call, fit, facts).await),
        None => None,
    };
    Judged {
        ticket,
        rollback,
        strategy,
        fit,
    }
}

pub(super) fn answers(
    said: &[Said<RollbackAnswer>],
) -> Vec<(String, Result<RollbackAnswer, Fault>)> {
    let answer = |said: &Said<RollbackAnswer>| (said.policy.clone(), said.answer.clone());
    said.iter().map(answer).collect()
}

/// Asks those of one mode. Those that enforce are asked at the same time, so that a round takes as long as the slowest of
/// them, well within what the core waits for; of those that monitor only a few, as nobody waits for them.
pub(super) async fn ask(
    pinned: &Pinned,
    calls: &[PolicyCall],
    mode: PolicyMode,
    facts: &Facts,
) -> Vec<Said<RollbackAnswer>> {
    let calls = calls.iter().filter(|call| call.mode == mode);
    let asked: Vec<_> = calls.map(|call| evaluate(pinned, call, facts)).collect();
    in_order(asked, mode).await
}

/// What all of these come to, in their order.
async fn in_order<T>(asked: Vec<impl Future<Output = T>>, mode: PolicyMode) -> Vec<T> {
    let at_once = match mode {
        PolicyMode::Enforce => asked.len(),
        _ => MONITORS_AT_ONCE,
    };
    stream::iter(asked).buffered(at_once.max(1)).collect().await
}

async fn evaluate(pinned: &Pinned, call: &PolicyCall, facts: &Facts) -> Said<RollbackAnswer> {
    let Some(pinned) = pinned.get(&call.name) else {
        return not_pinned(&call.name);
    };
    let answer = pinned.policy.evaluate(
        &pinned.settings,
        &facts.context,
        &facts.metrics,
        &facts.windows,
        &call.state,
    );
    told(&facts.agent, &pinned.policy, answer.await)
}

async fn next(
    pinned: &Pinned,
    call: &PolicyCall,
    fit: bool,
    facts: &Facts,
) -> Said<StrategyAnswer> {
    let Some(pinned) = pinned.get(&call.name) else {
        return not_pinned(&call.name);
    };
    let answer = pinned.policy.next(
        &pinned.settings,
        &facts.context,
        fit,
        &facts.metrics,
        &facts.windows,
        &call.state,
    );
    told(&facts.agent, &pinned.policy, answer.await)
}

/// What came of a call, once its log lines were handed on, each as loud as the policy wanted it.
pub(super) fn told<T>(agent: &AgentName, policy: &Policy, call: Call<T>) -> Said<T> {
    let name = policy.name();
    for line in &call.log.lines {
        let text = &line.text;
        match line.level {
            LogLevel::Debug => tracing::debug!(%agent, policy = name, "{text}"),
            LogLevel::Info => tracing::info!(%agent, policy = name, "{text}"),
            LogLevel::Warn => tracing::warn!(%agent, policy = name, "{text}"),
        }
    }
    Said {
        policy: name.to_owned(),
        digest: policy.digest(),
        answer: call.answer,
        fuel: call.fuel,
        duration: call.duration,
        log: call.log,
        notes: call.notes,
    }
}

pub(super) fn not_pinned<T>(policy: &str) -> Said<T> {
    Said {
        policy: policy.to_owned(),
        digest: Digest::new([0; 32]),
        answer: Err(Fault {
            policy: policy.to_owned(),
            kind: FaultKind::Missing,
            message: "it was not there when the reload began".to_owned(),
        }),
        fuel: 0,
        duration: Duration::ZERO,
        log: PolicyLog::default(),
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many of thirteen run at once.
    async fn most_at_once(mode: PolicyMode) -> usize {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = |n: usize| {
            let (running, most) = (&running, &most);
            async move {
                let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                // The first ones are the slowest.
                for _ in n..20 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::Relaxed);
                n
            }
        };
        let answers = in_order((0..13).map(call).collect(), mode).await;
        assert_eq!(answers, (0..13).collect::<Vec<_>>(), "in order");
        most.into_inner()
    }

    #[tokio::test]
    async fn those_that_enforce_are_asked_at_once_and_monitors_a_few_at_a_time() {
        assert_eq!(most_at_once(PolicyMode::Enforce).await, 13);
        assert_eq!(most_at_once(PolicyMode::Monitor).await, MONITORS_AT_ONCE);
    }
}
