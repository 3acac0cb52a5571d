//! A strategy policy that does what its settings say, right or wrong: `{ "fault": "trap" }`.
//!
//! In `begin`: begin-trap, begin-loop, begin-allocate, begin-error, begin-nan, begin-nonsense (a plan that no agent can follow).
//! In `next`: trap, loop, wait (for a clock that stands still), allocate, error, nan, big-state, split-over, split-100, raise
//! (more traffic, whatever the evidence), flip-flop (more traffic where there is little, less where there is more), promote,
//! advance, hold; and no fault: log-flood. Otherwise, and without settings, the configured plan and `wait`.

mod bindings;

use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bindings::caxton::policy::log;
use bindings::caxton::policy::types::{Explanation, Finding};
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
            "begin-allocate" => allocate_without_end(),
            "begin-nan" => {
                let mut plan = configured;
                plan.why.findings.push(not_a_number());
                Ok(plan)
            }
            "begin-error" => Err("was asked to fail".to_owned()),
            "begin-nonsense" => Ok(nonsense(configured)),
            _ => Ok(configured),
        }
    }

    fn next(
        settings: String,
        context: strategy::Context,
        _fit: bool,
        _metrics: strategy::ReloadMetrics,
        _windows: Vec<strategy::Window>,
        state: Vec<u8>,
    ) -> Result<Answer, String> {
        let word = fault(&settings);
        let mut answer = Answer {
            step: step(word, context.split),
            why: Explanation {
                code: "asked".to_owned(),
                summary: format!("was asked for `{word}`"),
                findings: Vec::new(),
            },
            next_check_ms: None,
            state,
        };
        match word {
            "trap" => std::process::abort(),
            "loop" => run_for_ever(),
            "wait" => wait_for_ever(),
            "allocate" => allocate_without_end(),
            "error" => return Err("was asked to fail".to_owned()),
            "nan" => answer.why.findings.push(not_a_number()),
            "big-state" => answer.state = vec![7; 8 << 20],
            "log-flood" => {
                (0..10_000).for_each(|_| log::write(log::Level::Info, &"flood ".repeat(1000)))
            }
            _ => {}
        }
        Ok(answer)
    }
}

fn step(word: &str, split: u8) -> Step {
    match word {
        "split-over" => Step::SetSplit(200),
        "split-100" => Step::SetSplit(100),
        "raise" => Step::SetSplit(90),
        "flip-flop" if split < 30 => Step::SetSplit(30),
        "flip-flop" => Step::SetSplit(5),
        "promote" => Step::Promote,
        "advance" => Step::Advance,
        "hold" => Step::Hold("was asked to hold".to_owned()),
        _ => Step::Wait,
    }
}

fn not_a_number() -> Finding {
    Finding {
        metric: "nothing".to_owned(),
        observed: f64::NAN,
        limit: f64::INFINITY,
        sample: 0,
        statistic: "threshold".to_owned(),
        value: f64::NAN,
        breached: false,
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

/// No sleep takes time and the clock stands still, so the hour never passes.
fn wait_for_ever() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60 * 60) {
        sleep(Duration::from_secs(1));
    }
}

fn allocate_without_end() -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}
