//! What is taken, what is cut and what is refused, bound by bound.

use super::*;

fn why() -> wit::Explanation {
    wit::Explanation {
        code: "error-rate".to_owned(),
        summary: "7 of 20 failed".to_owned(),
        findings: vec![finding(35.0)],
    }
}

fn finding(observed: f64) -> wit::Finding {
    wit::Finding {
        metric: "error-rate".to_owned(),
        observed,
        limit: 5.0,
        sample: 20,
        statistic: "threshold".to_owned(),
        value: observed,
        breached: true,
    }
}

fn verdict(verdict: rollback::Verdict, why: wit::Explanation) -> rollback::Answer {
    rollback::Answer {
        verdict,
        why,
        state: vec![1, 2, 3],
    }
}

fn step(step: strategy::Step) -> strategy::Answer {
    strategy::Answer {
        step,
        why: why(),
        next_check_ms: None,
        state: Vec::new(),
    }
}

fn graceful() -> strategy::Plan {
    strategy::Plan {
        strategy: wit::Strategy::Graceful,
        warm_up_ms: 10_000,
        drain_ms: 60_000,
        stages: Vec::new(),
        bake_ms: 300_000,
        keep_previous_ms: 900_000,
        preserve_state: true,
        why: why(),
    }
}

fn splitting(splits: &[u8]) -> strategy::Plan {
    let stage = |&split: &u8| strategy::Stage {
        split,
        at_least_ms: 1_000,
        at_least_requests: 0,
        needs_operator: false,
    };
    strategy::Plan {
        strategy: wit::Strategy::TrafficSplitting,
        stages: splits.iter().map(stage).collect(),
        ..graceful()
    }
}

#[test]
fn a_good_answer_passes_unchanged() {
    let answer = verdict(
        rollback::Verdict::Rollback(rollback::Blame::Candidate),
        why(),
    );
    let (answer, notes) = rollback_answer(answer, &[]).unwrap();
    assert_eq!(answer.verdict, Verdict::Rollback(Blame::Candidate));
    assert_eq!(answer.why.code, "error-rate");
    assert_eq!(answer.why.summary, "7 of 20 failed");
    assert_eq!(answer.why.findings.len(), 1);
    assert_eq!(answer.state, [1, 2, 3]);
    assert_eq!(notes, [""; 0]);
}

/// Everything that can be wrong with what verdicts have in common.
fn wrong_verdicts(kind: rollback::Verdict) -> Vec<(&'static str, rollback::Answer)> {
    let explained = |why| verdict(kind, why);
    vec![
        (
            "not finite",
            explained(wit::Explanation {
                findings: vec![finding(f64::NAN), finding(35.0)],
                ..why()
            }),
        ),
        (
            "65 findings",
            explained(wit::Explanation {
                findings: vec![finding(35.0); 65],
                ..why()
            }),
        ),
        (
            "the code \"Error Rate\"",
            explained(wit::Explanation {
                code: "Error Rate".to_owned(),
                ..why()
            }),
        ),
        (
            "the code \"\"",
            explained(wit::Explanation {
                code: String::new(),
                ..why()
            }),
        ),
        (
            "a state of 65537 bytes",
            rollback::Answer {
                state: vec![0; 65_537],
                ..explained(why())
            },
        ),
    ]
}

#[test]
fn towards_danger_nonsense_is_refused() {
    for kind in [rollback::Verdict::Proceed, rollback::Verdict::Undecided] {
        for (expected, answer) in wrong_verdicts(kind) {
            let nonsense = rollback_answer(answer, &[]).unwrap_err();
            assert!(nonsense.contains(expected), "{nonsense}");
        }
    }
}

#[test]
fn towards_safety_nonsense_is_honoured_with_a_note() {
    let before = [9, 9];
    for kind in [
        rollback::Verdict::Hold,
        rollback::Verdict::Rollback(rollback::Blame::Unknown),
    ] {
        for (expected, answer) in wrong_verdicts(kind) {
            let (answer, notes) = rollback_answer(answer, &before).unwrap();
            assert!(matches!(
                answer.verdict,
                Verdict::Hold | Verdict::Rollback(Blame::Unknown)
            ));
            assert!(
                notes.iter().any(|note| note.contains(expected)),
                "{notes:?}"
            );
            assert!(answer.why.findings.len() <= 64);
            assert!(answer.why.findings.iter().all(|f| f.observed.is_finite()));
            assert!(answer.state == before || answer.state == [1, 2, 3]);
        }
    }
}

#[test]
fn a_summary_that_is_too_long_is_cut_whatever_the_verdict() {
    let long = wit::Explanation {
        summary: "é".repeat(1_000),
        ..why()
    };
    let (answer, notes) = rollback_answer(verdict(rollback::Verdict::Proceed, long), &[]).unwrap();
    assert_eq!(answer.why.summary.len(), SENTENCE_BYTES_MAX);
    assert_eq!(notes.len(), 1);
}

