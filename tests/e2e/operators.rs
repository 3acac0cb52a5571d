//! What operators see and order, in every phase of a reload.

use caxton_test_artifacts::{STATEFUL, TOOL, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, digest, once, variant};

/// A phase in which a reload stands for as long as a test takes: its name, the configuration that holds it there, and how the
/// outside sees it.
type Phase = (&'static str, &'static str, fn(&Value) -> bool);

const PHASES: [Phase; 5] = [
    (
        "pending",
        "[rollback]\npolicies = [{ name = \"absent\" }]\n",
        |status| status["reload"]["status"] == "pending",
    ),
    ("starting", "[reload]\nwarm_up = \"20m\"\n", |status| {
        status["reload"]["status"] == "starting"
    }),
    (
        "listening",
        "[reload]\nstrategy = \"parallel\"\nmirror = { requests = \"all\", at_least = \"1h\" }\n",
        |status| {
            status["reload"]["status"] == "in-progress"
                && status["reload"]["strategy"] == "parallel"
                && status["serving"] == 1
        },
    ),
    (
        "splitting",
        "[reload]\nstrategy = \"traffic-splitting\"\nprogressive = false\nsplit = 40\n",
        |status| status["split"] == 40,
    ),
    ("baking", "[reload]\nbake = \"1h\"\n", |status| {
        status["reload"]["status"] == "in-progress" && status["serving"] == 2
    }),
];

