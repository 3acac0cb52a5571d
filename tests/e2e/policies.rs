//! Policies that are wrong: the reload holds, serving goes on, and a version that fails every call still goes back.

use caxton_test_artifacts::{POLICY_FAULTY, STRATEGY_FAULTY, WEB};
use serde_json::{Value, json};

use crate::harness::{Caxton, Setup, put, variant, wait_for};
use crate::policy_faults::ticks;

/// What the rollback policy of these tests can get wrong when it is asked.
const ROLLBACK_FAULTS: [&str; 5] = ["trap", "loop", "allocate", "error", "nan"];

/// What the strategy policy can get wrong before the swap.
const BEGIN_FAULTS: [&str; 5] = [
    "begin-trap",
    "begin-loop",
    "begin-allocate",
    "begin-error",
    "begin-nan",
];

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
        let waits = |status: &Value| kinds(status).contains("waiting-for-policy");
        let status = host.admin.until(fault, "attention", waits).await;
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
    for (fault, says) in [
        ("check-problem", "/fault: was asked to be wrong"),
        ("check-trap", "unreachable"),
    ] {
        host.configure("web", &judged_by("faulty", fault, "bake = \"100ms\""));
        let told = |status: &Value| texts(status).contains(says);
        host.admin.until("web", "the policy's words", told).await;
        assert_eq!(host.version_at("/web/").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_taken_decides_nothing_and_the_last_good_one_still_does() {
    let host = Caxton::start_with(Setup::defaults("")).await;
    let imports = wat::parse_str(
        r#"(component
            (import "wasi:http/outgoing-handler@0.2.0" (instance))
            (instance $nothing)
            (export "caxton:policy/about@0.1.0" (instance $nothing))
            (export "caxton:policy/rollback@0.1.0" (instance $nothing)))"#,
    )
    .unwrap();
    let cases = [
        ("imports", "wasi:http/outgoing-handler@0.2.0", imports),
        ("newer", "caxton:policy/about@0.2.0", of_contract_0_2()),
    ];
    let mut before = Vec::new();
    for (name, _, bad) in &cases {
        put(&host.policies(), &format!("{name}.wasm"), POLICY_FAULTY);
        put(&host.policies(), &format!("{name}-only.wasm"), bad);
        let loaded = host.events.first(name, |event| {
            event.json["kind"] == "policy-loaded" && event.json["policy"] == *name
        });
        before.push(loaded.await.json["digest"].clone());
        put(&host.policies(), &format!("{name}.wasm"), bad);
    }
    for (name, ..) in &cases {
        let file = format!("{name}.wasm");
        host.events
            .first(&file, |event| {
                event.json["kind"] == "policy-refused" && event.json["file"] == *file
            })
            .await;
        for agent in [(*name).to_owned(), format!("{name}-only")] {
            host.configure(&agent, &judged_by(&agent, "proceed", "bake = \"100ms\""));
            host.deploy(&agent, &variant(WEB, 1), 1).await;
            host.drop_agent(&agent, &variant(WEB, 2));
        }
    }
    for ((name, says, _), digest) in cases.into_iter().zip(before) {
        host.admin
            .until_result(name, "completed", |result| result["to"] == 2)
            .await;
        assert_eq!(ticks(&host, name).await[0]["rollback"][0]["digest"], digest);

        let only = format!("{name}-only");
        let told = |status: &Value| texts(status).contains(says);
        let status = host.admin.until(&only, "the reason", told).await;
        assert!(kinds(&status).contains("waiting-for-policy"), "{status}");
        assert_eq!(status["reload"]["status"], "pending", "{status}");
        assert_eq!(host.version_at(&format!("/{only}/")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demand_to_go_back_takes_away_nothing_where_there_is_nowhere_to_go() {
    let host = with_faulty_policies().await;
    host.configure("web", &judged_by("faulty", "rollback", "bake = \"300ms\""));
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.admin
        .until_result("web", "completed", |result| result["status"] == "completed")
        .await;
    for number in [2, 3] {
        host.drop_agent("web", &variant(WEB, number));
        host.admin
            .until_result("web", "rolled back", |result| {
                result["status"] == "rolled-back" && result["from"] == number
            })
            .await;
        assert_eq!(host.version_at("/web/").await, 1);
    }
}

/// A policy of a contract that this host does not know.
fn of_contract_0_2() -> Vec<u8> {
    let (old, new) = (b"@0.1.0", b"@0.2.0");
    let mut bytes = POLICY_FAULTY.to_vec();
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    bytes
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
