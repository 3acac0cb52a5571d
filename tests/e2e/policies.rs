//! Policies that are wrong: the reload holds, serving goes on, and a version that fails every call still goes back.

use caxton_test_artifacts::{POLICY_FAULTY, STRATEGY_FAULTY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Setup, put, variant, wait_for};

/// What the rollback policy of these tests can get wrong when it is asked.
const ROLLBACK_FAULTS: [&str; 5] = ["trap", "loop", "allocate", "error", "nan"];

/// What the strategy policy can get wrong before the swap.
const BEGIN_FAULTS: [&str; 3] = ["begin-trap", "begin-loop", "begin-error"];

/// What it can get wrong after the swap.
const NEXT_FAULTS: [&str; 6] = ["trap", "loop", "allocate", "error", "split-over", "promote"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_rollback_policy_holds_the_reload_and_the_guard_still_goes_back() {
    let host = with_faulty_policies().await;
    for fault in ROLLBACK_FAULTS {
        host.configure(fault, &judged_by("faulty", fault, "bake = \"300ms\""));
        host.drop_agent(fault, &variant(WEB, 1));
    }
    for fault in ROLLBACK_FAULTS {
        host.swapped(fault, 1).await;
        host.drop_agent(fault, &variant(WEB, 2));
    }
    for fault in ROLLBACK_FAULTS {
        held_by(&host, fault, "in-progress").await;
        assert_eq!(host.version_at(&format!("/{fault}/")).await, 2, "{fault}");
    }
    for fault in ROLLBACK_FAULTS {
        // How many fall into one interval with the good call before them is the machine's matter.
        let result = wait_for(&format!("{fault}: the guard goes back"), async || {
            let reply = host.get(&format!("/{fault}/status/500")).await;
            assert_eq!(reply.status, 500, "{fault}");
            let newest = host.admin.history(fault).await.into_iter().next();
            newest.filter(|result| result["status"] == "rolled-back")
        })
        .await;
        let reason = result["rollback_reason"].as_str().unwrap();
        assert!(reason.contains("guard"), "{fault}: {reason}");
        assert_eq!(host.version_at(&format!("/{fault}/")).await, 1, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_policy_that_cannot_plan_keeps_the_new_version_without_traffic() {
    let host = with_faulty_policies().await;
    for fault in BEGIN_FAULTS {
        host.configure(fault, &led_by(fault));
        host.drop_agent(fault, &variant(WEB, 1));
    }
    for fault in BEGIN_FAULTS {
        host.swapped(fault, 1).await;
        host.drop_agent(fault, &variant(WEB, 2));
    }
    for fault in BEGIN_FAULTS {
        let faulty = host
            .events
            .first(fault, |event| {
                event.is(fault, "fault") && event.json["policy"] == "leading"
            })
            .await;
        assert_eq!(
            (&faulty.json["enforcing"], &faulty.json["in_a_row"]),
            (&json!(true), &json!(1)),
            "{}",
            faulty.json
        );
        let status = host.admin.status(fault).await.unwrap();
        assert_eq!(status["reload"]["status"], "starting", "{status}");
        assert_eq!(host.version_at(&format!("/{fault}/")).await, 1, "{fault}");
    }
    // An operator goes before policies.
    host.admin.must("begin-trap", "promote").await;
    host.swapped("begin-trap", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_no_agent_can_follow_harms_nothing() {
    let host = with_faulty_policies().await;
    host.configure("web", &led_by("begin-nonsense"));
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    let fault = host
        .events
        .first("the plan is refused", |event| event.is("web", "fault"))
        .await;
    assert_eq!(fault.json["fault"], "nonsense", "{}", fault.json);
    assert_eq!(host.version_at("/web/").await, 1);
    host.admin.must("web", "abort").await;
    host.admin
        .until_result("web", "cancelled", |result| result["status"] == "cancelled")
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_policy_at_fault_after_the_swap_does_not_end_the_bake() {
    let host = with_faulty_policies().await;
    for fault in NEXT_FAULTS {
        host.configure(fault, &led_by(fault));
        host.drop_agent(fault, &variant(WEB, 1));
    }
    for fault in NEXT_FAULTS {
        host.swapped(fault, 1).await;
        host.drop_agent(fault, &variant(WEB, 2));
    }
    for fault in NEXT_FAULTS {
        held_by(&host, fault, "in-progress").await;
        assert_eq!(host.version_at(&format!("/{fault}/")).await, 2, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_waits_for_a_policy_that_is_missing_and_goes_on_when_it_is_there() {
    let host = Caxton::start().await;
    host.configure("web", &judged_by("absent", "proceed", "bake = \"100ms\""));
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    let status = host
        .admin
        .until("web", "attention names the file", |status| {
            texts(status).contains("absent.wasm")
        })
        .await;
    assert_eq!(status["reload"]["status"], "pending", "{status}");
    assert_eq!(host.version_at("/web/").await, 1);
    put(&host.policies(), "absent.wasm", POLICY_FAULTY);
    host.swapped("web", 2).await;
    host.admin
        .until_result("web", "completed", |result| {
            result["to"] == 2 && result["status"] == "completed"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_a_policy_refuses_are_told_in_its_words() {
    let host = with_faulty_policies().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let refused = judged_by("faulty", "check-problem", "bake = \"100ms\"");
    host.configure("web", &refused);
    host.admin
        .until("web", "the policy's words", |status| {
            texts(status).contains("was asked to be wrong")
        })
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_monitors_changes_nothing_whatever_it_does() {
    let host = with_faulty_policies().await;
    let monitors = "[reload]\nbake = \"300ms\"\n[rollback]\npolicies = [{ name = \"thresholds\" }, \
                    { name = \"faulty\", mode = \"monitor\", settings = { fault = \"trap\" } }]\n";
    host.configure("web", monitors);
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    for ask in vec![Ask::get("/web/"); 30] {
        assert!(host.ask(ask).await.is_good());
    }
    host.admin
        .until_result("web", "completed", |result| {
            result["to"] == 2 && result["status"] == "completed"
        })
        .await;
    let fault = host.events.first("the monitor's fault", |event| {
        event.is("web", "fault") && event.json["enforcing"] == false
    });
    fault.await;
}

async fn with_faulty_policies() -> Caxton {
    let host = Caxton::start_with(Setup::defaults("")).await;
    put(&host.policies(), "faulty.wasm", POLICY_FAULTY);
    put(&host.policies(), "leading.wasm", STRATEGY_FAULTY);
    host
}

fn judged_by(policy: &str, fault: &str, reload: &str) -> String {
    format!(
        "[reload]\n{reload}\n[rollback]\npolicies = [{{ name = \"{policy}\", settings = {{ fault = \"{fault}\" }} }}]\n"
    )
}

/// A reload that the faulty strategy policy leads, with a rollback policy that has nothing against it.
fn led_by(fault: &str) -> String {
    let undecided_for_promote = if fault == "promote" {
        "undecided"
    } else {
        "proceed"
    };
    format!(
        "[reload]\nbake = \"300ms\"\npolicy = \"leading\"\npolicy_settings = {{ fault = \"{fault}\" }}\n\
         [rollback]\npolicies = [{{ name = \"faulty\", settings = {{ fault = \"{undecided_for_promote}\" }} }}]\n"
    )
}

/// Waits until `attention` says that a policy is faulty; the reload must still stand where it stood.
async fn held_by(host: &Caxton, agent: &str, stands: &str) {
    let status = host
        .admin
        .until(agent, "attention for the policy", |status| {
            kinds(status).contains("policy-faulty")
        })
        .await;
    assert_eq!(status["reload"]["status"], stands, "{agent}: {status}");
    assert_eq!(status["stable"]["number"], 1, "{agent}: {status}");
    assert_eq!(status["state"], "serving", "{agent}: {status}");
}

fn texts(status: &Value) -> String {
    joined(status, "text")
}

fn kinds(status: &Value) -> String {
    joined(status, "kind")
}

fn joined(status: &Value, key: &str) -> String {
    let entries = status["attention"].as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| entry[key].as_str())
        .collect::<Vec<_>>()
        .join("\n")
}
