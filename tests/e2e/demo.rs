//! The first command of the README.

use std::process::Output;
use std::time::Duration;

use caxton_test_artifacts::{POLICY_FAULTY, POLICY_THRESHOLDS};

use crate::harness::{Turn, binary};

/// The demo promises to end within a minute in a release build; this is for a machine that tests share.
const AT_MOST: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_loses_nothing() {
    let output = demo(&[]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(lost(&text), 0, "{text}");
    assert!(
        text.contains("rolled back") || text.contains("rolled-back"),
        "{text}"
    );
    assert!(text.contains("e-value"), "the evidence is shown: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_with_immediate_counts_what_it_loses() {
    let output = demo(&["--strategy", "immediate"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(lost(&text) > 0, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_the_demo_with_parallel_takes_the_bad_version_back_before_anyone_hears_it() {
    let output = demo(&["--strategy", "parallel"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(lost(&text), 0, "{text}");
    assert!(text.contains("version 3 hears copies"), "{text}");
    assert!(
        text.contains("version 3: 0 (0 of them failures)") && text.contains("e-value"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_the_demo_with_traffic_splitting_loses_nothing() {
    let output = demo(&["--strategy", "traffic-splitting"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(lost(&text), 0, "{text}");
    assert!(
        text.contains("version 2 gets 10 %") && text.contains("version 2 gets 50 %"),
        "{text}"
    );
    assert!(
        text.contains("rolled back version 3") && text.contains("e-value"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_the_demo_asks_a_policy_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    // Without settings it always says proceed.
    let lenient = folder.path().join("lenient.wasm");
    std::fs::write(&lenient, POLICY_FAULTY).unwrap();
    let output = demo(&["--policy", lenient.to_str().unwrap()]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(lost(&text), 0, "{text}");
    for words in [
        "judged by   lenient",
        "lenient says proceed",
        "lenient let the bad version through: it completed, and",
    ] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }

    // A name that cannot be a policy's is no hindrance here, and its settings come with it.
    let strict = folder.path().join("My Thresholds.wasm");
    std::fs::write(&strict, POLICY_THRESHOLDS).unwrap();
    std::fs::write(strict.with_extension("toml"), "minimum_sample = 30\n").unwrap();
    let output = demo(&["--policy", strict.to_str().unwrap()]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    for words in [
        "your-policy says rollback",
        "your-policy took the bad version back",
    ] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
}

async fn demo(arguments: &[&str]) -> Output {
    let _turn = Turn::alone().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::from(binary());
    command
        .current_dir(folder.path())
        .arg("demo")
        .args(arguments)
        .kill_on_drop(true);
    let output = tokio::time::timeout(AT_MOST, command.output())
        .await
        .expect("the demo did not end")
        .unwrap();
    let told = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0), "{told}");
    output
}

/// The number of lost requests that the demo tells.
fn lost(text: &str) -> u64 {
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains("lost"))
        .unwrap_or_else(|| panic!("no count: {text}"));
    let (before, _) = line.split_once("lost").unwrap();
    let number = before
        .split(|c: char| !c.is_ascii_digit())
        .rfind(|word| !word.is_empty());
    number
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number: {line}"))
}
