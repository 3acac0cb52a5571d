//! Agents as other toolchains build them, dropped into a host as they are: they answer, are reloaded, and say where they failed.
//!
//! No limit is set for them: the defaults are what they run with.

use std::fs;
use std::time::{Duration, Instant};

use crate::caxton::agent;
use crate::harness::{Ask, Caxton, Setup, variant, wait_for};

/// Calls whose time is taken.
const MEASURED: usize = 50;

/// Between two calls while another version compiles.
const PAUSE: Duration = Duration::from_millis(20);

/// Of the default 64 MiB.
const ENOUGH: &str = "48MiB";

/// Without keeping time short where a component takes many seconds to compile, and one host at a time for the same reason.
fn setup() -> Setup {
    Setup::defaults("[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n").alone()
}

/// How long calls take, for who asks (`--nocapture`).
async fn measure(host: &Caxton, ask: &Ask) -> String {
    let mut took = Vec::new();
    for _ in 0..MEASURED {
        let begun = Instant::now();
        assert!(host.ask(ask.clone()).await.is_good());
        took.push(begun.elapsed());
    }
    took.sort();
    let (half, longest) = (took[MEASURED / 2], took[MEASURED - 1]);
    format!("half of {MEASURED} calls took {half:.1?} at most, the longest {longest:.1?}")
}

/// Waits until the host has logged each of these words.
async fn logs(host: &Caxton, words: &[&str]) {
    let log = host.elsewhere().join("log");
    wait_for(&format!("{words:?} in the log"), async || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        words.iter().all(|word| text.contains(word)).then_some(())
    })
    .await;
}

/// A reload under calls loses none. There is a pause between them: compiling has a low priority, and calls without an end on all cores
/// would keep it waiting.
async fn reload(host: &Caxton, name: &str, component: &[u8], ask: &Ask) {
    let component = variant(component, 2);
    let mut calls = 0;
    let calling = async {
        loop {
            let reply = host.ask(ask.clone()).await;
            assert!(reply.is_good(), "{} {}", reply.status, reply.text());
            calls += 1;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        _ = host.deploy(name, &component, 2) => {}
        () = calling => {}
    }
    assert!(calls > 20, "{calls}");
    let reply = host.ask(ask.clone()).await;
    assert_eq!((reply.is_good(), reply.version()), (true, Some(2)));
}

/// Three quarters of the memory that an agent may have by default are enough: a quarter is for data of its own.
async fn memory(host: &Caxton, name: &str, ask: &Ask) {
    host.configure(name, &format!("[limits]\nmemory = \"{ENOUGH}\"\n"));
    host.swapped(name, 3).await;
    for _ in 0..10 {
        let reply = host.ask(ask.clone()).await;
        assert!(reply.is_good(), "{} {}", reply.status, reply.text());
    }
}

async fn http_agent(language: &str, traceback: &[&str]) {
    let name = format!("agent-http-{language}");
    let component = agent(&name);
    let host = Caxton::start_with(setup()).await;
    let begun = Instant::now();
    host.deploy("web", &variant(&component, 1), 1).await;
    let first = begun.elapsed();
    let reply = host.get("/web/hello").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("/hello"), "{}", reply.text());
    let body = "x".repeat(100_000);
    let ask = Ask::post("/web/echo", body.clone()).with("x-tell", "something");
    let reply = host.ask(ask).await;
    assert_eq!((reply.status, reply.text().len()), (200, body.len()));
    assert_eq!(reply.text(), body);
    assert_eq!(reply.headers["x-was-told"], "something");
    assert_eq!(reply.headers["x-method"], "POST");
    let hello = Ask::get("/web/hello");
    let calls = measure(&host, &hello).await;
    eprintln!(
        "{name}: {} bytes, served {first:.1?} after it was dropped, {calls}",
        component.len()
    );

    let reply = host.get("/web/throw").await;
    assert!(reply.status >= 500, "{}", reply.status);
    logs(&host, traceback).await;
    assert!(host.get("/web/hello").await.is_good());

    reload(&host, "web", &component, &hello).await;
    assert_eq!(host.version_at("/web/hello").await, 2);
    memory(&host, "web", &hello).await;
}

/// `faults`: messages that make it fail, and what the log says of each.
async fn handler_agent(language: &str, faults: &[(&'static str, &[&str])]) {
    let name = format!("agent-handler-{language}");
    let component = agent(&name);
    let host = Caxton::start_with(setup()).await;
    let begun = Instant::now();
    host.deploy("tool", &variant(&component, 1), 1).await;
    let first = begun.elapsed();
    let hello = Ask::post("/tool", "hello").with("x-tell", "something");
    let reply = host.ask(hello.clone()).await;
    assert_eq!(
        (reply.status, reply.text()),
        (200, format!("{}: hello", name_of(language)))
    );
    assert_eq!(reply.headers["x-was-told"], "something");
    let reply = host.ask(Ask::post("/tool", "refuse")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("not this one"), "{}", reply.text());
    let calls = measure(&host, &hello).await;
    eprintln!(
        "{name}: {} bytes, served {first:.1?} after it was dropped, {calls}",
        component.len()
    );

    for (message, words) in faults {
        let reply = host.ask(Ask::post("/tool", *message)).await;
        assert!(reply.status >= 500, "{}", reply.status);
        logs(&host, words).await;
        assert!(host.ask(hello.clone()).await.is_good());
    }
    reload(&host, "tool", &component, &hello).await;
    memory(&host, "tool", &hello).await;
}

fn name_of(language: &str) -> &str {
    if language == "js" {
        "javascript"
    } else {
        language
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_in_javascript() {
    http_agent("js", &["request.nothing is undefined", "broken@http.js:"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_in_python() {
    http_agent(
        "python",
        &["Traceback", "http_agent.py", "in broken", "AttributeError"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_in_javascript() {
    handler_agent(
        "js",
        &[
            ("throw", &["TypeError", "message.nothing is undefined"]),
            ("caught", &["TypeError", "broken@handler.js:"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_in_python() {
    let traceback = [
        "Traceback",
        "handler_agent.py",
        "in broken",
        "AttributeError",
    ];
    handler_agent("python", &[("throw", &traceback)]).await;
}
