//! What comes in beside a permanent version that a start could not bring up, or in place of what a stop interrupted: nothing
//! gets more by that than it would have got.

use caxton_rollout::{
    Blame, HotReloadStatus, Order, Stage as Planned, StateChoice, Step, Strategy, Verdict,
};

use crate::scenarios::{kinds, last_status, number};
use crate::stage::Stage;

/// A candidate has a share when the host ends.
fn splitting() -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = vec![Planned::of(10)];
    stage.answers.step = Step::Wait;
    stage.drop_file(2);
    assert_eq!(stage.view().split, 10);
    stage
}

#[test]
fn to_try_the_permanent_version_again_lifts_no_quarantine() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.drop_file(2);
    stage.pass(1);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.answers.prepare = Err("the disk is damaged");
    stage.restart();
    stage.drop_file(2);
    assert_eq!(kinds(&stage), ["quarantined", "permanent-not-up"]);
    for _ in 0..2 {
        stage.order(Order::Retry).unwrap();
        assert_eq!(kinds(&stage), ["quarantined", "permanent-not-up"]);
        assert!(stage.view().reload.is_none());
    }
    stage.answers.prepare = Ok(());
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(1)));
    assert_eq!(kinds(&stage), ["quarantined"]);
    // Now it is about the file.
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(3)));
}

#[test]
fn what_was_interrupted_keeps_its_stages_though_the_permanent_version_stumbles() {
    let mut stage = splitting();
    stage.answers.prepare = Err("no memory");
    stage.restart();
    stage.drop_file(2);
    assert!(
        stage.view().reload.is_none(),
        "alone it would get everything"
    );
    stage.answers.prepare = Ok(());
    stage.sleep(15);
    let view = stage.view();
    assert_eq!((view.serving, view.split), (Some(number(1)), 10));
    // Where the permanent version is not to be had, the other one is tried. It does not come up here either.
    let mut stage = splitting();
    stage.answers.prepare = Err("no memory");
    stage.restart();
    stage.drop_file(2);
    stage.sleep(15 + 29);
    assert_eq!(last_status(&stage), HotReloadStatus::Cancelled);
    stage.sleep(1);
    assert_eq!(last_status(&stage), HotReloadStatus::Failed);
}

#[test]
fn what_was_begun_again_and_taken_back_leaves_nothing_to_go_on_with() {
    let mut stage = splitting();
    stage.restart();
    stage.drop_file(2);
    // On its way back when the host ends again, with nothing else of it remembered than that.
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.restart();
    stage.drop_file(2);
    stage.world.log.clear();
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().candidate.unwrap().number, number(3));
    assert!(!stage.world.log.contains("continues: Some"));
}

#[test]
fn an_abort_that_the_start_carries_out_ends_what_was_begun_again() {
    let mut stage = Stage::keeping_state();
    stage.drop_file(2);
    stage.restart();
    stage.drop_file(2);
    stage.pass(1);
    assert_eq!(stage.view().serving, Some(number(2)));
    stage.answers.hands = false;
    let state = StateChoice::Carry;
    stage.order(Order::Abort { state }).unwrap();
    stage.restart();
    stage.answers.hands = true;
    stage.drop_file(2);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.world.log.clear();
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().candidate.unwrap().number, number(3));
    assert!(!stage.world.log.contains("continues: Some"));
}

#[test]
fn another_file_ends_what_was_interrupted_though_nothing_begins_by_it() {
    let mut stage = splitting();
    stage.restart();
    stage.drop_file(1);
    assert!(stage.world.log.contains("Unpin"));
    stage.world.log.clear();
    stage.drop_file(2);
    assert_eq!(stage.view().candidate.unwrap().number, number(3));
    assert!(!stage.world.log.contains("continues: Some"));
}
