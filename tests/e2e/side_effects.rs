//! Mirroring doubles no side effect: what a listener is asked changes nothing outside of it.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caxton_test_artifacts::REACHING;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Ask, Caxton, Setup, variant, wait_for};

/// Copies that the new version hears.
const COPIES: u64 = 40;

/// Requests within which it must have heard them.
const MOST_REQUESTS: usize = 2_000;

/// Someone outside, who counts the requests that reach it.
async fn outside() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reached);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let (mut head, mut piece) = (Vec::new(), [0; 1024]);
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece).await {
                        Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
                        _ => return,
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                // Whoever asked may be gone; it was counted all the same.
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (address, reached)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_copies_reach_nobody_outside_and_write_nothing() {
    let (address, reached) = outside().await;
    // What copies may not do makes their answers differ, which `evidence` would take offence at.
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nstrategy = \"parallel\"\nwarm_up = \"0s\"\nbake = \"1h\"\n\
         mirror = { at_least = \"0s\", at_least_requests = 40 }\n\
         [defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n",
    ))
    .await;
    fs::create_dir(host.elsewhere().join("written")).unwrap();
    host.configure(
        "shop",
        &format!(
            "[grants]\ndirs = [{{ host = \"../written\", guest = \"/data\", write = true }}]\n\
             outbound = [\"http://{address}\"]\n"
        ),
    );
    let file = host.elsewhere().join("written/calls");
    let lines = || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let ask = || Ask::get("/shop/").with("x-call", format!("http://{address}/"));
    host.deploy("shop", &variant(REACHING, 1), 1).await;
    let reply = host.ask(ask()).await;
    assert_eq!(reply.text(), "called: 200\nfile: written\nlines: 1\n");
    host.drop_agent("shop", &variant(REACHING, 2));
    host.events
        .first("it listens", |event| event.is("shop", "listening"))
        .await;
    // Paused, it goes on listening however many copies it hears.
    host.admin.must("shop", "pause").await;
    let mut asked = 1;
    let enough = |status: &Value| status["reload"]["requests"].as_u64() >= Some(COPIES);
    while !enough(&host.admin.status("shop").await.unwrap()) {
        let reply = host.ask(ask()).await;
        assert_eq!(reply.version(), Some(1), "{reply:?}");
        assert!(reply.text().starts_with("called: 200\nfile: written\n"));
        asked += 1;
        assert!(asked < MOST_REQUESTS, "copies are not heard");
    }
    assert_eq!((reached.load(Ordering::SeqCst), lines()), (asked, asked));
    // Once it serves, it may do what it is granted.
    host.admin.must("shop", "resume").await;
    host.swapped("shop", 2).await;
    let reply = host.ask(ask()).await;
    assert_eq!(reply.version(), Some(2), "{reply:?}");
    assert!(reply.text().starts_with("called: 200\nfile: written\n"));
    wait_for("the call of the new version", async || {
        (reached.load(Ordering::SeqCst) == asked + 1).then_some(())
    })
    .await;
    assert_eq!(lines(), asked + 1);
}
