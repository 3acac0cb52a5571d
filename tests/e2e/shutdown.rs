//! How a host ends: politely on the first signal, at once on the second.

use caxton_test_artifacts::WEB;

use crate::harness::{Ask, Caxton, Connection, digest, once, variant, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_lets_running_requests_be_answered() {
    for signal in ["TERM", "INT"] {
        let mut host = Caxton::start().await;
        host.deploy("web", WEB, 1).await;
        let mut idle = host.connect().await;
        assert!(idle.ask(&Ask::get("/web/")).await.unwrap().is_good());
        let gateway = host.gateway;
        let slow = tokio::spawn(once(gateway, Ask::get("/web/sleep?ms=1500")));
        let stream = tokio::spawn(once(
            gateway,
            Ask::get("/web/stream?chunks=30&gap=50&size=10"),
        ));
        host.admin.until_in_flight("web", 2).await;
        host.signal(signal);
        let (slow, stream) = (slow.await.unwrap().unwrap(), stream.await.unwrap().unwrap());
        assert!(
            slow.is_good() && slow.text() == "slept\n",
            "{signal}: {slow:?}"
        );
        assert!(
            stream.is_good() && stream.body.len() == 300,
            "{signal}: {stream:?}"
        );
        let status = host.exited().await;
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(
            !host.data_dir().join("admin.json").exists(),
            "{signal}: nobody is there to be reached"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_forces() {
    let mut host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    let gateway = host.gateway;
    // The default request timeout is 30 s, and so is the time for draining: nothing else ends it before.
    let blocked = tokio::spawn(once(gateway, Ask::get("/web/block")));
    host.admin.until_in_flight("web", 1).await;
    host.signal("TERM");
    wait_for("new connections to be refused", async || {
        Connection::open(gateway).await.is_err().then_some(())
    })
    .await;
    assert!(
        host.is_running() && !blocked.is_finished(),
        "the first signal waits for what runs"
    );
    host.signal("TERM");
    let begun = std::time::Instant::now();
    host.exited().await;
    assert!(
        begun.elapsed().as_secs() < 15,
        "the second signal was not at once: {:?}",
        begun.elapsed()
    );
    let reply = blocked.await.unwrap();
    assert!(
        reply.as_ref().map_or(true, |reply| !reply.is_good()),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_killed_starts_again_on_what_is_in_the_directory() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    let host = host.killed_and_started_again().await;
    let serves = |status: &serde_json::Value| {
        status["stable"]["digest"] == digest(&variant(WEB, 2)) && status["stable"]["number"] == 2
    };
    host.admin
        .until("web", "the file in the directory serves", serves)
        .await;
    assert!(host.get("/web/").await.is_good());
}
