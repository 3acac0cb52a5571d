//! What SECURITY.md claims: that each claim's test is there, and what only a whole host can show.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use caxton_test_artifacts::{TOOL, WEB};
use serde_json::Value;

use crate::harness::{Caxton, binary, variant, wait_for};

#[test]
fn every_test_that_a_claim_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, claims) = text.split_once("## Claims").unwrap();
    let claims: Vec<&str> = claims
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| claim"))
        .collect();
    assert!(claims.len() > 30, "{} claims", claims.len());
    for claim in claims {
        let tests = claim.split('`').filter_map(|text| text.split_once("::"));
        let mut named = 0;
        for (file, test) in tests {
            named += 1;
            let source = fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            let (before, from_it) = source
                .split_once(&format!("fn {test}("))
                .unwrap_or_else(|| panic!("{file} has no {test}"));
            // Property tests have arguments; all of them are marked as tests.
            let mark = before.rfind("test]").max(before.rfind("::test("));
            let apart = mark.map_or(usize::MAX, |mark| before[mark..].lines().count());
            assert!(
                apart <= 4 && !from_it.is_empty(),
                "{file}: {test} is no test"
            );
        }
        assert!(named > 0, "no test is named: {claim}");
    }
}

/// Everything in a folder, with its name.
pub(crate) fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

pub(crate) fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn granted_values_are_shown_and_logged_nowhere() {
    const SECRET: &str = "hunter2-of-this-test";
    let host = Caxton::start().await;
    let grants = format!("[grants.env]\nKEY = \"{SECRET}\"\n");
    host.configure("web", &grants);
    host.deploy("web", WEB, 1).await;
    // Reloaded with it, refused with it, and asked about.
    host.deploy("web", &variant(WEB, 2), 2).await;
    for bad in [
        format!("grants = \"{SECRET}\"\n"),
        format!("[grants]\nenv = {{ KEY = \"{SECRET}\", }} }}\n"),
        format!("[grants.env]\n\"KEY={SECRET}\" = \"\"\n"),
        format!("KEY = \"{SECRET}\"\n"),
    ] {
        host.configure("web", &bad);
        let refused = |status: &Value| status["attention"].to_string().contains("web.toml");
        host.admin.until("web", "it is refused", refused).await;
        host.configure("web", &grants);
        let clear = |status: &Value| !status["attention"].to_string().contains("web.toml");
        host.admin.until("web", "it is taken again", clear).await;
    }
    for words in [
        &["ls"][..],
        &["status", "web"],
        &["status", "web", "--json"],
        &["history", "web", "--json"],
        &["events"],
        &["records"],
    ] {
        let output = host.command(words).await;
        assert!(
            !holds(&output.stdout, SECRET) && !holds(&output.stderr, SECRET),
            "{words:?}"
        );
    }
    let mut found = Vec::new();
    files(&host.data_dir(), &mut found);
    let log = host.elsewhere().join("log");
    found.push(("the log".to_owned(), fs::read(log).unwrap()));
    for (name, bytes) in found {
        // The configuration itself is kept, for a way back, where nobody else reads it.
        let is_configuration = name.ends_with(".toml");
        assert!(is_configuration || !holds(&bytes, SECRET), "{name}");
    }
    let mode = fs::metadata(host.data_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_files_are_refused_and_forge_nothing() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    let agents = host.agents();
    let forged = b"x\n2026-01-01T00:00:00Z  INFO all is well\r\x1b[2J\xe2\x80\xae.wasm";
    fs::write(agents.join(std::ffi::OsStr::from_bytes(forged)), TOOL).unwrap();
    fs::write(agents.join("\"} , {\"agent\": \"forged.wasm"), TOOL).unwrap();
    fs::write(agents.join("x%2f..%2fy.wasm"), TOOL).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(agents.join("pipe.wasm"))
            .status()
            .unwrap()
            .success()
    );
    symlink("/dev/zero", agents.join("device.wasm")).unwrap();
    symlink("/etc", agents.join("folder.wasm")).unwrap();
    symlink("loop.wasm", agents.join("loop.wasm")).unwrap();
    symlink("/proc/self/environ", agents.join("environ.wasm")).unwrap();
    File::create(agents.join("sparse.wasm"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fs::write(agents.join("tool.wasm"), TOOL).unwrap();
    symlink("/dev/zero", agents.join("tool.toml")).unwrap();
    for name in ["pipe", "device", "folder", "loop", "sparse", "tool"] {
        let refused = |status: &Value| {
            status["state"] == "failed" && !status["attention"].as_array().unwrap().is_empty()
        };
        host.admin.until(name, "it is refused", refused).await;
    }
    wait_for("strangers are told of", async || {
        let told = host.admin.host().await["attention"].to_string();
        (told.contains("all is well") && told.contains("forged.wasm") && told.contains("2fy.wasm"))
            .then_some(())
    })
    .await;
    assert_eq!(host.version_at("/web/").await, 1);
    // What a terminal shows, and what a log holds, is one line for each thing that happened.
    for words in [
        &["ls"][..],
        &["ls", "--json"],
        &["events"],
        &["status", "pipe"],
        &["status", "tool"],
    ] {
        let output = host.command(words).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || c == '\u{202e}';
        assert!(!text.contains(acts), "{words:?}: {text:?}");
        assert!(
            !text
                .lines()
                .any(|line| line.starts_with("2026-01-01T00:00:00Z  INFO all")),
            "{words:?}: {text}"
        );
    }
    let log = fs::read_to_string(host.elsewhere().join("log")).unwrap();
    assert!(
        log.contains("all is well") && !log.contains("\n2026-01-01T00:00:00Z  INFO all is well"),
        "{log}"
    );
    assert!(
        !log.contains('\u{1b}') && !log.contains('\u{202e}'),
        "{log}"
    );
    let list = host.command(&["ls", "--json"]).await;
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|agent| agent["agent"] != "forged"),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_surface_beyond_this_machine_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("agents")).unwrap();
    for (admin, warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let log = File::create(at("log")).unwrap();
        let mut child = binary()
            .args(["run", "--listen", "127.0.0.1:0", "--admin", admin])
            .arg(at("agents"))
            .arg("--data-dir")
            .arg(at(if warned { "open" } else { "closed" }))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let text = wait_for("the host says where it is", async || {
            let text = fs::read_to_string(at("log")).unwrap();
            text.contains("admin    http://").then_some(text)
        });
        let text = text.await;
        let text = if warned && !text.contains("plain HTTP") {
            wait_for("the warning", async || {
                let text = fs::read_to_string(at("log")).unwrap();
                text.contains("plain HTTP").then_some(text)
            })
            .await
        } else {
            text
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(text.contains("speaks plain HTTP"), warned, "{text}");
    }
}
