//! The rollback policy `thresholds`: five triggers, each a figure and a limit, judged on what was measured.
//!
//! It looks at the candidate's windows since it got traffic, without those of its warm-up, and compares their sums with fixed
//! limits. Rates count only from a minimum sample on, so that one failure of one call decides nothing. It deliberately does
//! no statistics: whether a difference could be chance is another policy's question.

mod bindings;
mod decision;
mod evidence;
mod settings;
mod words;

use bindings::exports::caxton::policy::{about, rollback};
use settings::Settings;

/// The policy as a component: arguments in, the decision out.
pub struct Thresholds;

impl about::Guest for Thresholds {
    fn describe() -> about::Info {
        about::Info {
            name: "thresholds".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "Goes back when a measured figure is beyond its limit: failed health checks, error rate, slowdown against \
                    the stable version, memory, or a metric that the agent reports."
                .to_owned(),
            settings_schema: settings::SCHEMA.to_owned(),
        }
    }

    fn check_settings(settings: String) -> Result<(), Vec<about::Problem>> {
        Settings::read(&settings).map(|_| ())
    }
}

impl rollback::Guest for Thresholds {
    fn evaluate(
        settings: String,
        context: rollback::Context,
        _metrics: rollback::ReloadMetrics,
        windows: Vec<rollback::Window>,
        _state: Vec<u8>,
    ) -> Result<rollback::Answer, String> {
        let settings = Settings::read(&settings).map_err(|problems| {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect();
            lines.join("; ")
        })?;
        let (verdict, why) = decision::decide(&settings, context.baseline.as_ref(), &windows);
        Ok(rollback::Answer {
            verdict,
            why,
            state: Vec::new(),
        })
    }
}
