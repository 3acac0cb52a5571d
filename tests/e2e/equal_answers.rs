//! A policy is a function of what it is told: a thousand calls in one process, which compiled it, and in another, which found it
//! compiled, give the same bytes.

use std::path::Path;

use serde_json::Value;

use crate::harness::binary;

/// So many calls at each of four numbers of windows.
const CALLS: [&str; 4] = ["--calls", "250", "--windows", "1,10,60,120"];

fn bench(policy: &str, data: &Path, more: &[&str]) -> Value {
    let mut command = binary();
    command
        .args(["policy", "bench", policy, "--json"])
        .args(more);
    let output = command.env("CAXTON_DATA_DIR", data).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{policy}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn answers_alike(policy: &str) {
    let data = tempfile::tempdir().unwrap();
    // So that there is something in the cache.
    let filled = bench(policy, data.path(), &["--calls", "1", "--windows", "1"]);
    let mut anew = CALLS.to_vec();
    anew.push("--fresh");
    let compiled = bench(policy, data.path(), &anew);
    let found = bench(policy, data.path(), &CALLS);
    let from_cache = [&filled, &compiled, &found].map(|run| run["from_cache"].as_bool().unwrap());
    assert_eq!(from_cache, [false, false, true], "{policy}");
    for run in [&compiled, &found] {
        let costs = run["costs"].as_array().unwrap();
        let calls = costs.iter().map(|cost| cost["calls"].as_u64().unwrap());
        assert_eq!(calls.sum::<u64>(), 1_000, "{run}");
        assert!(costs.iter().all(|cost| cost["faults"] == 0), "{run}");
    }
    assert_eq!(compiled["digest"], found["digest"], "{policy}");
    assert!(compiled["answers"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(compiled["answers"], found["answers"], "{policy}");
    assert_ne!(
        filled["answers"], found["answers"],
        "they depend on what is told"
    );
}

#[test]
fn standard() {
    answers_alike("standard");
}

#[test]
fn evidence() {
    answers_alike("evidence");
}

#[test]
fn thresholds() {
    answers_alike("thresholds");
}

#[test]
fn manual() {
    answers_alike("manual");
}
