//! Starts after a stop and after a kill: what was known is known, and what was permanent serves.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use caxton_test_artifacts::{Manner, POLICY_FAULTY, STATEFUL, WEB, build_named, name_in};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Event, Load, Setup, digest, put, variant, wait_for};
use crate::state::counted;

/// A build that answers with its name.
pub(crate) fn named(name: &str) -> Vec<u8> {
    build_named(name, Manner::Good).unwrap()
}

/// The build that answers, and its version, as soon as one does: a host that has just started may need a moment.
pub(crate) async fn answered(host: &Caxton, agent: &str) -> (String, u64) {
    let path = format!("/{agent}/");
    let reply = wait_for(&format!("{agent} answers"), async || {
        let reply = host.get(&path).await;
        reply.version().map(|_| reply)
    })
    .await;
    assert!(
        reply.is_good(),
        "{agent}: {} {}",
        reply.status,
        reply.text()
    );
    (name_in(&reply.text()).to_owned(), reply.version().unwrap())
}

/// The build that answers.
pub(crate) async fn answers(host: &Caxton, agent: &str) -> String {
    answered(host, agent).await.0
}

/// Drops a build and waits until it is permanent.
pub(crate) async fn completed(host: &Caxton, agent: &str, component: &[u8], number: u64) {
    host.deploy(agent, component, number).await;
    host.admin
        .until_result(agent, &format!("version {number} is permanent"), |result| {
            result["to"] == number && result["status"] == "completed"
        })
        .await;
}

async fn again(host: Caxton, killed: bool) -> Caxton {
    if killed {
        host.killed_and_started_again().await
    } else {
        host.stopped_and_started_again().await
    }
}