/// A tool of this name, called.
async fn version_of(host: &Caxton, name: &str) -> Option<u64> {
    let reply = host.ask(Ask::post(format!("/{name}"), "echo hi")).await;
    assert!(reply.is_good(), "{name}: {} {}", reply.status, reply.text());
    reply.version()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_abort_in_each_phase_leaves_the_old_version_alone_and_the_next_attempt_free() {
    let host = Caxton::start().await;
    for (name, config, stands) in PHASES {
        host.deploy(name, &variant(TOOL, 1), 1).await;
        host.configure(name, config);
        host.drop_agent(name, &variant(TOOL, 2));
        host.admin.until(name, "it stands there", stands).await;
        host.admin.must(name, "abort").await;
        let result = host
            .admin
            .until_result(name, "cancelled", |result| result["to"] == 2)
            .await;
        assert_eq!(result["status"], "cancelled", "{name}: {result}");
        let alone = |status: &Value| {
            let live = status["live"].as_array().unwrap();
            status["reload"].is_null()
                && status["serving"] == 1
                && status["split"] == 0
                && live.iter().all(|version| version["number"] == 1)
        };
        host.admin.until(name, "the new one is gone", alone).await;
        assert_eq!(version_of(&host, name).await, Some(1), "{name}");
        host.configure(name, "[reload]\nbake = \"0s\"\n");
        host.drop_agent(name, &variant(TOOL, 3));
        host.swapped(name, 3).await;
        assert_eq!(version_of(&host, name).await, Some(3), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_a_reload_without_progress_ends_at_its_deadline_and_the_old_version_serves() {
    let host = Caxton::start().await;
    host.deploy("tool", &variant(TOOL, 1), 1).await;
    host.configure(
        "tool",
        "[reload]\nstrategy = \"traffic-splitting\"\nstages = [{ split = 50, at_least = \"0s\", at_least_requests = 1000 }]\n\
         deadline = \"1s\"\n",
    );
    host.drop_agent("tool", &variant(TOOL, 2));
    let result = host
        .admin
        .until_result("tool", "ended", |result| result["to"] == 2)
        .await;
    assert_eq!(result["status"], "cancelled", "{result}");
    assert_eq!(result["error_kind"], "timeout", "{result}");
    assert_eq!(version_of(&host, "tool").await, Some(1));
    let status = host.admin.status("tool").await.unwrap();
    assert!(status["reload"].is_null(), "{status}");
    host.configure("tool", "[reload]\nbake = \"0s\"\n");
    host.drop_agent("tool", &variant(TOOL, 3));
    host.swapped("tool", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_of_two_operators_at_once_the_second_gets_a_conflict_with_the_reload() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n",
    ))
    .await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    let status = host
        .admin
        .until("counter", "it bakes", |s| {
            s["reload"]["status"] == "in-progress"
        })
        .await;
    // The way back takes the state along, and waits for this call.
    let call = tokio::spawn(once(host.gateway, Ask::post("/counter", "sleep 5000")));
    host.admin.until_in_flight("counter", 1).await;
    host.admin.must("counter", "rollback").await;
    for order in ["rollback", "abort", "promote"] {
        let second = host.admin.order("counter", order, json!({})).await;
        let conflict: Value = serde_json::from_slice(&second.body).unwrap();
        assert_eq!(
            (second.status, &conflict["reload"]),
            (409, &status["reload"]["id"]),
            "{order}: {conflict}"
        );
    }
    assert!(!call.is_finished(), "the first order waits for the call");
    assert_eq!(call.await.unwrap().unwrap().text(), "1");
    let result = host
        .admin
        .until_result("counter", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(result["state"]["restored_from"], "carried", "{result}");
    let reply = host.ask(Ask::post("/counter", "")).await;
    assert_eq!((reply.text().as_str(), reply.version()), ("2", Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_a_rollback_reaches_each_kept_version_and_its_bytes_are_those_that_were_dropped() {
    let host = Caxton::start().await;
    for target in 1..=3 {
        let name = format!("web-{target}");
        for number in 1..=4 {
            host.deploy(&name, &variant(WEB, number), number).await;
            host.admin
                .until(&name, "permanent", |s| s["permanent"] == number)
                .await;
        }
        let taken = host
            .admin
            .order(&name, "rollback", json!({ "to": target }))
            .await;
        assert!(taken.is_good(), "{}", taken.text());
        let status = host
            .admin
            .until(&name, "it is permanent", |s| s["permanent"] == target)
            .await;
        let dropped = digest(&variant(WEB, target));
        assert_eq!(status["stable"]["digest"], dropped, "{status}");
        assert_eq!(status["serving"], target, "{status}");
        assert_eq!(host.version_at(&format!("/{name}/")).await, target);
        // Never to one that was rolled back, nor to one that never was.
        for gone in [4, 9] {
            let refused = host
                .admin
                .order(&name, "rollback", json!({ "to": gone }))
                .await;
            assert!(
                !refused.is_good() && refused.text().contains("keeps no version"),
                "{} {}",
                refused.status,
                refused.text()
            );
        }
        assert_eq!(host.version_at(&format!("/{name}/")).await, target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_progress_is_seen_from_outside_while_it_happens() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nstrategy = \"traffic-splitting\"\nwarm_up = \"0s\"\nbake = \"1h\"\n\
         stages = [{ split = 20, at_least = \"0s\", needs_operator = true }, { split = 60, at_least = \"0s\", needs_operator = true }]\n",
    ))
    .await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    let at = async |stage: u64, split: u64| {
        host.admin
            .until("web", "the stage", |status| {
                let reload = &status["reload"];
                (&reload["stage"], &reload["stages"], &status["split"])
                    == (&json!(stage), &json!(2), &json!(split))
            })
            .await
    };
    let status = at(0, 20).await;
    assert_eq!(status["reload"]["status"], "in-progress", "{status}");
    assert_eq!(
        status["reload"]["strategy"], "traffic-splitting",
        "{status}"
    );
    assert!(
        status["split_actual"].is_null(),
        "nothing was asked yet: {status}"
    );
    assert_eq!(status["candidate"]["digest"], digest(&variant(WEB, 2)));
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    let measured = |status: &Value| status["split_actual"].as_f64().is_some_and(|per| per > 0.0);
    host.admin.until("web", "a measured share", measured).await;
    host.admin.must("web", "resume").await;
    at(1, 60).await;
    host.admin.must("web", "resume").await;
    host.swapped("web", 2).await;
    load.finish().await;
    let moves: Vec<(String, String)> = host
        .events
        .all()
        .iter()
        .filter(|event| {
            event.is("web", "status-changed") && event.json["reload"] == status["reload"]["id"]
        })
        .map(|event| {
            let name = |key: &str| event.json[key].as_str().unwrap().to_owned();
            (name("from"), name("to"))
        })
        .collect();
    let expected = [
        ("pending", "preparing"),
        ("preparing", "starting"),
        ("starting", "in-progress"),
    ];
    assert_eq!(
        moves,
        expected.map(|(from, to)| (from.to_owned(), to.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_an_agent_that_nobody_knows_is_not_found() {
    let host = Caxton::start().await;
    assert!(host.admin.status("nobody").await.is_none());
    for order in ["rollback", "promote", "abort", "retry"] {
        let reply = host.admin.order("nobody", order, json!({})).await;
        assert_eq!(reply.status, 404, "{order}");
        assert!(reply.text().contains("agent-not-found"), "{}", reply.text());
    }
    assert_eq!(
        host.command(&["status", "nobody"]).await.status.code(),
        Some(1)
    );
}
