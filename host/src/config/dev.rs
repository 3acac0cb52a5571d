//! What configurations mean to someone who works on an agent: every save serves at once, and nothing is taken back or kept out.

use std::time::Duration;

use caxton_rollout::{
    Breaker, HealthSettings, OnCrashLoop, ReloadSettings, RollbackSettings, Strategy,
};

use super::{AgentConfig, HostConfig};

/// How long a file must stand still where its end cannot be seen: a component that is cut short is known by its structure, so
/// this is for configurations, which are written in one go.
const SETTLE: Duration = Duration::from_millis(50);

/// Between two health checks at most.
const HEALTH: Duration = Duration::from_secs(1);

impl HostConfig {
    /// The same host in dev mode.
    #[must_use]
    pub fn for_dev(self) -> Self {
        Self {
            dev: true,
            settle: SETTLE,
            ..self
        }
    }
}

impl AgentConfig {
    /// The same agent in dev mode: what stands there of warm-up, bake, stages, policies and rollback is not used. What was written
    /// wrong there is refused all the same.
    pub(crate) fn for_dev(self) -> Self {
        let standard = ReloadSettings::default();
        Self {
            reload: ReloadSettings {
                // A version that hears copies, or gets a share, wants to be judged.
                strategy: match self.reload.strategy {
                    Strategy::Immediate => Strategy::Immediate,
                    _ => Strategy::Graceful,
                },
                policy: standard.policy,
                policy_settings: standard.policy_settings,
                warm_up: Some(Duration::ZERO),
                bake: Duration::ZERO,
                ..self.reload
            },
            rollback: RollbackSettings {
                enabled: false,
                policies: Vec::new(),
                breaker: Breaker {
                    count: 0,
                    ..self.rollback.breaker
                },
                on_crash_loop: OnCrashLoop::Tell,
                quarantine: false,
                ..self.rollback
            },
            health: HealthSettings {
                // Three failed checks refuse a version: nobody waits a quarter of a minute for that.
                interval: self.health.interval.min(HEALTH),
                ..self.health
            },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_delay_a_version_or_take_it_back_is_not_used_and_the_rest_is() {
        let text = r#"
            [reload]
            strategy = "traffic-splitting"
            policy = "mine"
            policy_settings = { a = 1 }
            warm_up = "10s"
            bake = "1h"
            drain_timeout = "3s"
            [rollback]
            policies = [{ name = "own" }]
            on_crash_loop = "rollback"
            preserve_versions = 7
            [grants]
            env = { LEVEL = "info" }
        "#;
        let written = AgentConfig::read("hello.toml", text, &toml::Table::new()).unwrap();
        let (digest, env) = (written.digest, written.env.clone());
        let dev = written.for_dev();
        assert_eq!(dev.reload.strategy, Strategy::Graceful);
        assert_eq!(dev.reload.policy, "standard");
        assert_eq!(dev.reload.policy_settings, "{}");
        assert_eq!(dev.reload.warm_up, Some(Duration::ZERO));
        assert_eq!(dev.reload.bake, Duration::ZERO);
        assert_eq!(dev.reload.drain_timeout, Duration::from_secs(3));
        assert!(!dev.rollback.enabled && !dev.rollback.quarantine);
        assert!(dev.rollback.policies.is_empty());
        assert_eq!(dev.rollback.breaker.count, 0);
        assert_eq!(dev.rollback.on_crash_loop, OnCrashLoop::Tell);
        assert_eq!(dev.health.interval, HEALTH);
        assert_eq!(dev.rollback.preserve_versions, 7);
        assert_eq!((dev.digest, dev.env), (digest, env));
    }
}