fn ids(history: &[Value]) -> Vec<&str> {
    history.iter().filter_map(|r| r["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_numbers_and_history_go_on() {
    for killed in [false, true] {
        let host = Caxton::start().await;
        completed(&host, "shop", &named("one"), 1).await;
        completed(&host, "shop", &named("two"), 2).await;
        let before = host.admin.history("shop").await;
        let host = again(host, killed).await;
        let first = answered(&host, "shop").await;
        assert_eq!(first, ("two".to_owned(), 2), "killed: {killed}");
        let status = host.admin.status("shop").await.unwrap();
        assert_eq!(status["stable"]["number"], 2, "{status}");
        assert_eq!(
            status["stable"]["digest"],
            digest(&named("two")),
            "{status}"
        );
        let after = host.admin.history("shop").await;
        assert_eq!(after, before, "killed: {killed}");
        completed(&host, "shop", &named("three"), 3).await;
        assert_eq!(answers(&host, "shop").await, "three");
        let history = host.admin.history("shop").await;
        assert_eq!(ids(&history)[1..], ids(&before), "killed: {killed}");
        // The file that is there is the version that serves: nothing was deployed because of the start.
        assert_eq!(host.events.count("shop", "reload-started"), 1);
    }
}

/// Files of compiled code with what tells whether they were written anew: each is written under another name and renamed.
fn compiled(data: &Path) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = fs::read_dir(data.join("compiled"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let data = entry.metadata().unwrap();
            (entry.path(), data.ino())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_the_permanent_version_serves_before_anything_is_compiled() {
    for killed in [false, true] {
        let host = Caxton::start().await;
        completed(&host, "shop", &named("one"), 1).await;
        let before = wait_for("compiled code of an agent on the disk", async || {
            let files = compiled(&host.data_dir());
            (files.len() > 1).then_some(files)
        })
        .await;
        // What the directory holds at the start has to be compiled; until then and long after, the permanent version serves.
        let down = if killed {
            host.killed()
        } else {
            host.stopped().await
        };
        put(&down.agents(), "shop.wasm", &named("two"));
        let host = down.start_again().await;
        let first = answered(&host, "shop").await;
        assert_eq!(first, ("one".to_owned(), 1), "killed: {killed}");
        let began = host
            .events
            .first("version 2 begins", |event| {
                event.is("shop", "reload-started") && event.json["to"] == 2
            })
            .await;
        host.swapped("shop", 2).await;
        let restored = host.swapped("shop", 1).await;
        assert!(
            restored.json["seq"].as_u64() < began.json["seq"].as_u64(),
            "version 1 serves before version 2 begins: {} {}",
            restored.json,
            began.json
        );
        let after = compiled(&host.data_dir());
        for file in before {
            assert!(after.contains(&file), "{file:?} was written anew");
        }
    }
}

/// The count in the newest state of the agent that the journal names.
fn saved(data: &Path, agent: &str) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(data.join("journal.sqlite3"), flags).ok()?;
    let ask = "SELECT blob FROM snapshots WHERE agent = ? ORDER BY taken_at DESC LIMIT 1";
    let blob: String = journal.query_row(ask, [agent], |row| row.get(0)).ok()?;
    let state = fs::read(data.join(format!("state/{blob}.bin"))).ok()?;
    Some(u64::from_le_bytes(*state.first_chunk()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_the_count_goes_on_after_a_kill_from_the_last_checkpoint() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n[defaults.state]\ncheckpoint = \"50ms\"\n",
    ))
    .await;
    host.deploy("counter", STATEFUL, 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::post("/counter", "")]);
    wait_for("traffic", async || (load.ended() > 200).then_some(())).await;
    load.finish().await;
    let answered = counted(&host).await;
    wait_for("the last call is in a checkpoint", async || {
        (saved(&host.data_dir(), "counter") == Some(answered)).then_some(())
    })
    .await;
    let host = host.killed_and_started_again().await;
    let next = counted(&host).await;
    assert_eq!(next, answered + 1);
    let status = host.admin.status("counter").await.unwrap();
    assert_eq!(status["stable"]["number"], 1, "{status}");
}

/// A strategy, a configuration that holds its reload for as long as a test takes, and how far it is driven before the host ends.
struct Phase {
    agent: &'static str,
    config: &'static str,
    /// What the first move towards traffic is told as.
    first_move: fn(&Event) -> bool,
    /// Where the reload stands before the host ends.
    stands: fn(&Value) -> bool,
}

const PHASES: [Phase; 4] = [
    Phase {
        agent: "graceful",
        config: "[reload]\nbake = \"1h\"\n",
        first_move: |event| event.swaps("graceful", 2),
        stands: |status| status["serving"] == 2,
    },
    Phase {
        agent: "immediate",
        config: "[reload]\nstrategy = \"immediate\"\nbake = \"1h\"\n",
        first_move: |event| event.swaps("immediate", 2),
        stands: |status| status["serving"] == 2,
    },
    Phase {
        agent: "parallel",
        config: "[reload]\nstrategy = \"parallel\"\nmirror = { at_least = \"1h\" }\n",
        first_move: |event| event.is("parallel", "listening"),
        stands: |status| status["reload"]["status"] == "in-progress",
    },
    Phase {
        agent: "splitting",
        config: "[reload]\nstrategy = \"traffic-splitting\"\n\
                 stages = [{ split = 20, at_least = \"1h\" }, { split = 60, at_least = \"1h\" }]\n",
        first_move: |event| event.is("splitting", "share"),
        stands: |status| status["split"] == 77,
    },
];

async fn in_progress(host: &Caxton, phase: &Phase) -> Value {
    let agent = phase.agent;
    host.configure(agent, phase.config);
    host.deploy(agent, &named("one"), 1).await;
    host.drop_agent(agent, &named("two"));
    if agent == "splitting" {
        host.admin
            .until(agent, "the first stage", |status| status["split"] == 20)
            .await;
        let more = host
            .admin
            .order(agent, "set-split", json!({ "percent": 77 }))
            .await;
        assert!(more.is_good(), "{}", more.text());
    }
    host.admin
        .until(agent, "it stands there", phase.stands)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_an_interrupted_reload_of_each_strategy_begins_again_from_its_first_stage() {
    for killed in [true, false] {
        let host = Caxton::start().await;
        let mut interrupted = Vec::new();
        for phase in &PHASES {
            let status = in_progress(&host, phase).await;
            interrupted.push(status["reload"]["id"].clone());
        }
        let host = again(host, killed).await;
        // Asked before anything else: with no other version than the permanent one may it begin.
        for phase in &PHASES {
            let permanent = host
                .events
                .first("the permanent version serves", |event| {
                    event.swaps(phase.agent, 1)
                })
                .await;
            let moved = host.events.first("it moves again", phase.first_move).await;
            assert!(
                permanent.json["seq"].as_u64() < moved.json["seq"].as_u64(),
                "{} {}",
                permanent.json,
                moved.json
            );
        }
        for (phase, old) in PHASES.iter().zip(interrupted) {
            let agent = phase.agent;
            let status = host
                .admin
                .until(agent, "its reload goes on", |status| {
                    status["reload"]["status"] == "in-progress"
                })
                .await;
            assert_ne!(status["reload"]["id"], old, "{status}");
            assert_eq!(status["candidate"]["number"], 2, "{status}");
            assert_eq!(
                status["candidate"]["digest"],
                digest(&named("two")),
                "{status}"
            );
            assert_eq!(status["stable"]["number"], 1, "{status}");
            assert_eq!(status["reload"]["stage"], 0, "{status}");
            if agent == "splitting" {
                assert_eq!(status["split"], 20, "not the share that it had: {status}");
            }
            let ended = host.admin.history(agent).await;
            let ended = ended.iter().find(|result| result["id"] == old).unwrap();
            assert_eq!(ended["status"], "cancelled", "{ended}");
            let error = ended["error"].as_str().unwrap();
            assert!(error.contains("the host ended"), "{error}");
            // It goes its way once more, and its number with it.
            if status["serving"] == 1 {
                host.admin.must(agent, "promote").await;
            }
            host.swapped(agent, 2).await;
            let now = json!({ "now": true });
            assert!(host.admin.order(agent, "promote", now).await.is_good());
            host.admin
                .until_result(agent, "completed", |r| {
                    r["status"] == "completed" && r["to"] == 2
                })
                .await;
            assert_eq!(answers(&host, agent).await, "two");
        }
    }
}

fn put_policy(folder: &Path, component: &[u8], fault: &str) {
    let settings = format!("fault = \"{fault}\"\n");
    put(folder, "mine.toml", settings.as_bytes());
    put(folder, "mine.wasm", component);
}

/// The digest of the policy `mine` that the newest reload of the agent began with, as its records have it.
async fn began_with(host: &Caxton, agent: &str) -> Option<String> {
    let status = host.admin.status(agent).await?;
    let id = status["reload"]["id"].as_str()?.to_owned();
    let records = host.admin.records(&format!("reload={id}")).await;
    let text = records.text();
    let began: Value = serde_json::from_str(text.lines().next()?).ok()?;
    let policies = began["policies"].as_array()?;
    let mine = policies.iter().find(|policy| policy["policy"] == "mine")?;
    mine["digest"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_a_reload_keeps_the_policy_it_began_with_over_a_restart_too() {
    for killed in [true, false] {
        let host = Caxton::start().await;
        put_policy(&host.policies(), POLICY_FAULTY, "undecided");
        host.configure(
            "shop",
            "[reload]\nbake = \"1h\"\n[rollback]\npolicies = [{ name = \"mine\" }]\n",
        );
        host.deploy("shop", &named("one"), 1).await;
        host.deploy("shop", &named("two"), 2).await;
        let first = digest(POLICY_FAULTY);
        wait_for("records of the reload", async || {
            (began_with(&host, "shop").await.as_ref() == Some(&first)).then_some(())
        })
        .await;
        let down = if killed {
            host.killed()
        } else {
            host.stopped().await
        };
        // The new one would go back at once.
        let other = variant(POLICY_FAULTY, 2);
        put_policy(&down.policies(), &other, "rollback");
        let host = down.start_again().await;
        host.swapped("shop", 2).await;
        let kept = wait_for("records of the reload that began again", async || {
            began_with(&host, "shop").await
        })
        .await;
        assert_eq!(kept, first, "killed: {killed}");
        host.admin
            .until("shop", "the policy was asked again", |status| {
                let verdicts = status["verdicts"].as_array();
                verdicts.is_some_and(|v| {
                    v.iter()
                        .any(|v| v["policy"] == "mine" && v["verdict"] == "undecided")
                })
            })
            .await;
        assert_eq!(answers(&host, "shop").await, "two");
        // The next reload has the new one.
        host.admin.must("shop", "abort").await;
        host.drop_agent("shop", &named("three"));
        host.admin
            .until_result("shop", "rolled back", |r| r["status"] == "rolled-back")
            .await;
        assert_eq!(answers(&host, "shop").await, "one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_on_the_same_data_directory_is_refused() {
    let host = Caxton::start().await;
    host.deploy("shop", &named("one"), 1).await;
    let (code, said) = host.second().await;
    assert_eq!(code, Some(2), "{said}");
    let data = host.data_dir();
    for part in ["another host", data.to_str().unwrap(), "--data-dir"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(answers(&host, "shop").await, "one");
    // A host that was killed leaves nothing that would keep the next one out.
    let host = host.killed_and_started_again().await;
    assert_eq!(answers(&host, "shop").await, "one");
}

/// What release 0.1.0 left behind: no journal, records as lines in files, the state of agents by their names.
fn as_before_the_journal(data: &Path, component: &[u8]) {
    fs::create_dir_all(data.join("state")).unwrap();
    fs::create_dir_all(data.join("records")).unwrap();
    fs::create_dir_all(data.join("policies")).unwrap();
    fs::write(data.join("lock"), "").unwrap();
    fs::write(data.join("records/old.jsonl"), "{}\n").unwrap();
    let state = 17_u64.to_le_bytes();
    let header = json!({
        "kind": "caxton-snapshot/1", "agent": "counter", "number": 4, "component": digest(component),
        "format": "count/1", "bytes": state.len(), "sha256": digest(&state),
    });
    let mut snapshot = format!("{header}\n").into_bytes();
    snapshot.extend_from_slice(&state);
    fs::write(data.join("state/counter.snapshot"), snapshot).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_previous_releases_data_directory_gives_no_agent_a_new_version_and_keeps_its_state() {
    let down = Caxton::start().await.stopped().await;
    fs::remove_dir_all(down.data_dir()).unwrap();
    as_before_the_journal(&down.data_dir(), STATEFUL);
    put(&down.agents(), "counter.wasm", STATEFUL);
    put(&down.agents(), "web.wasm", WEB);
    let host = down.start_again().await;
    host.swapped("counter", 1).await;
    host.swapped("web", 1).await;
    assert_eq!(counted(&host).await, 18);
    let host = host.killed_and_started_again().await;
    for (agent, bytes) in [("counter", STATEFUL), ("web", WEB)] {
        let status = host
            .admin
            .until(agent, "it serves", |status| status["state"] == "serving")
            .await;
        assert_eq!(status["stable"]["number"], 1, "{status}");
        assert_eq!(status["stable"]["digest"], digest(bytes), "{status}");
        assert_eq!(host.admin.history(agent).await.len(), 1, "{agent}");
    }
}
