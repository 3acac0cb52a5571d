//! Files that are right and wrong, what is asked for them, and what is made of answers.

use caxton_rollout::{Blame, MAX_WINDOWS, Phase};
use caxton_runtime::policy::{PolicyLimits, PolicyRuntime};
use expect_test::{Expect as Snapshot, expect};
use serde_json::{Value, json};

use super::*;

fn scenario(fields: Value) -> Result<Scenario, ScenarioError> {
    let mut scenario =
        json!({ "id": "S1", "expect": { "never": "rollback" }, "ticks": [[0, 1, 0, 0]] });
    for (key, value) in fields.as_object().unwrap() {
        scenario[key] = value.clone();
    }
    let file = json!({ "format": FORMAT, "tick_ms": 5000, "scenarios": [scenario] });
    parse("a.json", &file.to_string()).map(|mut list| list.remove(0))
}

#[track_caller]
fn refused(fields: Value, right: Snapshot) {
    right.assert_eq(&scenario(fields).unwrap_err().to_string());
}

#[track_caller]
fn file_refused(text: &str, right: Snapshot) {
    right.assert_eq(&parse("a.json", text).unwrap_err().to_string());
}

/// Everything that is asked: tick, phase, split, elapsed, in the stage, and the last window.
fn asked(scenario: &Scenario) -> Vec<(u64, Phase, u8, u64, u64, caxton_rollout::Window)> {
    let mut play = Play::of(scenario);
    let mut all = Vec::new();
    while let Some(Question { tick, context, .. }) = play.tick() {
        all.push((
            tick,
            context.phase,
            context.split,
            context.elapsed_ms,
            context.stage_elapsed_ms,
            play.windows().last().unwrap().clone(),
        ));
    }
    all
}

#[test]
fn four_numbers_are_a_window() {
    let scenario = scenario(json!({
        "ticks": [[1, 10, 2, 30], [0, 5, 0, 0]],
        "baseline": { "failures": 5, "requests": 1000 },
    }))
    .unwrap();
    let asked = asked(&scenario);
    let (tick, phase, split, elapsed, stage, window) = asked[0].clone();
    assert_eq!((tick, phase, split), (1, Phase::InProgress, 50));
    assert_eq!((elapsed, stage), (5_000, 5_000));
    assert_eq!((window.start_ms, window.end_ms), (0, 5_000));
    assert_eq!((window.split_wanted, window.split_actual), (50, Some(25.0)));
    let arm = window.candidate.unwrap();
    assert_eq!((arm.failures, arm.requests), (1, 10));
    let arm = window.stable.unwrap();
    assert_eq!((arm.failures, arm.requests), (2, 30));
    assert_eq!((asked[1].3, asked[1].5.start_ms), (10_000, 5_000));

    let mut play = Play::of(&scenario);
    play.tick();
    let Question {
        metrics, context, ..
    } = play.tick().unwrap();
    assert_eq!(
        (metrics.requests_processed, metrics.requests_failed),
        (15, 1)
    );
    assert_eq!(metrics.traffic_split_actual, Some(15.0 * 100.0 / 45.0));
    let baseline = context.baseline.unwrap().stable.unwrap();
    assert_eq!((baseline.failures, baseline.requests), (5, 1_000));
    assert!(play.tick().is_none());
}

#[test]
fn without_stable_traffic_the_candidate_has_all_of_it() {
    let alone = scenario(json!({})).unwrap();
    let (_, phase, split, ..) = asked(&alone)[0].clone();
    assert_eq!((phase, split), (Phase::InProgress, 100));
    let listens = scenario(json!({ "ticks": [{ "mirrored": { "requests": 3 } }] })).unwrap();
    let (_, phase, split, .., window) = asked(&listens)[0].clone();
    assert_eq!((phase, split), (Phase::InProgress, 0));
    assert_eq!(
        (window.candidate, window.mirrored.unwrap().requests),
        (None, 3)
    );
}

