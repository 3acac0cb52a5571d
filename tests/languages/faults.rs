//! What reaches whoever wrote a policy that fails: the exception's words and the place in the source where it was thrown.

use std::fs;

use serde_json::{Value, json};

use crate::caxton::{component, json, policy, said};

/// Asks a policy that fails as it is told: one scenario for each fault, and what came of it.
fn faults(name: &str, faults: &[&str]) -> Vec<Value> {
    let scenario = |fault: &&str| {
        json!({
            "id": fault,
            "settings": { "fault": fault },
            "expect": { "final": { "decision": "proceed" } },
            "ticks": [[0, 10, 0, 10]],
        })
    };
    let scenarios: Vec<Value> = faults.iter().map(scenario).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.json");
    let text = json!({ "format": "caxton-scenarios/1", "scenarios": scenarios });
    fs::write(&file, text.to_string()).unwrap();
    let output = policy([
        "test".into(),
        component(name).into_os_string(),
        file.into_os_string(),
        "--json".into(),
    ]);
    let tested = json(&output);
    let scenarios = tested["scenarios"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", said(&output)));
    scenarios
        .iter()
        .map(|scenario| scenario["fault"].clone())
        .collect()
}

fn assert_says(fault: &Value, kind: &str, words: &[&str]) {
    assert_eq!(fault["kind"], kind, "{fault:#}");
    let message = fault["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} in {message}");
    }
}

#[test]
fn javascript() {
    let names = [
        "exception",
        "thrown-error",
        "err",
        "loop",
        "nonsense",
        "none",
    ];
    let faults = faults("faulty-js", &names);
    let [exception, thrown, err, endless, nonsense, none] = faults.as_slice() else {
        panic!("{faults:?}");
    };
    // `windows[0].candidate.request` is undefined; its line in tests/languages/faulty.js.
    assert_says(
        exception,
        "error",
        &[
            "TypeError",
            "request is undefined",
            "judge@faulty.js:",
            "evaluate@faulty.js:",
        ],
    );
    assert_says(
        thrown,
        "error",
        &["Error: the budget is not a number", "judge@faulty.js:"],
    );
    assert_says(err, "error", &["no opinion on this one"]);
    assert_says(endless, "out-of-fuel", &[]);
    assert_says(nonsense, "nonsense", &["Not A Code"]);
    assert!(none.is_null(), "{none:#}");
}

#[test]
fn python() {
    let names = [
        "exception",
        "thrown-error",
        "err",
        "loop",
        "nonsense",
        "none",
    ];
    let faults = faults("faulty-python", &names);
    let [exception, thrown, err, endless, nonsense, none] = faults.as_slice() else {
        panic!("{faults:?}");
    };
    let traceback = [
        "Traceback (most recent call last)",
        "faulty.py\", line",
        "in judge",
    ];
    assert_says(exception, "trap", &traceback);
    assert_says(
        exception,
        "trap",
        &["AttributeError", "'Arm' object has no attribute 'request'"],
    );
    assert_says(thrown, "trap", &traceback);
    assert_says(thrown, "trap", &["ValueError: the budget is not a number"]);
    assert_says(err, "error", &["no opinion on this one"]);
    assert_says(endless, "out-of-fuel", &[]);
    assert_says(nonsense, "nonsense", &["Not A Code"]);
    assert!(none.is_null(), "{none:#}");
}

/// Memory has a limit, and reaching it is a fault that says so in either language.
#[test]
fn hoarding() {
    for name in ["faulty-js", "faulty-python"] {
        let faults = faults(name, &["hoard"]);
        let message = faults[0]["message"].as_str().unwrap_or_default();
        assert!(
            message.to_lowercase().contains("memory"),
            "{name}: {faults:#?}"
        );
    }
}
