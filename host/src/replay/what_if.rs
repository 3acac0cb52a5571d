//! What would have changed an answer: the policy is asked once more, with one window that nobody measured.

use caxton_rollout::{Phase, Verdict};
use caxton_runtime::policy::Policy;
use serde::Serialize;

use super::made_up::{self, Later};
use crate::records::read::Question;

/// Requests among which the failures are looked for.
pub const NEXT_REQUESTS: u64 = 20;

/// Clean requests that are tried at most.
pub const CLEAN_REQUESTS_MAX: u64 = 1_000;

/// What would have changed an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The policy.
    pub policy: String,
    /// The round whose answer it is about.
    pub tick: u64,
    /// So many failures in the next [`NEXT_REQUESTS`] would roll back; none where not even all would, or where the answer
    /// is a rollback already.
    pub failures_to_roll_back: Option<u64>,
    /// So many requests without a failure would be enough for the version; none where [`CLEAN_REQUESTS_MAX`] are not, or
    /// where there is enough already.
    pub clean_requests_to_proceed: Option<u64>,
    /// The same in sentences.
    pub sentences: Vec<String>,
}

/// Asks `policy` what one more window would have made it say. None where it gives no usable answer.
///
/// `state` is what it got as state after the answer that this is about. That more clean requests never speak against a
/// version is assumed; that the number that is told suffices, and one fewer does not, was asked.
pub async fn what_if(
    policy: &Policy,
    settings: &str,
    question: &Question,
    verdict: Verdict,
    state: &[u8],
) -> Option<Change> {
    let ask = Ask {
        policy,
        settings,
        question,
        state,
    };
    let goes_back = matches!(verdict, Verdict::Rollback(_));
    let mut sentences = Vec::new();
    let mut failures = None;
    if !goes_back {
        failures = ask.failures().await?;
        sentences.push(match failures {
            Some(0) => format!("the next {NEXT_REQUESTS} requests would roll back even if none of them failed"),
            Some(1) => format!("1 more failure in the next {NEXT_REQUESTS} requests would roll back"),
            Some(n) => format!("{n} more failures in the next {NEXT_REQUESTS} requests would roll back"),
            None => format!("not even {NEXT_REQUESTS} failures in the next {NEXT_REQUESTS} requests would roll back"),
        });
    }
    let mut clean = None;
    if verdict != Verdict::Proceed {
        clean = ask.clean().await?;
        let what = allowed(question);
        sentences.push(match clean {
            Some(1) => format!("1 clean request would {what}"),
            Some(n) => format!("{n} clean requests would {what}"),
            None => format!("not even {CLEAN_REQUESTS_MAX} clean requests would {what}"),
        });
    }
    Some(Change {
        policy: policy.name().to_owned(),
        tick: question.tick,
        failures_to_roll_back: failures,
        clean_requests_to_proceed: clean,
        sentences,
    })
}

/// What `proceed` would allow.
fn allowed(question: &Question) -> &'static str {
    match question.context.phase {
        Phase::Baking => "prove the version",
        _ if made_up::listens(question) => "allow it to take over",
        _ if question.context.stages > 0 => "allow the next stage",
        _ => "allow the next step",
    }
}

struct Ask<'a> {
    policy: &'a Policy,
    settings: &'a str,
    question: &'a Question,
    state: &'a [u8],
}

impl Ask<'_> {
    async fn verdict(&self, requests: u64, failures: u64) -> Option<Verdict> {
        let Later {
            context,
            metrics,
            windows,
        } = made_up::later(self.question, requests, failures);
        let call = self
            .policy
            .evaluate(self.settings, &context, &metrics, &windows, self.state);
        Some(call.await.answer.ok()?.verdict)
    }

    /// The fewest failures with which it goes back. The outer none is a fault.
    async fn failures(&self) -> Option<Option<u64>> {
        for failures in 0..=NEXT_REQUESTS {
            if let Verdict::Rollback(_) = self.verdict(NEXT_REQUESTS, failures).await? {
                return Some(Some(failures));
            }
        }
        Some(None)
    }

    /// The fewest clean requests with which it proceeds. The outer none is a fault.
    async fn clean(&self) -> Option<Option<u64>> {
        let proceeds = async |requests| Some(self.verdict(requests, 0).await? == Verdict::Proceed);
        let (mut too_few, mut enough) = (0, 1);
        while !proceeds(enough).await? {
            if enough == CLEAN_REQUESTS_MAX {
                return Some(None);
            }
            too_few = enough;
            enough = (enough * 2).min(CLEAN_REQUESTS_MAX);
        }
        // It proceeds with `enough` and not with `too_few`, or that is none at all; both stay true.
        while enough - too_few > 1 {
            let between = too_few + (enough - too_few) / 2;
            if proceeds(between).await? {
                enough = between;
            } else {
                too_few = between;
            }
        }
        Some(Some(enough))
    }
}