#[test]
fn a_tick_is_an_object_with_the_names_of_the_contract() {
    let scenario = scenario(json!({
        "context": { "agent": "hello", "split": 25, "candidate": { "size": 7 }, "stateful": true },
        "ticks": [
            {
                "end-ms": 2000,
                "stable": { "requests": 30 },
                "candidate": {
                    "requests": 10, "failures": 1, "latency-total-us": 9000,
                    "latency": [{ "up-to-us": 1000, "count": 4 }, { "up-to-us": 60000, "count": 9 }],
                    "custom": [
                        { "name": "b", "value": { "ratio": [1, 10] } },
                        { "name": "a", "value": { "missing": { "stale": 500 } } },
                    ],
                    "callers": 4, "failing-callers": 1,
                },
            },
            { "candidate": { "requests": 1, "callers": 1 }, "context": { "phase": "baking", "split": 100 } },
            [0, 1, 0, 0],
        ],
    }))
    .unwrap();
    let asked = asked(&scenario);
    let arm = asked[0].5.candidate.clone().unwrap();
    let count = |bound: u64| {
        arm.latency
            .iter()
            .find(|b| b.up_to_us == bound)
            .unwrap()
            .count
    };
    assert_eq!(
        [500, 1_000, 50_000, 75_000, u64::MAX].map(count),
        [0, 4, 4, 9, 10]
    );
    let names: Vec<&str> = arm
        .custom
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"], "sorted, as the contract says");
    let standing = |at: usize| (asked[at].1, asked[at].2, asked[at].3, asked[at].4);
    assert_eq!(standing(0), (Phase::InProgress, 25, 2_000, 2_000));
    assert_eq!(standing(1), (Phase::Baking, 100, 7_000, 5_000));
    assert_eq!(standing(2), (Phase::Baking, 100, 12_000, 10_000));
    assert_eq!(asked[2].5.split_wanted, 100);

    let mut play = Play::of(&scenario);
    let first = play.tick().unwrap();
    assert_eq!(first.context.agent, "hello");
    assert_eq!(
        (
            first.context.candidate.size,
            first.context.candidate.number.get()
        ),
        (7, 2)
    );
    assert!(first.context.stateful);
    play.tick();
    let last = play.tick().unwrap().metrics;
    assert_eq!((last.callers, last.failing_callers), (4, 1));
    assert_eq!(
        last.traffic_split_actual,
        Some(100.0),
        "since the share changed"
    );
}

#[test]
fn long_courses_are_merged_as_the_core_merges_them() {
    let ticks: Vec<Value> = (0..300).map(|_| json!([0, 2, 0, 0])).collect();
    let scenario = scenario(json!({ "ticks": ticks })).unwrap();
    let mut play = Play::of(&scenario);
    let mut last = None;
    while let Some(question) = play.tick() {
        last = Some(question);
    }
    assert_eq!(play.windows().len(), MAX_WINDOWS);
    let sum: u64 = play
        .windows()
        .iter()
        .flat_map(|w| &w.candidate)
        .map(|arm| arm.requests)
        .sum();
    assert_eq!((sum, last.unwrap().metrics.requests_processed), (600, 600));
}

#[test]
fn a_wrong_file_says_where() {
    file_refused(
        "{",
        expect!["a.json: it is not JSON: EOF while parsing an object at line 1 column 1"],
    );
    file_refused(
        "[]",
        expect![[
            r#"a.json, format: it is missing: a scenario file begins with "format": "caxton-scenarios/1""#
        ]],
    );
    file_refused(
        r#"{"format": "caxton-scenarios/2", "scenarios": []}"#,
        expect![[
            r#"a.json, format: it is "caxton-scenarios/2", and "caxton-scenarios/1" is what can be read"#
        ]],
    );
    file_refused(
        r#"{"format": "caxton-scenarios/1", "scenarios": []}"#,
        expect!["a.json, scenarios: there are none"],
    );
    file_refused(
        r#"{"format": "caxton-scenarios/1", "tick": 5, "scenarios": [{}]}"#,
        expect![
            "a.json, tick: unknown field `tick`, expected one of `format`, `note`, `tick_ms`, `ticks_are`, `scenarios`"
        ],
    );
    file_refused(
        r#"{"format": "caxton-scenarios/1", "ticks_are": ["requests", "failures"], "scenarios": [{}]}"#,
        expect![
            "a.json, ticks_are: they are requests, failures, and only candidate_failures, candidate_requests, stable_failures, stable_requests can be read; leave it out and write ticks as objects for anything else"
        ],
    );
    file_refused(
        r#"{"format": "caxton-scenarios/1", "scenarios": [{}]}"#,
        expect!["a.json, scenario number 1: missing field `id`"],
    );
    let twice = json!({ "id": "A", "expect": { "never": "hold" }, "ticks": [[0, 0, 0, 0]] });
    let file = json!({ "format": FORMAT, "scenarios": [twice, twice] });
    file_refused(
        &file.to_string(),
        expect!["a.json, scenario A, id: another scenario of this file has it"],
    );
}

