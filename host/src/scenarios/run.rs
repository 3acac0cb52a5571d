//! A policy is asked what a scenario asks.

use caxton_rollout::{Fault, Phase, Plan, ReloadSettings, Strategy};
use caxton_runtime::policy::{Call, Policy, PolicyKind, PolicyLog};

use super::expect::{Decision, Difference, Said, differences};
use super::file::Scenario;
use super::play::{Play, Question, configured};

/// What came of one scenario.
#[derive(Debug)]
pub struct Ran {
    /// What the policy said, tick by tick. After a rollback it is not asked any more, as in a reload.
    pub said: Vec<Said>,
    /// Where that is not what was expected.
    pub differences: Vec<Difference>,
    /// Why it could not be asked to the end.
    pub stopped: Option<Stopped>,
}

/// Why a scenario was not run to its end.
#[derive(Debug)]
pub enum Stopped {
    /// The policy, or the host, does not take the scenario's settings or plan.
    Refused(String),
    /// The policy was at fault.
    Fault {
        /// From 1; 0 where it was asked to begin.
        tick: u64,
        /// How.
        fault: Fault,
        /// What it said before.
        log: PolicyLog,
    },
}

impl Ran {
    /// Whether everything was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty() && self.stopped.is_none()
    }
}

/// Runs one scenario.
pub async fn run(policy: &Policy, scenario: &Scenario) -> Ran {
    let settings = serde_json::Value::Object(scenario.settings.clone()).to_string();
    let mut said = Vec::new();
    let asked = match policy.check_settings(&settings).await {
        Err(refused) => Err(Stopped::Refused(refused.to_string())),
        Ok(()) => match policy.kind() {
            PolicyKind::Rollback => verdicts(policy, &settings, scenario, &mut said).await,
            PolicyKind::Strategy => steps(policy, &settings, scenario, &mut said).await,
        },
    };
    let stopped = asked.err();
    Ran {
        // What was not said cannot differ.
        differences: match stopped {
            Some(_) => Vec::new(),
            None => differences(&scenario.expect, &scenario.expected(), &said),
        },
        said,
        stopped,
    }
}

async fn verdicts(
    policy: &Policy,
    settings: &str,
    scenario: &Scenario,
    said: &mut Vec<Said>,
) -> Result<(), Stopped> {
    let mut play = Play::of(scenario);
    let mut state = Vec::new();
    while let Some(question) = play.tick() {
        let Question {
            tick,
            context,
            metrics,
            ..
        } = question;
        let call = policy.evaluate(settings, &context, &metrics, play.windows(), &state);
        let answer = answered(call.await, tick)?;
        let answered = Said::verdict(tick, &answer);
        state = answer.state;
        let ends = answered.decision == Decision::Rollback;
        said.push(answered);
        if ends {
            break;
        }
    }
    Ok(())
}

async fn steps(
    policy: &Policy,
    settings: &str,
    scenario: &Scenario,
    said: &mut Vec<Said>,
) -> Result<(), Stopped> {
    let refused = |message: String| Stopped::Refused(message);
    let configured = configured(scenario, &default_plan(scenario))
        .map_err(|problem| refused(format!("{}: {}", problem.field, problem.message)))?;
    let mut play = Play::of(scenario);
    let Some(first) = scenario.ticks.first() else {
        return Ok(());
    };
    let mut beginning = first.context.clone();
    (beginning.phase, beginning.split) = (Phase::Starting, 0);
    (beginning.elapsed_ms, beginning.stage_elapsed_ms) = (0, 0);
    let plan = answered(policy.begin(settings, &beginning, &configured).await, 0)?;
    play.begin(plan);
    let mut state = Vec::new();
    while let Some(question) = play.tick() {
        let Question {
            tick,
            context,
            metrics,
            fit,
        } = question;
        let call = policy.next(settings, &context, fit, &metrics, play.windows(), &state);
        let answer = answered(call.await, tick)?;
        said.push(Said::step(tick, &answer));
        play.step(&answer.step, fit);
        state = answer.state;
    }
    Ok(())
}

fn answered<T>(call: Call<T>, tick: u64) -> Result<T, Stopped> {
    let log = call.log;
    call.answer
        .map_err(|fault| Stopped::Fault { tick, fault, log })
}

/// The host's defaults, for the strategy that the scenario's traffic speaks of.
fn default_plan(scenario: &Scenario) -> Plan {
    let settings = ReloadSettings::default();
    let context = scenario.ticks.first().map(|tick| &tick.context);
    let strategy = match context.map(|context| context.split) {
        Some(0) => Strategy::Parallel,
        Some(1..=99) => Strategy::TrafficSplitting,
        _ => Strategy::Graceful,
    };
    Plan {
        strategy,
        warm_up: settings.warm_up.unwrap_or_default(),
        drain: settings.drain_timeout,
        stages: match strategy {
            Strategy::TrafficSplitting => settings.stages,
            _ => Vec::new(),
        },
        bake: settings.bake,
        keep_previous: settings.keep_previous,
        preserve_state: settings.preserve_state,
        why: caxton_rollout::Explanation {
            code: "as-configured".to_owned(),
            ..caxton_rollout::Explanation::default()
        },
    }
}