#[test]
fn a_summary_stays_on_its_line() {
    let two = wit::Explanation {
        summary: "one\ntwo\u{1b}[31m".to_owned(),
        ..why()
    };
    let (answer, _) = rollback_answer(verdict(rollback::Verdict::Proceed, two), &[]).unwrap();
    assert_eq!(answer.why.summary, "one two [31m");
}

#[test]
fn a_share_that_is_all_or_more_is_refused() {
    for share in [100, 101, 200, 255] {
        let nonsense = strategy_answer(step(strategy::Step::SetSplit(share)), 50, &[]).unwrap_err();
        assert!(nonsense.contains(&share.to_string()), "{nonsense}");
    }
    let (answer, _) = strategy_answer(step(strategy::Step::SetSplit(99)), 50, &[]).unwrap();
    assert_eq!(answer.step, Step::SetSplit(99));
}

#[test]
fn a_smaller_share_is_honoured_whatever_is_said_about_it() {
    let answer = |share| strategy::Answer {
        why: wit::Explanation {
            findings: vec![finding(f64::INFINITY)],
            ..why()
        },
        ..step(strategy::Step::SetSplit(share))
    };
    let (taken, notes) = strategy_answer(answer(10), 50, &[]).unwrap();
    assert_eq!(taken.step, Step::SetSplit(10));
    assert_eq!(notes.len(), 1);
    assert!(strategy_answer(answer(60), 50, &[]).is_err());
}

#[test]
fn a_policy_cannot_ask_never_to_be_asked_again() {
    let answer = strategy::Answer {
        next_check_ms: Some(u64::MAX),
        ..step(strategy::Step::Wait)
    };
    let (answer, notes) = strategy_answer(answer, 0, &[]).unwrap();
    assert_eq!(answer.next_check, Some(NEXT_CHECK_MAX));
    assert_eq!(notes.len(), 1);
}

#[test]
fn a_plan_at_its_bounds_is_taken() {
    let at_bounds = strategy::Plan {
        warm_up_ms: 30 * 60 * 1_000,
        drain_ms: 30 * 60 * 1_000,
        bake_ms: 24 * 60 * 60 * 1_000,
        keep_previous_ms: 24 * 60 * 60 * 1_000,
        preserve_state: false,
        ..splitting(&[1, 50, 99])
    };
    let (taken, notes) = plan(at_bounds, true).unwrap();
    assert_eq!(taken.warm_up, SHORT_MAX);
    assert_eq!(taken.bake, LONG_MAX);
    assert_eq!(taken.stages.len(), 3);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn a_plan_beyond_its_bounds_names_the_bound() {
    let rising: Vec<u8> = (1..=33).collect();
    for (expected, stateful, wrong) in [
        (
            "warm-up-ms",
            false,
            strategy::Plan {
                warm_up_ms: 1_800_001,
                ..graceful()
            },
        ),
        (
            "drain-ms",
            false,
            strategy::Plan {
                drain_ms: u64::MAX,
                ..graceful()
            },
        ),
        (
            "bake-ms",
            false,
            strategy::Plan {
                bake_ms: 86_400_001,
                ..graceful()
            },
        ),
        (
            "keep-previous-ms",
            false,
            strategy::Plan {
                keep_previous_ms: 86_400_001,
                ..graceful()
            },
        ),
        ("without a stage", false, splitting(&[])),
        (
            "a strategy that has none",
            false,
            strategy::Plan {
                stages: splitting(&[5]).stages,
                ..graceful()
            },
        ),
        ("stage 0 with a split of 0", false, splitting(&[0])),
        ("stage 1 with a split of 100", false, splitting(&[50, 100])),
        (
            "stage 1 with a split of 50 per cent after one of 50",
            false,
            splitting(&[50, 50]),
        ),
        ("33 stages", false, splitting(&rising)),
        ("keeps state", true, splitting(&[5])),
    ] {
        let nonsense = plan(wrong, stateful).unwrap_err();
        assert!(nonsense.contains(expected), "{expected}: {nonsense}");
    }
}

#[test]
fn a_description_is_cut_to_what_is_shown() {
    let taken = info(wit::Info {
        name: "n".repeat(500),
        version: "1".to_owned(),
        about: "does\nthings".to_owned(),
        settings_schema: r#"{"type":"object"}"#.to_owned(),
    });
    assert_eq!(taken.name.len(), NAME_BYTES_MAX);
    assert_eq!(taken.about, "does things");
}

#[test]
fn settings_are_never_refused_without_a_problem() {
    assert_eq!(problems(&[]).len(), 1);
    let many = vec![
        wit::Problem {
            path: "/a".to_owned(),
            message: "m".repeat(5_000),
        };
        100
    ];
    let taken = problems(&many);
    assert_eq!(taken.len(), PROBLEMS_MAX);
    assert!(
        taken
            .iter()
            .all(|problem| problem.message.len() == SENTENCE_BYTES_MAX)
    );
}
