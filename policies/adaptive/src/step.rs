//! What to do next: the plan is followed, a step whenever the candidate is found fit.

use caxton_policy::{Context, Phase, Proposal, Step};

/// The step to propose. `fit` says that every rollback policy found enough for the candidate.
pub(crate) fn next(context: &Context, fit: bool) -> Proposal {
    let number = context.candidate.number;
    match context.phase {
        _ if context.paused => Proposal::wait("paused", "an operator paused this reload"),
        Phase::Preparing | Phase::Starting => {
            Proposal::wait("not-started", format!("version {number} does not run yet"))
        }
        Phase::Baking => Proposal::wait(
            "baking",
            format!("version {number} has all traffic and is watched until its bake ends"),
        ),
        Phase::InProgress if !fit => Proposal::wait(
            "not-yet-fit",
            format!("not enough speaks for version {number} yet"),
        ),
        // How long a stage lasts and how many requests it has to see stands in the plan, and the host keeps it.
        Phase::InProgress if context.stages > 0 => Proposal::new(
            Step::Advance,
            "fit",
            format!("version {number} is fit at {} %", context.split),
        ),
        Phase::InProgress => Proposal::new(
            Step::Promote,
            "fit",
            format!("version {number} is fit for all traffic"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(phase: Phase, stages: u32) -> Context {
        Context {
            phase,
            stages,
            split: 10,
            ..Context::default()
        }
    }

    #[test]
    fn only_a_fit_candidate_goes_on() {
        let splitting = context(Phase::InProgress, 3);
        assert_eq!(next(&splitting, true).step, Step::Advance);
        assert_eq!(next(&splitting, false).step, Step::Wait);
        let swapped = context(Phase::InProgress, 0);
        assert_eq!(next(&swapped, true).step, Step::Promote);
        assert_eq!(next(&swapped, false).step, Step::Wait);
    }

    #[test]
    fn before_traffic_after_it_and_while_paused_it_waits() {
        for phase in [Phase::Preparing, Phase::Starting, Phase::Baking] {
            assert_eq!(next(&context(phase, 3), true).step, Step::Wait);
        }
        let paused = Context {
            paused: true,
            ..context(Phase::InProgress, 3)
        };
        assert_eq!(next(&paused, true).why.code, "paused");
    }
}
