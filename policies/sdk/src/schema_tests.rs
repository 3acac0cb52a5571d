use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings;

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Tolerated failures.
    #[schemars(range(min = 0.0, max = 1.0))]
    rate: f64,
    #[schemars(length(min = 1, max = 2))]
    shares: Vec<Share>,
    mode: Mode,
    triggers: Vec<Trigger>,
    name: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
struct Share(#[schemars(range(min = 1, max = 99))] u8);

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Hold,
    Rollback,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Trigger {
    Health,
    ErrorRate { threshold: f64 },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: 0.05,
            shares: vec![Share(10)],
            mode: Mode::Hold,
            triggers: vec![Trigger::ErrorRate { threshold: 5.0 }],
            name: None,
        }
    }
}

fn problems(text: &str) -> Vec<(String, String)> {
    let check = |settings: &Settings, problems: &mut crate::Problems| {
        if settings.rate == 0.5 {
            problems.add("/rate", "a half is no rate");
        }
    };
    settings::check::<Settings>(text, check)
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}

#[test]
fn the_schema_tells_types_bounds_defaults_and_prose() {
    let schema = settings::schema::<Settings>();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    let rate = &schema["properties"]["rate"];
    assert_eq!(rate["default"], 0.05);
    assert_eq!(rate["maximum"], 1.0);
    assert_eq!(rate["description"], "Tolerated failures.");
    assert_eq!(schema["properties"]["shares"]["items"]["maximum"], 99);
    assert!(!schema.to_string().contains("$ref"));
}

#[test]
fn right_settings_have_no_problem() {
    for text in [
        "{}",
        r#"{"rate": 1, "shares": [1, 99], "mode": "rollback", "name": null}"#,
        r#"{"triggers": [{"kind": "health"}, {"kind": "error-rate", "threshold": 2}], "name": "x"}"#,
    ] {
        assert_eq!(problems(text), [], "{text}");
    }
}

#[test]
fn every_problem_is_listed_by_its_path() {
    let found = problems(
        r#"{"rate": -1, "shares": [0, "x", 5], "mode": "off", "name": 7, "unknown/1": 1,
            "triggers": [{"kind": "error-rate"}, {"kind": "latency"}, 7, {"kind": "health", "threshold": 1}]}"#,
    );
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/mode",
            "/name",
            "/rate",
            "/shares",
            "/shares/0",
            "/shares/1",
            "/triggers/0/threshold",
            "/triggers/1/kind",
            "/triggers/2",
            "/triggers/3/threshold",
            "/unknown~11",
        ],
        "{found:?}"
    );
}

#[test]
fn what_a_schema_cannot_say_is_said_beside_what_it_says() {
    let found = problems(r#"{"rate": 0.5, "mode": 1}"#);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/mode", "/rate"], "{found:?}");
}

#[test]
fn messages_say_what_would_be_right() {
    for (text, message) in [
        (r#"{"rate": 1.5}"#, "is 1.5 and must be at most 1.0"),
        (r#"{"rate": "NaN"}"#, "must be a number"),
        (r#"{"shares": []}"#, "has 0 and must have at least 1"),
        (r#"{"shares": [1.5]}"#, "must be a whole number"),
        (
            r#"{"mode": "off"}"#,
            r#"is "off" and must be "hold" or "rollback""#,
        ),
        (
            r#"{"triggers": [{"kind": "x"}]}"#,
            r#"must be "health" or "error-rate""#,
        ),
        ("[]", "must be an object"),
    ] {
        assert_eq!(problems(text).first().unwrap().1, message, "{text}");
    }
}

/// A type that passes over what it does not know.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Lax {
    rate: f64,
}

/// One that takes any name.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Open {
    rate: f64,
    #[serde(flatten)]
    others: std::collections::BTreeMap<String, u32>,
}

/// One whose names depend on a tag.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Tagged {
    rate: f64,
    #[serde(flatten)]
    trigger: Trigger,
}

/// The names of which `text` says something wrong.
fn wrong<S: serde::de::DeserializeOwned + JsonSchema>(text: &str) -> Vec<String> {
    let problems = settings::check::<S>(text, |_, _| {}).err();
    let problems = problems.unwrap_or_default().into_iter();
    problems.map(|problem| problem.path).collect()
}

#[test]
fn a_name_that_the_type_would_pass_over_is_refused() {
    assert_eq!(settings::schema::<Lax>()["additionalProperties"], false);
    assert_eq!(wrong::<Lax>(r#"{"rate": 1}"#), [""; 0]);
    assert_eq!(wrong::<Lax>(r#"{"raet": 1}"#), ["/raet"]);
}

#[test]
fn a_type_that_takes_any_name_is_left_alone() {
    assert_eq!(wrong::<Open>(r#"{"rate": 1, "other": 7}"#), [""; 0]);
    assert_eq!(wrong::<Open>(r#"{"other": "x"}"#), ["/other"]);
}

#[test]
fn names_of_a_flattened_choice_are_known() {
    let schema = settings::schema::<Tagged>();
    assert_eq!(schema["unevaluatedProperties"], false, "{schema}");
    assert_eq!(wrong::<Tagged>(r#"{"rate": 1, "kind": "health"}"#), [""; 0]);
    let text = r#"{"rate": 1, "kind": "error-rate", "threshold": 2, "treshold": 3}"#;
    assert_eq!(wrong::<Tagged>(text), ["/treshold"]);
}
