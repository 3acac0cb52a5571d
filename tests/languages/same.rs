//! One policy in three languages: the same verdicts, and the same bytes from each whenever it is asked.

use std::ffi::OsString;

use serde_json::Value;

use crate::caxton::{component, json, policy, said, scenarios};

const LANGUAGES: [&str; 3] = ["budget-rust", "budget-js", "budget-python"];

/// What each scenario ended with, and at which tick.
fn endings(name: &str) -> Vec<Value> {
    let args = [
        "test".into(),
        component(name).into_os_string(),
        scenarios().into_os_string(),
        "--json".into(),
    ];
    let output = policy(args);
    let tested = json(&output);
    assert!(output.status.success(), "{name}: {}", said(&output));
    assert_eq!(tested["failed"], 0, "{name}: {tested:#}");
    let ending = |scenario: &Value| {
        let mut ending = scenario["final"].clone();
        ending["scenario"] = scenario["id"].clone();
        ending["ticks"] = scenario["ticks"].clone();
        ending
    };
    let endings: Vec<Value> = tested["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .map(ending)
        .collect();
    assert!(endings.len() >= 10, "{tested:#}");
    endings
}

#[test]
fn the_same_scenarios_end_in_the_same_words() {
    let [rust, js, python] = LANGUAGES.map(endings);
    for ((rust, js), python) in rust.iter().zip(&js).zip(&python) {
        assert_eq!(rust, js);
        assert_eq!(rust, python);
    }
}

#[test]
fn a_host_takes_each_of_them() {
    for name in LANGUAGES {
        let output = policy(["check".into(), component(name).into_os_string()]);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

/// A problem that only the policy knows of, with its place.
#[test]
fn what_a_policy_finds_wrong_with_settings_is_shown() {
    for name in LANGUAGES {
        let settings = r#"{ "max_failures": 50, "min_requests": 10 }"#;
        let output = policy([
            "check".into(),
            component(name).into_os_string(),
            "--settings".into(),
            settings.into(),
        ]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains("/min_requests"), "{name}: {said}");
        assert!(
            said.contains("must be more than max_failures (50)"),
            "{name}: {said}"
        );
    }
}

fn bench(name: &str, args: &[&str]) -> Value {
    let mut all: Vec<OsString> = vec![
        "bench".into(),
        component(name).into_os_string(),
        "--json".into(),
    ];
    all.extend(args.iter().map(OsString::from));
    let output = policy(all);
    assert!(output.status.success(), "{name}: {}", said(&output));
    json(&output)
}

/// 1,000 calls each, in a process that compiled the policy and in one that took it from the cache.
#[test]
fn two_processes_get_the_same_bytes() {
    for name in LANGUAGES {
        let calls = ["--windows", "1,10", "--calls", "500"];
        let fresh = bench(name, &[&calls[..], &["--fresh"]].concat());
        assert_eq!(fresh["from_cache"], false, "{fresh:#}");
        // Whoever ran before may have left it in the cache; if not, this call puts it there.
        policy(["check".into(), component(name).into_os_string()]);
        let cached = bench(name, &calls);
        assert_eq!(cached["from_cache"], true, "{cached:#}");
        assert_eq!(fresh["answers"], cached["answers"], "{name}");
    }
}

/// With the metrics of an ordinary agent each stays within a third of what a call may use.
#[test]
fn all_windows_fit_into_a_third_of_the_limits() {
    for name in LANGUAGES {
        let costs = bench(name, &["--windows", "120", "--calls", "3"]);
        let cost = &costs["costs"][0];
        assert_eq!(cost["faults"], 0, "{costs:#}");
        assert!(
            cost["fuel"].as_u64().unwrap() < 3_000_000_000 / 3,
            "{name}: {cost}"
        );
        assert!(
            cost["memory"].as_u64().unwrap() < (64 << 20) / 3,
            "{name}: {cost}"
        );
    }
}
