//! The decision, as plain functions of what the host told.

use caxton_policy::words::seconds;
use caxton_policy::{Context, Phase, Plan, Proposal, Stage, Step, Strategy, because};

/// A share, in per cent, that leaves the stable version nothing.
const ALL_TRAFFIC: u8 = 100;

/// The configured plan as it is, with what it comes to in a sentence.
pub(crate) fn plan(configured: Plan) -> Plan {
    let how = match configured.strategy {
        Strategy::Graceful => "graceful".to_owned(),
        Strategy::Immediate => "immediate".to_owned(),
        Strategy::Parallel => "parallel".to_owned(),
        Strategy::TrafficSplitting => shares(&configured.stages),
    };
    let summary = format!(
        "{how} as configured: warm-up {}, drain {}, bake {}",
        seconds(configured.warm_up_ms),
        seconds(configured.drain_ms),
        seconds(configured.bake_ms),
    );
    Plan {
        why: because("as-configured", summary),
        ..configured
    }
}

/// The shares of a plan. A share that is to be held is a stage which the host does not leave without an operator; nothing here
/// needs to know more about it, and `next` proposes to go on from it as from any other.
fn shares(stages: &[Stage]) -> String {
    if let [fixed] = stages
        && fixed.needs_operator
    {
        let share = fixed.split;
        return format!("traffic-splitting held at {share} % until an operator acts,");
    }
    let shares: Vec<String> = stages
        .iter()
        .map(|stage| match stage.needs_operator {
            true => format!("{} (then an operator acts)", stage.split),
            false => stage.split.to_string(),
        })
        .collect();
    format!("traffic-splitting at {} %", shares.join(", "))
}

