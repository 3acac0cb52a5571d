//! The routing table is replaced while requests flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use caxton::gateway::GatewaySettings;
use caxton::routes::RoutingTable;
use caxton_runtime::Limits;

use crate::rig::{Rig, route, tool, until, web};

/// How often the table is replaced.
const SWAPS: u64 = 30;
/// Connections that ask without a pause.
const CALLERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_and_after_a_swap_only_the_new_version_answers() {
    let first = web(1, Limits::default()).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("web", &first)]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let mut raw = rig.connect().await;
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        callers.spawn(async move {
            let mut newest = 0;
            while !stop.load(Ordering::Relaxed) {
                let path = if caller % 2 == 0 {
                    "/web/"
                } else {
                    "/web/stream?chunks=3&gap=1"
                };
                let reply = raw.get(path).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                assert_eq!(reply.end, crate::raw::End::Whole);
                let version: u64 = reply.header("x-caxton-version").unwrap().parse().unwrap();
                assert!(version >= newest, "{version} after {newest}");
                newest = version;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut probe = rig.connect().await;
    let mut before = first;
    for number in 2..SWAPS + 2 {
        let next = web(number, Limits::default()).await;
        rig.routes
            .store(Arc::new(RoutingTable::build([route("web", &next)])));
        let reply = probe.get("/web/").await;
        assert_eq!(
            reply.header("x-caxton-version"),
            Some(number.to_string().as_str())
        );
        // As a graceful reload does it: the old one ends what it has, and goes.
        before.drained().await;
        before = next;
        let so_far = answered.load(Ordering::Relaxed);
        until("requests flow", || {
            answered.load(Ordering::Relaxed) > so_far + 4
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    drop(probe);
    rig.shutdown.stop();
    assert_eq!(rig.ended().await.cut, 0);
}

#[tokio::test]
async fn a_message_goes_to_the_version_that_serves_when_it_is_whole() {
    let old = tool(1, Limits::default()).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("tool", &old)]).await;
    let mut raw = rig.connect().await;
    raw.send("POST /tool HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
        .await;
    // The gateway asks for the body: it has found the old version.
    assert_eq!(raw.head().await.status, 100);
    let new = tool(2, Limits::default()).await;
    rig.routes
        .store(Arc::new(RoutingTable::build([route("tool", &new)])));
    raw.send("echo word").await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.text(), reply.header("x-caxton-version")),
        ("word", Some("2"))
    );
    assert_eq!(old.take_window().requests, 0);
}

#[tokio::test]
async fn a_failure_is_told_of_the_version_that_failed() {
    let old = tool(1, Limits::default()).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("tool", &old)]).await;
    let mut raw = rig.connect().await;
    raw.send("POST /tool HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 100);
    let new = tool(2, Limits::default()).await;
    rig.routes
        .store(Arc::new(RoutingTable::build([route("tool", &new)])));
    raw.send("trap").await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.status, reply.header("x-caxton-version")),
        (502, Some("2"))
    );
}
