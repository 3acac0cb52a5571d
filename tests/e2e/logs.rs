//! What agents print, asked of a running host.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::Value;

use crate::harness::{Ask, Caxton, binary, variant, wait_for};

async fn printed(host: &Caxton, more: &[&str]) -> Vec<Value> {
    let words = [&["logs", "web", "--json"], more].concat();
    let output = host.command(&words).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect()
}

async fn until_printed(host: &Caxton, more: &[&str], count: usize) -> Vec<Value> {
    wait_for("printed lines", async || {
        let lines = printed(host, more).await;
        (lines.len() >= count).then_some(lines)
    })
    .await
}

fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_version_printed_is_there_also_of_one_that_trapped() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.get("/web/print?lines=2").await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    assert_eq!(host.get("/web/panic").await.status, 502);

    let first = until_printed(&host, &["--version", "1"], 4).await;
    assert_eq!(texts(&first), ["out 1", "err 1", "out 2", "err 2"]);
    assert_eq!(
        (&first[0]["stream"], &first[1]["stream"]),
        (&"stdout".into(), &"stderr".into())
    );
    assert!(
        first
            .iter()
            .all(|line| line["dropped_before"] == 0 && line["at"].as_u64().is_some())
    );
    let last_words = until_printed(&host, &["--version", "2"], 1).await;
    assert!(
        texts(&last_words).join("\n").contains("panicked"),
        "{last_words:?}"
    );

    assert_eq!(
        printed(&host, &["--version", "1", "--lines", "1"]).await[0]["text"],
        "err 2"
    );
    assert!(printed(&host, &["--since", "0s"]).await.is_empty());
    let output = host.command(&["logs", "web", "-n", "1000"]).await;
    assert!(
        told(&output).contains("Z v1 stderr  err 2\n"),
        "{}",
        told(&output)
    );
    let unknown = host.command(&["logs", "webb"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{}", told(&unknown));
    assert!(
        told(&unknown).contains("did you mean web?"),
        "{}",
        told(&unknown)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_pushes_out_no_other_agents_lines_and_can_be_followed() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    host.deploy("tool", TOOL, 1).await;
    host.ask(Ask::post("/tool", "print before the flood")).await;
    let mut command = binary();
    command
        .args(["logs", "tool", "--follow", "--json", "--data-dir"])
        .arg(host.data_dir());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = tokio::task::spawn_blocking(move || {
        let lines = out.lines().map_while(Result::ok);
        let texts = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()["text"].clone());
        texts.take(4).collect::<Vec<_>>()
    });
    for _ in 0..5 {
        assert!(host.get("/web/print?lines=2000").await.is_good());
    }
    host.ask(Ask::post("/tool", "print after it")).await;
    let seen = tokio::time::timeout(crate::harness::PATIENCE, reader).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = [
        "before the flood",
        "before the flood",
        "after it",
        "after it",
    ];
    assert_eq!(seen.expect("lines in time").unwrap(), expected);
    let flood = wait_for("the flood", async || {
        let lines = printed(&host, &[]).await;
        (lines.len() >= 1_000).then_some(lines)
    })
    .await;
    assert_eq!(flood.len(), 1_000, "no more is remembered");
}
