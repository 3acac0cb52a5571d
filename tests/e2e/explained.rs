//! A reload looked at afterwards, from what was recorded of it.

use std::io::Write;
use std::process::{Output, Stdio};

use caxton_test_artifacts::WEB;
use serde_json::Value;

use crate::harness::{Caxton, Setup, binary};
use crate::judged::goes_back_under_load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_was_rolled_back_is_explained_and_asked_again() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n",
    ))
    .await;
    let (load, result) = goes_back_under_load(&host).await;
    load.finish().await;
    let id = result["id"].as_str().unwrap();

    let explained = told(&host.command(&["explain", "shop"]).await);
    assert!(
        explained.starts_with(&format!("shop  reload {id}\n")),
        "{explained}"
    );
    for said in [
        "thresholds: rollback",
        "against it: error-rate",
        "done: back to v1, blame:",
        "\nrolled-back after ",
        "what would have changed round ",
    ] {
        assert!(explained.contains(said), "{said}: {explained}");
    }
    let by_prefix = told(&host.command(&["explain", &id[..8], "--json"]).await);
    let by_prefix: Value = serde_json::from_str(&by_prefix).unwrap();
    assert_eq!(by_prefix["reload"], *id);
    assert_eq!(
        by_prefix["what_if"][0]["policy"], "thresholds",
        "{by_prefix}"
    );

    let records = host.command(&["records", id]).await;
    told(&records);
    for policy in ["thresholds", "standard"] {
        let replayed = piped(&host, &["policy", "replay", policy, "-"], &records.stdout).await;
        let replayed = told(&replayed);
        for said in ["no difference in ", " (same bytes and settings)"] {
            assert!(replayed.contains(said), "{replayed}");
        }
    }
    let from_file = host.elsewhere().join("shop.jsonl");
    let file = from_file.to_str().unwrap();
    told(
        &host
            .command(&["records", "--agent", "shop", "--last", "1h", "--out", file])
            .await,
    );
    let explained = told(&host.command(&["explain", id, "--file", file]).await);
    assert!(explained.contains("\nrolled-back after "), "{explained}");

    let patient = r#"{"triggers": [{"kind": "error-rate", "threshold": 99}]}"#;
    let backtest = [
        "policy",
        "backtest",
        "-",
        "--policy",
        "thresholds",
        "--policy",
        "thresholds",
        "--settings-b",
        patient,
        "--json",
    ];
    let tested: Value =
        serde_json::from_str(&told(&piped(&host, &backtest, &records.stdout).await)).unwrap();
    let [quick, patient] = [0, 1].map(|index| &tested["reloads"][0]["policies"][index]);
    assert!(
        quick["rollback"]["failures"].as_u64().unwrap() > 0,
        "{tested}"
    );
    assert_eq!(
        quick["rollback"]["tick"],
        tested["reloads"][0]["rolled_back_at"]
    );
    assert!(patient["rollback"].is_null(), "{tested}");
    assert_eq!(
        patient["departs"]["tick"], quick["rollback"]["tick"],
        "{tested}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    for arguments in [
        &["explain", "nobody"][..],
        &["explain", "00000000-0000-4000-8000-000000000000"],
        &["records", "Not A Name"],
        &["explain", "--file", "/nowhere/r.jsonl"],
    ] {
        let refused = host.command(arguments).await;
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    }
    let unsaid = host.command(&["records"]).await;
    assert_eq!(unsaid.status.code(), Some(2));
}

fn told(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a tool that works on files, with this on its standard input.
async fn piped(host: &Caxton, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = binary();
    command
        .args(arguments)
        .env("CAXTON_DATA_DIR", host.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_vec();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        output
    })
    .await
    .unwrap()
}
