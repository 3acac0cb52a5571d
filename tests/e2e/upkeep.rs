//! What the host keeps, looked after while it serves: collecting, backing up, putting back, and looking into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, binary, digest, variant, wait_for};
use crate::judged::goes_back_under_load;

fn told(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&told(output)).unwrap()
}

/// A file among the artifacts that nothing names, old enough that nobody is about to name it.
fn orphan(data: &Path) -> PathBuf {
    let bytes = b"of nobody";
    let folder = data.join("artifacts");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}.wasm", digest(bytes)));
    fs::write(&path, bytes).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 24 * 60 * 60);
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_removes_what_nothing_names_while_requests_flow() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    wait_for("traffic", async || (load.ended() > 20).then_some(())).await;
    let orphan = orphan(&host.data_dir());

    let collected = json_of(&host.command(&["gc", "--json"]).await);
    assert_eq!(
        (&collected["files"], &collected["bytes"]),
        (&json!(1), &json!(9)),
        "{collected}"
    );
    assert!(!orphan.exists());
    let again = told(&host.command(&["gc"]).await);
    assert!(again.starts_with("nothing to remove"), "{again}");
    let before = load.ended();
    wait_for("traffic afterwards", async || {
        (load.ended() > before + 20).then_some(())
    })
    .await;
    let served = load.finish().await;
    assert!(served.iter().all(|record| record.is_good()));
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_never_goes_over_a_file_or_into_a_folder_that_is_watched_or_the_hosts_own() {
    let host = Caxton::start().await;
    let mine = host.elsewhere().join("mine");
    fs::write(&mine, "mine").unwrap();
    for (path, says) in [
        (mine.clone(), "is there already"),
        (host.agents().join("b.db"), "inside the agents directory"),
        (
            host.policies().join("b.db"),
            "inside the policies directory",
        ),
        (host.data_dir().join("b.db"), "inside the data directory"),
        (host.elsewhere().join("no/b.db"), "mkdir -p"),
    ] {
        let refused = host.command(&["backup", path.to_str().unwrap()]).await;
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{path:?}: {error}");
        assert!(error.contains(says), "{path:?}: {error}");
        assert!(path == mine || !path.exists(), "{path:?}");
    }
    assert_eq!(fs::read(&mine).unwrap(), b"mine");

    for command in [&["gc"][..], &["backup", "b"]] {
        let mut alone = binary();
        alone.args(command).arg("--data-dir").arg("/nowhere");
        let output = tokio::task::spawn_blocking(move || alone.output().unwrap())
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }

    let file = host.elsewhere().join("no-backup");
    fs::write(&file, "no backup").unwrap();
    let restore = async |file: &Path, data: &Path| {
        let mut command = binary();
        command.arg("restore").arg(file).arg("--data-dir").arg(data);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    };
    let new = host.elsewhere().join("new");
    let refused = restore(&file, &new).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!new.exists(), "nothing is left of it");
    let refused = restore(&file, &host.data_dir()).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = restore(&host.elsewhere().join("nowhere"), &new).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

/// A host with an agent whose second version was rolled back, and one whose second version bakes.
async fn with_a_past() -> Caxton {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n",
    ))
    .await;
    let (load, _) = goes_back_under_load(&host).await;
    load.finish().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    host.admin.must("web", "pause").await;
    host
}

/// Backs the host up while the reload of `web` goes on.
async fn backed_up(host: &Caxton) -> PathBuf {
    let file = host.elsewhere().join("caxton.backup");
    let name = file.to_str().unwrap();
    let backup = json_of(&host.command(&["backup", name, "--json"]).await);
    assert_eq!(backup["path"].as_str(), Some(name), "{backup}");
    let size = fs::metadata(&file).unwrap().len();
    assert_eq!(backup["bytes"], size, "{backup}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it holds what was granted");
    }
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_taken_while_a_reload_goes_on_and_the_records_in_it_are_read_from_it() {
    let host = with_a_past().await;
    let file = backed_up(&host).await;
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(status["reload"]["status"], "in-progress", "{status}");
    let query = "agent=shop";
    let before = host.admin.records(query).await.text();
    assert!(before.contains("\"record\":\"ended\""), "{before}");

    let host = host
        .stopped_and_started_again_after(|data| {
            fs::rename(data, data.with_extension("old")).unwrap();
            told(&restored(&file, data));
        })
        .await;
    assert_eq!(host.admin.records(query).await.text(), before);
}

