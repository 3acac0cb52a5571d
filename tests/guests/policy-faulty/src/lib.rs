//! A rollback policy that does what its settings say, right or wrong: `{ "fault": "trap" }`.
//!
//! Verdicts: proceed (also without settings), undecided, hold, rollback (which blames the candidate), rollback-unknown,
//! rollback-environment, and mismatched, which goes back from a version that answered a copy otherwise than the stable one
//! answered the request, and is undecided until then. Faults: trap, loop, wait (for a clock that stands still), allocate,
//! error, big-state, nan; in `check-settings`: check-trap, check-loop, check-problem. No faults: slow (an hour of sleep is over at once),
//! log-flood.

mod bindings;

use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bindings::caxton::policy::log;
use bindings::caxton::policy::types::{Explanation, Finding};
use bindings::exports::caxton::policy::{about, rollback};
use rollback::{Answer, Blame, Verdict};

/// The policy.
pub struct Faulty;

impl about::Guest for Faulty {
    fn describe() -> about::Info {
        about::Info {
            name: "policy-faulty".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "Does what its settings say, right or wrong.".to_owned(),
            settings_schema: r#"{"type":"object","properties":{"fault":{"type":"string"}},"additionalProperties":false}"#.to_owned(),
        }
    }

    fn check_settings(settings: String) -> Result<(), Vec<about::Problem>> {
        match fault(&settings) {
            "check-trap" => std::process::abort(),
            "check-loop" => run_for_ever(),
            "check-problem" => Err(vec![about::Problem {
                path: "/fault".to_owned(),
                message: "was asked to be wrong".to_owned(),
            }]),
            _ => Ok(()),
        }
    }
}

impl rollback::Guest for Faulty {
    fn evaluate(
        settings: String,
        _context: rollback::Context,
        _metrics: rollback::ReloadMetrics,
        windows: Vec<rollback::Window>,
        state: Vec<u8>,
    ) -> Result<Answer, String> {
        let fault = fault(&settings);
        let mut answer = answer(fault, state);
        match fault {
            "trap" => std::process::abort(),
            "loop" => run_for_ever(),
            "wait" => wait_for_ever(),
            "allocate" => allocate_without_end(),
            "slow" => sleep(Duration::from_secs(60 * 60)),
            "error" => return Err("was asked to fail".to_owned()),
            "log-flood" => {
                (0..10_000).for_each(|_| log::write(log::Level::Info, &"flood ".repeat(1000)))
            }
            "big-state" => answer.state = vec![7; 8 << 20],
            "mismatched" if windows.iter().all(|w| w.mirrored_mismatches == 0) => {
                answer.verdict = Verdict::Undecided;
            }
            "nan" => answer.why.findings.push(not_a_number()),
            _ => {}
        }
        Ok(answer)
    }
}

fn answer(word: &str, state: Vec<u8>) -> Answer {
    let verdict = match word {
        "rollback" | "mismatched" => Verdict::Rollback(Blame::Candidate),
        "rollback-unknown" => Verdict::Rollback(Blame::Unknown),
        "rollback-environment" => Verdict::Rollback(Blame::Environment),
        "hold" => Verdict::Hold,
        "undecided" => Verdict::Undecided,
        _ => Verdict::Proceed,
    };
    Answer {
        verdict,
        why: Explanation {
            code: "asked".to_owned(),
            summary: format!("was asked for `{word}`"),
            findings: Vec::new(),
        },
        state,
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
