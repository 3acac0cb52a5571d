//! What several policies say, taken together.

use serde::{Deserialize, Serialize};

use crate::{Blame, Explanation, Fault, RollbackAnswer, Verdict};

/// The gravest of what was said. The order in which policies were asked does not matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Judgement {
    /// Go back.
    Rollback {
        /// Who says so; of several with the same blame, the first by name.
        policy: String,
        /// Whose fault it is.
        blame: Blame,
        /// Why.
        why: Explanation,
    },
    /// Stay, and tell the operator.
    Hold {
        /// Who says so.
        policy: String,
        /// Why.
        why: Explanation,
    },
    /// A policy gave no usable answer, and none said to go back or to hold: no step forward.
    Fault {
        /// The first by name.
        policy: String,
    },
    /// Not enough evidence either way.
    Undecided,
    /// Every policy said to proceed.
    Proceed,
}

impl Judgement {
    /// Whether the strategy policy is to be asked for its next step.
    #[must_use]
    pub fn asks_strategy(&self) -> bool {
        !matches!(self, Self::Rollback { .. } | Self::Hold { .. })
    }

    /// What the strategy policy is told as `fit`.
    #[must_use]
    pub fn fit(&self) -> bool {
        matches!(self, Self::Proceed)
    }
}

/// Combines the answers of the policies that enforce: rollback > hold > fault > undecided > proceed, and of several
/// blames candidate > unknown > environment.
///
/// No answers at all combine to `Proceed`: nothing was there to object.
#[must_use]
pub fn combine(answers: &[(String, Result<RollbackAnswer, Fault>)]) -> Judgement {
    let mut gravest = (Judgement::Proceed, (0, Blame::Environment), "");
    for (policy, answer) in answers {
        let judged = one(policy, answer);
        let gravity = gravity(&judged);
        let graver = gravity > gravest.1;
        if graver || (gravity == gravest.1 && policy.as_str() < gravest.2) {
            gravest = (judged, gravity, policy);
        }
    }
    gravest.0
}

fn one(policy: &str, answer: &Result<RollbackAnswer, Fault>) -> Judgement {
    let policy = policy.to_owned();
    match answer {
        Err(_) => Judgement::Fault { policy },
        Ok(RollbackAnswer { verdict, why, .. }) => match *verdict {
            Verdict::Proceed => Judgement::Proceed,
            Verdict::Undecided => Judgement::Undecided,
            Verdict::Hold => Judgement::Hold {
                policy,
                why: why.clone(),
            },
            Verdict::Rollback(blame) => Judgement::Rollback {
                policy,
                blame,
                why: why.clone(),
            },
        },
    }
}

fn gravity(judgement: &Judgement) -> (u8, Blame) {
    match judgement {
        Judgement::Proceed => (0, Blame::Environment),
        Judgement::Undecided => (1, Blame::Environment),
        Judgement::Fault { .. } => (2, Blame::Environment),
        Judgement::Hold { .. } => (3, Blame::Environment),
        Judgement::Rollback { blame, .. } => (4, *blame),
    }
}