#[test]
fn a_wrong_scenario_says_which_and_in_which_field() {
    refused(
        json!({ "id": "" }),
        expect!["a.json, scenario number 1, id: it is empty"],
    );
    refused(
        json!({ "tittle": "x" }),
        expect![
            "a.json, scenario S1, tittle: unknown field `tittle`, expected one of `id`, `title`, `why`, `settings`, `tick_ms`, `baseline`, `context`, `plan`, `expect`, `ticks`"
        ],
    );
    refused(
        json!({ "expect": {} }),
        expect![
            "a.json, scenario S1, expect: nothing is expected: give never, final, rollback_between_ticks, or expect at a tick"
        ],
    );
    refused(
        json!({ "expect": { "final": {} } }),
        expect!["a.json, scenario S1, expect.final: it expects nothing: give a decision or a code"],
    );
    refused(
        json!({ "expect": { "never": "roll-back" } }),
        expect![
            "a.json, scenario S1, expect.never: unknown variant `roll-back`, expected one of `proceed`, `undecided`, `hold`, `rollback`, `continue`, `wait`, `advance`, `set-split`, `promote`"
        ],
    );
    refused(
        json!({ "expect": { "rollback_between_ticks": [3, 1] } }),
        expect![
            "a.json, scenario S1, expect.rollback_between_ticks: [3, 1] is no span of ticks: they are numbered from 1"
        ],
    );
    refused(
        json!({ "ticks": [] }),
        expect!["a.json, scenario S1, ticks: there are none"],
    );
    refused(
        json!({ "ticks": [[1, 2, 3]] }),
        expect![
            "a.json, scenario S1, ticks[0]: it has 3 numbers, and a tick has four: candidate_failures, candidate_requests, stable_failures, stable_requests"
        ],
    );
    refused(
        json!({ "ticks": [[0, 1, 0, 0], [2, 1, 0, 0]] }),
        expect!["a.json, scenario S1, ticks[1]: 2 failures of 1 requests cannot be"],
    );
    refused(
        json!({ "ticks": [[0, -1, 0, 0]] }),
        expect!["a.json, scenario S1, ticks[0][1]: invalid value: integer `-1`, expected u64"],
    );
    refused(
        json!({ "ticks": ["five"] }),
        expect![
            "a.json, scenario S1, ticks[0]: a tick is four numbers [candidate_failures, candidate_requests, stable_failures, stable_requests] or an object"
        ],
    );
    refused(
        json!({ "ticks": [{ "candidat": {} }] }),
        expect![[
            r#"a.json, scenario S1, ticks[0].candidat: there is no such field; did you mean "candidate"?"#
        ]],
    );
    refused(
        json!({ "ticks": [{ "candidate": { "failed": 1 } }] }),
        expect![[
            r#"a.json, scenario S1, ticks[0].candidate.failed: there is no such field; did you mean "failures"?"#
        ]],
    );
    refused(
        json!({ "ticks": [{ "candidate": { "requests": "ten" } }] }),
        expect![[
            r#"a.json, scenario S1, ticks[0].candidate.requests: invalid type: string "ten", expected u64"#
        ]],
    );
    refused(
        json!({ "ticks": [{ "candidate": { "requests": 3, "failures": 2, "rejected": 2 } }] }),
        expect![
            "a.json, scenario S1, ticks[0].candidate: failures, rejected and unavailable are 4 of 3 requests: no request counts twice"
        ],
    );
    refused(
        json!({ "ticks": [{ "candidate": { "requests": 3, "latency": [{ "up-to-us": 10, "count": 4 }] } }] }),
        expect![
            "a.json, scenario S1, ticks[0].candidate.latency: bounds rise, counts are those of all requests that took at most so long, and there are 3 requests"
        ],
    );
    refused(
        json!({ "ticks": [{ "start-ms": 10, "end-ms": 10 }] }),
        expect![
            "a.json, scenario S1, ticks[0]: it goes from 10 to 10 ms, and the one before it ended at 0 ms"
        ],
    );
    refused(
        json!({ "ticks": [{ "expect": {} }] }),
        expect![
            "a.json, scenario S1, ticks[0].expect: it expects nothing: give a decision or a code"
        ],
    );
    refused(
        json!({ "ticks": [{ "expect": { "code": 5 } }] }),
        expect![
            "a.json, scenario S1, ticks[0].expect.code: invalid type: integer `5`, expected a string"
        ],
    );
    refused(
        json!({ "context": { "phase": "cooking" } }),
        expect![
            "a.json, scenario S1, context.phase: unknown variant `cooking`, expected one of `preparing`, `starting`, `in-progress`, `baking`"
        ],
    );
    refused(
        json!({ "context": { "splitt": 5 } }),
        expect![[
            r#"a.json, scenario S1, context.splitt: there is no such field; did you mean "split"?"#
        ]],
    );
    refused(
        json!({ "context": { "split": 101 } }),
        expect!["a.json, scenario S1, context.split: a share is 0 to 100 per cent"],
    );
    refused(
        json!({ "baseline": { "failures": 5, "requests": 1 } }),
        expect!["a.json, scenario S1, baseline: 5 failures of 1 requests cannot be"],
    );
}

