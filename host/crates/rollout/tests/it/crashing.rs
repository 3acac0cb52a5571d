//! A permanent version that keeps crashing outside of any reload.

use caxton_rollout::{ErrorKind, Event, HotReloadStatus, OnCrashLoop, Strategy};

use crate::scenarios::{kinds, last_status, number};
use crate::stage::Stage;

fn crash(stage: &mut Stage, version: u64) {
    let event = Event::CrashLoop {
        agent: stage.agent.clone(),
        number: number(version),
        reason: "5 traps in 60 s: unreachable".to_owned(),
    };
    stage.tell(event);
}

/// Version 2 is permanent, and version 1 is kept.
fn second() -> Stage {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.pass(301);
    assert_eq!(stage.view().permanent, Some(number(2)));
    stage.world.decisions.clear();
    stage
}

fn configured(on_crash_loop: OnCrashLoop) -> Stage {
    let mut stage = second();
    stage.settings.rollback.on_crash_loop = on_crash_loop;
    stage.drop_file(2);
    stage
}

#[test]
fn it_is_told_and_shown_until_it_is_seen_no_more() {
    let mut stage = second();
    crash(&mut stage, 2);
    let attention = stage.view().attention.remove(0);
    assert_eq!(attention.kind, "crash-loop");
    assert_eq!(attention.command, "caxton rollback hello");
    assert_eq!(
        attention.text,
        "version 2 keeps crashing: 5 traps in 60 s: unreachable; it serves on"
    );
    stage.sleep(59);
    crash(&mut stage, 2);
    stage.sleep(59);
    assert_eq!(kinds(&stage), ["crash-loop"]);
    stage.sleep(1);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    assert_eq!(stage.table().matches("keeps crashing").count(), 1);
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn the_newest_kept_version_takes_over_where_that_is_configured() {
    let mut stage = configured(OnCrashLoop::Rollback);
    crash(&mut stage, 2);
    let view = stage.view();
    assert_eq!(
        (view.serving, view.permanent),
        (Some(number(1)), Some(number(1)))
    );
    assert_eq!(kinds(&stage), ["quarantined"]);
    let result = stage.world.fleet.history(&stage.agent).unwrap().remove(0);
    assert_eq!(result.status, HotReloadStatus::RolledBack);
    assert_eq!(result.error_kind, Some(ErrorKind::AutomaticRollback));
    let reason = "it kept crashing: 5 traps in 60 s: unreachable";
    assert_eq!(result.rollback_reason.as_deref(), Some(reason));
    stage.drop_file(2);
    assert_eq!(stage.view().serving, Some(number(1)), "it stays out");
    crash(&mut stage, 1);
    assert!(
        stage
            .view()
            .attention
            .iter()
            .any(|attention| { attention.text.contains("no version before it is kept") })
    );
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn with_rollback_disabled_nothing_goes_back() {
    let mut stage = configured(OnCrashLoop::Rollback);
    stage.settings.rollback.enabled = false;
    stage.drop_file(2);
    crash(&mut stage, 2);
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn during_a_reload_its_own_judging_decides() {
    let mut stage = configured(OnCrashLoop::Rollback);
    stage.drop_file(3);
    crash(&mut stage, 3);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    assert_eq!(stage.view().serving, Some(number(3)));
    let mut stage = configured(OnCrashLoop::Rollback);
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.drop_file(3);
    crash(&mut stage, 2);
    assert_eq!(kinds(&stage), ["crash-loop"]);
    assert_eq!(stage.view().serving, Some(number(2)));
    assert_eq!(stage.view().split, 5);
}

#[test]
fn an_unproven_version_that_keeps_crashing_goes_back() {
    let mut stage = Stage::serving();
    stage.settings.rollback.on_crash_loop = OnCrashLoop::Rollback;
    stage.settings.reload.bake = std::time::Duration::ZERO;
    stage.drop_file(2);
    assert_eq!(kinds(&stage), ["unproven"]);
    crash(&mut stage, 2);
    assert_eq!(stage.view().serving, Some(number(1)));
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
}

/// An event about a version that does not serve any more comes too late.
#[test]
fn what_is_gone_does_not_crash() {
    let mut stage = configured(OnCrashLoop::Rollback);
    crash(&mut stage, 1);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    assert_eq!(stage.view().serving, Some(number(2)));
}
