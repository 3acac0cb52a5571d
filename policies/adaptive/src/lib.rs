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
//! - `bindings.rs` is all there is of the component model: `wit-bindgen` reads `wit/policy`, and the export exists for wasm only, so
//!   that everything else compiles and is tested natively (`cargo test -p policy-adaptive`).
//! - `lib.rs`, this file, takes arguments in and gives answers out.
//! - `settings.rs` reads the settings. The host has compared them with the schema before; what a schema cannot say, such as "the
//!   shortest is not longer than the longest", is checked here, and every problem is told at once.
//! - `plan.rs` and `step.rs` are the decisions: plain functions of what the host told. A policy has nothing else: no clock, no files,
//!   no memory from one call to the next but `state`, which this one does not need.
//!
//! It proposes and no more. The host takes no step before every rollback policy that enforces says `proceed`, keeps each stage's
//! promises itself, and takes an answer that makes no sense for a fault, with the old version serving on.

mod bindings;
mod plan;
mod settings;
mod step;

use bindings::caxton::policy::types::Explanation;
use bindings::exports::caxton::policy::{about, strategy};
use settings::Settings;

/// The policy as a component: arguments in, the decision out.
pub struct Adaptive;

impl about::Guest for Adaptive {
    fn describe() -> about::Info {
        about::Info {
            name: "adaptive".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "Plans by the traffic there was: graceful for an agent that keeps state or had no traffic, otherwise \
                    traffic-splitting in stages that each see enough requests."
                .to_owned(),
            settings_schema: settings::SCHEMA.to_owned(),
        }
    }

    fn check_settings(settings: String) -> Result<(), Vec<about::Problem>> {
        Settings::read(&settings).map(|_| ())
    }
}

impl strategy::Guest for Adaptive {
    fn begin(
        settings: String,
        context: strategy::Context,
        configured: strategy::Plan,
    ) -> Result<strategy::Plan, String> {
        let settings = Settings::read(&settings).map_err(|problems| settings::told(&problems))?;
        Ok(plan::plan(&settings, &context, configured))
    }

    fn next(
        _settings: String,
        context: strategy::Context,
        fit: bool,
        _metrics: strategy::ReloadMetrics,
        _windows: Vec<strategy::Window>,
        state: Vec<u8>,
    ) -> Result<strategy::Answer, String> {
        let (step, why) = step::next(&context, fit);
        Ok(strategy::Answer {
            step,
            why,
            next_check_ms: None,
            state,
        })
    }
}

/// A reason in words, with nothing measured behind it.
fn because(code: &str, summary: String) -> Explanation {
    Explanation {
        code: code.to_owned(),
        summary,
        findings: Vec::new(),
    }
}
