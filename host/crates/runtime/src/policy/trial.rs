//! A made-up reload that every policy decides about before it decides about a real one.
//!
//! What it answers does not matter, only that it answers: a policy that traps, runs out of something or answers nonsense on
//! plain traffic would do so on the first real reload.

use std::time::Duration;

use caxton_rollout::{
    Arm, Bucket, Context, Digest, Explanation, Fault, LATENCY_BOUNDS_US, Phase, Plan,
    ReloadMetrics, Stage, Strategy, Version, VersionNumber, Window,
};

use super::{Policy, PolicyKind};

/// Windows of a second each.
const WINDOWS: u64 = 3;

/// Requests of each version in each window.
const REQUESTS: u64 = 50;

impl Policy {
    /// Lets the policy decide once about a made-up reload with plain traffic.
    ///
    /// # Errors
    ///
    /// The fault that came instead of an answer.
    pub async fn trial(&self, settings: &str) -> Result<(), Fault> {
        let windows: Vec<Window> = (0..WINDOWS).map(window).collect();
        let metrics = metrics();
        match self.kind() {
            PolicyKind::Rollback => self
                .evaluate(settings, &context(1), &metrics, &windows, &[])
                .await
                .answer
                .map(|_| ()),
            PolicyKind::Strategy => {
                let beginning = Context {
                    phase: Phase::Preparing,
                    split: 0,
                    stages: 0,
                    ..context(0)
                };
                let plan = self
                    .begin(settings, &beginning, &configured())
                    .await
                    .answer?;
                let stages = u32::try_from(plan.stages.len()).unwrap_or(u32::MAX);
                self.next(settings, &context(stages), true, &metrics, &windows, &[])
                    .await
                    .answer
                    .map(|_| ())
            }
        }
    }
}

fn version(number: u64) -> Version {
    Version {
        number: VersionNumber::new(number).unwrap_or(VersionNumber::FIRST),
        digest: Digest::new([u8::try_from(number).unwrap_or_default(); 32]),
        config_digest: Digest::new([0; 32]),
        size: 100_000,
    }
}

/// A second version that has half of the traffic.
fn context(stages: u32) -> Context {
    let stable = Arm {
        requests: REQUESTS * 600,
        ..arm()
    };
    Context {
        reload_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        deadline_ms: Some(3_600_000),
        paused: false,
        agent: "trial".to_owned(),
        stable: Some(version(1)),
        candidate: version(2),
        stateful: false,
        phase: Phase::InProgress,
        stage: 0,
        stages,
        stage_elapsed_ms: WINDOWS * 1_000,
        elapsed_ms: WINDOWS * 1_000 + 10_000,
        split: 50,
        baseline: Some(Window {
            end_ms: 600_000,
            stable: Some(stable),
            ..Window::default()
        }),
        history: Vec::new(),
        seed: 1,
    }
}

fn arm() -> Arm {
    let bucket = |up_to_us: &u64| Bucket {
        up_to_us: *up_to_us,
        count: if *up_to_us < 1_000 { 0 } else { REQUESTS },
    };
    Arm {
        requests: REQUESTS,
        callers: 10,
        latency_total_us: REQUESTS * 1_000,
        latency: LATENCY_BOUNDS_US.iter().map(bucket).collect(),
        health_passed: 1,
        health_total: 1,
        memory_peak: 4 << 20,
        memory_mean: 4 << 20,
        memory_limit: 64 << 20,
        ..Arm::default()
    }
}

fn window(second: u64) -> Window {
    Window {
        start_ms: 10_000 + second * 1_000,
        end_ms: 10_000 + (second + 1) * 1_000,
        split_wanted: 50,
        split_actual: Some(50.0),
        stable: Some(arm()),
        candidate: Some(arm()),
        ..Window::default()
    }
}

fn metrics() -> ReloadMetrics {
    ReloadMetrics {
        requests_processed: WINDOWS * REQUESTS,
        error_rate_percentage: Some(0.0),
        average_response_time_ms: Some(1.0),
        performance_degradation_percentage: Some(0.0),
        memory_usage_peak: 4 << 20,
        memory_usage_average: 4 << 20,
        health_check_success_rate: Some(100.0),
        traffic_split_actual: Some(50.0),
        callers: 10,
        ..ReloadMetrics::default()
    }
}

fn configured() -> Plan {
    Plan {
        strategy: Strategy::TrafficSplitting,
        warm_up: Duration::from_secs(10),
        drain: Duration::from_secs(60),
        stages: vec![Stage::of(50)],
        bake: Duration::from_secs(300),
        keep_previous: Duration::from_secs(900),
        preserve_state: false,
        why: Explanation {
            code: "configured".to_owned(),
            summary: "as the agent's configuration says".to_owned(),
            findings: Vec::new(),
        },
    }
}
