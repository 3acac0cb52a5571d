//! Health checks of the permanent version.

use std::time::Duration;

use caxton_rollout::{Event, HealthOutcome, Verdict};
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

#[test]
fn an_answer_that_comes_when_its_check_was_given_up_counts_for_nothing() {
    let mut stage = well();
    fails(&mut stage);
    stage.pass(10);
    let asked = stage.world.fleet.next_wakeup().unwrap();
    stage.world.now = asked;
    stage.world.tell(Event::Time).unwrap();
    let given_up = std::mem::take(&mut stage.world.open).remove(0);
    let again = stage.world.fleet.next_wakeup().unwrap();
    stage.world.now = again;
    stage.world.tell(Event::Time).unwrap();
    let late = stage.answer(given_up);
    // The third failure in a row, if it counted.
    stage.world.fleet.step(again, late);
    assert_eq!(kinds(&stage), Vec::<&str>::new());
    stage.pass(1);
    assert_eq!(kinds(&stage), ["unhealthy"], "that of the present check");
}

#[test]
fn the_next_version_begins_without_what_was_said_of_the_last_one() {
    let mut stage = well();
    stage.settings.reload.warm_up = Some(Duration::ZERO);
    stage.settings.rollback.enabled = false;
    fails(&mut stage);
    stage.pass(20);
    assert_eq!(kinds(&stage), ["unhealthy"]);
    stage.answers.health = HealthOutcome::Passed;
    stage.drop_file(2);
    assert_eq!(stage.view().permanent, Some(number(2)));
    assert_eq!(kinds(&stage), Vec::<&str>::new());
}

/// How often versions are asked for their health within a minute.
fn checks_in_a_minute(stage: &mut Stage) -> usize {
    let end = stage.world.now.after(Duration::from_secs(60));
    let mut checks = 0;
    while let Some(due) = stage.world.fleet.next_wakeup().filter(|due| *due <= end) {
        stage.world.now = due;
        stage.world.tell(Event::Time).unwrap();
        let open = stage.world.open.iter();
        checks += open
            .filter(|question| matches!(question.asks, Asks::Health(_)))
            .count();
        stage.answer_all();
    }
    checks
}

#[test]
fn who_is_watched_on_after_it_completed_is_asked_once_at_each_interval() {
    let mut stage = well();
    assert_eq!(checks_in_a_minute(&mut stage), 12);
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(400);
    let view = stage.view();
    assert_eq!(view.permanent, Some(number(2)));
    assert_eq!(kinds(&stage), ["unproven"]);
    assert_eq!(checks_in_a_minute(&mut stage), 12);
}