fn said(tick: u64, decision: Decision, code: &str) -> Said {
    Said {
        tick,
        decision,
        blame: (decision == Decision::Rollback).then_some(Blame::Unknown),
        split: None,
        code: code.to_owned(),
        summary: "because".to_owned(),
    }
}

/// What differs when the policy says hold, undecided and at the third of four ticks rollback.
#[track_caller]
fn differs(fields: Value, right: Snapshot) {
    let mut fields = fields;
    fields
        .as_object_mut()
        .unwrap()
        .entry("ticks")
        .or_insert(json!([
            [0, 1, 0, 0],
            [0, 1, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 0, 0]
        ]));
    let scenario = scenario(fields).unwrap();
    let said = [
        said(1, Decision::Hold, "no-data"),
        said(2, Decision::Undecided, "more"),
        said(3, Decision::Rollback, "failure-rate"),
    ];
    let found = differences(&scenario.expect, &scenario.expected(), &said);
    let words: Vec<String> = found
        .iter()
        .map(|difference| match &difference.got {
            Some(got) => format!("{}: {} / {got}\n", difference.tick, difference.expected),
            None => format!("{}: {} / nothing\n", difference.tick, difference.expected),
        })
        .collect();
    right.assert_eq(&words.concat());
}

#[test]
fn what_was_said_is_held_against_what_is_expected() {
    let none = || expect![""];
    differs(
        json!({ "expect": { "rollback_between_ticks": [3, 3] } }),
        none(),
    );
    differs(
        json!({ "expect": { "rollback_between_ticks": [1, 9] } }),
        none(),
    );
    differs(json!({ "expect": { "never": "proceed" } }), none());
    differs(
        json!({ "expect": { "final": { "decision": "rollback", "code": "failure-rate", "blame": "unknown" } } }),
        none(),
    );
    differs(
        json!({ "expect": {}, "ticks": [{ "expect": { "decision": "hold" } }, { "expect": { "decision": "continue", "code": "more" } }] }),
        none(),
    );
    differs(
        json!({ "expect": { "never": "rollback" } }),
        expect![[r#"
        3: never rollback / rollback blaming unknown (failure-rate): because
    "#]],
    );
    differs(
        json!({ "expect": { "rollback_between_ticks": [1, 2] } }),
        expect![[r#"
            3: rollback between ticks 1 and 2 / rollback blaming unknown (failure-rate): because
        "#]],
    );
    differs(
        json!({ "expect": { "rollback_between_ticks": [4, 6] } }),
        expect![[r#"
            3: rollback between ticks 4 and 6 / rollback blaming unknown (failure-rate): because
        "#]],
    );
    differs(
        json!({ "expect": { "final": { "decision": "continue" } } }),
        expect![[r#"
            3: continue at the end / rollback blaming unknown (failure-rate): because
        "#]],
    );
    differs(
        json!({ "expect": { "final": { "code": "latency" } } }),
        expect![[r#"
            3: any decision (latency) at the end / rollback blaming unknown (failure-rate): because
        "#]],
    );
    differs(
        json!({ "expect": { "final": { "blame": "candidate" } } }),
        expect![[r#"
            3: any decision blaming candidate at the end / rollback blaming unknown (failure-rate): because
        "#]],
    );
    differs(
        json!({
            "expect": { "never": "undecided" },
            "ticks": [
                { "expect": { "decision": "continue" } }, [0, 1, 0, 0], [0, 1, 0, 0],
                { "expect": { "decision": "rollback" } },
            ],
        }),
        expect![[r#"
            1: continue / hold (no-data): because
            2: never undecided / undecided (more): because
            4: rollback / nothing
        "#]],
    );
}

#[test]
fn a_rollback_that_never_comes_is_a_difference() {
    let scenario = scenario(json!({
        "expect": { "rollback_between_ticks": [1, 2] }, "ticks": [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    }))
    .unwrap();
    let said: Vec<Said> = (1..=3)
        .map(|tick| said(tick, Decision::Proceed, "healthy"))
        .collect();
    let found = differences(&scenario.expect, &scenario.expected(), &said);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].tick, found[0].expected.as_str()),
        (2, "rollback between ticks 1 and 2")
    );
}

async fn embedded(name: &str) -> caxton_runtime::policy::Policy {
    let (_, bytes) = crate::policies::embedded()
        .find(|(other, _)| *other == name)
        .unwrap();
    let runtime = PolicyRuntime::new(PolicyLimits::default()).unwrap();
    runtime.load(name, bytes.to_vec()).await.unwrap()
}

#[tokio::test]
async fn an_embedded_rollback_policy_is_asked_until_it_goes_back() {
    let policy = embedded("thresholds").await;
    let bad = scenario(json!({
        "expect": { "rollback_between_ticks": [2, 2], "final": { "code": "error-rate", "blame": "candidate" } },
        "ticks": [[3, 10, 0, 10], [3, 10, 0, 10], [3, 10, 0, 10]],
    }))
    .unwrap();
    let ran = run(&policy, &bad).await;
    assert!(ran.passed(), "{ran:?}");
    assert_eq!(ran.said.len(), 2, "it is not asked after it went back");

    let good = scenario(json!({
        "settings": { "minimum_sample": 5 },
        "expect": { "rollback_between_ticks": [1, 9] },
        "ticks": [[0, 10, 0, 10]],
    }))
    .unwrap();
    let ran = run(&policy, &good).await;
    assert_eq!(ran.differences.len(), 1, "{ran:?}");
    assert_eq!(ran.said[0].code, "within-thresholds");

    let wrong = scenario(json!({ "settings": { "minimum_samples": 5 } })).unwrap();
    let Some(Stopped::Refused(why)) = run(&policy, &wrong).await.stopped else {
        panic!("these settings are refused");
    };
    assert!(why.contains("minimum_samples"), "{why}");
}

#[tokio::test]
async fn a_strategy_policy_is_followed_as_the_host_would() {
    let policy = embedded("standard").await;
    let ticks: Vec<Value> = (0..5).map(|_| json!([0, 10, 0, 10])).collect();
    let staged = scenario(json!({
        "tick_ms": 1000,
        "plan": {
            "strategy": "traffic-splitting", "bake-ms": 5000,
            "stages": [
                { "split": 5, "at-least-ms": 2000, "at-least-requests": 0, "needs-operator": false },
                { "split": 50, "at-least-ms": 1000, "at-least-requests": 0, "needs-operator": false },
            ],
        },
        "expect": { "never": "hold" },
        "ticks": ticks,
    }))
    .unwrap();
    let ran = run(&policy, &staged).await;
    assert!(ran.passed(), "{ran:?}");
    let decisions: Vec<String> = ran
        .said
        .iter()
        .map(|said| said.decision.to_string())
        .collect();
    expect!["advance advance advance wait wait"].assert_eq(&decisions.join(" "));
}

#[test]
fn what_a_strategy_policy_says_moves_the_reload_as_far_as_the_host_lets_it() {
    use caxton_rollout::{Plan, Stage, Step, Strategy};
    let ticks: Vec<Value> = (0..9).map(|_| json!([0, 10, 0, 10])).collect();
    let scenario = scenario(json!({ "tick_ms": 1000, "ticks": ticks })).unwrap();
    let stage = |split| Stage {
        split,
        at_least: std::time::Duration::from_secs(2),
        at_least_requests: 0,
        needs_operator: false,
    };
    let mut play = Play::of(&scenario);
    play.begin(Plan {
        strategy: Strategy::TrafficSplitting,
        warm_up: std::time::Duration::ZERO,
        drain: std::time::Duration::ZERO,
        stages: vec![stage(10), stage(40)],
        bake: std::time::Duration::ZERO,
        keep_previous: std::time::Duration::ZERO,
        preserve_state: true,
        why: caxton_rollout::Explanation::default(),
    });
    let steps = [
        (Step::Advance, true),
        (Step::Advance, false),
        (Step::Advance, true),
        (Step::SetSplit(20), true),
        (Step::Promote, false),
        (Step::Promote, true),
        (Step::Wait, true),
        (Step::Promote, true),
    ];
    let mut course = Vec::new();
    for (step, fit) in steps {
        let context = play.tick().unwrap().context;
        course.push((context.phase, context.stage, context.split));
        play.step(&step, fit);
    }
    let splitting = Phase::InProgress;
    assert_eq!(
        course,
        [
            (splitting, 0, 10),
            (splitting, 0, 10),
            (splitting, 0, 10),
            (splitting, 1, 40),
            (splitting, 1, 20),
            (splitting, 1, 20),
            (Phase::Baking, 1, 100),
            (Phase::Baking, 1, 100),
        ]
    );
    assert!(play.tick().is_none(), "the bake was ended");
}
