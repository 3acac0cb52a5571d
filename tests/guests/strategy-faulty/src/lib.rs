//! A strategy policy that does what its settings say, right or wrong: `{ "fault": "trap" }`.
//!
//! In `begin`: begin-trap, begin-loop, begin-error, begin-nonsense (a plan that no agent can follow). In `next`: trap, loop,
//! allocate, error, split-over, promote, advance, hold. Otherwise, and without settings, the configured plan and `wait`.

mod bindings;

use std::hint::black_box;

use bindings::caxton::policy::types::Explanation;
use bindings::exports::caxton::policy::{about, strategy};
use strategy::{Answer, Plan, Stage, Step};

/// The policy.
pub struct Faulty;

impl about::Guest for Faulty {
    fn describe() -> about::Info {
        about::Info {
            name: "strategy-faulty".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "Does what its settings say, right or wrong.".to_owned(),
            settings_schema: r#"{"type":"object","properties":{"fault":{"type":"string"}},"additionalProperties":false}"#.to_owned(),
        }
    }

    fn check_settings(_settings: String) -> Result<(), Vec<about::Problem>> {
        Ok(())
    }
}

impl strategy::Guest for Faulty {
    fn begin(
        settings: String,
        _context: strategy::Context,
        configured: Plan,
    ) -> Result<Plan, String> {
        match fault(&settings) {
            "begin-trap" => std::process::abort(),
            "begin-loop" => run_for_ever(),
            "begin-error" => Err("was asked to fail".to_owned()),
            "begin-nonsense" => Ok(nonsense(configured)),
            _ => Ok(configured),
        }
    }

    fn next(
        settings: String,
        _context: strategy::Context,
        _fit: bool,
        _metrics: strategy::ReloadMetrics,
        _windows: Vec<strategy::Window>,
        state: Vec<u8>,
    ) -> Result<Answer, String> {
        let word = fault(&settings);
        let step = match word {
            "trap" => std::process::abort(),
            "loop" => run_for_ever(),
            "allocate" => allocate_without_end(),
            "error" => return Err("was asked to fail".to_owned()),
            "split-over" => Step::SetSplit(200),
            "promote" => Step::Promote,
            "advance" => Step::Advance,
            "hold" => Step::Hold("was asked to hold".to_owned()),
            _ => Step::Wait,
        };
        Ok(Answer {
            step,
            why: Explanation {
                code: "asked".to_owned(),
                summary: format!("was asked for `{word}`"),
                findings: Vec::new(),
            },
            next_check_ms: None,
            state,
        })
    }
}

/// Stages for any strategy, beyond all traffic and falling, and times without end.
fn nonsense(configured: Plan) -> Plan {
    let stage = |split| Stage {
        split,
        at_least_ms: u64::MAX,
        at_least_requests: u64::MAX,
        needs_operator: false,
    };
    Plan {
        warm_up_ms: u64::MAX,
        bake_ms: u64::MAX,
        stages: vec![stage(200), stage(0)],
        ..configured
    }
}

/// The word in `{"fault": "word"}`: between the third quotation mark and the fourth.
fn fault(settings: &str) -> &str {
    settings.split('"').nth(3).unwrap_or_default()
}

fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate_without_end() -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}
