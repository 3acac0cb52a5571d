//! NAME.toml beside NAME.wasm: which keys make a version, which do not, and what two agents cannot both have.

use std::fs;

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::Value;

use crate::harness::{Ask, Caxton, Setup, binary, digest, once, variant, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_version_runs_with_makes_a_version_and_how_it_is_judged_does_not() {
    let host = Caxton::start().await;
    host.configure("web", "[limits]\nmemory = \"32MiB\"\n");
    host.deploy("web", WEB, 1).await;
    // The same meaning in other words, and settings that judge versions: nothing comes in.
    host.configure(
        "web",
        "# less\n[limits]\nmemory = \"32 MiB\"\n[reload]\nbake = \"1h\"\n",
    );
    host.deploy("sentinel", TOOL, 1).await;
    assert_eq!(host.events.count("web", "reload-started"), 1);
    // A limit is what a version runs with: it is rolled out, and what was configured before applies to it.
    host.configure(
        "web",
        "[limits]\nmemory = \"48MiB\"\n[reload]\nbake = \"1h\"\n",
    );
    host.swapped("web", 2).await;
    let bakes = |status: &Value| status["reload"]["status"] == "in-progress";
    let status = host.admin.until("web", "it bakes", bakes).await;
    assert_eq!(
        status["stable"]["digest"], status["candidate"]["digest"],
        "{status}"
    );
    assert_ne!(
        status["stable"]["config_digest"], status["candidate"]["config_digest"],
        "{status}"
    );
    // Taking the file away is a configuration, too.
    fs::remove_file(host.agents().join("web.toml")).unwrap();
    host.swapped("web", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_for_requests_as_they_are_written() {
    let host = Caxton::start().await;
    host.configure(
        "web",
        "[limits]\nconcurrency = 1\nmemory = \"8MiB\"\nrequest_body = \"1KiB\"\n",
    );
    host.deploy("web", WEB, 1).await;
    let slow = tokio::spawn(once(host.gateway, Ask::get("/web/sleep?ms=1000")));
    host.admin.until_in_flight("web", 1).await;
    let shed = host.get("/web/").await;
    assert_eq!(shed.status, 503, "{}", shed.text());
    assert!(shed.headers.contains_key("retry-after"), "{shed:?}");
    assert!(slow.await.unwrap().unwrap().is_good());
    assert_eq!(host.get("/web/memory?mib=2").await.status, 200);
    assert_eq!(host.get("/web/memory?mib=20").await.status, 502);
    let big = host.ask(Ask::post("/web/echo", vec![b'x'; 2000])).await;
    assert_eq!(big.status, 413, "{}", big.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_claim_a_path_the_second_is_told_who_has_it() {
    let host = Caxton::start().await;
    host.configure("first", "[route]\npath = \"/shop\"\n");
    host.deploy("first", &variant(WEB, 1), 1).await;
    host.configure("second", "[route]\npath = \"/shop\"\n");
    host.deploy("second", &variant(WEB, 2), 1).await;
    assert_eq!(host.version_at("/shop/").await, 1);
    let names_first = |status: &Value| {
        let attention = status["attention"].as_array().unwrap();
        let text = |entry: &Value| entry["text"].as_str().unwrap_or_default().to_owned();
        attention
            .iter()
            .any(|entry| entry["kind"] == "route-taken" && text(entry).contains("first"))
    };
    host.admin
        .until("second", "it is told who has the path", names_first)
        .await;
    // Its own name it has all the same.
    assert_eq!(host.version_at("/second/").await, 1);
    // When the first goes, the second has it.
    fs::remove_file(host.agents().join("first.wasm")).unwrap();
    fs::remove_file(host.agents().join("first.toml")).unwrap();
    host.admin
        .until("second", "the path is free", |status| !names_first(status))
        .await;
    assert!(host.get("/shop/").await.is_good());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_has_one_host() {
    let host = Caxton::start().await;
    let output = binary()
        .args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(host.data_dir())
        .arg(host.agents())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("another host"), "{told}");
    // The one that runs is still the one that is found.
    assert_eq!(host.command(&["ls"]).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_away_for_a_while_changes_nothing() {
    let host = Caxton::start_with(Setup::default()).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let away = host.elsewhere().join("away");
    fs::rename(host.agents(), &away).unwrap();
    let lost = async || {
        let host = host.admin.host().await;
        let attention = host["attention"].as_array().unwrap().clone();
        attention
            .iter()
            .any(|entry| entry["kind"] == "directory-vanished")
    };
    wait_for("the loss to be told", async || lost().await.then_some(())).await;
    assert_eq!(host.version_at("/web/").await, 1);
    fs::write(away.join("web.wasm"), variant(WEB, 2)).unwrap();
    fs::rename(&away, host.agents()).unwrap();
    host.swapped("web", 2).await;
    wait_for("the loss to be over", async || {
        (!lost().await).then_some(())
    })
    .await;
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(
        status["stable"]["digest"],
        digest(&variant(WEB, 2)),
        "{status}"
    );
    assert_eq!(host.events.count("web", "stopped"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_names_its_component_waits_for_it() {
    let host = Caxton::start().await;
    let bound = |number| {
        let digest = digest(&variant(WEB, number));
        format!("component = \"sha256:{digest}\"\n[limits]\nconcurrency = {number}\n")
    };
    host.configure("web", &bound(1));
    host.deploy("web", &variant(WEB, 1), 1).await;
    // The new component alone does not come in, and neither would the new configuration.
    host.drop_agent("web", &variant(WEB, 2));
    let waits = |status: &Value| {
        let error = status["last_error"].as_str().unwrap_or_default();
        error.contains(&digest(&variant(WEB, 1))) && error.contains(&digest(&variant(WEB, 2)))
    };
    host.admin
        .until("web", "both digests are told", waits)
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
    host.configure("web", &bound(2));
    host.swapped("web", 2).await;
    assert_eq!(
        host.events.count("web", "reload-started"),
        2,
        "both changes are one version"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_an_embedded_policy_refuses_are_refused_with_the_file() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    let policies =
        "[[rollback.policies]]\nname = \"thresholds\"\nsettings = { minimum_sampel = 5 }\n";
    host.configure("web", policies);
    let told = |status: &Value| {
        let error = status["last_error"].as_str().unwrap_or_default();
        error.contains("web.toml")
            && error.contains("minimum_sampel")
            && error.contains("minimum_sample")
    };
    host.admin.until("web", "the policy's words", told).await;
    assert_eq!(host.version_at("/web/").await, 1);
}
