//! A guest that misbehaves costs its own request only, and other agents' answers arrive meanwhile.

use crate::{answer, counted, get, soon, version};
use caxton_runtime::CallError;
use caxton_test_artifacts::WEB;
use std::time::Duration;

/// Long enough that answers of another agent fit in on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_and_waits_let_others_answer() {
    let bad = version(WEB, |spec| spec.limits.request_timeout = DEADLINE).await;
    let good = version(WEB, |_| {}).await;
    // More loops than there are workers.
    let stuck: Vec<_> = ["/loop", "/loop", "/loop", "/block"]
        .into_iter()
        .map(|path| {
            let bad = bad.clone();
            tokio::spawn(async move { get(&bad, path).await })
        })
        .collect();
    soon(async {
        while bad.in_flight() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..3 {
        assert_eq!(answer(&good, "/").await.0, 200);
    }
    assert_eq!(
        bad.in_flight(),
        4,
        "the answers came beside the loops, not after them"
    );
    for call in stuck {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error:?}");
        assert_eq!(error.status(), 504);
    }
    let arm = counted(&bad).await;
    assert_eq!((arm.requests, arm.failures, arm.deadlines), (4, 4, 4));
}

#[tokio::test]
async fn traps_panics_and_greed_end_in_502() {
    let version = version(WEB, |spec| spec.limits.memory = 16 << 20).await;
    for path in ["/trap", "/panic", "/allocate", "/memory?mib=17"] {
        let error = get(&version, path).await.unwrap_err();
        assert!(matches!(error, CallError::Trap(_)), "{path}: {error:?}");
        assert_eq!(error.status(), 502);
        let told = error.to_string().contains("memory beyond its limit");
        assert_eq!(told, !matches!(path, "/trap" | "/panic"), "{path}: {error}");
    }
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.traps), (4, 4));
    assert!(arm.memory_peak <= 16 << 20);
    assert_eq!(answer(&version, "/memory?mib=4").await.0, 200);
}

#[tokio::test]
async fn no_answer_is_the_agents_failure() {
    let version = version(WEB, |_| {}).await;
    let error = get(&version, "/no-answer").await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
    assert_eq!(counted(&version).await.failures, 1);
}

/// What a guest makes the host hold beside its memory has a bound of the same order.
#[tokio::test]
async fn a_guest_cannot_hoard_in_the_hosts_memory() {
    let version = version(WEB, |_| {}).await;
    let (status, taken) = answer(&version, "/hoard?requests=400&bodies=400").await;
    let taken: u64 = taken.parse().unwrap();
    assert_eq!(status, 200);
    assert!(taken <= 32 << 20, "{taken} bytes");
    let error = get(&version, "/hoard?requests=1200").await.unwrap_err();
    assert!(matches!(error, CallError::Trap(_)), "{error:?}");
}

/// A chain of bodies still works when it is past the wide ones.
#[tokio::test]
async fn a_body_behind_many_others_arrives_whole() {
    let version = version(WEB, |_| {}).await;
    let (status, body) = answer(&version, "/big?bytes=1000000&behind=20").await;
    assert_eq!((status, body.len()), (200, 1_000_000));
}
