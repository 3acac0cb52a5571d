//! The settings: what may be written, and what it means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What leads back to the stable version.
    pub triggers: Vec<Trigger>,
    /// Finished requests below which no rate is judged and no version is found fit.
    #[schemars(range(min = 1))]
    pub minimum_sample: u64,
    /// Health checks below which their success rate is not judged.
    #[schemars(range(min = 1))]
    pub minimum_health_checks: u64,
    /// Mean response time of the candidate, in milliseconds, up to which it is not judged as degraded: two versions that answer
    /// within a few milliseconds differ by half from one moment to the next.
    #[schemars(range(min = 1))]
    pub latency_floor_ms: u64,
}

/// What a configured trigger watches, and the limit above (for health: below) which it fires.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trigger {
    /// Fewer than half of the health checks passed.
    HealthCheckFailure,
    /// More requests than this failed, in per cent.
    ErrorRate {
        /// In per cent.
        #[schemars(range(min = 0, max = 100))]
        threshold: f64,
    },
    /// Slower than the stable version in the same windows by more than this, in per cent.
    PerformanceDegradation {
        /// In per cent.
        #[schemars(range(min = 0, max = 100))]
        threshold: f64,
    },
    /// An instance's memory grew beyond this, in bytes.
    Memory {
        /// In bytes.
        #[schemars(range(min = 1))]
        threshold: u64,
    },
    /// A metric that the agent reports is above this: a counter's sum, a gauge's last value, a ratio's bad ones in per cent.
    CustomMetric {
        /// The agent's name for it.
        #[schemars(length(min = 1))]
        name: String,
        /// In the metric's own unit.
        #[schemars(range(min = 0))]
        threshold: f64,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            triggers: vec![
                Trigger::HealthCheckFailure,
                Trigger::ErrorRate { threshold: 5.0 },
                Trigger::PerformanceDegradation { threshold: 50.0 },
            ],
            minimum_sample: 20,
            minimum_health_checks: 3,
            latency_floor_ms: 25,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caxton_policy::RollbackPolicy as _;
    use serde_json::json;

    use crate::Thresholds;

    fn problems(text: &str) -> Vec<(String, String)> {
        caxton_policy::settings::check(text, Thresholds::check)
            .unwrap_err()
            .into_iter()
            .map(|problem| (problem.path, problem.message))
            .collect()
    }

    fn read(text: &str) -> Settings {
        caxton_policy::settings::check(text, Thresholds::check).unwrap();
        caxton_policy::settings::read(text).unwrap()
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(read("{}"), Settings::default());
    }

    #[test]
    fn every_trigger_can_be_written() {
        let settings = read(
            r#"{"minimum_sample": 5, "minimum_health_checks": 1, "latency_floor_ms": 9, "triggers": [
                {"kind": "health-check-failure"},
                {"kind": "error-rate", "threshold": 1},
                {"kind": "performance-degradation", "threshold": 100.0},
                {"kind": "memory", "threshold": 1048576},
                {"kind": "custom-metric", "name": "queue", "threshold": 0.5}
            ]}"#,
        );
        assert_eq!(
            settings,
            Settings {
                minimum_sample: 5,
                minimum_health_checks: 1,
                latency_floor_ms: 9,
                triggers: vec![
                    Trigger::HealthCheckFailure,
                    Trigger::ErrorRate { threshold: 1.0 },
                    Trigger::PerformanceDegradation { threshold: 100.0 },
                    Trigger::Memory {
                        threshold: 1_048_576
                    },
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
            ("-1", "is -1 and must be at least 0"),
            ("100.5", "is 100.5 and must be at most 100"),
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
    fn the_schema_tells_defaults_and_limits() {
        let schema = caxton_policy::settings::schema::<Settings>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false);
        let properties = &schema["properties"];
        assert_eq!(properties["minimum_sample"]["default"], 20);
        assert_eq!(
            properties["triggers"]["default"],
            json!([
                {"kind": "health-check-failure"},
                {"kind": "error-rate", "threshold": 5.0},
                {"kind": "performance-degradation", "threshold": 50.0}
            ])
        );
        let kinds = properties["triggers"]["items"]["oneOf"].as_array().unwrap();
        assert_eq!(kinds.len(), 5);
    }
}
