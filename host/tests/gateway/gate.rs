//! Requests wait at the gate of an agent whose state moves, and none is lost.

use std::sync::Arc;
use std::time::Duration;

use caxton::gate::{Gate, MAX_WAITING};
use caxton::gateway::GatewaySettings;
use caxton::routes::{AgentRoute, Serving};
use caxton_runtime::{AgentSpec, Instances, Limits, Version};
use futures::future::BoxFuture;
use futures::poll;

use crate::raw::{DEADLINE, Raw};
use crate::rig::{Rig, prepare_spec, routed, served, tool, until, web};

fn gated(name: &str, version: &Arc<Version>, gate: &Arc<Gate>) -> Vec<AgentRoute> {
    gated_for(name, version, gate, DEADLINE)
}

fn gated_for(
    name: &str,
    version: &Arc<Version>,
    gate: &Arc<Gate>,
    gate_timeout: Duration,
) -> Vec<AgentRoute> {
    let serving = Serving {
        gate: Some(Arc::clone(gate)),
        gate_timeout,
        ..Serving::all_to(served(version))
    };
    vec![routed(name, serving)]
}

/// An agent that counts its requests in one instance, one at a time.
async fn counter(number: u64) -> Arc<Version> {
    let mut spec = AgentSpec::new("web", number);
    spec.instances = Some(Instances::Single);
    spec.limits.concurrency = 1;
    prepare_spec(caxton_test_artifacts::WEB, spec).await
}

/// As a hand-over begins.
fn close(gate: &Gate, version: &Version) {
    gate.close();
    version.close();
}

async fn waits(gate: &Gate, how_many: usize) {
    until("it waits", || gate.waiting() == how_many).await;
}

/// Connections whose requests wait, in this order.
async fn queue(rig: &Rig, gate: &Gate, request: &str, count: usize) -> Vec<Raw> {
    let mut callers = Vec::new();
    for number in 1..=count {
        let mut raw = rig.connect().await;
        raw.send(request).await;
        waits(gate, number).await;
        callers.push(raw);
    }
    callers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_and_reach_the_new_version_in_order_though_it_takes_one_at_a_time() {
    let (old, new) = (counter(1).await, counter(2).await);
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("web", &old, &gate)).await;
    let mut probe = rig.connect().await;
    assert_eq!(probe.get("/web/count").await.text(), "1");
    old.drained().await;
    close(&gate, &old);
    let count = "GET /web/count HTTP/1.1\r\nhost: t\r\n\r\n";
    let callers = queue(&rig, &gate, count, 100).await;
    rig.store(gated("web", &new, &gate));
    gate.open();
    for (before, mut raw) in callers.into_iter().enumerate() {
        let reply = raw.reply().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("x-caxton-version"), Some("2"));
        assert_eq!(reply.text(), (before + 1).to_string());
    }
    new.drained().await;
    assert_eq!(probe.get("/web/count").await.text(), "101");
    assert_eq!(old.take_window().requests, 1);
    let counts = new.take_window();
    assert_eq!((counts.requests, counts.not_counted), (101, 0));
    assert!(gate.take_longest_wait() > Duration::ZERO);
}

#[tokio::test]
async fn after_a_failure_the_gate_opens_to_the_old_version() {
    let old = web(1, Limits::default()).await;
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("web", &old, &gate)).await;
    close(&gate, &old);
    let get = "GET /web/ HTTP/1.1\r\nhost: t\r\n\r\n";
    let mut callers = queue(&rig, &gate, get, 3).await;
    // Opened and closed again, with the version closed: the first one finds it so, and keeps its place.
    gate.open();
    gate.close();
    waits(&gate, 3).await;
    old.open();
    rig.store(gated("web", &old, &gate));
    gate.open();
    for raw in &mut callers {
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.text()), (200, "hello\n"));
        assert_eq!(reply.header("x-caxton-version"), Some("1"));
    }
}

#[tokio::test]
async fn a_request_that_finds_the_version_closed_looks_again() {
    let (old, new) = (
        web(1, Limits::default()).await,
        web(2, Limits::default()).await,
    );
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("web", &old, &gate)).await;
    // The gate is open and the table is the old one, as for a request that read both just before they changed.
    old.close();
    let mut raw = rig.connect().await;
    raw.send(
        "POST /web/read-slow HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    )
    .await;
    let mut other = rig.connect().await;
    other.send("GET /web/ HTTP/1.1\r\nhost: t\r\n\r\n").await;
    gate.close();
    waits(&gate, 2).await;
    rig.store(gated("web", &new, &gate));
    gate.open();
    assert_eq!(other.reply().await.header("x-caxton-version"), Some("2"));
    // Nobody asked for the body before there was somebody to read it.
    assert_eq!(raw.head().await.status, 100);
    raw.send("hello").await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.text(), reply.header("x-caxton-version")),
        ("5 bytes\n", Some("2"))
    );
}

