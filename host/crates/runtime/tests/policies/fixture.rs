//! The components under test, and facts to ask them about.

use std::sync::LazyLock;

use caxton_rollout::{
    Arm, Context, Digest, Explanation, Phase, Plan, ReloadMetrics, Strategy, Version,
    VersionNumber, Window,
};
use caxton_rollout::{RollbackAnswer, StrategyAnswer};
use caxton_runtime::policy::{Call, Policy, PolicyLimits, PolicyRuntime};
use std::time::Duration;
use tokio::sync::OnceCell;

/// The runtime as the host has it.
pub static RUNTIME: LazyLock<PolicyRuntime> =
    LazyLock::new(|| PolicyRuntime::new(PolicyLimits::default()).unwrap());

async fn loaded(cell: &OnceCell<Policy>, name: &str, bytes: &[u8]) -> Policy {
    let load = || async { RUNTIME.load(name, bytes.to_vec()).await.unwrap() };
    cell.get_or_init(load).await.clone()
}

pub async fn thresholds() -> Policy {
    static CELL: OnceCell<Policy> = OnceCell::const_new();
    loaded(
        &CELL,
        "thresholds",
        caxton_test_artifacts::POLICY_THRESHOLDS,
    )
    .await
}

pub async fn standard() -> Policy {
    static CELL: OnceCell<Policy> = OnceCell::const_new();
    loaded(&CELL, "standard", caxton_test_artifacts::POLICY_STANDARD).await
}

pub async fn faulty() -> Policy {
    static CELL: OnceCell<Policy> = OnceCell::const_new();
    loaded(&CELL, "faulty", caxton_test_artifacts::POLICY_FAULTY).await
}

pub async fn strategy_faulty() -> Policy {
    static CELL: OnceCell<Policy> = OnceCell::const_new();
    loaded(
        &CELL,
        "strategy-faulty",
        caxton_test_artifacts::STRATEGY_FAULTY,
    )
    .await
}

/// The faulty rollback policy under limits of its own.
pub async fn faulty_within(limits: PolicyLimits) -> Policy {
    PolicyRuntime::new(limits)
        .unwrap()
        .load("faulty", caxton_test_artifacts::POLICY_FAULTY.to_vec())
        .await
        .unwrap()
}

/// Settings that make a faulty policy do `word`.
pub fn asked_for(word: &str) -> String {
    format!(r#"{{ "fault": "{word}" }}"#)
}

pub fn version(number: u64) -> Version {
    Version {
        number: VersionNumber::new(number).unwrap(),
        digest: Digest::new([u8::try_from(number).unwrap(); 32]),
        config_digest: Digest::new([0; 32]),
        size: 100_000,
    }
}

/// A second version with some traffic.
pub fn context() -> Context {
    Context {
        reload_id: "r".to_owned(),
        deadline_ms: Some(3_600_000),
        paused: false,
        agent: "hello".to_owned(),
        stable: Some(version(1)),
        candidate: version(2),
        stateful: false,
        phase: Phase::Baking,
        stage: 0,
        stages: 0,
        stage_elapsed_ms: 1_000,
        elapsed_ms: 12_000,
        split: 100,
        baseline: None,
        history: Vec::new(),
        seed: 42,
    }
}

/// One second in which each version had traffic.
pub fn window(second: u64, stable: (u64, u64), candidate: (u64, u64)) -> Window {
    let arm = |(failures, requests): (u64, u64)| Arm {
        requests,
        failures,
        latency_total_us: requests * 1_000,
        memory_limit: 64 << 20,
        ..Arm::default()
    };
    Window {
        start_ms: second * 1_000,
        end_ms: (second + 1) * 1_000,
        split_wanted: 50,
        split_actual: Some(50.0),
        stable: Some(arm(stable)),
        candidate: Some(arm(candidate)),
        ..Window::default()
    }
}

pub fn plan() -> Plan {
    Plan {
        strategy: Strategy::Graceful,
        warm_up: Duration::from_secs(10),
        drain: Duration::from_secs(60),
        stages: Vec::new(),
        bake: Duration::from_secs(300),
        keep_previous: Duration::from_secs(900),
        preserve_state: true,
        why: Explanation {
            code: "configured".to_owned(),
            summary: "as configured".to_owned(),
            findings: Vec::new(),
        },
    }
}

/// Asks a rollback policy about these windows.
pub async fn evaluate(policy: &Policy, settings: &str, windows: &[Window]) -> Call<RollbackAnswer> {
    let metrics = ReloadMetrics::default();
    policy
        .evaluate(settings, &context(), &metrics, windows, &[])
        .await
}

/// Asks a strategy policy how to begin.
pub async fn begin(policy: &Policy, settings: &str) -> Call<Plan> {
    policy.begin(settings, &context(), &plan()).await
}

/// Asks a strategy policy what to do next.
pub async fn next(policy: &Policy, settings: &str, fit: bool) -> Call<StrategyAnswer> {
    let metrics = ReloadMetrics::default();
    policy
        .next(settings, &context(), fit, &metrics, &[], &[])
        .await
}
