//! Mirroring doubles no side effect: what a listener is asked changes nothing outside of it.

use std::fs;

use caxton_test_artifacts::REACHING;
use serde_json::Value;

use crate::harness::{Ask, Caxton, Outside, Setup, variant, wait_for};

/// Copies that the new version hears.
const COPIES: u64 = 40;

/// Requests within which it must have heard them.
const MOST_REQUESTS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_copies_reach_nobody_outside_and_write_nothing() {
    let outside = Outside::start().await;
    let address = outside.address;
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
    assert_eq!((outside.reached(), lines()), (asked, asked));
    // Once it serves, it may do what it is granted.
    host.admin.must("shop", "resume").await;
    host.swapped("shop", 2).await;
    let reply = host.ask(ask()).await;
    assert_eq!(reply.version(), Some(2), "{reply:?}");
    assert!(reply.text().starts_with("called: 200\nfile: written\n"));
    wait_for("the call of the new version", async || {
        (outside.reached() == asked + 1).then_some(())
    })
    .await;
    assert_eq!(lines(), asked + 1);
}
