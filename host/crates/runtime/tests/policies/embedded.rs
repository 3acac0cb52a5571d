//! The policies of the binary, as components: each loads, tells its settings, and answers.

use std::time::Instant;

use caxton_rollout::{Bucket, Context, LATENCY_BOUNDS_US, ReloadMetrics, Verdict, Window};
use caxton_runtime::policy::{Policy, PolicyKind};

use crate::fixture::{RUNTIME, context, window};

async fn load(name: &str, bytes: &[u8]) -> Policy {
    RUNTIME.load(name, bytes.to_vec()).await.unwrap()
}

#[tokio::test]
async fn each_is_of_its_kind_and_has_a_schema() {
    for (name, bytes, kind) in [
        (
            "standard",
            caxton_test_artifacts::POLICY_STANDARD,
            PolicyKind::Strategy,
        ),
        (
            "evidence",
            caxton_test_artifacts::POLICY_EVIDENCE,
            PolicyKind::Rollback,
        ),
        (
            "thresholds",
            caxton_test_artifacts::POLICY_THRESHOLDS,
            PolicyKind::Rollback,
        ),
        (
            "manual",
            caxton_test_artifacts::POLICY_MANUAL,
            PolicyKind::Rollback,
        ),
    ] {
        let policy = load(name, bytes).await;
        assert_eq!((policy.kind(), policy.info().name.as_str()), (kind, name));
        policy.check_settings("{}").await.unwrap();
        policy
            .check_settings(r#"{"no-such": 1}"#)
            .await
            .unwrap_err();
        eprintln!("{name}: {} bytes", bytes.len());
    }
}

/// 120 windows as the host hands them over, with latencies.
fn two_minutes(failures: u64) -> Vec<Window> {
    let full = |second| {
        let mut window = window(second, (0, 50), (failures, 50));
        for arm in [&mut window.stable, &mut window.candidate]
            .into_iter()
            .flatten()
        {
            arm.latency = LATENCY_BOUNDS_US
                .map(|up_to_us| Bucket {
                    up_to_us,
                    count: if up_to_us < 5_000 { 0 } else { arm.requests },
                })
                .to_vec();
        }
        window
    };
    (0..120).map(full).collect()
}

#[tokio::test]
async fn evidence_keeps_its_sums_in_the_state_and_answers_the_same_without_it() {
    let policy = load("evidence", caxton_test_artifacts::POLICY_EVIDENCE).await;
    let (context, metrics) = (
        Context {
            split: 50,
            ..context()
        },
        ReloadMetrics::default(),
    );
    let windows = two_minutes(2);
    let ask = async |windows: &[Window], state: &[u8]| {
        let call = policy
            .evaluate("{}", &context, &metrics, windows, state)
            .await;
        (call.answer.unwrap(), call.fuel)
    };
    let (before, _) = ask(&windows[..119], &[]).await;
    assert!(before.state.len() < 4 * 1024, "{}", before.state.len());
    let began = Instant::now();
    let (kept, fuel) = ask(&windows, &before.state).await;
    eprintln!(
        "one new window of 120: {:?}, {fuel:?} fuel",
        began.elapsed()
    );
    let began = Instant::now();
    let (anew, fuel) = ask(&windows, b"not what it wrote").await;
    eprintln!("120 new windows: {:?}, {fuel:?} fuel", began.elapsed());
    assert_eq!(kept.verdict, Verdict::Proceed);
    assert_eq!((kept.verdict, kept.why), (anew.verdict, anew.why));
}

#[tokio::test]
async fn manual_goes_on_whatever_happens() {
    let policy = load("manual", caxton_test_artifacts::POLICY_MANUAL).await;
    let windows = two_minutes(50);
    let metrics = ReloadMetrics::default();
    let call = policy
        .evaluate("{}", &context(), &metrics, &windows, &[])
        .await;
    eprintln!("manual, 120 windows: {:?} fuel", call.fuel);
    assert_eq!(call.answer.unwrap().verdict, Verdict::Proceed);
}
