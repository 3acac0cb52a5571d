//! Calls of a version on trial by an operator's hand.

use std::process::Output;

use caxton_test_artifacts::{STATEFUL, TOOL, UNHEALTHY, WEB};

use crate::harness::{Ask, Caxton, Setup, once, variant};

fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn by_hand(host: &Caxton, words: &[&str]) -> Output {
    host.command(&[&["call", "--candidate"], words].concat())
        .await
}

fn with_strategy(strategy: &str) -> Setup {
    Setup::defaults(&format!(
        "[defaults.reload]\nstrategy = \"{strategy}\"\nwarm_up = \"0s\"\nbake = \"10m\"\n"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_is_called_whatever_its_share_and_the_calls_count_nowhere() {
    for strategy in ["graceful", "parallel", "traffic-splitting"] {
        let host = Caxton::start_with(with_strategy(strategy)).await;
        host.deploy("web", &variant(WEB, 1), 1).await;
        let none = by_hand(&host, &["web"]).await;
        assert_eq!(none.status.code(), Some(1), "{}", told(&none));
        assert!(
            told(&none).contains("no version on trial"),
            "{}",
            told(&none)
        );
        host.admin
            .until("web", "permanent", |status| status["stable"]["number"] == 1)
            .await;
        host.drop_agent("web", &variant(WEB, 2));
        host.admin
            .until("web", "on trial", |status| {
                status["candidate"]["number"] == 2 && status["reload"]["status"] == "in-progress"
            })
            .await;
        for _ in 0..20 {
            let failing = by_hand(&host, &["web", "--path", "/status/500"]).await;
            assert_eq!(failing.status.code(), Some(1), "{}", told(&failing));
            assert!(
                told(&failing).contains("web v2 answered 500"),
                "{strategy}: {}",
                told(&failing)
            );
        }
        let echoed = by_hand(
            &host,
            &["web", "hello", "--path", "/echo", "-H", "x-own: 1"],
        )
        .await;
        assert_eq!(echoed.status.code(), Some(0), "{}", told(&echoed));
        assert_eq!(String::from_utf8_lossy(&echoed.stdout), "hello");
        // It is told what any caller's request tells it, and is no copy, whatever the caller says.
        let mirrored = "x-caxton-mirrored: 1";
        let sent = [
            "web", "--path", "/headers", "-H", "x-own: 1", "-H", mirrored,
        ];
        let seen = told(&by_hand(&host, &sent).await);
        assert!(
            seen.contains("x-own") && !seen.contains("x-caxton-mirrored"),
            "{seen}"
        );
        host.admin.must("web", "abort").await;
        let result = host
            .admin
            .until_result("web", "ended", |result| {
                result["to"] == 2 || result["from"] == 2
            })
            .await;
        assert_eq!(
            result["metrics"]["requests_new"].as_u64().unwrap_or(0),
            0,
            "{result}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_prepared_and_not_routed_to_is_called_also_a_handler() {
    let setup = "[defaults.reload]\nwarm_up = \"10m\"\nbake = \"0s\"\n[defaults.health]\ninterval = \"100ms\"\n";
    let host = Caxton::start_with(Setup::defaults(setup)).await;
    host.configure("tool", "[reload]\nwarm_up = \"0s\"\n");
    host.deploy("tool", &variant(TOOL, 1), 1).await;
    host.admin
        .until("tool", "permanent", |status| {
            status["stable"]["number"] == 1
        })
        .await;
    host.configure("tool", "");
    host.drop_agent("tool", UNHEALTHY);
    host.admin
        .until("tool", "it starts", |status| {
            status["reload"]["status"] == "starting" && status["candidate"].is_object()
        })
        .await;
    let output = by_hand(&host, &["tool", "anything"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "anything");
    assert_eq!(
        host.ask(Ask::post("/tool", "echo x")).await.version(),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_keeps_state_is_called_once_it_serves() {
    let host = Caxton::start_with(with_strategy("parallel")).await;
    // Without copies of what changes something no handler could listen.
    host.configure("counter", "[reload]\nmirror = { requests = \"all\" }\n");
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    host.admin
        .until("counter", "permanent", |status| {
            status["stable"]["number"] == 1
        })
        .await;
    host.drop_agent("counter", &variant(STATEFUL, 2));
    host.admin
        .until("counter", "it listens", |status| {
            status["candidate"]["number"] == 2 && status["reload"]["status"] == "in-progress"
        })
        .await;
    let refused = by_hand(&host, &["counter"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("keeps state"), "{}", told(&refused));
    host.admin.must("counter", "promote").await;
    host.swapped("counter", 2).await;
    let output = by_hand(&host, &["counter"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_a_candidate_without_the_token() {
    let host = Caxton::start_with(with_strategy("parallel")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    host.admin
        .until("web", "it listens", |status| {
            status["candidate"]["number"] == 2 && status["reload"]["status"] == "in-progress"
        })
        .await;
    let path = "/api/v1/agents/web/call";
    let reply = once(host.admin.address, Ask::post(path, "")).await.unwrap();
    assert_eq!(
        (reply.status, reply.version()),
        (401, None),
        "{}",
        reply.text()
    );
    let ask = Ask::get("/web/")
        .with("authorization", format!("Bearer {}", host.admin.token))
        .with("x-caxton-call-path", "/")
        .with("x-caxton-candidate", "true");
    assert_eq!(host.ask(ask).await.version(), Some(1));
    assert_eq!(host.ask(Ask::post(path, "")).await.status, 404);
}
