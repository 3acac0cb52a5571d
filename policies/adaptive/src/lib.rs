//! The strategy policy `adaptive`: an example of a policy of your own. It plans by the traffic that the agent had lately.
//!
//! | the agent | how a new version comes in |
//! |---|---|
//! | keeps state | graceful: two versions cannot both have its state |
//! | had no traffic lately | graceful, without warm-up: nobody waits, and a split would show nothing |
//! | any other | traffic-splitting, in stages that each see about `requests_per_stage` requests |
//!
//! A stage at a small share sees few requests, so the less traffic there is, the longer it takes to show anything. Shares at which it
//! would take longer than `longest_stage_seconds` are left out: a busy agent goes through many short stages, a quiet one through
//! one or two long ones. What the configuration says about warm-up, drain, bake and how long the old version is kept stays.
//!
//! It is not in the binary. Build it, copy it to where the host looks for policies, and name it in an agent's NAME.toml:
//!
//! ```text
//! cargo build -p policy-adaptive --release --target wasm32-wasip2
//! cp target/wasm32-wasip2/release/policy_adaptive.wasm policies/adaptive.wasm
//!
//! [reload]
//! policy = "adaptive"
//! policy_settings = { requests_per_stage = 100, shares = [10, 50] }
//! ```
//!
//! To write one like it, keep what is around it and change what it decides:
//!
//! - `lib.rs`, this file, says what the policy is. `caxton-policy` does the rest: it exports it for wasm only, so that everything
//!   compiles and is tested natively (`cargo test -p policy-adaptive`).
//! - `settings.rs` has the settings as a type, which the schema is made from. The host compares settings with it; what a schema cannot
//!   say, such as "the shortest is not longer than the longest", is checked there, and every problem is told at once.
//! - `plan.rs` and `step.rs` are the decisions: plain functions of what the host told. A policy has nothing else: no clock, no files,
//!   no memory from one call to the next but its state, which this one does not need.
//!
//! It proposes and no more. The host takes no step before every rollback policy that enforces says `proceed`, keeps each stage's
//! promises itself, and takes an answer that makes no sense for a fault, with the old version serving on.

mod plan;
mod settings;
mod step;

use caxton_policy::{Context, Plan, Problems, Proposal, Reload, StrategyPolicy};
pub use settings::Settings;

/// The policy.
pub struct Adaptive;

impl StrategyPolicy for Adaptive {
    const NAME: &'static str = "adaptive";
    const ABOUT: &'static str = "Plans by the traffic there was: graceful for an agent that keeps state or had no traffic, otherwise \
                                 traffic-splitting in stages that each see enough requests.";
    type Settings = Settings;
    type State = ();

    fn check(settings: &Settings, problems: &mut Problems) {
        settings.check(problems);
    }

    fn begin(settings: &Settings, context: &Context, configured: Plan) -> Plan {
        plan::plan(settings, context, configured)
    }

    fn next(_settings: &Settings, reload: &Reload<'_>, fit: bool, _state: &mut ()) -> Proposal {
        step::next(reload.context, fit)
    }
}

caxton_policy::strategy_policy!(Adaptive);
