//! Health checks of the permanent version.

use caxton_rollout::{Event, HealthOutcome};
use caxton_sim::Asks;

use crate::scenarios::{kinds, number};
use crate::stage::Stage;

/// Version 1 is permanent and has passed its checks; one is made every five seconds.
fn well() -> Stage {
    let mut stage = Stage::new();
    stage.has_health = true;
    stage.drop_file(1);
    stage.pass(20);
    assert_eq!(stage.view().permanent, Some(number(1)));
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    stage.world.decisions.clear();
    stage
}

fn fails(stage: &mut Stage) {
    stage.answers.health = HealthOutcome::Failed("database is down".to_owned());
}

#[test]
fn that_it_is_not_well_is_told_once_and_shown_until_it_is() {
    let mut stage = well();
    fails(&mut stage);
    stage.pass(13);
    assert_eq!(kinds(&stage), Vec::<&str>::new(), "two failed so far");
    stage.pass(60);
    let attention = stage.view().attention.remove(0);
    assert_eq!(attention.kind, "unhealthy");
    assert_eq!(attention.command, "caxton logs hello");
    assert_eq!(
        attention.text,
        "version 1 says that it is not well: database is down; it serves on"
    );
    assert_eq!(stage.table().matches("database is down").count(), 1);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.answers.health = HealthOutcome::Passed;
    stage.pass(5);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
}

#[test]
fn a_busy_instance_is_neither_well_nor_unwell() {
    let mut stage = well();
    fails(&mut stage);
    stage.pass(10);
    stage.answers.health = HealthOutcome::Busy;
    stage.pass(60);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    fails(&mut stage);
    stage.pass(5);
    assert_eq!(kinds(&stage), ["unhealthy"], "the third in a row");
    stage.answers.health = HealthOutcome::Busy;
    stage.pass(60);
    assert_eq!(kinds(&stage), ["unhealthy"]);
}

#[test]
fn what_is_said_of_it_goes_with_it() {
    let mut stage = well();
    fails(&mut stage);
    stage.pass(20);
    assert_eq!(kinds(&stage), ["unhealthy"]);
    stage.answers.health = HealthOutcome::Passed;
    stage.has_health = false;
    stage.drop_file(2);
    stage.pass(400);
    assert_eq!(stage.view().permanent, Some(number(2)));
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    fails(&mut stage);
    stage.pass(60);
    assert_eq!(kinds(&stage), Vec::<&str>::new(), "it has no check");
}

#[test]
fn a_check_whose_answer_is_lost_is_made_again() {
    let mut stage = well();
    fails(&mut stage);
    let asked = stage.world.fleet.next_wakeup().unwrap();
    stage.world.now = asked;
    stage.world.tell(Event::Time).unwrap();
    let lost = std::mem::take(&mut stage.world.open);
    assert!(matches!(lost[0].asks, Asks::Health(_)), "{lost:?}");
    stage.pass(60);
    assert_eq!(kinds(&stage), ["unhealthy"]);
}
