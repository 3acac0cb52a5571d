//! Agents of WASI 0.3 beside those of 0.2: one is reloaded to the other as to any version, and nobody notices.

use std::collections::BTreeMap;
use std::time::Duration;

use caxton_test_artifacts::{STATEFUL, TOOL, WEB, WEB_P3, WEB_P3_STATEFUL};
use serde_json::json;

use crate::harness::{Ask, Caxton, Load, Setup, variant, wait_for};

/// Agents of each kind in one directory, five kinds.
const OF_EACH: usize = 8;

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

/// One agent of each kind: its component, and how it is asked.
fn kinds(of: usize) -> [(String, &'static [u8], Ask); 5] {
    let name = |kind: &str| format!("{kind}-{of}");
    let get = |kind: &str| Ask::get(format!("/{kind}-{of}/"));
    let post = |kind: &str, body| Ask::post(format!("/{kind}-{of}"), body);
    [
        (name("http2"), WEB, get("http2")),
        (name("http3"), WEB_P3, get("http3")),
        (name("http3-single"), WEB_P3_STATEFUL, get("http3-single")),
        (name("handler"), TOOL, post("handler", "echo hi")),
        (
            name("handler-single"),
            STATEFUL,
            post("handler-single", "add"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_agents_of_all_contracts_are_reloaded_at_once_and_lose_nothing() {
    let host = Caxton::start_with(setup()).await;
    let agents: Vec<_> = (0..OF_EACH).flat_map(kinds).collect();
    assert_eq!(agents.len(), 40);
    let drop_all = |number| {
        for (name, component, _) in &agents {
            host.drop_agent(name, &variant(component, number));
        }
    };
    drop_all(1);
    for (name, ..) in &agents {
        host.swapped(name, 1).await;
    }
    let asks: Vec<Ask> = agents.iter().map(|(.., ask)| ask.clone()).collect();
    let load = Load::start(host.gateway, 4, asks.clone());
    drop_all(2);
    for (name, ..) in &agents {
        host.swapped(name, 2).await;
    }
    let ended = load.ended();
    wait_for("each is answered by its new version", async || {
        (load.ended() > ended + 4 * asks.len()).then_some(())
    })
    .await;
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
        let version = record.version().unwrap();
        versions.entry(record.path).or_default().push(version);
    }
    assert_eq!(versions.len(), agents.len());
    for (path, versions) in versions {
        assert!(versions.contains(&2), "{path}: {versions:?}");
    }
    for (name, ..) in &agents {
        let history = host.admin.history(name).await;
        let reload = history.iter().find(|result| result["to"] == 2);
        let reload = reload.unwrap_or_else(|| panic!("{name}: {history:?}"));
        assert_eq!(reload["status"], "completed", "{name}: {reload}");
        assert_eq!(reload["lost_requests"], 0, "{name}: {reload}");
    }
}
