//! State that moves: saved, loaded, kept between calls, and lost with a number.

use crate::single::{ask, stateful};
use crate::{PATIENCE, answer, handle, runtime, soon, version};
use caxton_runtime::{
    AgentSpec, CallError, CallInfo, Instances, Message, Snapshot, StateError, StateSpec, Version,
};
use caxton_test_artifacts::{STATEFUL, STATEFUL_2, STATEFUL_WEB, TOOL};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

/// Closes, drains and saves.
async fn saved(version: &Version) -> Result<Snapshot, StateError> {
    version.close();
    soon(version.save(PATIENCE)).await
}

fn count(snapshot: &Snapshot) -> u64 {
    u64::from_le_bytes(*snapshot.data.first_chunk().unwrap())
}

#[tokio::test]
async fn a_count_moves_from_one_version_to_the_next() {
    for (guest, calls) in [(STATEFUL, 3), (STATEFUL_WEB, 3)] {
        let old = stateful(guest, |_| {}).await;
        let new = stateful(guest, |spec| spec.number = 8).await;
        assert!(old.is_stateful() && !old.is_as_saved());
        for _ in 0..calls {
            call(&old, guest).await;
        }
        let snapshot = saved(&old).await.unwrap();
        assert_eq!((snapshot.number, &*snapshot.format), (7, "count/1"));
        assert_eq!(snapshot.digest, old.digest());
        assert_eq!(count(&snapshot), calls);
        soon(new.load(Some(&snapshot), PATIENCE)).await.unwrap();
        assert_eq!(call(&new, guest).await, "4");
        assert_eq!(new.checkpoint(), Some(snapshot.clone()));
        assert!(old.is_as_saved() && old.saved() == Some(snapshot));
        // It goes on as if nothing had happened.
        old.open();
        assert_eq!(call(&old, guest).await, "4");
        assert!(!old.is_as_saved());
        assert_eq!((old.take_losses(), new.take_losses()), (vec![], vec![]));
    }
}

async fn call(version: &Version, guest: &[u8]) -> String {
    if guest == STATEFUL {
        ask(version, "").await.unwrap()
    } else {
        answer(version, "/").await.1
    }
}

#[tokio::test]
async fn a_closed_version_takes_no_calls_and_loses_none() {
    let version = stateful(STATEFUL, |_| {}).await;
    let admitted = version.admit(CallInfo::default()).unwrap();
    version.close();
    let refused = version.admit(CallInfo::default()).unwrap_err();
    assert_eq!((refused.code(), refused.status().as_u16()), ("closed", 503));
    let early = version.save(SHORT).await.unwrap_err();
    assert_eq!(early, StateError::InFlight { limit: SHORT });
    soon(version.handle(Message::default(), admitted))
        .await
        .unwrap();
    assert_eq!(count(&soon(version.save(PATIENCE)).await.unwrap()), 1);
    let arm = version.take_window();
    assert_eq!((arm.requests, arm.not_counted), (1, 0));
    version.open();
    assert_eq!(version.save(SHORT).await, Err(StateError::Open));
}

