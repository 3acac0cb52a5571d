//! After several rollbacks by policies in a short time an operator has to look before another version comes in.

use std::time::Duration;

use caxton_rollout::{Blame, HotReloadStatus, Order, StateChoice, Verdict};

use crate::scenarios::{kinds, last_status, number};
use crate::stage::Stage;

/// So many versions are rolled back, a minute apart; the last content is the count and one.
fn rolled_back(count: u8) -> Stage {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    for component in 2..2 + count {
        stage.drop_file(component);
        stage.pass(60);
        assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
    }
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage
}

#[test]
fn the_fourth_version_waits_until_an_operator_lets_it() {
    let mut stage = rolled_back(3);
    stage.drop_file(5);
    assert_eq!(kinds(&stage), ["breaker"]);
    let attention = stage.view().attention.remove(0);
    assert_eq!(
        attention.text,
        "what the directory asks for does not come in: 3 versions were rolled back within 3600 s: the next one waits for an \
         operator, or for 3421 s"
    );
    assert_eq!(attention.command, "caxton retry hello");
    assert_eq!(stage.view().serving, Some(number(1)));
    assert!(stage.view().diverged.is_some());
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(5)));
    assert!(
        stage
            .world
            .fleet
            .memory(&stage.agent)
            .unwrap()
            .rollbacks
            .is_empty()
    );
}

#[test]
fn it_waits_for_no_longer_than_the_window() {
    let mut stage = rolled_back(3);
    stage.drop_file(5);
    stage.sleep(3_420);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.sleep(1);
    assert_eq!(stage.view().serving, Some(number(5)));
}

#[test]
fn it_waits_over_a_restart() {
    let mut stage = rolled_back(3);
    stage.restart();
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.drop_file(5);
    assert_eq!(kinds(&stage), ["breaker"]);
    stage.sleep(3_421);
    assert_eq!(stage.view().serving, Some(number(5)));
}

#[test]
fn two_do_not_stop_the_third_and_operators_are_not_counted() {
    let mut stage = rolled_back(2);
    for component in 4..8 {
        stage.drop_file(component);
        let (to, state) = (None, StateChoice::Carry);
        stage.order(Order::Rollback { to, state }).unwrap();
        assert_eq!(stage.view().serving, Some(number(1)));
    }
    stage.drop_file(9);
    assert_eq!(stage.view().serving.map(|n| n.get()), Some(8));
}

#[test]
fn what_is_configured_counts() {
    let mut stage = rolled_back(1);
    stage.settings.rollback.breaker.count = 1;
    stage.settings.rollback.breaker.window = Duration::from_secs(600);
    stage.drop_file(3);
    assert_eq!(kinds(&stage), ["breaker"]);
    stage.settings.rollback.breaker.count = 0;
    stage.drop_file(3);
    assert_eq!(stage.view().serving, Some(number(3)));
}

/// Nothing else serves: there is nothing that it could take traffic from.
#[test]
fn a_first_deployment_is_never_stopped() {
    let mut stage = rolled_back(3);
    stage.remove();
    stage.drop_file(9);
    assert_eq!(stage.view().serving, Some(number(5)));
}

/// The file that was permanent is no new version.
#[test]
fn the_old_file_comes_back_and_what_serves_is_not_touched() {
    let mut stage = rolled_back(3);
    stage.drop_file(1);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    stage.pass(100);
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn retry_lets_a_quarantined_version_in_through_the_breaker() {
    let mut stage = rolled_back(3);
    assert_eq!(kinds(&stage), ["quarantined"]);
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(5)));
}
