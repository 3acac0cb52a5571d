//! The settings: what may be written, what it means, and what is said about the rest.

use serde_json::{Map, Value};

use crate::bindings::caxton::policy::types::Problem;

/// JSON Schema of the settings.
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// What a configured trigger watches, and the limit above (for health: below) which it fires.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trigger {
    /// Fewer than half of the health checks passed.
    HealthCheckFailure,
    /// Failed requests, in per cent.
    ErrorRate(f64),
    /// How much slower than the stable version, in per cent.
    PerformanceDegradation(f64),
    /// The largest memory of an instance, in bytes.
    Memory(u64),
    /// A metric that the agent reports.
    CustomMetric { name: String, threshold: f64 },
}

/// Settings that passed every check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) triggers: Vec<Trigger>,
    /// Requests below which no rate is judged.
    pub(crate) minimum_sample: u64,
    /// Health checks below which their success rate is not judged.
    pub(crate) minimum_health_checks: u64,
    /// Mean response time, in milliseconds, below which nobody minds how much slower the candidate is: two versions that
    /// answer within a few milliseconds differ by half from one moment to the next.
    pub(crate) latency_floor_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            triggers: vec![
                Trigger::HealthCheckFailure,
                Trigger::ErrorRate(5.0),
                Trigger::PerformanceDegradation(50.0),
            ],
            minimum_sample: 20,
            minimum_health_checks: 3,
            latency_floor_ms: 25,
        }
    }
}

impl Settings {
    /// Reads a JSON object; what is not in it is as in the default. Every problem is listed.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems(Vec::new());
        let mut settings = Self::default();
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => settings.take(&fields, &mut problems),
            Ok(_) => problems.add("", "must be an object"),
            Err(error) => problems.add("", &format!("is not JSON: {error}")),
        }
        if problems.0.is_empty() {
            Ok(settings)
        } else {
            Err(problems.0)
        }
    }

    fn take(&mut self, fields: &Map<String, Value>, problems: &mut Problems) {
        for (key, value) in fields {
            let path = format!("/{key}");
            match key.as_str() {
                "minimum_sample" => {
                    self.minimum_sample = problems.whole_number(&path, Some(value));
                }
                "minimum_health_checks" => {
                    self.minimum_health_checks = problems.whole_number(&path, Some(value));
                }
                "latency_floor_ms" => {
                    self.latency_floor_ms = problems.whole_number(&path, Some(value));
                }
                "triggers" => match value.as_array() {
                    Some(written) => {
                        self.triggers = written
                            .iter()
                            .enumerate()
                            .filter_map(|(index, trigger)| {
                                read_trigger(&format!("{path}/{index}"), trigger, problems)
                            })
                            .collect();
                    }
                    None => problems.add(&path, "must be a list of triggers"),
                },
                _ => problems.add(
                    &path,
                    "is no setting; there are triggers, minimum_sample, minimum_health_checks and latency_floor_ms",
                ),
            }
        }
    }
}

fn read_trigger(path: &str, written: &Value, problems: &mut Problems) -> Option<Trigger> {
    let Some(fields) = written.as_object() else {
        problems.add(
            path,
            "must be a table such as { kind = \"error-rate\", threshold = 5.0 }",
        );
        return None;
    };
    let kind = fields
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let threshold = fields.get("threshold");
    let at = format!("{path}/threshold");
    let (trigger, known): (Trigger, &[&str]) = match kind {
        "health-check-failure" => (Trigger::HealthCheckFailure, &["kind"]),
        "error-rate" => (
            Trigger::ErrorRate(problems.per_cent(&at, threshold)),
            &["kind", "threshold"],
        ),
        "performance-degradation" => (
            Trigger::PerformanceDegradation(problems.per_cent(&at, threshold)),
            &["kind", "threshold"],
        ),
        "memory" => (
            Trigger::Memory(problems.whole_number(&at, threshold)),
            &["kind", "threshold"],
        ),
        "custom-metric" => {
            let name = fields
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if name.is_empty() {
                problems.add(
                    &format!("{path}/name"),
                    "must be the name of a metric that the agent reports",
                );
            }
            let trigger = Trigger::CustomMetric {
                name: name.to_owned(),
                threshold: problems.number(&at, threshold),
            };
            (trigger, &["kind", "name", "threshold"])
        }
        _ => {
            problems.add(
                &format!("{path}/kind"),
                "must be health-check-failure, error-rate, performance-degradation, memory or custom-metric",
            );
            return None;
        }
    };
    for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
        problems.add(
            &format!("{path}/{key}"),
            &format!("means nothing for {kind}"),
        );
    }
    Some(trigger)
}

