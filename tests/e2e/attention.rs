//! `[host] on_attention`: a program of the operator's is told what waits for a person.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use caxton_test_artifacts::{STATEFUL, WEB};
use serde_json::Value;

use crate::harness::{Around, Ask, Caxton, Setup, binary, put, wait_for};

fn script(folder: &Path, text: &str) -> String {
    let path = folder.join("notify");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn setup(program: &str, argument: &Path) -> Setup {
    let default = Setup::default();
    let argument = argument.display();
    Setup {
        host: format!(
            "{}on_attention = [{program:?}, \"{argument}\"]\n",
            default.host
        ),
        ..default
    }
}

/// What was told: a line of JSON for each run.
fn told(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("told")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn until_told(folder: &Path, count: usize) -> Vec<Value> {
    wait_for("the program to be told", async || {
        let told = told(folder);
        (told.len() >= count).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_once_what_is_new_and_once_that_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "#!/bin/sh\nenv > \"$1/env\"\n{ cat; echo; } >> \"$1/told\"\necho heard; exit 3\n";
    let program = script(folder.path(), text);
    let host = Caxton::start_with(setup(&program, folder.path())).await;
    put(
        &host.agents(),
        "web.wasm",
        b"no component, but one with a name of its own",
    );
    let all = until_told(folder.path(), 1).await;
    let item = &all[0];
    assert_eq!(
        (&item["agent"], &item["kind"], &item["state"]),
        (&"web".into(), &"refused-file".into(), &"new".into()),
        "{item}"
    );
    for field in ["since", "text", "command"] {
        assert!(item.get(field).is_some(), "{field}: {item}");
    }
    host.deploy("web", WEB, 1).await;
    let all = until_told(folder.path(), 2).await;
    assert_eq!(
        (all.len(), &all[1]["state"], &all[1]["kind"]),
        (2, &"gone".into(), &"refused-file".into())
    );

    let env = std::fs::read_to_string(folder.path().join("env")).unwrap();
    let own = |line: &&str| {
        !["PWD=", "SHLVL=", "_=", "OLDPWD="]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let names: Vec<&str> = env
        .lines()
        .filter(own)
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| ["PATH", "CAXTON_DATA_DIR"].contains(name)),
        "{env}"
    );
    assert!(!env.contains(&host.admin.token), "{env}");
    assert!(
        host.get("/web/").await.is_good(),
        "its failing is not the host's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_not_there_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("agents")).unwrap();
    let config = folder.path().join("caxton.toml");
    std::fs::write(&config, "[host]\non_attention = [\"/nowhere/notify\"]\n").unwrap();
    let mut command = binary();
    command
        .current_dir(folder.path())
        .args(["run", "agents", "--listen", "127.0.0.1:0"]);
    let output = command.args(["--admin", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("`host.on_attention`") && text.contains("/nowhere/notify"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_cannot_be_stored_waits_for_a_person_until_it_is_stored() {
    let defaults = "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n[defaults.state]\ncheckpoint = \"20ms\"\n";
    let mounts = "mount -t tmpfs -o size=48m none \"$data\"";
    let setup = Setup::defaults(defaults).inside(Around::Mounts(mounts.to_owned()));
    let host = Caxton::start_with(setup).await;
    host.deploy("counter", STATEFUL, 1).await;
    let waits = |status: &Value| {
        let items = status["attention"].as_array().unwrap();
        items.iter().any(|item| item["kind"] == "state-not-stored")
    };
    host.among_mounts("cat /dev/zero > \"$data/filler\" 2>/dev/null || true");
    // Each call brings a checkpoint, and there is no room for one.
    let status = wait_for("attention for the state", async || {
        host.ask(Ask::post("/counter", "")).await;
        let status = host.admin.status("counter").await.unwrap();
        waits(&status).then_some(status)
    })
    .await;
    assert!(
        status
            .to_string()
            .contains("the state of version 1 cannot be stored"),
        "{status}"
    );
    host.among_mounts("rm \"$data/filler\"");
    host.admin
        .until("counter", "its state is stored", |status| !waits(status))
        .await;
    assert_eq!(host.events.count("counter", "state-not-stored"), 1);
}
