//! The command line as people and scripts use it.

use std::process::Output;

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::{Value, json};

use crate::harness::{Caxton, Setup, binary, digest, variant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_have_the_fields_that_tools_rely_on() {
    let host = Caxton::start().await;
    host.deploy("tool", TOOL, 1).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    host.admin
        .until_result("web", "completed", |r| {
            r["to"] == 2 && r["status"] == "completed"
        })
        .await;

    let list = json_of(&host.command(&["ls", "--json"]).await);
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|agent| agent["agent"].as_str())
        .collect();
    assert_eq!(names, ["tool", "web"]);

    let status = json_of(&host.command(&["status", "web", "--json"]).await);
    assert_eq!(
        (&status["agent"], &status["state"]),
        (&json!("web"), &json!("serving")),
        "{status}"
    );
    assert_eq!(status["stable"]["number"], 2, "{status}");
    assert_eq!(
        status["stable"]["digest"],
        digest(&variant(WEB, 2)),
        "{status}"
    );
    assert!(status["stable"]["config_digest"].is_string(), "{status}");
    let fields = [
        "candidate",
        "split",
        "reload",
        "in_flight",
        "quarantined",
        "attention",
        "last_error",
    ];
    for field in fields {
        assert!(status.get(field).is_some(), "{field}: {status}");
    }

    let history = json_of(&host.command(&["history", "web", "--json"]).await);
    let result = &history[0];
    assert_eq!(
        (&result["from"], &result["to"]),
        (&json!(1), &json!(2)),
        "{history}"
    );
    let fields = [
        "id",
        "status",
        "strategy",
        "started_at",
        "completed_at",
        "rollback_reason",
        "error",
        "evidence",
    ];
    for field in fields
        .into_iter()
        .chain(["metrics", "state", "lost_requests"])
    {
        assert!(result.get(field).is_some(), "{field}: {result}");
    }

    let events = host.command(&["events", "--json"]).await;
    let events: Vec<Value> = lines(&events)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let is_swap = |event: &&Value| event["kind"] == "swapped" && event["agent"] == "web";
    assert_eq!(events.iter().filter(is_swap).count(), 2);

    for (words, shown) in [
        (&["ls"][..], "web"),
        (&["status", "web"], "v2"),
        (&["history", "web"], "completed"),
    ] {
        let output = host.command(words).await;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            told(&output)
        );
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(shown),
            "{words:?}: {}",
            told(&output)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_can_be_followed() {
    use std::io::{BufRead, BufReader};
    let host = Caxton::start().await;
    let mut command = binary();
    command
        .args(["events", "--follow", "--json", "--data-dir"])
        .arg(host.data_dir());
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = tokio::task::spawn_blocking(move || {
        let mut lines = out.lines().map_while(Result::ok);
        lines.any(|line| serde_json::from_str::<Value>(&line).is_ok_and(|e| e["kind"] == "swapped"))
    });
    host.deploy("web", WEB, 1).await;
    let seen = tokio::time::timeout(crate::harness::PATIENCE, reader).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.expect("an event in time").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_to_a_kept_version_serves_the_bytes_that_were_dropped() {
    let host = Caxton::start().await;
    for number in 1..=3 {
        host.deploy("web", &variant(WEB, number), number).await;
        host.admin
            .until("web", "permanent", |status| {
                status["stable"]["number"] == number
            })
            .await;
    }
    let output = host.command(&["rollback", "web", "--to", "1"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let first = digest(&variant(WEB, 1));
    let status = host
        .admin
        .until("web", "version 1 is permanent", |s| {
            s["stable"]["number"] == 1
        })
        .await;
    assert_eq!(status["stable"]["digest"], first, "{status}");
    assert_eq!(status["serving"], 1, "{status}");
    assert_eq!(host.version_at("/web/").await, 1);
    let result = host
        .admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(
        (&result["from"], &result["to"]),
        (&json!(3), &json!(1)),
        "{result}"
    );
    // What is in the directory does not come back by itself.
    assert_eq!(
        status["quarantined"][0]["digest"],
        digest(&variant(WEB, 3)),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_can_be_called() {
    let host = Caxton::start().await;
    host.deploy("tool", TOOL, 1).await;
    host.deploy("web", WEB, 1).await;
    let output = host.command(&["call", "tool", "echo good morning"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("good morning"),
        "{}",
        told(&output)
    );
    let output = host.command(&["call", "web"]).await;
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("hello"),
        "{}",
        told(&output)
    );
    let output = host
        .command(&["call", "tool", "internal broken inside"])
        .await;
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("broken inside"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_no_from_wrong_usage_from_nobody_there() {
    let host = Caxton::start_with(Setup::default()).await;
    host.deploy("web", WEB, 1).await;
    for (words, code) in [
        (&["status", "nobody"][..], 1),
        (&["rollback", "web"], 1),
        (&["rollback", "web", "--to", "9"], 1),
        (&["rollback", "web", "--to", "nine"], 2),
        (&["frobnicate"], 2),
        (&["status"], 2),
    ] {
        let output = host.command(words).await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            told(&output)
        );
        assert!(!output.stderr.is_empty(), "{words:?} says nothing");
    }
    let nowhere = tempfile::tempdir().unwrap();
    let output = binary()
        .args(["ls", "--data-dir"])
        .arg(nowhere.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
}

#[test]
fn a_host_that_cannot_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |agents: &str, more: &[&str]| {
        let mut command = binary();
        command.current_dir(folder.path()).args([
            "run",
            agents,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        command.args(more).output().unwrap()
    };
    let missing = run("agents", &[]);
    assert_eq!(missing.status.code(), Some(2), "{}", told(&missing));
    assert!(told(&missing).contains("mkdir"), "{}", told(&missing));

    std::fs::create_dir(folder.path().join("agents")).unwrap();
    let inside = run("agents", &["--data-dir", "agents/data"]);
    assert_eq!(inside.status.code(), Some(2), "{}", told(&inside));
    assert!(told(&inside).contains("inside"), "{}", told(&inside));

    std::fs::write(
        folder.path().join("caxton.toml"),
        "[host]\nlissen = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let unknown = run("agents", &["--config", "caxton.toml"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", told(&unknown));
    assert!(
        told(&unknown).contains("lissen") && told(&unknown).contains("listen"),
        "{}",
        told(&unknown)
    );
}

fn json_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", told(output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", told(output)))
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
