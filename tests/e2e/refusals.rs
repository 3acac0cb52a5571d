//! Files that cannot be agents: each is refused with a message of its own, and the version before it serves on.

use std::fs::{self, File};

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::Value;

use crate::harness::{Caxton, digest, variant, wait_for};

/// A component that ends before its first call: its core module traps when it starts.
const TRAPS_AT_START: &str = r#"(component
    (core module $guest
        (func $boom unreachable)
        (start $boom)
        (func (export "handle")))
    (core instance $guest (instantiate $guest))
    (func $handle (canon lift (core func $guest "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "caxton:agent/handler@0.1.0" (instance $handler)))"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_component_has_its_own_message_and_the_old_version_serves_on() {
    let host = Caxton::start().await;
    let good = variant(WEB, 1);
    host.deploy("web", &good, 1).await;
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        (
            "core module",
            wat::parse_str("(module)").unwrap(),
            vec!["core module", "wasm-tools component new"],
        ),
        (
            "truncated",
            WEB[..WEB.len() / 2].to_vec(),
            vec!["ends early", "copy"],
        ),
        ("empty", Vec::new(), vec!["empty", "copy"]),
        (
            "garbage",
            b"this is a text and no program".to_vec(),
            vec!["not WebAssembly", "this is"],
        ),
        ("damaged", damaged(WEB), vec!["not valid", "at byte"]),
        (
            "no known export",
            wat::parse_str("(component)").unwrap(),
            vec!["exports nothing", "caxton:agent/handler"],
        ),
        (
            "unknown import",
            imports_something_else(TOOL),
            vec![
                "imports caxton:agent/metrixx@0.1.0",
                "caxton:agent/metrics@0.1.0",
            ],
        ),
        (
            "traps at its start",
            wat::parse_str(TRAPS_AT_START).unwrap(),
            vec!["trap"],
        ),
    ];
    let mut messages = Vec::new();
    for (case, bytes, parts) in cases {
        host.drop_agent("web", &bytes);
        messages.push(refused(&host, case, &parts).await);
        assert_eq!(host.version_at("/web/").await, 1, "{case}");
        back_to(&host, &good).await;
    }
    messages.sort();
    messages.dedup();
    assert_eq!(
        messages.len(),
        8,
        "two refusals say the same: {messages:#?}"
    );
    assert_eq!(
        host.events
            .all()
            .iter()
            .filter(|event| event.is("web", "swapped"))
            .count(),
        1
    );
    // The directory is not blocked: the next good file comes in.
    host.drop_agent("web", &variant(WEB, 2));
    let after = host.admin.until("web", "the next one serves", |s| {
        s["stable"]["digest"] == digest(&variant(WEB, 2))
    });
    after.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_200_mib_is_refused_unread() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    let beside = host.elsewhere().join("huge");
    File::create(&beside).unwrap().set_len(200 << 20).unwrap();
    fs::rename(&beside, host.agents().join("web.wasm")).unwrap();
    refused(&host, "200 MiB", &["209715200 bytes", "limit"]).await;
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_cannot_be_an_agent_is_refused_visibly() {
    let host = Caxton::start().await;
    host.drop_agent("My Agent", WEB);
    let text = wait_for("attention for the name", async || {
        let host = host.admin.host().await;
        let attention = host["attention"].as_array().unwrap().clone();
        attention.iter().find_map(|entry| {
            let text = entry["text"].as_str()?;
            (entry["kind"] == "refused-file" && text.contains("My Agent.wasm"))
                .then(|| text.to_owned())
        })
    })
    .await;
    assert!(text.contains("a-z") && text.contains("rename"), "{text}");
    fs::rename(
        host.agents().join("My Agent.wasm"),
        host.agents().join("my-agent.wasm"),
    )
    .unwrap();
    host.swapped("my-agent", 1).await;
    wait_for("the attention to go", async || {
        host.admin.host().await["attention"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_is_refused_with_its_line_and_the_nearest_key() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    host.configure("web", "[limits]\nmemmory = \"32MiB\"\n");
    let message = refused(&host, "unknown key", &["web.toml", "memmory", "memory"]).await;
    assert!(message.contains('2'), "the line: {message}");
    host.configure("web", "[reload]\ndrain_timeout = \"soon\"\n");
    refused(&host, "no duration", &["web.toml", "soon"]).await;
    assert_eq!(host.version_at("/web/").await, 1);
    host.configure("web", "[limits]\nmemory = \"32MiB\"\n");
    host.swapped("web", 2).await;
    let status = host.admin.until("web", "no error", is_clear).await;
    assert_eq!(status["stable"]["digest"], digest(WEB), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_only_file_is_refused_answers_503_and_says_why() {
    let host = Caxton::start().await;
    host.drop_agent("web", b"no program");
    refused(&host, "garbage", &["not WebAssembly"]).await;
    let reply = host.get("/web/").await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("not WebAssembly"), "{}", reply.text());
}

/// Waits until the agent shows an error with all `parts`; hands it back.
async fn refused(host: &Caxton, case: &str, parts: &[&str]) -> String {
    let says = |error: &Value| {
        let text = error.as_str().unwrap_or_default();
        parts.iter().all(|part| text.contains(part))
    };
    let what = format!("{case}: an error with {parts:?}");
    let status = host
        .admin
        .until("web", &what, |status| says(&status["last_error"]))
        .await;
    status["last_error"].as_str().unwrap().to_owned()
}

/// Puts the good bytes back, and waits until nothing is wrong any more.
async fn back_to(host: &Caxton, good: &[u8]) {
    host.drop_agent("web", good);
    host.admin
        .until("web", "the refusal is over", is_clear)
        .await;
}

fn is_clear(status: &Value) -> bool {
    let attention = status["attention"].as_array().unwrap();
    attention
        .iter()
        .all(|entry| entry["kind"] != "refused-file" && entry["kind"] != "diverged")
}

/// A component in which one byte in the middle of the code is another.
fn damaged(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let middle = bytes.len() / 4;
    for byte in &mut bytes[middle..middle + 64] {
        *byte = 0xff;
    }
    bytes
}

/// The component with the name of its import `caxton:agent/metrics` changed, wherever it stands.
fn imports_something_else(component: &[u8]) -> Vec<u8> {
    let (there, instead) = (b"caxton:agent/metrics@0.1.0", b"caxton:agent/metrixx@0.1.0");
    let mut bytes = component.to_vec();
    let places: Vec<usize> = (0..bytes.len() - there.len())
        .filter(|at| bytes[*at..].starts_with(there))
        .collect();
    assert!(!places.is_empty(), "the guest does not import metrics");
    for at in places {
        bytes[at..at + instead.len()].copy_from_slice(instead);
    }
    bytes
}
