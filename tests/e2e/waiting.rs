//! `caxton wait`, as scripts use it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::Value;

use crate::harness::{Ask, Caxton, Load, Setup, binary, digest, variant};

/// A `caxton wait --json` that has begun to look.
struct Waiting {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    async fn start(host: &Caxton, words: &[&str]) -> Self {
        let mut command = binary();
        command.args(["wait", "web", "--json"]).args(words);
        command.arg("--data-dir").arg(host.data_dir());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let looked = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            err.read_line(&mut line).unwrap();
            assert!(line.starts_with("web: "), "{line}");
            err
        });
        let err = looked.await.unwrap();
        Self { child, err }
    }

    async fn end(self) -> (Option<i32>, Value) {
        let Self { child, err } = self;
        let ended = tokio::task::spawn_blocking(move || {
            let output = child.wait_with_output().unwrap();
            drop(err);
            output
        });
        let output = ended.await.unwrap();
        let json = serde_json::from_slice(&output.stdout);
        (
            output.status.code(),
            json.unwrap_or_else(|_| panic!("{}", told(&output))),
        )
    }
}

fn file(host: &Caxton, bytes: &[u8]) -> PathBuf {
    let path = host.elsewhere().join("new.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_waited_for_from_before_it_is_there_until_it_is_permanent() {
    let host = Caxton::start().await;
    for number in 1..=2 {
        let bytes = variant(WEB, number);
        let path = file(&host, &bytes);
        let waiting = Waiting::start(&host, &["--file", path.to_str().unwrap()]).await;
        host.drop_agent("web", &bytes);
        let (code, ended) = waiting.end().await;
        assert_eq!(
            (code, &ended["outcome"]),
            (Some(0), &"reached".into()),
            "{ended}"
        );
        assert_eq!(
            (&ended["version"], &ended["digest"]),
            (&number.into(), &digest(&bytes).into())
        );
        let status = host.admin.status("web").await.unwrap();
        assert_eq!(status["stable"]["number"], number, "{status}");
    }
    let path = file(&host, &variant(WEB, 2));
    let again = ["wait", "web", "--file", path.to_str().unwrap()];
    let output = host.command(&again).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        told(&output).contains("web v2 is permanent"),
        "{}",
        told(&output)
    );
    let output = host.command(&["wait", "web", "--until", "serving"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_rolled_back_ends_it_with_the_reason() {
    let setup = Setup::defaults("[defaults.reload]\nwarm_up = \"0s\"\nbake = \"10m\"\n");
    let host = Caxton::start_with(setup).await;
    host.deploy("web", WEB, 1).await;
    let path = file(&host, FLAKY);
    let path = path.to_str().unwrap();
    let waiting = Waiting::start(&host, &["--file", path]).await;
    host.drop_agent("web", FLAKY);
    let output = host
        .command(&["wait", "web", "--file", path, "--until", "serving"])
        .await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let load = Load::start(host.gateway, 4, vec![Ask::get("/web/")]);
    let (code, ended) = waiting.end().await;
    load.finish().await;
    assert_eq!(
        (code, &ended["outcome"]),
        (Some(1), &"rolled-back".into()),
        "{ended}"
    );
    assert!(
        ended["reason"].as_str().is_some_and(|why| !why.is_empty()),
        "{ended}"
    );
    assert!(ended["reload"].is_string(), "{ended}");
    let again = host.command(&["wait", "web", "--file", path]).await;
    assert_eq!(again.status.code(), Some(1), "{}", told(&again));
    assert!(
        told(&again).contains("web quarantined: "),
        "{}",
        told(&again)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_file_other_bytes_and_the_time_end_it_with_what_they_are() {
    let setup = Setup::defaults("[defaults.reload]\nwarm_up = \"0s\"\nbake = \"10m\"\n");
    let host = Caxton::start_with(setup).await;
    host.deploy("web", &variant(WEB, 1), 1).await;

    // A core module, whole and no component.
    let broken = b"\0asm\x01\0\0\0";
    let path = file(&host, broken);
    let waiting = Waiting::start(&host, &["--file", path.to_str().unwrap()]).await;
    host.drop_agent("web", broken);
    let (code, ended) = waiting.end().await;
    assert_eq!(
        (code, &ended["outcome"]),
        (Some(1), &"refused".into()),
        "{ended}"
    );

    // The watcher takes none that ends early, whether it is the file that does or its copy.
    let whole = variant(WEB, 2);
    let path = file(&host, &whole);
    let path = path.to_str().unwrap();
    let waiting = Waiting::start(&host, &["--file", path]).await;
    let cut_off = &whole[..whole.len() / 2];
    host.drop_agent("web", cut_off);
    let (code, ended) = waiting.end().await;
    assert_eq!(
        (code, &ended["outcome"]),
        (Some(1), &"refused".into()),
        "{ended}"
    );
    let part = host.elsewhere().join("part.wasm");
    std::fs::write(&part, cut_off).unwrap();
    let refused = host
        .command(&["wait", "web", "--file", part.to_str().unwrap()])
        .await;
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("ends early"), "{}", told(&refused));

    let at_once = ["wait", "web", "--file", path, "--timeout", "0s"];
    let late = host.command(&at_once).await;
    let silent = "the 0s are over, and the host has not answered in them";
    assert!(told(&late).contains(silent), "{}", told(&late));

    let waiting = Waiting::start(&host, &["--file", path]).await;
    host.deploy("web", &whole, 2).await;
    let late = host
        .command(&["wait", "web", "--file", path, "--timeout", "300ms"])
        .await;
    assert_eq!(late.status.code(), Some(1), "{}", told(&late));
    assert!(told(&late).contains("v2 baking"), "{}", told(&late));
    host.drop_agent("web", &variant(WEB, 3));
    let (code, ended) = waiting.end().await;
    assert_eq!(
        (code, &ended["outcome"]),
        (Some(1), &"superseded".into()),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_started_again_goes_on_being_waited_for_and_none_is_exit_3() {
    let host = Caxton::start().await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let bytes = variant(WEB, 2);
    let path = file(&host, &bytes);
    let waiting = Waiting::start(&host, &["--file", path.to_str().unwrap()]).await;
    let host = host.killed_and_started_again().await;
    host.drop_agent("web", &bytes);
    let (code, ended) = waiting.end().await;
    assert_eq!(
        (code, &ended["outcome"]),
        (Some(0), &"reached".into()),
        "{ended}"
    );

    let path = file(&host, FLAKY);
    let words = ["--file", path.to_str().unwrap(), "--timeout", "2s"];
    let mut waiting = Waiting::start(&host, &words).await;
    let _down = host.killed();
    let ended = tokio::task::spawn_blocking(move || waiting.child.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(3));
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = binary();
    command
        .args(["wait", "web", "--data-dir"])
        .arg(nowhere.path());
    assert_eq!(command.output().unwrap().status.code(), Some(3));
}