#[tokio::test]
async fn a_version_that_is_closed_without_a_gate_sends_away() {
    let (rig, version, mut raw) = Rig::web(Limits::default()).await;
    version.close();
    let reply = raw.get("/web/").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-caxton-error"), Some("cut"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    version.open();
    assert_eq!(raw.get("/web/").await.status, 200);
    drop(rig);
}

#[tokio::test]
async fn a_message_that_waited_goes_to_the_new_version() {
    let (old, new) = (
        tool(1, Limits::default()).await,
        tool(2, Limits::default()).await,
    );
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("tool", &old, &gate)).await;
    close(&gate, &old);
    let post = "POST /tool HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\necho word";
    let mut callers = queue(&rig, &gate, post, 1).await;
    rig.store(gated("tool", &new, &gate));
    gate.open();
    let reply = callers[0].reply().await;
    assert_eq!(
        (reply.text(), reply.header("x-caxton-version")),
        ("word", Some("2"))
    );
}

#[tokio::test]
async fn a_full_gate_and_a_wait_that_is_too_long_are_told_to_come_again() {
    let version = web(1, Limits::default()).await;
    let gate = Arc::new(Gate::new());
    let short = Duration::from_millis(50);
    let table = gated_for("web", &version, &gate, short);
    let rig = Rig::start(GatewaySettings::default(), table).await;
    close(&gate, &version);
    let mut raw = rig.connect().await;
    let told = |reply: &crate::raw::Reply| {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-caxton-version"), None);
        let error = reply.header("x-caxton-error").unwrap().to_owned();
        assert_eq!(reply.json("error"), error.as_str());
        (
            reply.status,
            error,
            reply.header("retry-after").map(str::to_owned),
        )
    };
    let expected = |code: &str| (503, code.to_owned(), Some("1".to_owned()));
    assert_eq!(told(&raw.get("/web/").await), expected("gate-timeout"));
    assert_eq!(gate.waiting(), 0);
    let mut others: Vec<BoxFuture<'_, _>> = Vec::new();
    for _ in 0..MAX_WAITING {
        let mut other: BoxFuture<'_, _> = Box::pin(gate.pass(DEADLINE));
        assert!(poll!(&mut other).is_pending());
        others.push(other);
    }
    assert_eq!(told(&raw.get("/web/").await), expected("gate-full"));
    drop(others);
    version.open();
    gate.open();
    assert_eq!(raw.get("/web/").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_place() {
    let version = web(1, Limits::default()).await;
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("web", &version, &gate)).await;
    close(&gate, &version);
    let get = "GET /web/ HTTP/1.1\r\nhost: t\r\n\r\n";
    let mut callers = queue(&rig, &gate, get, 3).await;
    drop(callers.remove(1));
    waits(&gate, 2).await;
    version.open();
    gate.open();
    for raw in &mut callers {
        assert_eq!(raw.reply().await.status, 200);
    }
    assert_eq!(version.take_window().requests, 2);
}

#[tokio::test]
async fn an_agent_that_goes_while_requests_wait_sends_them_away() {
    let version = web(1, Limits::default()).await;
    let gate = Arc::new(Gate::new());
    let rig = Rig::start(GatewaySettings::default(), gated("web", &version, &gate)).await;
    close(&gate, &version);
    let get = "GET /web/ HTTP/1.1\r\nhost: t\r\n\r\n";
    let mut callers = queue(&rig, &gate, get, 2).await;
    rig.store(Vec::new());
    gate.open();
    for raw in &mut callers {
        let reply = raw.reply().await;
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, Some("1"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_slowly_keeps_nobody_from_a_single_instance() {
    let version = counter(1).await;
    let routes = vec![routed("web", Serving::all_to(served(&version)))];
    let rig = Rig::start(GatewaySettings::default(), routes).await;
    let mut slow = rig.connect().await;
    slow.send("POST /web/echo HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf-")
        .await;
    let mut other = rig.connect().await;
    other.send("GET /web/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let reply = other.reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(version.in_flight(), 0, "half a request is no call");
    slow.send("whole").await;
    let reply = slow.reply().await;
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, &b"half-whole"[..])
    );
}
