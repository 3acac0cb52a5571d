//! Hand-overs that do not go as planned: calls that do not end, state that is refused, instances that trap. What is told about the
//! state is what the callers find.

use caxton_test_artifacts::{STATEFUL, STATEFUL_2, TOOL};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Ask, Caxton, Load, Reply, Setup, once, variant};
use crate::state::{all_counts, count, counted, some_answers, told};

/// Answered calls before anything happens.
const BEFORE: u64 = 3;

/// Traffic whose count begins with 1 and that nothing but the reloads under test disturbs.
async fn counter(reload: &str, rest: &str) -> Caxton {
    let defaults = format!(
        "[defaults.reload]\nwarm_up = \"0s\"\n{reload}\n[defaults.health]\ninterval = \"100ms\"\n{rest}\n"
    );
    let host = Caxton::start_with(Setup::defaults(&defaults)).await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    host
}

/// So many calls, one after the other, each long enough that a checkpoint every millisecond is due after it.
async fn some_counts(host: &Caxton) {
    for expected in 1..=BEFORE {
        let reply = host.ask(asking("sleep 5")).await;
        assert_eq!(reply.text(), expected.to_string());
    }
}

fn asking(command: &'static str) -> Ask {
    Ask::post("/counter", command)
}

/// A call that runs beside the test, from the moment at which it is seen in flight.
async fn running(host: &Caxton, command: &'static str) -> JoinHandle<Result<Reply, String>> {
    let call = tokio::spawn(once(host.gateway, asking(command)));
    host.admin.until_in_flight("counter", 1).await;
    call
}