/// What is wrong so far. A value that is wrong reads as zero; the settings are then refused as a whole.
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, message: &str) {
        self.0.push(Problem {
            path: path.to_owned(),
            message: message.to_owned(),
        });
    }

    fn whole_number(&mut self, path: &str, value: Option<&Value>) -> u64 {
        match value.and_then(Value::as_u64) {
            Some(number) if number > 0 => number,
            _ => {
                self.add(path, "must be a whole number of at least 1");
                0
            }
        }
    }

    /// JSON has no NaN and no infinity: where they were meant, something else is written, and that is no number.
    fn number(&mut self, path: &str, value: Option<&Value>) -> f64 {
        match value.and_then(Value::as_f64) {
            Some(number) if number.is_finite() && number >= 0.0 => number,
            Some(number) => {
                self.add(path, &format!("must not be negative; it is {number}"));
                0.0
            }
            None => {
                self.add(path, "must be a number");
                0.0
            }
        }
    }

    fn per_cent(&mut self, path: &str, value: Option<&Value>) -> f64 {
        let number = self.number(path, value);
        if number > 100.0 {
            self.add(
                path,
                &format!("is in per cent and must not be above 100; it is {number}"),
            );
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        Settings::read(text)
            .unwrap_err()
            .into_iter()
            .map(|problem| (problem.path, problem.message))
            .collect()
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(Settings::read("{}").unwrap(), Settings::default());
    }

    #[test]
    fn every_trigger_can_be_written() {
        let settings = Settings::read(
            r#"{"minimum_sample": 5, "minimum_health_checks": 1, "latency_floor_ms": 9, "triggers": [
                {"kind": "health-check-failure"},
                {"kind": "error-rate", "threshold": 1},
                {"kind": "performance-degradation", "threshold": 100.0},
                {"kind": "memory", "threshold": 1048576},
                {"kind": "custom-metric", "name": "queue", "threshold": 0.5}
            ]}"#,
        )
        .unwrap();
        assert_eq!(
            settings,
            Settings {
                minimum_sample: 5,
                minimum_health_checks: 1,
                latency_floor_ms: 9,
                triggers: vec![
                    Trigger::HealthCheckFailure,
                    Trigger::ErrorRate(1.0),
                    Trigger::PerformanceDegradation(100.0),
                    Trigger::Memory(1_048_576),
                    Trigger::CustomMetric {
                        name: "queue".to_owned(),
                        threshold: 0.5
                    },
                ],
            }
        );
    }

    #[test]
    fn thresholds_that_mean_nothing_are_refused_by_their_path() {
        for (threshold, complaint) in [
            ("-1", "must not be negative; it is -1"),
            (
                "100.5",
                "is in per cent and must not be above 100; it is 100.5",
            ),
            ("null", "must be a number"),
            ("\"NaN\"", "must be a number"),
        ] {
            for kind in ["error-rate", "performance-degradation"] {
                let text = format!(
                    r#"{{"triggers": [{{"kind": "health-check-failure"}}, {{"kind": "{kind}", "threshold": {threshold}}}]}}"#
                );
                assert_eq!(
                    problems(&text),
                    [("/triggers/1/threshold".to_owned(), complaint.to_owned())],
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn every_problem_is_listed() {
        let found = problems(
            r#"{"minimum_sample": 0, "limit": 1, "triggers": [
                {"kind": "errors"}, {"kind": "custom-metric", "threshold": -2}, {"kind": "memory", "threshold": 1, "name": "x"}, 7
            ]}"#,
        );
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/limit",
                "/minimum_sample",
                "/triggers/0/kind",
                "/triggers/1/name",
                "/triggers/1/threshold",
                "/triggers/2/name",
                "/triggers/3",
            ]
        );
    }

    #[test]
    fn the_schema_is_json_for_an_object() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false);
    }
}
