//! The example of an own strategy policy, as the component that a user would drop.

use std::time::Duration;

use caxton_rollout::{Arm, Context, Phase, Plan, ReloadMetrics, Step, Strategy, Window};
use caxton_runtime::policy::{Policy, PolicyKind, SettingsError};
use tokio::sync::OnceCell;

use crate::fixture::{RUNTIME, context, plan};

async fn adaptive() -> Policy {
    static CELL: OnceCell<Policy> = OnceCell::const_new();
    let load = || async {
        let bytes = caxton_test_artifacts::ADAPTIVE.to_vec();
        RUNTIME.load("adaptive", bytes).await.unwrap()
    };
    CELL.get_or_init(load).await.clone()
}

/// A reload that begins, of an agent that had so many requests in the last ten minutes.
fn beginning(requests: u64) -> Context {
    Context {
        phase: Phase::Preparing,
        split: 0,
        baseline: Some(Window {
            end_ms: 600_000,
            stable: Some(Arm {
                requests,
                ..Arm::default()
            }),
            ..Window::default()
        }),
        ..context()
    }
}

async fn planned(settings: &str, context: &Context) -> Plan {
    let call = adaptive().await.begin(settings, context, &plan()).await;
    assert_eq!(call.notes, [""; 0]);
    call.answer.unwrap()
}

#[tokio::test]
async fn it_is_a_strategy_policy() {
    let policy = adaptive().await;
    assert_eq!(policy.kind(), PolicyKind::Strategy);
    assert_eq!(policy.info().name, "adaptive");
    policy.check_settings("{}").await.unwrap();
}

#[tokio::test]
async fn an_agent_with_state_gets_graceful() {
    let stateful = Context {
        stateful: true,
        ..beginning(60_000)
    };
    let planned = planned("{}", &stateful).await;
    assert_eq!(planned.strategy, Strategy::Graceful);
    assert_eq!(planned.why.code, "stateful");
    assert_eq!(planned.warm_up, plan().warm_up);
}

#[tokio::test]
async fn an_agent_without_traffic_gets_graceful_and_waits_for_nothing() {
    let unknown = Context {
        baseline: None,
        ..beginning(0)
    };
    for context in [beginning(0), unknown] {
        let planned = planned("{}", &context).await;
        assert_eq!(planned.strategy, Strategy::Graceful);
        assert_eq!(planned.why.code, "no-traffic");
        assert_eq!(planned.warm_up, Duration::ZERO);
    }
}

#[tokio::test]
async fn an_agent_with_traffic_gets_stages_by_its_rate() {
    // Two a second: below ten per cent it would take longer than five minutes to see fifty.
    let stages: Vec<_> = planned("{}", &beginning(1_200))
        .await
        .stages
        .iter()
        .map(|stage| {
            (
                stage.split,
                stage.at_least.as_secs(),
                stage.at_least_requests,
            )
        })
        .collect();
    assert_eq!(
        stages,
        [(10, 250, 50), (25, 100, 50), (50, 50, 50), (75, 33, 50)]
    );
    let settings = r#"{"shares": [2, 50], "requests_per_stage": 100}"#;
    let busy = planned(settings, &beginning(600_000)).await;
    assert_eq!(busy.strategy, Strategy::TrafficSplitting);
    let shares: Vec<_> = busy.stages.iter().map(|stage| stage.split).collect();
    assert_eq!(shares, [2, 50]);
    assert_eq!(busy.bake, plan().bake);
}

#[tokio::test]
async fn a_stage_is_left_when_the_candidate_is_fit() {
    let splitting = Context {
        phase: Phase::InProgress,
        split: 10,
        stages: 4,
        ..context()
    };
    let policy = adaptive().await;
    let metrics = ReloadMetrics::default();
    for (fit, expected) in [(true, Step::Advance), (false, Step::Wait)] {
        let call = policy.next("{}", &splitting, fit, &metrics, &[], &[]);
        assert_eq!(call.await.answer.unwrap().step, expected);
    }
}

async fn refused(settings: &str) -> (Vec<String>, String) {
    let error = adaptive().await.check_settings(settings).await.unwrap_err();
    let SettingsError::Refused { problems, .. } = &error else {
        panic!("{error}");
    };
    let paths = problems.iter().map(|problem| problem.path.clone());
    (paths.collect(), error.to_string())
}

#[tokio::test]
async fn wrong_settings_are_refused_with_every_problem() {
    // What its schema says, and what only the policy can.
    for (settings, wrong) in [
        (
            r#"{"requests_per_stage": 0, "stage": 1}"#,
            ["/requests_per_stage", "/stage"],
        ),
        (
            r#"{"shares": [10, 5], "longest_stage_seconds": 2}"#,
            ["/shares/1", "/shortest_stage_seconds"],
        ),
    ] {
        let (paths, error) = refused(settings).await;
        for path in wrong {
            assert!(paths.iter().any(|found| found == path), "{path}: {error}");
        }
        // A reload never begins with them, and if it did the policy would be at fault, not guess.
        let call = adaptive()
            .await
            .begin(settings, &beginning(9), &plan())
            .await;
        assert!(call.answer.is_err(), "{settings}");
    }
}
