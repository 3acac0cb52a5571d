//! Figures of nothing: what a test, or a scenario file, leaves out.

use crate::{Arm, Context, Phase, Version, Window};

impl Default for Version {
    fn default() -> Self {
        Self {
            number: 1,
            digest: "0".repeat(64),
            config_digest: "0".repeat(64),
            size: 1,
            state_format: None,
        }
    }
}

impl Default for Arm {
    fn default() -> Self {
        Self {
            requests: 0,
            failures: 0,
            traps: 0,
            deadlines: 0,
            rejected: 0,
            unavailable: 0,
            not_counted: 0,
            callers: 0,
            failing_callers: 0,
            in_flight: 0,
            latency_total_us: 0,
            latency: Vec::new(),
            health_passed: 0,
            health_total: 0,
            memory_peak: 0,
            memory_mean: 0,
            memory_limit: 64 << 20,
            fuel: None,
            custom: Vec::new(),
        }
    }
}

impl Default for Window {
    /// The first second, without any traffic.
    fn default() -> Self {
        Self {
            start_ms: 0,
            end_ms: 1_000,
            split_wanted: 0,
            split_actual: None,
            warm_up: false,
            stable: None,
            candidate: None,
            mirrored: None,
            mirrored_mismatches: 0,
        }
    }
}

impl Default for Context {
    /// Version 2 of the agent `test` shares the traffic with version 1.
    fn default() -> Self {
        Self {
            reload_id: "test".to_owned(),
            deadline_ms: None,
            paused: false,
            agent: "test".to_owned(),
            stable: Some(Version::default()),
            candidate: Version {
                number: 2,
                ..Version::default()
            },
            stateful: false,
            phase: Phase::InProgress,
            stage: 0,
            stages: 0,
            stage_elapsed_ms: 0,
            elapsed_ms: 0,
            split: 50,
            baseline: None,
            history: Vec::new(),
            seed: 0,
        }
    }
}