fn restored(file: &Path, data: &Path) -> Output {
    let mut command = binary();
    command.arg("restore").arg(file).arg("--data-dir").arg(data);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_on_a_backup_knows_what_the_other_knew() {
    let host = with_a_past().await;
    let file = backed_up(&host).await;
    let shop = host.admin.status("shop").await.unwrap();
    let history = host.admin.history("shop").await;
    let records = host.admin.records("agent=shop").await.text();
    let acts = json_of(&host.command(&["history", "web", "--acts", "--json"]).await);
    assert_eq!(acts[0]["order"], "pause", "{acts}");

    let host = host
        .stopped_and_started_again_after(|data| {
            fs::rename(data, data.with_extension("old")).unwrap();
            told(&restored(&file, data));
        })
        .await;
    host.swapped("shop", 1).await;
    let again = host.admin.status("shop").await.unwrap();
    for key in ["stable", "quarantined"] {
        assert_eq!(again[key], shop[key], "{again}");
    }
    assert_eq!(again["quarantined"][0]["digest"], digest(FLAKY), "{again}");
    assert_eq!(host.admin.history("shop").await, history);
    assert_eq!(host.admin.records("agent=shop").await.text(), records);
    let again = json_of(&host.command(&["history", "web", "--acts", "--json"]).await);
    assert_eq!(again, acts);
    // The one that went on begins again, from the version that was permanent.
    let newest = host.admin.history("web").await.into_iter().next().unwrap();
    assert_eq!(newest["status"], "cancelled", "{newest}");
    host.swapped("web", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_release_before_the_journal_recorded_is_taken_over_at_the_next_start() {
    let host = with_a_past().await;
    let id = host.admin.history("shop").await[0]["id"].to_string();
    let id = id.trim_matches('"');
    let query = format!("reload={id}");
    let records = host.admin.records(&query).await.text();
    let host = host
        .stopped_and_started_again_after(|data| {
            for entry in fs::read_dir(data).unwrap().map(Result::unwrap) {
                if entry.file_name().to_string_lossy().starts_with("journal") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            let folder = data.join("records/shop");
            fs::create_dir_all(&folder).unwrap();
            // It was killed in the middle of a line.
            let text = format!("{records}{{\"record\":\"to");
            fs::write(folder.join(format!("{id}.jsonl")), text).unwrap();
        })
        .await;
    let folder = host.data_dir().join("records");
    wait_for("an empty folder", async || (!folder.exists()).then_some(())).await;
    assert_eq!(host.admin.records(&query).await.text(), records);
    let explained = told(&host.command(&["records", id]).await);
    assert_eq!(explained, records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_can_read_the_journal_with_sqlite_while_the_host_runs() {
    let host = with_a_past().await;
    let told = host.admin.records("agent=shop").await.text();
    let file = host.data_dir().join("journal.sqlite3");
    let sql = "SELECT text FROM records JOIN recordings USING (reload) WHERE agent = 'shop' ORDER BY line";
    let lines = read(&file, sql);
    assert!(lines.len() > 3, "{lines:?}");
    assert_eq!(lines.join("\n"), told.trim_end());
}

/// The first column of what the query finds: as a person would ask, where the tool for it is there.
fn read(file: &Path, sql: &str) -> Vec<String> {
    let tool = Command::new("sqlite3")
        .arg("-readonly")
        .arg(file)
        .arg(sql)
        .output();
    if let Ok(asked) = tool {
        return told(&asked).lines().map(str::to_owned).collect();
    }
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
