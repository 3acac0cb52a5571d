//! The strategy policy `standard`: a new version comes in as the agent's configuration says.
//!
//! It adds no judgement of its own. The plan is the configured one, and whenever every rollback policy finds the candidate fit, the
//! next planned step is proposed. How long a stage or a bake lasts, and where an operator must act, stands in the plan and is kept
//! by the host; this policy never asks for less, so it does not need to remember anything.
//!
//! A fixed share (`progressive = false`) comes as a plan of one stage with `needs-operator`: the host stays there until an operator
//! says `resume`, `promote` or `set-split`, whatever is proposed here.

mod bindings;
mod decision;

use bindings::exports::caxton::policy::{about, strategy};

/// The policy as a component: arguments in, the decision out.
pub struct Standard;

impl about::Guest for Standard {
    fn describe() -> about::Info {
        about::Info {
            name: "standard".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "Brings a new version in as the agent's configuration says, one planned step whenever the version is found fit."
                .to_owned(),
            settings_schema: r#"{"type":"object","properties":{},"additionalProperties":false}"#.to_owned(),
        }
    }

    fn check_settings(settings: String) -> Result<(), Vec<about::Problem>> {
        decision::check_settings(&settings)
    }
}

impl strategy::Guest for Standard {
    fn begin(
        _settings: String,
        _context: strategy::Context,
        configured: strategy::Plan,
    ) -> Result<strategy::Plan, String> {
        Ok(decision::plan(configured))
    }

    fn next(
        _settings: String,
        context: strategy::Context,
        fit: bool,
        _metrics: strategy::ReloadMetrics,
        _windows: Vec<strategy::Window>,
        state: Vec<u8>,
    ) -> Result<strategy::Answer, String> {
        let (step, why) = decision::next(&context, fit);
        Ok(strategy::Answer {
            step,
            why,
            next_check_ms: None,
            state,
        })
    }
}
