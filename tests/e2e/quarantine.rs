//! What was rolled back stays out, whatever is done to its file, and comes in when somebody says so.

use std::fs;
use std::time::SystemTime;

use caxton_test_artifacts::{Manner, WEB, build_named, name_in};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, digest, put, variant, wait_for};
use crate::restarts::{answers, completed, named};

fn judged() -> Setup {
    Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n\
         [defaults.rollback]\npolicies = [{ name = \"thresholds\", settings = { minimum_sample = 10 } }]\n",
    )
}

fn failing(name: &str) -> Vec<u8> {
    build_named(name, Manner::Failing).unwrap()
}

/// Drops a build that is then rolled back under load.
async fn is_rolled_back(host: &Caxton, agent: &str, component: &[u8]) -> Value {
    host.drop_agent(agent, component);
    rolled_back_under_load(host, agent, component).await
}

async fn rolled_back_under_load(host: &Caxton, agent: &str, component: &[u8]) -> Value {
    let load = Load::start(host.gateway, 2, vec![Ask::get(format!("/{agent}/"))]);
    let quarantined = |status: &Value| {
        let list = status["quarantined"].as_array();
        list.is_some_and(|list| list.iter().any(|q| q["digest"] == digest(component)))
            && status["reload"].is_null()
    };
    let status = host
        .admin
        .until(agent, "it is quarantined", quarantined)
        .await;
    load.finish().await;
    status
}

/// Something that was dropped later has come in, and the directory was listed after that: what was on its way before is here, too.
async fn settled(host: &Caxton, number: u64) {
    let sentinel = format!("sentinel-{number}");
    host.deploy(&sentinel, &variant(WEB, number), 1).await;
    fs::remove_file(host.agents().join(format!("{sentinel}.wasm"))).unwrap();
    host.events
        .first("the sentinel is gone", |event| {
            event.is(&sentinel, "stopped")
        })
        .await;
}

async fn stays_out(host: &Caxton, began: usize, what: &str) {
    assert_eq!(host.events.count("shop", "reload-started"), began, "{what}");
    assert_eq!(answers(host, "shop").await, "one", "{what}");
    let status = host.admin.status("shop").await.unwrap();
    assert!(status["reload"].is_null(), "{what}: {status}");
    assert!(status["diverged"].is_string(), "{what}: {status}");
    let listed = status["attention"].as_array().unwrap();
    let entry = listed.iter().find(|entry| entry["kind"] == "quarantined");
    let entry = entry.unwrap_or_else(|| panic!("{what}: {status}"));
    assert!(
        entry["command"]
            .as_str()
            .unwrap()
            .contains("caxton retry shop"),
        "{what}: {entry}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_a_rolled_back_file_stays_out_touched_copied_recreated_and_after_restarts() {
    let host = Caxton::start_with(judged()).await;
    // The directory is never without any file, which would be taken for a directory that is lost.
    host.deploy("other", &named("other"), 1).await;
    host.deploy("shop", &named("one"), 1).await;
    let bad = failing("two");
    is_rolled_back(&host, "shop", &bad).await;
    let began = host.events.count("shop", "reload-started");
    let file = host.agents().join("shop.wasm");
    settled(&host, 1).await;
    stays_out(&host, began, "left alone").await;

    let touched = fs::File::options().append(true).open(&file).unwrap();
    touched.set_modified(SystemTime::now()).unwrap();
    drop(touched);
    settled(&host, 2).await;
    stays_out(&host, began, "touched").await;

    fs::write(&file, &bad).unwrap();
    host.drop_agent("shop", &bad);
    settled(&host, 3).await;
    stays_out(&host, began, "copied again").await;

    fs::remove_file(&file).unwrap();
    settled(&host, 4).await;
    host.events
        .first("shop is stopped", |event| event.is("shop", "stopped"))
        .await;
    host.drop_agent("shop", &bad);
    // What was permanent may serve again; what was rolled back may not.
    settled(&host, 5).await;
    let status = host.admin.status("shop").await.unwrap();
    assert!(
        status["diverged"].is_string(),
        "removed and made again: {status}"
    );
    let began = host.events.count("shop", "reload-started");
    no_answer_of(&host, "two").await;

    let host = host.killed_and_started_again().await;
    settled(&host, 6).await;
    assert_eq!(
        host.events.count("shop", "reload-started"),
        0,
        "{began} before"
    );
    no_answer_of(&host, "two").await;
    let host = host.stopped_and_started_again().await;
    settled(&host, 7).await;
    assert_eq!(host.events.count("shop", "reload-started"), 0);
    no_answer_of(&host, "two").await;

    // Other bytes come in.
    host.deploy("shop", &named("three"), 3).await;
    assert_eq!(answers(&host, "shop").await, "three");
}

async fn no_answer_of(host: &Caxton, build: &str) {
    let reply = host.get("/shop/").await;
    assert_ne!(name_in(&reply.text()), build, "{}", reply.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_it_stays_out_over_a_kill_and_a_stop_while_the_permanent_version_serves() {
    let mut host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    let before = is_rolled_back(&host, "shop", &failing("two")).await;
    for killed in [true, false] {
        host = if killed {
            host.killed_and_started_again().await
        } else {
            host.stopped_and_started_again().await
        };
        settled(&host, 10 + u64::from(killed)).await;
        stays_out(&host, 0, "after a start").await;
        let status = host.admin.status("shop").await.unwrap();
        assert_eq!(
            status["quarantined"], before["quarantined"],
            "with its reason and time"
        );
    }
    // An operator lets it in, and it is judged again.
    host.admin.must("shop", "retry").await;
    host.admin
        .until("shop", "it is let in", |status| {
            status["quarantined"] == json!([]) && status["serving"] != 1
        })
        .await;
    rolled_back_under_load(&host, "shop", &failing("two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_a_bad_configuration_with_good_bytes_keeps_only_that_pair_out() {
    let host = Caxton::start_with(judged()).await;
    let env = |answer: &str| format!("[grants]\nenv = {{ ANSWER_AS = \"{answer}\" }}\n");
    host.configure("shop", &env("/"));
    host.deploy("shop", WEB, 1).await;
    host.configure("shop", &env("/status/500"));
    host.swapped("shop", 2).await;
    let status = rolled_back_under_load(&host, "shop", WEB).await;
    assert_eq!(status["stable"]["number"], 1, "{status}");
    assert_eq!(host.get("/shop/").await.text(), "hello\n");
    let host = host.killed_and_started_again().await;
    assert_eq!(host.get("/shop/").await.text(), "hello\n");
    settled(&host, 1).await;
    assert_eq!(host.events.count("shop", "reload-started"), 0);
    // The same bytes with the configuration from before are what serves.
    host.configure("shop", &env("/"));
    host.admin
        .until("shop", "nothing diverges", |status| {
            status["diverged"].is_null()
        })
        .await;
    assert_eq!(host.get("/shop/").await.text(), "hello\n");
    assert_eq!(host.events.count("shop", "reload-started"), 0);
    // With another one they are a new version.
    host.configure("shop", &env("/status/202"));
    host.swapped("shop", 3).await;
    let reply = host.get("/shop/").await;
    assert_eq!((reply.status, reply.version()), (202, Some(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_aborted_stays_set_aside_over_a_restart_until_a_retry() {
    let host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    host.deploy("shop", &named("two"), 2).await;
    host.admin.must("shop", "abort").await;
    host.admin
        .until_result("shop", "cancelled", |r| r["status"] == "cancelled")
        .await;
    let host = host.killed_and_started_again().await;
    settled(&host, 1).await;
    assert_eq!(answers(&host, "shop").await, "one");
    assert_eq!(host.events.count("shop", "reload-started"), 0);
    let status = host.admin.status("shop").await.unwrap();
    assert_eq!(status["quarantined"][0]["blamed"], false, "{status}");
    assert!(
        status["quarantined"][0]["again_at"].is_null(),
        "an operator's word does not wear off: {status}"
    );
    host.admin.must("shop", "retry").await;
    wait_for("version two serves", async || {
        (answers(&host, "shop").await == "two").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_what_is_quarantined_says_so() {
    let host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    let status = is_rolled_back(&host, "shop", &failing("two")).await;
    let reason = status["quarantined"][0]["reason"].as_str().unwrap();
    let says = format!("the file is quarantined because {reason}");
    assert_eq!(status["diverged"], says, "{status}");
    let host = host.killed_and_started_again().await;
    answers(&host, "shop").await;
    settled(&host, 1).await;
    let output = host.command(&["status", "shop"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("diverged"));
    assert!(line.is_some_and(|line| line.contains(&says)), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_superseded_is_forgotten_and_comes_in_when_it_is_dropped_again() {
    let host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    host.deploy("shop", &named("two"), 2).await;
    host.deploy("shop", &named("three"), 3).await;
    host.drop_agent("shop", &named("two"));
    wait_for("version two serves again", async || {
        (answers(&host, "shop").await == "two").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_rollbacks_the_next_version_waits_for_a_retry() {
    let host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    for bad in ["bad-1", "bad-2", "bad-3"] {
        is_rolled_back(&host, "shop", &failing(bad)).await;
    }
    // Over a restart, too: the breaker is made of what is remembered.
    let host = host.killed_and_started_again().await;
    host.drop_agent("shop", &named("good"));
    let waits = |status: &Value| {
        let list = status["attention"].as_array();
        let entry = list.and_then(|list| list.iter().find(|entry| entry["kind"] == "breaker"));
        entry.is_some_and(|entry| entry["command"] == "caxton retry shop")
    };
    let status = host
        .admin
        .until("shop", "it waits for a retry", waits)
        .await;
    assert_eq!(status["stable"]["number"], 1, "{status}");
    settled(&host, 1).await;
    assert_eq!(answers(&host, "shop").await, "one");
    host.admin.must("shop", "retry").await;
    wait_for("the good version serves", async || {
        (answers(&host, "shop").await == "good").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completed_version_that_is_rolled_back_by_hand_is_quarantined_for_good() {
    let host = Caxton::start().await;
    completed(&host, "shop", &named("one"), 1).await;
    completed(&host, "shop", &named("two"), 2).await;
    host.admin.must("shop", "rollback").await;
    host.admin
        .until_result("shop", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let host = host.killed_and_started_again().await;
    settled(&host, 1).await;
    stays_out(&host, 0, "after a start").await;
    put(&host.agents(), "shop.wasm", &named("three"));
    host.swapped("shop", 3).await;
}
