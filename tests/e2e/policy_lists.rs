//! Which policies judge an agent, and how: several at once, in each mode, and another one under the same name.

use caxton_test_artifacts::{FLAKY, POLICY_FAULTY, POLICY_MANUAL, POLICY_THRESHOLDS, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Event, Load, Setup, digest, put, variant};
use crate::policy_faults::{said, ticks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_policies_the_gravest_word_counts_in_any_order() {
    // What two policies say, and what that comes to: the judgement, and whom it blames.
    let together = [
        ("proceed", "undecided", "undecided", Value::Null),
        ("undecided", "trap", "fault", Value::Null),
        ("trap", "hold", "hold", Value::Null),
        (
            "hold",
            "rollback-environment",
            "rollback",
            json!("environment"),
        ),
        (
            "rollback-environment",
            "rollback-unknown",
            "rollback",
            json!("unknown"),
        ),
        (
            "rollback-unknown",
            "rollback",
            "rollback",
            json!("candidate"),
        ),
        ("proceed", "rollback", "rollback", json!("candidate")),
    ];
    let host = Caxton::start_with(Setup::defaults("")).await;
    for name in ["one", "two"] {
        put(&host.policies(), &format!("{name}.wasm"), POLICY_FAULTY);
    }
    let mut agents = Vec::new();
    for (case, (milder, graver, comes_to, blame)) in together.iter().enumerate() {
        let entry = |name: &str, word: &str| {
            format!("{{ name = \"{name}\", settings = {{ fault = \"{word}\" }} }}")
        };
        let lists = [
            [entry("one", milder), entry("two", graver)],
            [entry("one", graver), entry("two", milder)],
            [entry("two", milder), entry("one", graver)],
        ];
        for (order, list) in lists.iter().enumerate() {
            let agent = format!("agent-{case}-{order}");
            let policies = list.join(", ");
            let config = format!("[reload]\nbake = \"1h\"\n[rollback]\npolicies = [{policies}]\n");
            host.configure(&agent, &config);
            host.drop_agent(&agent, &variant(WEB, 1));
            agents.push((agent, policies, comes_to, blame));
        }
    }
    for (agent, ..) in &agents {
        host.swapped(agent, 1).await;
        host.drop_agent(agent, &variant(WEB, 2));
    }
    for (agent, policies, comes_to, blame) in agents {
        let judgement = &ticks(&host, &agent).await[0]["decided"]["judgement"];
        assert_eq!(judgement["verdict"], **comes_to, "{policies}: {judgement}");
        assert_eq!(judgement["blame"], *blame, "{policies}: {judgement}");
        if *comes_to == "rollback" {
            host.admin
                .until_result(&agent, "rolled back", |r| r["status"] == "rolled-back")
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_agent_says_of_each_policy_whether_it_decides_watches_or_is_left_out() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put(&host.policies(), "faulty.wasm", POLICY_FAULTY);
    let list = |mode: &str| {
        format!(
            "[reload]\nbake = \"1s\"\n[rollback]\npolicies = [{{ name = \"manual\" }}, \
             {{ name = \"faulty\", mode = \"{mode}\", settings = {{ fault = \"rollback\" }} }}]\n"
        )
    };
    for mode in ["off", "monitor", "enforce"] {
        host.configure(mode, &list(mode));
        host.deploy(mode, &variant(WEB, 1), 1).await;
        host.drop_agent(mode, &variant(WEB, 2));
    }
    for (mode, ends, serves, asked) in [
        ("off", "completed", 2, false),
        ("monitor", "completed", 2, true),
        ("enforce", "rolled-back", 1, true),
    ] {
        let of_second = |result: &Value| !result["from"].is_null();
        let result = host.admin.until_result(mode, ends, of_second).await;
        assert_eq!(result["status"], ends, "{mode}: {result}");
        assert_eq!(host.version_at(&format!("/{mode}/")).await, serves);
        let verdict = |event: &Event| event.is(mode, "verdict") && event.json["policy"] == "faulty";
        let said = host.events.all().into_iter().find(verdict);
        assert_eq!(said.is_some(), asked, "{mode}");
        let enforces = said.is_some_and(|said| said.json["enforcing"] == true);
        assert_eq!(enforces, mode == "enforce");
    }

    let nothing_enforces = list("monitor").replace("\"manual\"", "\"manual\", mode = \"off\"");
    host.configure("off", &nothing_enforces);
    host.admin
        .until("off", "the list is refused", |status| {
            said(status, "refused-file").contains("no policy with mode = \"enforce\"")
        })
        .await;
    assert_eq!(host.version_at("/off/").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_traffic_is_decided_otherwise_once_the_policys_file_is_another() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put(&host.policies(), "mine.wasm", POLICY_MANUAL);
    let config = "[reload]\nbake = \"2s\"\n[rollback]\npolicies = [{ name = \"mine\" }]\n";
    host.configure("web", config);
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/sleep?ms=10")]);
    let ends = async |number: u64, component: &[u8]| {
        host.drop_agent("web", component);
        // What was rolled back went from it.
        let of_this = |result: &Value| {
            let whose = if result["status"] == "rolled-back" {
                "from"
            } else {
                "to"
            };
            result[whose] == number
        };
        host.admin.until_result("web", "its end", of_this).await["status"].clone()
    };
    assert_eq!(ends(2, FLAKY).await, "completed");
    assert_eq!(ends(3, &variant(WEB, 3)).await, "completed");

    put(&host.policies(), "mine.wasm", POLICY_THRESHOLDS);
    host.events
        .first("the other policy", |event| {
            event.json["kind"] == "policy-loaded"
                && event.json["digest"] == digest(POLICY_THRESHOLDS)
        })
        .await;
    assert_eq!(ends(4, &variant(FLAKY, 4)).await, "rolled-back");
    assert_eq!(host.version_at("/web/").await, 3);
    load.finish().await;
}