async fn ended(host: &Caxton, to: u64, status: &str) -> Value {
    host.admin
        .until_result("counter", status, |result| {
            result["to"] == to && result["status"] == status
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_immediate_takes_the_state_live_where_the_running_call_ends_within_the_grace() {
    let host = counter(
        "bake = \"0s\"\nstrategy = \"immediate\"\nimmediate_grace = \"25s\"",
        "",
    )
    .await;
    some_counts(&host).await;
    let call = running(&host, "sleep 4000").await;
    host.drop_agent("counter", &variant(STATEFUL, 2));
    host.admin
        .until("counter", "the gate is closed", |status| {
            status["gate"]["closed"] == true
        })
        .await;
    assert!(
        !call.is_finished(),
        "the call runs while the gate is closed"
    );
    let reply = call.await.unwrap().unwrap();
    assert_eq!(
        (reply.text(), reply.version()),
        ((BEFORE + 1).to_string(), Some(1))
    );
    let result = ended(&host, 2, "completed").await;
    assert_eq!(result["state"]["state_from"], "live", "{result}");
    assert_eq!(result["lost_requests"], 0, "{result}");
    assert_eq!(counted(&host).await, BEFORE + 2);
}

/// An immediate reload while a call runs that does not end; what the new version's next count is.
async fn immediately_past_a_call_that_does_not_end(checkpoint: &str) -> (Value, u64) {
    let host = counter(
        "bake = \"0s\"\nstrategy = \"immediate\"\nimmediate_grace = \"200ms\"",
        &format!("[defaults.state]\ncheckpoint = \"{checkpoint}\""),
    )
    .await;
    some_counts(&host).await;
    let call = running(&host, "sleep 25000").await;
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    let reply = call.await.unwrap().unwrap();
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    let result = ended(&host, 2, "completed").await;
    assert_eq!(result["lost_requests"], 1, "{result}");
    let next = host.ask(count()).await;
    assert_eq!(next.version(), Some(2), "{next:?}");
    (result, next.text().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_immediate_takes_the_checkpoint_where_the_running_call_does_not_end() {
    let (result, next) = immediately_past_a_call_that_does_not_end("1ms").await;
    assert_eq!(result["state"]["state_from"], "checkpoint", "{result}");
    assert_eq!(next, BEFORE + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_immediate_says_none_where_there_is_no_checkpoint_and_begins_empty() {
    let (result, next) = immediately_past_a_call_that_does_not_end("off").await;
    assert_eq!(result["state"]["state_from"], "none", "{result}");
    assert_eq!(next, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_after_a_trap_the_count_is_that_of_the_last_checkpoint_and_the_loss_is_told() {
    // What a version loaded is its first checkpoint, and the next one would be an hour later.
    let host = counter("bake = \"0s\"", "[defaults.state]\ncheckpoint = \"1h\"").await;
    some_counts(&host).await;
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    for expected in BEFORE + 1..=BEFORE + 4 {
        assert_eq!(counted(&host).await, expected);
    }
    let trapped = host.ask(asking("trap")).await;
    assert_eq!(trapped.status, 502, "{}", trapped.text());
    assert_eq!(counted(&host).await, BEFORE + 1);
    let lost = told(&host, "state-lost").await;
    assert_eq!(
        (&lost.json["number"], &lost.json["calls"]),
        (&json!(2), &json!(4)),
        "{}",
        lost.json
    );
    assert!(
        lost.json["reason"].as_str().unwrap().contains("trap"),
        "{}",
        lost.json
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_version_that_refuses_the_state_fails_and_the_old_one_counts_on() {
    let host = counter("bake = \"0s\"", "").await;
    let load = Load::start(host.gateway, 4, vec![count()]);
    some_answers(&load, 20).await;
    host.drop_agent("counter", STATEFUL_2);
    let result = ended(&host, 2, "failed").await;
    assert_eq!(
        result["error_kind"], "state-preservation-failed",
        "{result}"
    );
    let error = result["error"].as_str().unwrap();
    assert!(
        error.contains("cannot read count/1, only count/2"),
        "{error}"
    );
    some_answers(&load, 20).await;
    let records = load.finish().await;
    assert_eq!(all_counts(&records), records.len() as u64);
    for record in &records {
        assert_eq!(record.version(), Some(1), "{}", record.told());
    }
    // The next attempt is free.
    host.deploy("counter", &variant(STATEFUL, 3), 3).await;
    assert_eq!(counted(&host).await, records.len() as u64 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_version_that_cannot_save_keeps_its_place_and_counts_on() {
    let host = counter("bake = \"0s\"", "").await;
    some_counts(&host).await;
    host.ask(asking("refuse-save")).await;
    host.drop_agent("counter", &variant(STATEFUL, 2));
    let result = ended(&host, 2, "failed").await;
    assert_eq!(
        result["error_kind"], "state-preservation-failed",
        "{result}"
    );
    assert!(
        result["error"].as_str().unwrap().contains("not now"),
        "{result}"
    );
    let reply = host.ask(count()).await;
    assert_eq!(
        (reply.text(), reply.version()),
        ((BEFORE + 2).to_string(), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_call_that_outlasts_the_drain_fails_the_reload_and_is_answered() {
    let host = counter("bake = \"0s\"\ndrain_timeout = \"300ms\"", "").await;
    some_counts(&host).await;
    let call = running(&host, "sleep 8000").await;
    host.drop_agent("counter", &variant(STATEFUL, 2));
    let result = ended(&host, 2, "failed").await;
    assert!(!call.is_finished(), "the call outlasts the drain: {result}");
    assert_eq!(
        result["error_kind"], "state-preservation-failed",
        "{result}"
    );
    assert!(
        result["error"].as_str().unwrap().contains("drain_timeout"),
        "{result}"
    );
    assert_eq!(result["lost_requests"], 0, "{result}");
    let reply = call.await.unwrap().unwrap();
    assert_eq!(
        (reply.text(), reply.version()),
        ((BEFORE + 1).to_string(), Some(1))
    );
    let next = host.ask(count()).await;
    assert_eq!(
        (next.text(), next.version()),
        ((BEFORE + 2).to_string(), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_an_automatic_rollback_returns_to_the_old_instance_as_it_was_at_its_save() {
    // With a fixed sample, so that it is known how many calls the bad version answers.
    let rest = "[defaults.state]\ncheckpoint = \"1ms\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\", settings = { minimum_sample = 30 } }]";
    let host = counter("bake = \"1h\"", rest).await;
    some_counts(&host).await;
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    // Some calls that are answered well, and then so many that fail that the version is taken back.
    let mut calls = 0;
    for _ in 0..5 {
        let reply = host.ask(count()).await;
        assert_eq!(reply.version(), Some(2), "{reply:?}");
        calls += 1;
    }
    let result = loop {
        // The last one takes its instance along: the old one serves on all the same.
        let last = calls == 29;
        let command = if last { "trap" } else { "fail" };
        let reply = host.ask(asking(command)).await;
        if reply.version() == Some(1) || host.events.count("counter", "rolled-back") > 0 {
            panic!(
                "the failure reached the version that serves again: {}",
                reply.text()
            );
        }
        calls += 1;
        if calls == 30 {
            break ended(&host, 1, "rolled-back").await;
        }
    };
    let reason = result["rollback_reason"].as_str().unwrap();
    assert!(reason.contains("error rate"), "{reason}");
    assert_eq!(result["state"]["restored_from"], "live", "{result}");
    assert_eq!(result["state"]["calls_since"], calls, "{result}");
    assert!(result["state"]["seconds_since"].is_u64(), "{result}");
    let reply = host.ask(count()).await;
    assert_eq!(
        (reply.text(), reply.version()),
        ((BEFORE + 1).to_string(), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_rollback_whose_target_refuses_the_state_changes_nothing_and_offers_what_helps() {
    let host = counter("bake = \"0s\"", "").await;
    some_counts(&host).await;
    // Version 2 takes the state from version 1, version 3 keeps none, so version 4 begins with none, and in another format.
    for (component, number) in [
        (variant(STATEFUL, 2), 2),
        (TOOL.to_vec(), 3),
        (STATEFUL_2.to_vec(), 4),
    ] {
        host.deploy("counter", &component, number).await;
        ended(&host, number, "completed").await;
    }
    assert_eq!(counted(&host).await, 1);
    let to_first = async |state: &str| {
        let body = json!({ "to": 1, "state": state });
        let taken = host.admin.order("counter", "rollback", body).await;
        assert!(taken.is_good(), "{}", taken.text());
    };
    to_first("carry").await;
    let failed = told(&host, "order-failed").await;
    let reason = failed.json["reason"].as_str().unwrap();
    assert!(
        reason.contains("cannot read count/2")
            && reason.contains("--state snapshot")
            && reason.contains("--state fresh"),
        "{reason}"
    );
    let reply = host.ask(count()).await;
    assert_eq!((reply.text().as_str(), reply.version()), ("2", Some(4)));
    let status = host.admin.status("counter").await.unwrap();
    assert_eq!(status["serving"], 4, "{status}");
    to_first("snapshot").await;
    let result = ended(&host, 1, "rolled-back").await;
    assert_eq!(result["state"]["restored_from"], "snapshot", "{result}");
    let reply = host.ask(count()).await;
    assert_eq!(
        (reply.text(), reply.version()),
        ((BEFORE + 1).to_string(), Some(1))
    );
}
