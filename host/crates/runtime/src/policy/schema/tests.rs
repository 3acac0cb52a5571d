//! What a schema says about settings, and what is no schema.

use super::*;
use serde_json::json;

fn told(schema: &Value, settings: Value) -> Vec<String> {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    let verdict = schema.judge(&settings);
    let mut told: Vec<String> = verdict
        .problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    told.sort();
    told
}

#[test]
fn every_problem_is_told_with_its_place() {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["rate"],
        "properties": {
            "rate": { "type": "number" },
            "count": { "type": "integer", "minimum": 1 },
            "mode": { "enum": ["strict", "lenient"] },
            "list": { "type": "array", "items": { "type": "string" } },
        }
    });
    let settings = json!({ "counts": 1, "count": 0, "mode": "strikt", "list": ["a", 2], "a/b": 1 });
    assert_eq!(
        told(&schema, settings),
        [
            "/a~1b: there is no such setting; there are: count, list, mode, rate",
            "/count: 0 is less than the minimum of 1",
            "/counts: there is no such setting; did you mean `count`?",
            "/list/1: 2 is not of type \"string\"",
            "/mode: \"strikt\" is not one of \"strict\" or \"lenient\"; did you mean \"strict\"?",
            ": `rate` is missing",
        ]
    );
}

#[test]
fn of_several_shapes_the_one_that_was_meant_is_explained() {
    let shape = |tag: &str, field: &str| {
        json!({
            "type": "object",
            "properties": { "kind": { "const": tag }, field: { "type": "integer" } },
            "required": ["kind", field],
            "additionalProperties": false,
        })
    };
    let schema = json!({
        "type": "object",
        "properties": { "trigger": { "oneOf": [shape("rate", "limit"), shape("count", "most")] } },
    });
    assert_eq!(
        told(
            &schema,
            json!({ "trigger": { "kind": "count", "most": "ten" } })
        ),
        ["/trigger/most: \"ten\" is not of type \"integer\""]
    );
    assert_eq!(
        told(
            &schema,
            json!({ "trigger": { "kind": "cuont", "most": 10 } })
        ),
        ["/trigger/kind: \"cuont\" is none of: rate, count; did you mean \"count\"?"]
    );
}

#[test]
fn what_is_no_schema_is_refused_with_the_reason() {
    let deep = |text: &str| format!(r#"{{"type":"object","properties":{{"a":{text}}}}}"#);
    let patterns: Vec<Value> = (0..300)
        .map(|n| json!({ "pattern": n.to_string() }))
        .collect();
    for (schema, says) in [
        (String::new(), "not JSON"),
        ("{".to_owned(), "not JSON"),
        ("[]".to_owned(), "its root"),
        ("{}".to_owned(), "its root"),
        (r#"{"type":"array"}"#.to_owned(), "its root"),
        (" ".repeat(SCHEMA_BYTES_MAX + 1), "at most 262144"),
        (deep(r#"{"type":"nmber"}"#), "/properties/a/type"),
        (deep(r#"{"minimum":"x"}"#), "/properties/a/minimum"),
        (deep(r#"{"pattern":"("}"#), "("),
        (deep(r##"{"$ref":"#/$defs/none"}"##), "none"),
        (
            deep(r#"{"$ref":"https://example.com/schema.json"}"#),
            "nothing outside",
        ),
        (deep(r#"{"$ref":"file:///etc/passwd"}"#), "nothing outside"),
        (
            deep(&json!({ "allOf": patterns }).to_string()),
            "300 patterns",
        ),
    ] {
        let error = Schema::compile(&schema).err().expect(&schema);
        assert!(error.contains(says), "{schema}: {error}");
    }
}

#[test]
fn only_missing_settings_are_told_from_wrong_ones() {
    let schema = json!({
        "type": "object",
        "required": ["a", "b"],
        "properties": { "a": { "type": "integer" } },
    });
    let schema = Schema::compile(&schema.to_string()).unwrap();
    assert!(schema.judge(&json!({})).incomplete);
    assert!(schema.judge(&json!({ "b": 1 })).incomplete);
    assert!(!schema.judge(&json!({ "a": "x" })).incomplete);
    let fine = schema.judge(&json!({ "a": 1, "b": 2 }));
    assert!(fine.problems.is_empty() && !fine.incomplete);
}

#[test]
fn a_pattern_that_would_take_for_ever_does_not() {
    let schema = json!({
        "type": "object",
        "properties": { "a": { "pattern": "^(?=(a+)+$)(a|aa)+\\1b$" } },
    });
    let settings = json!({ "a": "a".repeat(60_000) });
    let started = std::time::Instant::now();
    assert_eq!(told(&schema, settings).len(), 1);
    assert!(started.elapsed() < TIME_MAX);
}
