//! What to do next: the plan is followed, a step whenever the candidate is found fit.

use crate::because;
use crate::bindings::caxton::policy::types::{Context, Explanation, Phase};
use crate::bindings::exports::caxton::policy::strategy::Step;

/// The step to propose. `fit` says that every rollback policy found enough for the candidate.
pub(crate) fn next(context: &Context, fit: bool) -> (Step, Explanation) {
    let number = context.candidate.number;
    let wait = |code, summary: String| (Step::Wait, because(code, summary));
    match context.phase {
        _ if context.paused => wait("paused", "an operator paused this reload".to_owned()),
        Phase::Preparing | Phase::Starting => {
            wait("not-started", format!("version {number} does not run yet"))
        }
        Phase::Baking => wait(
            "baking",
            format!("version {number} has all traffic and is watched until its bake ends"),
        ),
        Phase::InProgress if !fit => wait(
            "not-yet-fit",
            format!("not enough speaks for version {number} yet"),
        ),
        // How long a stage lasts and how many requests it has to see stands in the plan, and the host keeps it.
        Phase::InProgress if context.stages > 0 => (
            Step::Advance,
            because(
                "fit",
                format!("version {number} is fit at {} %", context.split),
            ),
        ),
        Phase::InProgress => (
            Step::Promote,
            because("fit", format!("version {number} is fit for all traffic")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::caxton::policy::types::Version;

    fn context(phase: Phase, stages: u32) -> Context {
        Context {
            reload_id: "r".to_owned(),
            deadline_ms: None,
            paused: false,
            agent: "hello".to_owned(),
            stable: None,
            candidate: Version {
                number: 7,
                digest: String::new(),
                config_digest: String::new(),
                size: 1,
                state_format: None,
            },
            stateful: false,
            phase,
            stage: 0,
            stages,
            stage_elapsed_ms: 0,
            elapsed_ms: 0,
            split: 10,
            baseline: None,
            history: Vec::new(),
            seed: 0,
        }
    }

    #[test]
    fn only_a_fit_candidate_goes_on() {
        let splitting = context(Phase::InProgress, 3);
        assert!(matches!(next(&splitting, true).0, Step::Advance));
        assert!(matches!(next(&splitting, false).0, Step::Wait));
        let swapped = context(Phase::InProgress, 0);
        assert!(matches!(next(&swapped, true).0, Step::Promote));
        assert!(matches!(next(&swapped, false).0, Step::Wait));
    }

    #[test]
    fn before_traffic_after_it_and_while_paused_it_waits() {
        for phase in [Phase::Preparing, Phase::Starting, Phase::Baking] {
            assert!(matches!(next(&context(phase, 3), true).0, Step::Wait));
        }
        let paused = Context {
            paused: true,
            ..context(Phase::InProgress, 3)
        };
        assert_eq!(next(&paused, true).1.code, "paused");
    }
}
