//! Agents of WASI 0.3 beside those of 0.2: one is reloaded to the other as to any version, and nobody notices.

use std::time::Duration;

use caxton_test_artifacts::{WEB, WEB_P3, WEB_P3_STATEFUL};
use serde_json::json;

use crate::harness::{Ask, Caxton, Load, Setup, variant, wait_for};

/// Reloads in one test, to and fro.
const RELOADS: u64 = 12;

fn setup() -> Setup {
    Setup::defaults("[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\nkeep_previous = \"0s\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_from_one_contract_to_the_other_lose_nothing() {
    let host = Caxton::start_with(setup()).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let asks = [
        "/web/",
        "/web/sleep?ms=30",
        "/web/stream?chunks=6&gap=20&size=2000",
        "/web/big?bytes=200000",
        "/web/sleep?ms=150",
    ];
    let load = Load::start(host.gateway, 6, asks.map(Ask::get).to_vec());
    for number in 2..=RELOADS {
        let component = if number % 2 == 0 { WEB_P3 } else { WEB };
        host.deploy("web", &variant(component, number), number)
            .await;
        let ended = load.ended();
        wait_for("some calls are answered", async || {
            (load.ended() > ended + 20).then_some(())
        })
        .await;
    }
    let records = load.finish().await;
    let lost: Vec<_> = records.iter().filter(|record| !record.is_good()).collect();
    assert!(lost.is_empty(), "{}", lost[0].told());
    for number in 1..=RELOADS {
        let answered = records
            .iter()
            .any(|record| record.version() == Some(number));
        assert!(answered, "version {number} answered nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reply_of_0_3_streams_past_the_time_to_its_head_and_through_a_reload() {
    let host = Caxton::start_with(setup()).await;
    host.configure(
        "web",
        "[limits]\nrequest_timeout = \"500ms\"\nidle_timeout = \"10s\"\n",
    );
    host.deploy("web", &variant(WEB_P3, 1), 1).await;
    let mut connection = host.connect().await;
    let ask = Ask::get("/web/stream?chunks=40&gap=50&size=3000");
    let (reply, ()) = tokio::join!(connection.ask(&ask), async {
        host.admin.until_in_flight("web", 1).await;
        host.deploy("web", &variant(WEB_P3, 2), 2).await;
    });
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.version()), (200, Some(1)));
    assert_eq!((reply.body.len(), reply.broken), (40 * 3000, None));
    let result = host
        .admin
        .until_result("web", "the reload is completed", |result| {
            result["to"] == 2 && result["status"] == "completed"
        })
        .await;
    assert_eq!(result["lost_requests"], 0, "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_0_3_that_breaks_off_never_looks_whole() {
    let host = Caxton::start().await;
    host.configure("web", "[limits]\nidle_timeout = \"500ms\"\n");
    host.deploy("web", WEB_P3, 1).await;
    for path in [
        "/web/trap-mid-body?after=50",
        "/web/stall-mid-body",
        "/web/fail-mid-body",
        "/web/leave-body",
    ] {
        let reply = host.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply.broken.is_some(),
            "{path}: looks whole: {:?}",
            reply.text()
        );
    }
    assert_eq!(host.get("/web/trap").await.status, 502);
    let body = vec![b'x'; 300_000];
    let reply = host.ask(Ask::post("/web/echo", body.clone())).await;
    assert_eq!(reply.body, body);
    let described = host.get("/web/headers").await.text();
    assert!(
        described.contains("x-forwarded-prefix: /web"),
        "{described}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_contracts_the_newest_is_called_and_the_others_are_told() {
    let host = Caxton::start().await;
    host.deploy("web", WEB_P3_STATEFUL, 1).await;
    assert_eq!(host.get("/web/count").await.text(), "1");
    let status = host.admin.status("web").await.unwrap();
    let live = &status["live"][0];
    assert_eq!(live["contract"], "wasi:http/handler@0.3", "{status}");
    assert_eq!(
        live["passed_over"],
        json!(["caxton:agent/handler@0.1"]),
        "{status}"
    );
    let said = host.command(&["status", "web"]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("v1 wasi:http/handler@0.3, not caxton:agent/handler@0.1"),
        "{said}"
    );
    // Its state goes over as any other's.
    host.deploy("web", &variant(WEB_P3_STATEFUL, 2), 2).await;
    tokio::time::timeout(Duration::from_secs(60), async {
        assert_eq!(host.get("/web/count").await.text(), "2");
    })
    .await
    .unwrap();
}
