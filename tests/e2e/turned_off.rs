//! `enabled = false`, and variables that the host has in its own environment.

use std::fs;

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::Value;

use crate::harness::{Ask, Caxton, HOSTS_OWN, once, variant};
use crate::security::{files, holds};

fn is_off(status: &Value) -> bool {
    status["state"] == "stopped" && status["enabled"] == false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_turned_off_answers_what_it_has_and_comes_back() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    let slow = tokio::spawn(once(host.gateway, Ask::get("/web/sleep?ms=3000")));
    host.admin.until_in_flight("web", 1).await;
    host.configure("web", "enabled = false\n");
    host.admin.until("web", "it is turned off", is_off).await;
    let reply = host.get("/web/").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("turned off"), "{}", reply.text());
    let reply = slow.await.unwrap().unwrap();
    assert!(reply.is_good() && reply.version() == Some(2), "{reply:?}");
    let shown = host.command(&["status", "web"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("turned off") && shown.contains("v1"),
        "{shown}"
    );
    let refused = host.command(&["retry", "web"]).await;
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("`enabled = false`"), "{refused}");
    // What comes meanwhile does not come in.
    host.drop_agent("web", &variant(WEB, 3));
    host.deploy("sentinel", TOOL, 1).await;
    assert_eq!(host.events.count("web", "disabled"), 1);
    assert_eq!(host.events.count("web", "reload-started"), 2);

    let host = host.stopped_and_started_again().await;
    host.admin.until("web", "it still is", is_off).await;
    let kept = host.admin.status("web").await.unwrap()["kept"].clone();
    assert_eq!(kept.as_array().unwrap().len(), 2, "{kept}");
    assert_eq!(host.admin.history("web").await.len(), 2);

    // The key alone is no version, and the numbers go on.
    fs::remove_file(host.agents().join("web.toml")).unwrap();
    host.swapped("web", 3).await;
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(status["enabled"], true, "{status}");
    assert_eq!(host.version_at("/web/").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_finds_what_was_turned_off_or_removed_meanwhile() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("tool", TOOL, 1).await;
    host.configure("tool", "enabled = false\n");
    host.admin.until("tool", "it is off", is_off).await;
    host.configure("never", "enabled = false\n");
    host.drop_agent("never", &variant(WEB, 9));
    host.admin
        .until("never", "it is known and off", is_off)
        .await;
    let down = host.stopped().await;
    fs::write(down.agents().join("web.toml"), "enabled = false\n").unwrap();
    for file in ["tool.wasm", "tool.toml"] {
        fs::remove_file(down.agents().join(file)).unwrap();
    }
    let host = down.start_again().await;
    host.admin.until("web", "it is turned off", is_off).await;
    host.admin.until("never", "it is off", is_off).await;
    // What was turned off and is gone now is known as any that is gone, and its numbers go on.
    let status = host.admin.status("tool").await.unwrap();
    assert_eq!(status["state"], "stopped", "{status}");
    host.deploy("tool", TOOL, 2).await;
    // What is wrong in a file that turns an agent off is refused like in any other.
    host.configure("web", "enabled = false\n[limits]\nconcurrency = 0\n");
    let refused = |status: &Value| {
        let error = status["last_error"].as_str().unwrap_or_default();
        error.contains("web.toml: line 3: `limits.concurrency` is 0")
    };
    host.admin.until("web", "it is refused", refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_of_the_hosts_own_environment_reaches_the_agent_and_stands_nowhere() {
    let (name, value) = HOSTS_OWN;
    let secret = value.split_once('?').unwrap().1;
    let host = Caxton::start().await;
    host.configure(
        "web",
        &format!("[grants]\nenv = {{ ANSWER_AS = {{ from_env = \"{name}\" }} }}\n"),
    );
    host.deploy("web", WEB, 1).await;
    // It answers as if it had been asked for its headers.
    let reply = host.get("/web/").await;
    assert!(
        reply.is_good() && reply.text() != "hello\n",
        "{}",
        reply.text()
    );
    // A literal replaces it: another version, which answers for itself.
    host.configure("web", "[grants]\nenv = { ANSWER_AS = \"/\" }\n");
    host.swapped("web", 2).await;
    assert_eq!(host.get("/web/").await.text(), "hello\n");
    // One that the host was started without.
    host.configure(
        "web",
        "[grants]\nenv = { ANSWER_AS = { from_env = \"CAXTON_TEST_NOT_SET\" } }\n",
    );
    let refused = |status: &Value| {
        let error = status["last_error"].as_str().unwrap_or_default();
        ["web.toml", "ANSWER_AS", "CAXTON_TEST_NOT_SET"]
            .iter()
            .all(|part| error.contains(part))
    };
    host.admin
        .until("web", "the key and the variable are told", refused)
        .await;
    assert_eq!(host.version_at("/web/").await, 2);
    for words in [
        &["status", "web", "--json"][..],
        &["history", "web", "--json"],
        &["events", "--json"],
        &["records"],
    ] {
        let output = host.command(words).await;
        assert!(!holds(&output.stdout, secret), "{words:?}");
    }
    let mut found = Vec::new();
    files(&host.data_dir(), &mut found);
    found.push((
        "the log".to_owned(),
        fs::read(host.elsewhere().join("log")).unwrap(),
    ));
    for (file, bytes) in found {
        assert!(!holds(&bytes, secret), "{file}");
    }
    // The version from before a restart has it again.
    let host = host.stopped_and_started_again().await;
    host.admin.must("web", "rollback").await;
    host.swapped("web", 1).await;
    assert_ne!(host.get("/web/").await.text(), "hello\n");
}