/// The step to propose. `fit` says that every rollback policy found enough for the candidate.
pub(crate) fn next(context: &Context, fit: bool) -> Proposal {
    let candidate = context.candidate.number;
    if context.paused {
        return Proposal::wait("paused", "an operator paused this reload");
    }
    match context.phase {
        Phase::Preparing | Phase::Starting => Proposal::wait(
            "not-started",
            format!("version {candidate} does not run yet"),
        ),
        // The bake is for watching: ending it as soon as the first evidence suffices would make its length mean nothing.
        Phase::Baking => Proposal::wait(
            "baking",
            format!("version {candidate} has all traffic and is watched until its bake ends"),
        ),
        Phase::InProgress if context.split >= ALL_TRAFFIC => Proposal::wait(
            "all-traffic",
            format!("version {candidate} has all traffic"),
        ),
        Phase::InProgress if !fit => Proposal::wait(
            "not-yet-fit",
            format!("not enough speaks for version {candidate} yet"),
        ),
        // How long a stage lasts, how much it has to see and whether an operator must act there is kept by the host.
        Phase::InProgress if context.stages > 0 => Proposal::new(
            Step::Advance,
            "fit",
            format!(
                "version {candidate} is fit at {} %, stage {} of {}",
                context.split,
                context.stage.saturating_add(1),
                context.stages
            ),
        ),
        // It listens: it gets copies only, and how long and how many of them is kept by the host.
        Phase::InProgress => Proposal::new(
            Step::Promote,
            "fit",
            format!("version {candidate} is fit for all traffic"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caxton_policy::{StrategyPolicy as _, Version};

    use crate::{Settings, Standard};

    fn context(phase: Phase) -> Context {
        Context {
            candidate: Version {
                number: 7,
                ..Version::default()
            },
            phase,
            split: 0,
            ..Context::default()
        }
    }

    fn configured(strategy: Strategy, splits: &[u8]) -> Plan {
        Plan {
            strategy,
            warm_up_ms: 10_000,
            drain_ms: 60_000,
            stages: splits
                .iter()
                .map(|split| Stage {
                    split: *split,
                    at_least_ms: 30_000,
                    at_least_requests: 0,
                    needs_operator: false,
                })
                .collect(),
            bake_ms: 1_500,
            keep_previous_ms: 900_000,
            preserve_state: true,
            why: because("configured", ""),
        }
    }

    #[test]
    fn the_plan_is_the_configured_one_and_says_so() {
        let plan = plan(configured(Strategy::TrafficSplitting, &[5, 50]));
        assert_eq!(
            plan.why.summary,
            "traffic-splitting at 5, 50 % as configured: warm-up 10 s, drain 60 s, bake 1500 ms"
        );
        assert_eq!(plan.why.code, "as-configured");
        assert_eq!(plan.stages.len(), 2);
        assert_eq!(
            (plan.warm_up_ms, plan.drain_ms, plan.bake_ms),
            (10_000, 60_000, 1_500)
        );
        assert!(plan.preserve_state);
    }

    #[test]
    fn a_fixed_share_is_one_stage_that_waits_for_an_operator() {
        let mut fixed = configured(Strategy::TrafficSplitting, &[10]);
        fixed.stages[0].needs_operator = true;
        let plan = plan(fixed);
        assert!(
            plan.why.summary.starts_with(
                "traffic-splitting held at 10 % until an operator acts, as configured"
            ),
            "{}",
            plan.why.summary
        );
        assert_eq!(plan.stages.len(), 1);
        assert!(plan.stages[0].needs_operator);
        // The host keeps it there; what is proposed is what an operator lets go on.
        let held = Context {
            stages: 1,
            split: 10,
            stage_elapsed_ms: 86_400_000,
            ..context(Phase::InProgress)
        };
        assert_eq!(next(&held, true).step, Step::Advance);
        assert_eq!(next(&held, false).step, Step::Wait);
    }

    #[test]
    fn a_stage_that_waits_for_an_operator_is_told() {
        let mut staged = configured(Strategy::TrafficSplitting, &[5, 25, 50]);
        staged.stages[1].needs_operator = true;
        let summary = plan(staged).why.summary;
        assert!(
            summary.starts_with("traffic-splitting at 5, 25 (then an operator acts), 50 % as"),
            "{summary}"
        );
    }

    #[test]
    fn parallel_is_planned_without_stages() {
        let plan = plan(configured(Strategy::Parallel, &[]));
        assert!(plan.why.summary.starts_with("parallel as configured"));
        assert!(plan.stages.is_empty());
    }

    #[test]
    fn a_bake_is_never_cut_short() {
        for fit in [false, true] {
            let proposal = next(&context(Phase::Baking), fit);
            assert_eq!(proposal.step, Step::Wait, "fit: {fit}");
            assert_eq!(proposal.why.code, "baking");
        }
    }

    #[test]
    fn a_stage_is_left_only_by_a_fit_candidate() {
        let staged = Context {
            stages: 6,
            stage: 1,
            split: 10,
            ..context(Phase::InProgress)
        };
        assert_eq!(next(&staged, false).step, Step::Wait);
        let proposal = next(&staged, true);
        assert_eq!(proposal.step, Step::Advance);
        assert_eq!(
            proposal.why.summary,
            "version 7 is fit at 10 %, stage 2 of 6"
        );
    }

    #[test]
    fn a_fit_listener_is_promoted_and_one_with_all_traffic_is_left_alone() {
        let listening = context(Phase::InProgress);
        assert_eq!(next(&listening, true).step, Step::Promote);
        assert_eq!(next(&listening, false).step, Step::Wait);
        let swapped = Context {
            split: 100,
            ..listening
        };
        assert_eq!(next(&swapped, true).step, Step::Wait);
    }

    #[test]
    fn nothing_moves_while_paused() {
        let paused = Context {
            paused: true,
            ..context(Phase::InProgress)
        };
        let proposal = next(&paused, true);
        assert_eq!(proposal.step, Step::Wait);
        assert_eq!(proposal.why.code, "paused");
    }

    #[test]
    fn any_setting_is_refused() {
        let check = |text| caxton_policy::settings::check::<Settings>(text, Standard::check);
        assert!(check(" { } ").is_ok());
        for settings in ["", "{}{", "[]", r#"{"speed": 1}"#] {
            assert!(check(settings).is_err(), "{settings}");
        }
    }
}
