//! The validation table: every row, and the order of the rows.

use std::time::Duration;

use caxton_rollout::{
    AgentName, Digest, ErrorKind, HealthOutcome, HotReloadRequest, HotReloadStatus,
    MAX_COMPONENT_BYTES, Order, StateChoice, Strategy, ValidationError, VersionNumber,
};
use expect_test::expect;

use crate::stage::Stage;

fn good(strategy: Strategy) -> HotReloadRequest {
    let digest = |byte| Digest::new([byte; 32]);
    HotReloadRequest {
        agent: AgentName::try_new("hello").unwrap(),
        size: 1,
        from: Some((digest(1), digest(0))),
        to: (digest(2), digest(0)),
        strategy,
        split: Some(10),
        isolation: true,
        rollback: true,
        stateful: false,
        has_copies: true,
    }
}

const STRATEGIES: [Strategy; 4] = [
    Strategy::Graceful,
    Strategy::Immediate,
    Strategy::Parallel,
    Strategy::TrafficSplitting,
];

type Spoil = fn(&mut HotReloadRequest);

/// One for each row, in the order of the table; the last two are ours.
const ROWS: [Spoil; 8] = [
    |request| request.size = 0,
    |request| request.size = MAX_COMPONENT_BYTES + 1,
    |request| request.from = Some(request.to),
    |request| request.isolation = false,
    |request| request.split = Some(100),
    |request| request.rollback = false,
    |request| request.stateful = true,
    |request| request.has_copies = false,
];

/// The row that an error belongs to.
fn row(error: &ValidationError) -> usize {
    match error {
        ValidationError::Empty { .. } => 0,
        ValidationError::TooLarge { .. } => 1,
        ValidationError::SameVersion { .. } => 2,
        ValidationError::NotIsolated { .. } => 3,
        ValidationError::NoSplit { .. } => 4,
        ValidationError::NoRollback { .. } => 5,
        ValidationError::SplitsState { .. } => 6,
        ValidationError::NothingToMirror { .. } => 7,
    }
}

/// Whether the row is about a strategy.
fn concerns(row: usize, strategy: Strategy) -> bool {
    let splits = strategy == Strategy::TrafficSplitting;
    let parallel = strategy == Strategy::Parallel;
    match row {
        3 | 5 => splits || parallel,
        4 | 6 => splits,
        7 => parallel,
        _ => true,
    }
}

#[test]
fn what_is_good_is_taken() {
    for strategy in STRATEGIES {
        assert_eq!(good(strategy).validate(), Ok(()));
    }
    for split in 0..=u8::MAX {
        let request = HotReloadRequest {
            split: Some(split),
            ..good(Strategy::TrafficSplitting)
        };
        assert_eq!(request.validate().is_ok(), (1..=99).contains(&split));
    }
    let largest = HotReloadRequest {
        size: MAX_COMPONENT_BYTES,
        from: None,
        ..good(Strategy::Graceful)
    };
    assert_eq!(largest.validate(), Ok(()));
}

#[test]
fn of_any_two_things_that_are_wrong_the_first_row_is_told() {
    for strategy in STRATEGIES {
        for (first, spoil_first) in ROWS.iter().enumerate() {
            for (second, spoil_second) in ROWS.iter().enumerate() {
                let mut request = good(strategy);
                // Both may set the size: the later one stands.
                spoil_second(&mut request);
                spoil_first(&mut request);
                let spoilt = [first, second]
                    .into_iter()
                    .filter(|row| concerns(*row, strategy));
                let expected = if first < 2 && second < 2 {
                    Some(first)
                } else {
                    spoilt.min()
                };
                let told = request.validate().err();
                assert_eq!(told.as_ref().map(row), expected, "{strategy:?}: {told:?}");
            }
        }
    }
}

#[test]
fn every_message_says_what_is_wrong_where_and_what_to_do() {
    let mut told = String::new();
    for (row, spoil) in ROWS.iter().enumerate() {
        let strategy = if row == 7 {
            Strategy::Parallel
        } else {
            Strategy::TrafficSplitting
        };
        let mut request = good(strategy);
        spoil(&mut request);
        told.push_str(&format!("{}\n", request.validate().unwrap_err()));
    }
    expect![[r#"
        agent hello: hello.wasm is empty: write a component there
        agent hello: hello.wasm has 104857601 bytes, and at most 104857600 are taken: strip debug sections, or leave data out of it
        agent hello: the version that serves has the same component and configuration: change one of them
        agent hello: [reload] strategy = "traffic-splitting" runs two versions at once and needs [limits] isolation = true; or set strategy to "graceful" or "immediate"
        agent hello: [reload] split = 100 splits nothing: write 1 to 99; for all traffic at once set strategy to "graceful"
        agent hello: [reload] strategy = "traffic-splitting" lets policies decide how far a version comes in, and [rollback] enabled = false leaves it without any: enable it, or set strategy to "graceful" or "immediate"
        agent hello: [reload] strategy = "traffic-splitting" would give its state to two versions at once: set strategy to "graceful" or "parallel", or preserve_state = false to run it without its state
        agent hello: [reload] strategy = "parallel" has nothing to copy: set mirror.requests = "all" if messages may be handled twice, or strategy to "graceful"
    "#]].assert_eq(&told);
}

#[test]
fn kinds_of_errors_are_those_of_the_domain() {
    let kinds = ErrorKind::ALL.map(|kind| serde_json::to_value(kind).unwrap());
    let words: Vec<&str> = kinds.iter().filter_map(|kind| kind.as_str()).collect();
    assert_eq!(
        words,
        [
            "validation-failed",
            "agent-not-found",
            "already-in-progress",
            "insufficient-resources",
            "state-preservation-failed",
            "traffic-splitting-failed",
            "automatic-rollback",
            "rollback-failed",
            "version-not-found",
            "timeout",
        ]
    );
}

#[test]
fn what_ends_badly_says_what_kind_of_thing_it_was() {
    let newest = |stage: &Stage| {
        let history = stage.world.fleet.history(&stage.agent).unwrap();
        (history[0].status, history[0].error_kind)
    };
    let mut stage = Stage::serving();
    stage.answers.prepare = Err("it traps in its start");
    stage.drop_file(2);
    let kind = Some(ErrorKind::ValidationFailed);
    assert_eq!(newest(&stage), (HotReloadStatus::Failed, kind));

    let mut stage = Stage::serving();
    stage.has_health = true;
    stage.answers.health = HealthOutcome::Busy;
    stage.drop_file(2);
    stage.sleep(3_700);
    let kind = Some(ErrorKind::Timeout);
    assert_eq!(newest(&stage), (HotReloadStatus::Cancelled, kind));

    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(2);
    stage.sleep(2_000);
    stage.answers.prepare = Err("the disk is gone");
    let state = StateChoice::Carry;
    let order = Order::Rollback { to: None, state };
    stage.order(order).unwrap();
    let kind = Some(ErrorKind::RollbackFailed);
    assert_eq!(newest(&stage), (HotReloadStatus::Failed, kind));

    stage.answers.prepare = Ok(());
    stage.order(order).unwrap();
    assert_eq!(newest(&stage), (HotReloadStatus::RolledBack, None));
    let kind = |order| stage.clone().order(order).unwrap_err().kind();
    assert_eq!(kind(Order::Pause), ErrorKind::ValidationFailed);
    let to = VersionNumber::new(99);
    let unknown = Order::Rollback { to, state };
    assert_eq!(kind(unknown), ErrorKind::VersionNotFound);
}
