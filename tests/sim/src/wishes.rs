//! What people ask for by chance: files, settings, orders.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Breaker, Content, Digest, Event, HealthSettings, Identity, MirrorSettings,
    OnCrashLoop, OnInconclusive, OnUnproven, Order, PolicyMode, PolicyRef, ReloadSettings,
    RollbackSettings, Settings, StateChoice, Strategy, VersionNumber,
};

use crate::chance::stages;
use crate::rng::Rng;

/// Any order, sensible or not.
pub(crate) fn any_order(rng: &mut Rng) -> Order {
    let to = VersionNumber::new(1 + rng.below(30));
    let choices = [
        StateChoice::Carry,
        StateChoice::Carry,
        StateChoice::Snapshot,
        StateChoice::Fresh,
    ];
    let state = rng.pick(&choices, StateChoice::Carry);
    let orders = [
        Order::Pause,
        Order::Resume,
        Order::Resume,
        Order::Promote { now: false },
        Order::Promote { now: true },
        Order::Abort { state },
        Order::Rollback { to: None, state },
        Order::Rollback { to, state },
        Order::SetSplit {
            percent: rng.below(102) as u8,
        },
        Order::Retry,
        Order::Retry,
    ];
    rng.pick(&orders, Order::Retry)
}

/// A file is dropped.
pub(crate) fn wanted(rng: &mut Rng, agent: AgentName, keeps_state: bool) -> Event {
    // Few enough contents that they come back, some of them while their endings are remembered.
    let component = rng.below(12) as u8;
    let identity = Identity {
        component: Digest::new([component; 32]),
        config: Digest::new([0; 32]),
    };
    let has_health = component.is_multiple_of(2);
    let content = Content {
        identity,
        size: 1_000,
        has_health,
        stateful: component.is_multiple_of(6) != keeps_state,
    };
    Event::Wanted {
        agent,
        content,
        settings: Arc::new(settings(rng)),
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let seconds = |rng: &mut Rng, choices: &[u64]| Duration::from_secs(rng.pick(choices, 1));
    let mut policies = Vec::new();
    let mode = if rng.percent(90) {
        PolicyMode::Enforce
    } else {
        PolicyMode::Monitor
    };
    for (name, chance, mode) in [
        ("thresholds", 90, mode),
        ("second", 30, PolicyMode::Enforce),
        ("watching", 30, PolicyMode::Monitor),
        ("manual", 10, PolicyMode::Enforce),
    ] {
        if rng.percent(chance) {
            policies.push(PolicyRef {
                name: name.to_owned(),
                mode,
                settings: "{}".to_owned(),
            });
        }
    }
    let strategies = [
        Strategy::Graceful,
        Strategy::Graceful,
        Strategy::Immediate,
        Strategy::Parallel,
        Strategy::TrafficSplitting,
        Strategy::TrafficSplitting,
    ];
    let inconclusive = [
        OnInconclusive::Abort,
        OnInconclusive::Hold,
        OnInconclusive::Promote,
    ];
    let unproven = [
        OnUnproven::Keep,
        OnUnproven::Keep,
        OnUnproven::Hold,
        OnUnproven::Abort,
    ];
    Settings {
        reload: ReloadSettings {
            strategy: rng.pick(&strategies, Strategy::Graceful),
            drain_timeout: seconds(rng, &[0, 5, 60]),
            warm_up: rng.percent(50).then(|| seconds(rng, &[0, 3, 20])),
            bake: seconds(rng, &[0, 10, 60, 300]),
            keep_previous: seconds(rng, &[0, 60, 900]),
            gate_timeout: seconds(rng, &[2, 30]),
            immediate_grace: seconds(rng, &[0, 1]),
            split: 1 + rng.below(99) as u8,
            progressive: rng.percent(80),
            stages: stages(rng),
            mirror: MirrorSettings {
                at_least: seconds(rng, &[0, 5, 60]),
                at_least_requests: rng.below(60),
                ..MirrorSettings::default()
            },
            deadline: seconds(rng, &[5, 60, 3_600]),
            on_inconclusive: rng.pick(&inconclusive, OnInconclusive::Abort),
            on_unproven: rng.pick(&unproven, OnUnproven::Keep),
            ..ReloadSettings::default()
        },
        rollback: RollbackSettings {
            enabled: rng.percent(85),
            preserve_versions: rng.below(4) as u8,
            timeout: seconds(rng, &[1, 60]),
            policies,
            breaker: Breaker {
                count: rng.pick(&[0, 1, 2, 3], 3),
                window: seconds(rng, &[60, 3_600]),
            },
            on_crash_loop: rng.pick(
                &[OnCrashLoop::Tell, OnCrashLoop::Rollback],
                OnCrashLoop::Tell,
            ),
            ..RollbackSettings::default()
        },
        health: HealthSettings::default(),
    }
}