/// Whatever was answered is in the count that was saved, however the calls fall around the close.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answered_call_is_missing_from_what_is_saved() {
    const CALLERS: usize = 8;
    const ROUNDS: usize = 40;
    let version = stateful(STATEFUL, |_| {}).await;
    let answered = Arc::new(AtomicU64::new(0));
    let stop = tokio_util::sync::CancellationToken::new();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (version, answered, stop) = (version.clone(), answered.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    match handle(&version, Message::default(), CallInfo::default()).await {
                        Ok(_) => {
                            answered.fetch_add(1, SeqCst);
                        }
                        Err(error) => assert_eq!(error, CallError::Closed),
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut last = 0;
    for round in 0..ROUNDS {
        // Each round has calls to race with.
        soon(async {
            while answered.load(SeqCst) < last + 1 + round as u64 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let snapshot = saved(&version).await.unwrap();
        // The caller that has its answer may not have counted it yet; none can be counted that is not saved.
        let (saved, known) = (count(&snapshot), answered.load(SeqCst));
        assert!(
            saved >= known && saved - known <= CALLERS as u64,
            "{saved} {known}"
        );
        assert!(version.is_as_saved());
        last = saved;
        version.open();
    }
    stop.cancel();
    for caller in callers {
        soon(caller).await.unwrap();
    }
    let snapshot = saved(&version).await.unwrap();
    assert_eq!(count(&snapshot), answered.load(SeqCst));
}

#[tokio::test]
async fn a_load_that_is_refused_changes_nothing() {
    let version = stateful(STATEFUL, |_| {}).await;
    let other = stateful(STATEFUL_2, |_| {}).await;
    assert_eq!(ask(&version, "").await.unwrap(), "1");
    ask(&other, "").await.unwrap();
    let snapshot = saved(&other).await.unwrap();
    let refused = soon(version.load(Some(&snapshot), PATIENCE)).await;
    let reason = "cannot read count/2, only count/1".into();
    assert_eq!(refused, Err(StateError::Refused(reason)));
    assert_eq!(ask(&version, "").await.unwrap(), "2");
    assert_eq!(version.checkpoint(), None);
    soon(version.load(None, PATIENCE)).await.unwrap();
    assert_eq!(ask(&version, "").await.unwrap(), "1", "a new one, empty");
    assert_eq!(version.take_losses(), []);
}

#[tokio::test]
async fn a_save_that_is_refused_or_too_large_leaves_the_instance_as_it_was() {
    let version = stateful(STATEFUL, |_| {}).await;
    ask(&version, "grow 2000000").await.unwrap();
    let size = 2_000_008;
    let limit = 1 << 20;
    let error = saved(&version).await.unwrap_err();
    assert_eq!(error, StateError::TooLarge { size, limit });
    version.open();
    ask(&version, "refuse-save").await.unwrap();
    let error = saved(&version).await.unwrap_err();
    assert_eq!(error, StateError::Refused("not now".into()));
    version.open();
    assert_eq!(ask(&version, "").await.unwrap(), "3");
    assert_eq!((version.saved(), version.take_losses()), (None, vec![]));
}

/// More than an HTTP agent may hand over in one call otherwise.
#[tokio::test]
async fn a_large_state_moves_whole() {
    let old = stateful(STATEFUL, |_| {}).await;
    ask(&old, "grow 1000000").await.unwrap();
    let snapshot = saved(&old).await.unwrap();
    assert_eq!(snapshot.data.len(), 1_000_008);
    let new = stateful(STATEFUL, |_| {}).await;
    soon(new.load(Some(&snapshot), PATIENCE)).await.unwrap();
    assert_eq!(saved(&new).await.unwrap().data, snapshot.data);
}

#[tokio::test]
async fn a_save_that_traps_or_takes_too_long_costs_the_instance() {
    for (command, timeout) in [("trap-save", PATIENCE), ("slow-save 600000", SHORT)] {
        let version = stateful(STATEFUL, |_| {}).await;
        let snapshot = saved(&version).await.unwrap();
        version.open();
        ask(&version, command).await.unwrap();
        version.close();
        let error = soon(version.save(timeout)).await.unwrap_err();
        let wanted = if timeout == SHORT { "deadline" } else { "trap" };
        assert_eq!(error.code(), wanted, "{error}");
        let [loss] = &version.take_losses()[..] else {
            panic!("one loss is told")
        };
        assert_eq!(loss.answered, 1);
        version.open();
        assert_eq!(ask(&version, "").await.unwrap(), "1");
        assert_eq!(version.checkpoint(), Some(snapshot));
    }
}

#[tokio::test]
async fn the_next_instance_goes_on_from_the_last_checkpoint_and_the_loss_is_told() {
    let version = stateful(STATEFUL, |spec| {
        spec.state = Some(StateSpec {
            checkpoint: Some(Duration::from_millis(1)),
            max_size: 1 << 20,
        });
    })
    .await;
    for _ in 0..3 {
        ask(&version, "").await.unwrap();
    }
    // It is taken after a while without a call, too.
    soon(async {
        while version.checkpoint().is_none_or(|kept| count(&kept) < 3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    ask(&version, "trap").await.unwrap_err();
    assert_eq!(version.take_losses(), [], "nothing is gone");
    assert_eq!(ask(&version, "").await.unwrap(), "4");
}

#[tokio::test]
async fn what_no_checkpoint_has_is_lost_and_counted() {
    let version = stateful(STATEFUL, |_| {}).await;
    let first = stateful(STATEFUL, |_| {}).await;
    ask(&first, "").await.unwrap();
    let loaded = saved(&first).await.unwrap();
    soon(version.load(Some(&loaded), PATIENCE)).await.unwrap();
    for _ in 0..2 {
        ask(&version, "").await.unwrap();
    }
    ask(&version, "trap").await.unwrap_err();
    let losses = version.take_losses();
    assert_eq!((losses.len(), losses[0].answered), (1, 2));
    assert!(losses[0].reason.contains("trapped"), "{losses:?}");
    assert_eq!(
        ask(&version, "").await.unwrap(),
        "2",
        "from what was loaded"
    );
    assert_eq!(version.take_losses(), []);
}

#[tokio::test]
async fn a_busy_agent_has_checkpoints_too() {
    let version = stateful(STATEFUL, |spec| {
        spec.state = Some(StateSpec {
            checkpoint: Some(Duration::from_millis(20)),
            max_size: 1 << 20,
        });
    })
    .await;
    let stop = tokio_util::sync::CancellationToken::new();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (version, stop) = (version.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    ask(&version, "").await.unwrap();
                }
            })
        })
        .collect();
    soon(async {
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let kept = version.checkpoint().map(|kept| count(&kept));
            if !seen.contains(&kept) {
                seen.push(kept);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    stop.cancel();
    for caller in callers {
        soon(caller).await.unwrap();
    }
}

/// A checkpoint that cannot be loaded is no reason to begin empty.
#[tokio::test]
async fn state_is_never_begun_empty_where_there_was_a_checkpoint() {
    let version = stateful(STATEFUL, |spec| spec.limits.memory = 3 << 20).await;
    ask(&version, "grow 900000").await.unwrap();
    let snapshot = saved(&version).await.unwrap();
    // Larger than what an instance can take in.
    let unreadable = Snapshot {
        data: vec![0; 4 << 20].into(),
        ..snapshot.clone()
    };
    let error = soon(version.load(Some(&unreadable), PATIENCE)).await;
    assert!(error.is_err(), "{error:?}");
    version.open();
    assert_eq!(ask(&version, "").await.unwrap(), "2");
    ask(&version, "trap").await.unwrap_err();
    assert_eq!(ask(&version, "").await.unwrap(), "2");
}

#[tokio::test]
async fn an_instance_that_keeps_its_request_hands_its_state_to_the_next() {
    let version = stateful(STATEFUL_WEB, |_| {}).await;
    assert_eq!(answer(&version, "/").await.1, "1");
    assert_eq!(answer(&version, "/keep").await.1, "2");
    assert_eq!(answer(&version, "/").await.1, "3");
    assert_eq!(version.take_losses(), []);
}

#[tokio::test]
async fn state_is_kept_only_where_that_is_asked_for_and_possible() {
    let ignored = version(STATEFUL, |_| {}).await;
    assert!(!ignored.is_stateful());
    ignored.close();
    assert_eq!(ignored.save(SHORT).await, Err(StateError::Stateless));
    ignored.open();
    ask(&ignored, "").await.unwrap();
    let mut spec = AgentSpec::new("a", 1);
    spec.state = Some(StateSpec {
        checkpoint: None,
        max_size: 1,
    });
    let missing = runtime()
        .prepare(TOOL.into(), spec.clone())
        .await
        .unwrap_err();
    assert_eq!(missing.code(), "no-state");
    assert!(missing.to_string().contains("caxton:agent/state"));
    spec.instances = Some(Instances::Fresh);
    let fresh = runtime().prepare(STATEFUL.into(), spec).await.unwrap_err();
    assert_eq!(fresh.code(), "settings");
}
