//! A gateway that is told to stop: politely, impatiently, at once.

use std::time::Duration;

use caxton::gateway::{GatewaySettings, Served};
use caxton_runtime::Limits;
use tokio::net::TcpStream;

use crate::raw::End;
use crate::rig::{Rig, route, until, web};

#[tokio::test]
async fn running_requests_are_answered_and_idle_connections_closed() {
    let (rig, version, mut busy) = Rig::web(Limits::default()).await;
    let mut idle = rig.connect().await;
    assert_eq!(idle.get("/web/").await.status, 200);
    let mut streaming = rig.connect().await;
    streaming
        .send("GET /web/stream?chunks=8&gap=100&size=4 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    busy.send("GET /web/sleep?ms=700 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    until("both calls are in flight", || version.in_flight() == 2).await;
    rig.shutdown.stop();
    assert_eq!(idle.closed().await, (Vec::new(), End::Short));
    let reply = busy.reply().await;
    assert_eq!((reply.text(), reply.end), ("slept\n", End::Whole));
    assert_eq!(busy.closed().await, (Vec::new(), End::Short));
    let reply = streaming.reply().await;
    assert_eq!((reply.body.len(), reply.end), (32, End::Whole));
    // Whoever waits for the gateway's end now holds no connection open.
    drop((idle, busy, streaming));
    let address = rig.address;
    assert_eq!(
        rig.ended().await,
        Served {
            connections: 3,
            cut: 0
        }
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_second_signal_cuts_what_still_runs() {
    let (rig, version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("GET /web/block HTTP/1.1\r\nhost: t\r\n\r\n").await;
    until("the call is in flight", || version.in_flight() == 1).await;
    rig.shutdown.stop();
    assert_eq!(version.in_flight(), 1);
    rig.shutdown.force();
    assert_eq!(
        rig.ended().await,
        Served {
            connections: 1,
            cut: 1
        }
    );
    let (bytes, _end) = raw.closed().await;
    assert_eq!(bytes, b"");
    until("the call has ended", || version.in_flight() == 0).await;
}

#[tokio::test]
async fn what_outlasts_the_drain_timeout_is_cut() {
    let version = web(1, Limits::default()).await;
    let settings = GatewaySettings {
        drain_timeout: Duration::from_millis(200),
        ..GatewaySettings::default()
    };
    let rig = Rig::start(settings, vec![route("web", &version)]).await;
    let mut raw = rig.connect().await;
    raw.send("GET /web/stall-mid-body HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 200);
    rig.shutdown.stop();
    assert_eq!(
        rig.ended().await,
        Served {
            connections: 1,
            cut: 1
        }
    );
    assert_eq!(raw.closed().await.1, End::Short);
}
