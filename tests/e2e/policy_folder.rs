//! The policies directory: files that come, change, are refused and go while the host runs.

use std::fs;

use caxton_test_artifacts::{POLICY_FAULTY, POLICY_THRESHOLDS, WEB};
use serde_json::Value;

use crate::harness::{Caxton, Event, Setup, digest, put, variant, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_dropped_counts_from_the_next_reload_and_is_found_compiled_after_a_restart()
 {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put_policy(&host, "mine", POLICY_FAULTY, "fault = \"undecided\"");
    loaded(&host, &digest(POLICY_FAULTY)).await;
    host.configure("running", &judged_by("{ name = \"mine\" }"));
    host.deploy("running", &variant(WEB, 1), 1).await;
    host.deploy("running", &variant(WEB, 2), 2).await;

    let other = variant(POLICY_FAULTY, 2);
    put_policy(&host, "mine", &other, "fault = \"rollback\"");
    loaded(&host, &digest(&other)).await;
    host.configure("next", &judged_by("{ name = \"mine\" }"));
    host.deploy("next", &variant(WEB, 1), 1).await;
    host.drop_agent("next", &variant(WEB, 2));
    ended(&host, "next", "rolled-back").await;

    // Meanwhile the reload that began before has asked the policy that it began with, many times.
    let status = host.admin.status("running").await.unwrap();
    assert_eq!(status["reload"]["status"], "in-progress", "{status}");
    assert_eq!(host.version_at("/running/").await, 2);

    let host = host.killed_and_started_again().await;
    let again = loaded(&host, &digest(&other)).await;
    assert_eq!(again.json["from_cache"], true, "{}", again.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_policy_has_its_own_message() {
    let host = Caxton::start().await;
    put(&host.policies(), "bad-settings.toml", b"fault = 7\n");
    put(&host.policies(), "no-toml.toml", b"fault = \n");
    let imports = wat::parse_str(
        r#"(component
            (import "wasi:http/outgoing-handler@0.2.0" (instance))
            (instance $nothing)
            (export "caxton:policy/about@0.1.0" (instance $nothing))
            (export "caxton:policy/rollback@0.1.0" (instance $nothing)))"#,
    )
    .unwrap();
    let cases: [(&str, Vec<u8>, &str, &[&str]); 7] = [
        (
            "core-module",
            wat::parse_str("(module)").unwrap(),
            "component",
            &["core-module.wasm", "wasm-tools component new"],
        ),
        (
            "agent",
            WEB.to_vec(),
            "contract",
            &["agent.wasm", "agents directory"],
        ),
        (
            "imports",
            imports,
            "imports",
            &["imports.wasm", "wasi:http/outgoing-handler@0.2.0"],
        ),
        (
            "bad-settings",
            POLICY_FAULTY.to_vec(),
            "settings",
            &["bad-settings.toml", "/fault: 7 is not of type \"string\""],
        ),
        (
            "no-toml",
            POLICY_FAULTY.to_vec(),
            "settings",
            &["no-toml.toml", "line 1"],
        ),
        (
            "standard",
            POLICY_FAULTY.to_vec(),
            "read",
            &["standard.wasm", "in the binary"],
        ),
        (
            "Capital",
            POLICY_FAULTY.to_vec(),
            "read",
            &["Capital.wasm", "capital.wasm"],
        ),
    ];
    for (name, component, _, _) in &cases {
        put(&host.policies(), &format!("{name}.wasm"), component);
    }
    for (name, _, stage, says) in &cases {
        let refused = host
            .events
            .first(&format!("{name} is refused"), |event| {
                event.json["kind"] == "policy-refused"
                    && event.json["file"]
                        .as_str()
                        .is_some_and(|file| file.starts_with(name))
            })
            .await;
        assert_eq!(refused.json["stage"], *stage, "{}", refused.json);
        let entry = wait_for(&format!("attention for {name}"), async || {
            let host = host.admin.host().await;
            let entries = host["attention"].as_array().cloned().unwrap_or_default();
            entries.into_iter().find(|entry| {
                let text = entry["text"].as_str().unwrap_or_default();
                says.iter().all(|part| text.contains(part))
            })
        })
        .await;
        assert_eq!(entry["kind"], "policy-refused", "{entry}");
    }

    // A file that is gone is no matter any more.
    for (name, ..) in &cases {
        fs::remove_file(host.policies().join(format!("{name}.wasm"))).unwrap();
    }
    put(&host.policies(), "good.wasm", POLICY_FAULTY);
    wait_for("no attention is left", async || {
        let attention = host.admin.host().await["attention"].clone();
        (attention == Value::Array(Vec::new())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_settings_lie_over_those_of_the_policy() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put_policy(&host, "mine", POLICY_FAULTY, "fault = \"rollback\"");
    loaded(&host, &digest(POLICY_FAULTY)).await;
    host.configure("under", &judged_by("{ name = \"mine\" }"));
    let over = "{ name = \"mine\", settings = { fault = \"proceed\" } }";
    host.configure("over", &judged_by(over).replace("1h", "300ms"));
    for agent in ["under", "over"] {
        host.deploy(agent, &variant(WEB, 1), 1).await;
        host.drop_agent(agent, &variant(WEB, 2));
    }
    ended(&host, "under", "rolled-back").await;
    ended(&host, "over", "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_waits_for_a_policy_that_never_was_or_is_gone() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    let proceed = "{ name = \"tresholds\", settings = { fault = \"proceed\" } }";
    host.configure("web", &judged_by(proceed).replace("1h", "100ms"));
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    waits_for(&host, &["tresholds.wasm", "did you mean `thresholds`?"]).await;
    assert_eq!(host.version_at("/web/").await, 1);

    put(&host.policies(), "tresholds.wasm", POLICY_FAULTY);
    ended(&host, "web", "completed").await;

    fs::remove_file(host.policies().join("tresholds.wasm")).unwrap();
    host.events
        .first("the policy is gone", |event| {
            event.json["kind"] == "policy-gone" && event.json["policy"] == "tresholds"
        })
        .await;
    host.drop_agent("web", &variant(WEB, 3));
    waits_for(&host, &["tresholds.wasm"]).await;
    assert_eq!(host.version_at("/web/").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_a_policy_refused_is_looked_at_again_when_the_policy_changes() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put(&host.policies(), "mine.wasm", POLICY_FAULTY);
    loaded(&host, &digest(POLICY_FAULTY)).await;
    let settings = "{ name = \"mine\", settings = { minimum_sample = 5 } }";
    host.configure("web", &judged_by(settings));
    host.drop_agent("web", &variant(WEB, 1));
    let status = host
        .admin
        .until("web", "the schema's refusal", |status| {
            status["last_error"]
                .as_str()
                .is_some_and(|error| error.contains("/minimum_sample: there is no such setting"))
        })
        .await;
    assert_eq!(status["state"], "failed", "{status}");
    put(&host.policies(), "mine.wasm", POLICY_THRESHOLDS);
    host.swapped("web", 1).await;

    // One of the other kind is refused, too.
    host.configure("other", "[reload]\npolicy = \"mine\"\n");
    host.drop_agent("other", &variant(WEB, 1));
    host.admin
        .until("other", "the wrong kind", |status| {
            status["last_error"].as_str().is_some_and(|error| {
                error.contains("it is a rollback policy and stands where a strategy policy belongs")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_vanishes_takes_no_policy_with_it_and_counts_again_when_it_is_back() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put_policy(&host, "mine", POLICY_FAULTY, "fault = \"proceed\"");
    loaded(&host, &digest(POLICY_FAULTY)).await;
    let judged = judged_by("{ name = \"mine\" }").replace("1h", "300ms");
    host.configure("web", &judged);
    host.deploy("web", &variant(WEB, 1), 1).await;

    let aside = host.policies().with_extension("aside");
    fs::rename(host.policies(), &aside).unwrap();
    vanished(&host, true).await;
    // The policy that came from it judges reloads that begin now, and agents that are new.
    host.drop_agent("web", &variant(WEB, 2));
    ended(&host, "web", "completed").await;
    host.configure("other", &judged);
    host.deploy("other", &variant(WEB, 1), 1).await;

    // What changed meanwhile counts from the next reload.
    let other = variant(POLICY_FAULTY, 2);
    put(&aside, "mine.toml", b"fault = \"rollback\"");
    put(&aside, "mine.wasm", &other);
    fs::rename(&aside, host.policies()).unwrap();
    loaded(&host, &digest(&other)).await;
    vanished(&host, false).await;
    host.drop_agent("other", &variant(WEB, 2));
    ended(&host, "other", "rolled-back").await;
    assert_eq!(host.version_at("/web/").await, 2);
}

/// Waits until the policies directory is missed, or is not missed any more.
async fn vanished(host: &Caxton, missed: bool) {
    wait_for(&format!("the directory is missed: {missed}"), async || {
        let host = host.admin.host().await;
        let entries = host["attention"].as_array().cloned().unwrap_or_default();
        let is_missed = entries
            .iter()
            .any(|entry| entry["kind"] == "policies-directory-vanished");
        (is_missed == missed).then_some(())
    })
    .await;
}

fn put_policy(host: &Caxton, name: &str, component: &[u8], settings: &str) {
    put(
        &host.policies(),
        &format!("{name}.toml"),
        settings.as_bytes(),
    );
    put(&host.policies(), &format!("{name}.wasm"), component);
}

/// A configuration with this rollback policy and a bake that does not end by itself.
fn judged_by(policy: &str) -> String {
    format!("[reload]\nbake = \"1h\"\n[rollback]\npolicies = [{policy}]\n")
}

async fn loaded(host: &Caxton, digest: &str) -> Event {
    host.events
        .first(&format!("the policy {digest} is loaded"), |event| {
            event.json["kind"] == "policy-loaded" && event.json["digest"] == digest
        })
        .await
}

async fn ended(host: &Caxton, agent: &str, status: &str) {
    host.admin
        .until_result(agent, status, |result| {
            result["from"] != Value::Null && result["status"] == status
        })
        .await;
}

async fn waits_for(host: &Caxton, says: &[&str]) {
    let status = host
        .admin
        .until("web", "the reload waits for the policy", |status| {
            let entries = status["attention"].as_array().cloned().unwrap_or_default();
            entries.iter().any(|entry| {
                let text = entry["text"].as_str().unwrap_or_default();
                entry["kind"] == "waiting-for-policy" && says.iter().all(|part| text.contains(part))
            })
        })
        .await;
    assert_eq!(status["reload"]["status"], "pending", "{status}");
}
