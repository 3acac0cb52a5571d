//! What one request does to others: nothing, whatever its guest does.

use std::time::{Duration, Instant};

use caxton_test_artifacts::{TOOL, WEB};

use crate::harness::{Ask, Caxton, PATIENCE, Reply, once, variant};

/// How long a bad request of these tests may run.
const BAD_LIMITS: &str = "[limits]\nrequest_timeout = \"4s\"\nmemory = \"16MiB\"\n";

/// Bad requests at once: more than there are cores here.
const AT_ONCE: usize = 4;

/// How long a good answer may take beside them, on a machine that tests share. Far below what waiting for a bad request
/// would take if one had to.
const BESIDE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_agent_that_misbehaves_costs_its_own_request_only() {
    let cases = [
        ("loop", 504),
        ("block", 504),
        ("allocate", 502),
        ("panic", 502),
        ("trap", 502),
        ("no-answer", 500),
    ];
    let host = Caxton::start().await;
    prepare(&host, WEB).await;
    for (behaviour, status) in cases {
        let asks = vec![Ask::get(format!("/bad/{behaviour}")); AT_ONCE];
        beside(&host, behaviour, status, asks).await;
        assert_eq!(host.version_at("/bad/").await, 1, "after {behaviour}");
    }
    // Each in an instance of its own, so a calm request beside the bad ones of the same agent is well.
    let bad = once(host.gateway, Ask::get("/bad/loop"));
    let calm = async { host.version_at("/bad/sleep?ms=100").await };
    let (bad, calm) = tokio::join!(bad, calm);
    assert_eq!((bad.unwrap().status, calm), (504, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_agent_that_misbehaves_costs_its_own_request_only() {
    let cases = [
        ("loop", 504),
        ("block", 504),
        ("allocate", 502),
        ("trap", 502),
        ("invalid you", 400),
        ("unavailable now", 503),
        ("internal matters", 500),
    ];
    let host = Caxton::start().await;
    prepare(&host, TOOL).await;
    for (behaviour, status) in cases {
        beside(
            &host,
            behaviour,
            status,
            vec![Ask::post("/bad", behaviour); AT_ONCE],
        )
        .await;
        let reply = host.ask(Ask::post("/bad", "echo still here")).await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, "still here"),
            "after {behaviour}"
        );
    }
}

/// `bad` with limits, and `good` beside it.
async fn prepare(host: &Caxton, bad: &[u8]) {
    host.configure("bad", BAD_LIMITS);
    host.deploy("bad", &variant(bad, 1), 1).await;
    host.deploy("good", &variant(WEB, 2), 1).await;
}

/// Sends the bad requests all at once, and good ones to the other agent one after the other until all bad ones are
/// answered. Each bad one must bring `status`, and each good one its answer, in its own time.
async fn beside(host: &Caxton, case: &str, status: u16, asks: Vec<Ask>) {
    let gateway = host.gateway;
    let bad: Vec<_> = asks
        .into_iter()
        .map(|ask| tokio::spawn(once(gateway, ask)))
        .collect();
    let mut connection = host.connect().await;
    let (begun, mut beside, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    loop {
        let over = bad.iter().all(tokio::task::JoinHandle::is_finished);
        let sent = Instant::now();
        let good = connection.ask(&Ask::get("/good/")).await.unwrap();
        assert!(good.is_good(), "{case}: {good:?}");
        if over {
            break;
        }
        beside += 1;
        slowest = slowest.max(sent.elapsed());
        assert!(begun.elapsed() < PATIENCE, "{case}: no end");
    }
    assert!(slowest < BESIDE, "{case}: a good answer took {slowest:?}");
    for answered in bad {
        let reply: Reply = answered
            .await
            .unwrap()
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(reply.status, status, "{case}: {}", reply.text());
        assert!(reply.broken.is_none(), "{case}: {reply:?}");
    }
    eprintln!("{case}: {beside} good answers beside, the slowest in {slowest:?}");
    assert!(
        beside > 0 || status != 504,
        "{case}: nothing was answered meanwhile"
    );
}
