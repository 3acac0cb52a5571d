//! What becomes of a call that runs while its version is replaced.

use caxton_test_artifacts::WEB;

use crate::harness::{Ask, Caxton, Event, Reply, Setup, epoch_ms, once, variant};

/// A call that outlives any swap.
const SLOW: &str = "/web/sleep?ms=2000";

/// Reloads until one must have come in while a slow call ran.
const TRIES: u64 = 10;

/// From the swap to the answer that an immediate reload gives a call in flight.
const CUT_WITHIN_MS: f64 = 100.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_reload_lets_the_old_version_answer() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let (number, caught) = catch(&host, 2).await;
    let (reply, swap) = (caught.reply, caught.swap);
    assert!(caught.ended_at > swap.at(), "{reply:?}");
    assert!(reply.is_good(), "{reply:?}");
    assert_eq!(
        (reply.version(), reply.text().as_str()),
        (Some(number - 1), "slept\n")
    );
    host.admin.until_in_flight("web", 0).await;
    let result = host
        .admin
        .until_result("web", "completed", |result| result["to"] == number)
        .await;
    assert_eq!(
        (&result["status"], &result["lost_requests"]),
        (&"completed".into(), &0.into()),
        "{result}"
    );
}

/// The promise is about the host, so what the machine does besides is taken out by looking at the middle of five tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immediate_reload_ends_it_at_once_with_503_and_counts_it() {
    let setup = Setup::defaults("[defaults.reload]\nstrategy = \"immediate\"\nbake = \"0s\"\n");
    let host = Caxton::start_with(setup.alone()).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let (mut after_swap, mut next) = (Vec::new(), 2);
    for _ in 0..5 {
        let (number, caught) = catch(&host, next).await;
        next = number + 1;
        let reply = caught.reply;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(
            reply.broken.is_none() && reply.headers.contains_key("retry-after"),
            "{reply:?}"
        );
        after_swap.push(caught.ended_at - caught.swap.at());
        let what = "the lost request is counted";
        let counted =
            |result: &serde_json::Value| result["to"] == number && result["lost_requests"] == 1;
        host.admin.until_result("web", what, counted).await;
    }
    after_swap.sort_by(f64::total_cmp);
    eprintln!("503 after the swap, in ms: {after_swap:.1?}");
    assert!(after_swap[2] <= CUT_WITHIN_MS, "in ms: {after_swap:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immediate_reload_breaks_a_reply_that_has_begun() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nstrategy = \"immediate\"\nbake = \"0s\"\n",
    ))
    .await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let stream = call(&host, "/web/stream?chunks=1000&gap=50&size=100");
    host.admin.until_in_flight("web", 1).await;
    // The head must be out, or else the answer is a 503: a second reply of the same kind tells that heads come at once.
    assert_eq!(
        host.get("/web/stream?chunks=2&gap=50&size=1").await.status,
        200
    );
    host.deploy("web", &variant(WEB, 2), 2).await;
    let (reply, _) = stream.await.unwrap();
    let reply = reply.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply.broken.is_some(),
        "a reply that was cut looks whole: {} bytes",
        reply.body.len()
    );
    host.admin
        .until_result("web", "counted", |result| {
            result["to"] == 2 && result["lost_requests"] == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_a_drain_ends_with_the_last_call_and_not_with_its_timeout() {
    // Nobody can go back, so that nothing but its calls keeps the old version.
    let defaults = "[defaults.reload]\nbake = \"0s\"\ndrain_timeout = \"30m\"\nkeep_previous = \"0s\"\n\
                    [defaults.rollback]\nenabled = false\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let slow = call(&host, "/web/sleep?ms=6000");
    host.admin.until_in_flight("web", 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    let numbers = |status: &serde_json::Value| -> Vec<u64> {
        let live = status["live"].as_array().unwrap();
        live.iter().filter_map(|v| v["number"].as_u64()).collect()
    };
    let status = host.admin.status("web").await.unwrap();
    assert!(
        !slow.is_finished() && numbers(&status).contains(&1),
        "{status}"
    );
    let (reply, _) = slow.await.unwrap();
    let reply = reply.unwrap();
    assert!(reply.is_good() && reply.version() == Some(1), "{reply:?}");
    host.admin
        .until("web", "the old version is gone", |s| numbers(s) == [2])
        .await;
    host.admin
        .until_result("web", "completed", |r| {
            r["to"] == 2 && r["status"] == "completed" && r["lost_requests"] == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_drain_timeout_is_cut_and_counted() {
    let defaults = "[defaults.reload]\nbake = \"0s\"\ndrain_timeout = \"300ms\"\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let blocked = call(&host, "/web/block");
    host.admin.until_in_flight("web", 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    let (reply, _) = blocked.await.unwrap();
    assert_eq!(reply.unwrap().status, 503);
    host.admin
        .until_result("web", "counted", |result| {
            result["to"] == 2 && result["lost_requests"] == 1
        })
        .await;
}

/// A slow call that was running when its version was replaced.
struct Caught {
    reply: Reply,
    ended_at: f64,
    swap: Event,
}

/// Reloads, from version `first` on, until a slow call was running at a swap; with the version that was swapped in. What
/// compiles for longer than the call takes is no failure of anything, and is tried again.
async fn catch(host: &Caxton, first: u64) -> (u64, Caught) {
    for number in first..first + TRIES {
        let slow = call(host, SLOW);
        host.admin.until_in_flight("web", 1).await;
        let swap = host.deploy("web", &variant(WEB, number), number).await;
        let was_running = !slow.is_finished();
        assert_eq!(
            host.version_at("/web/").await,
            number,
            "new requests go to the new version"
        );
        let (reply, ended_at) = slow.await.unwrap();
        let reply = reply.unwrap();
        if was_running || reply.status != 200 {
            return (
                number,
                Caught {
                    reply,
                    ended_at,
                    swap,
                },
            );
        }
    }
    panic!("in {TRIES} tries no reload was done within the time of a slow call");
}

type Called = tokio::task::JoinHandle<(Result<Reply, String>, f64)>;

/// A request that runs beside the test, with the time of its end.
fn call(host: &Caxton, path: &str) -> Called {
    let (gateway, ask) = (host.gateway, Ask::get(path));
    tokio::spawn(async move {
        let reply = once(gateway, ask).await;
        (reply, epoch_ms())
    })
}
