//! The settings: what may be written, what it means, and what is said about the rest.

use serde_json::{Map, Value};

use crate::bindings::caxton::policy::types::Problem;

/// JSON Schema of the settings.
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// A stage may last a week, and no longer: the host takes no other.
const SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// More requests than this in one stage are surely a mistake.
const REQUESTS_MAX: u64 = 1_000_000;

/// Stages that the host takes in one plan.
const SHARES_MAX: usize = 32;

/// Settings that passed every check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Requests that the candidate should answer in each stage.
    pub(crate) requests_per_stage: u64,
    /// How long a stage lasts at least.
    pub(crate) shortest_stage_seconds: u64,
    /// How long a stage is planned to last at most.
    pub(crate) longest_stage_seconds: u64,
    /// Shares to choose from, in per cent, rising; never empty.
    pub(crate) shares: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests_per_stage: 50,
            shortest_stage_seconds: 10,
            longest_stage_seconds: 300,
            shares: vec![1, 5, 10, 25, 50, 75],
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
                "requests_per_stage" => {
                    problems.number(&path, value, REQUESTS_MAX, &mut self.requests_per_stage);
                }
                "shortest_stage_seconds" => {
                    problems.number(&path, value, SECONDS_MAX, &mut self.shortest_stage_seconds);
                }
                "longest_stage_seconds" => {
                    problems.number(&path, value, SECONDS_MAX, &mut self.longest_stage_seconds);
                }
                "shares" => match value.as_array() {
                    Some(written) => self.shares = read_shares(&path, written, problems),
                    None => problems.add(&path, "must be a list of shares, such as [10, 50]"),
                },
                _ => problems.add(
                    &path,
                    "is no setting; there are requests_per_stage, shortest_stage_seconds, longest_stage_seconds and shares",
                ),
            }
        }
        let (shortest, longest) = (self.shortest_stage_seconds, self.longest_stage_seconds);
        if shortest > longest {
            problems.add(
                "/shortest_stage_seconds",
                &format!(
                    "is {shortest} and must not be above longest_stage_seconds, which is {longest}"
                ),
            );
        }
    }
}

fn read_shares(path: &str, written: &[Value], problems: &mut Problems) -> Vec<u8> {
    if written.is_empty() || written.len() > SHARES_MAX {
        problems.add(path, &format!("must have 1 to {SHARES_MAX} shares"));
    }
    let mut shares: Vec<u8> = Vec::with_capacity(written.len());
    for (index, share) in written.iter().enumerate() {
        let at = format!("{path}/{index}");
        let per_cent = share
            .as_u64()
            .and_then(|share| u8::try_from(share).ok())
            .filter(|share| (1..=99).contains(share));
        match (per_cent, shares.last()) {
            (None, _) => problems.add(
                &at,
                "must be a whole number from 1 to 99; all traffic comes after the last share",
            ),
            (Some(share), Some(before)) if share <= *before => {
                problems.add(&at, &format!("is {share} after {before}; shares rise"));
            }
            (Some(share), _) => shares.push(share),
        }
    }
    shares
}

/// Problems in a line, for where there is room for no more.
pub(crate) fn told(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    lines.join("; ")
}

/// What is wrong so far. A value that is wrong leaves the default; the settings are then refused as a whole.
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, message: &str) {
        self.0.push(Problem {
            path: path.to_owned(),
            message: message.to_owned(),
        });
    }

    fn number(&mut self, path: &str, value: &Value, most: u64, setting: &mut u64) {
        match value.as_u64() {
            Some(number) if (1..=most).contains(&number) => *setting = number,
            _ => self.add(path, &format!("must be a whole number from 1 to {most}")),
        }
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
    fn nothing_written_is_the_default_and_the_schema_says_the_same() {
        let defaults = Settings::read("{}").unwrap();
        assert_eq!(defaults, Settings::default());
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["type"], "object");
        let written = |name: &str| schema["properties"][name]["default"].clone();
        assert_eq!(written("requests_per_stage"), defaults.requests_per_stage);
        assert_eq!(
            written("shortest_stage_seconds"),
            defaults.shortest_stage_seconds
        );
        assert_eq!(
            written("longest_stage_seconds"),
            defaults.longest_stage_seconds
        );
        assert_eq!(written("shares"), serde_json::json!(defaults.shares));
    }

    #[test]
    fn every_setting_can_be_written() {
        let settings = Settings::read(
            r#"{"requests_per_stage": 1000, "shortest_stage_seconds": 1, "longest_stage_seconds": 1, "shares": [99]}"#,
        );
        let expected = Settings {
            requests_per_stage: 1_000,
            shortest_stage_seconds: 1,
            longest_stage_seconds: 1,
            shares: vec![99],
        };
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn every_problem_is_listed() {
        let found = problems(
            r#"{"longest_stage_seconds": 5, "requests_per_stage": 0, "shares": [0, 10, 10, 50, 100, "x"], "stages": 3}"#,
        );
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/requests_per_stage",
                "/shares/0",
                "/shares/2",
                "/shares/4",
                "/shares/5",
                "/stages",
                "/shortest_stage_seconds",
            ]
        );
    }

    #[test]
    fn what_a_schema_cannot_say_is_said() {
        assert_eq!(
            problems(r#"{"shortest_stage_seconds": 301}"#),
            [(
                "/shortest_stage_seconds".to_owned(),
                "is 301 and must not be above longest_stage_seconds, which is 300".to_owned()
            )]
        );
        assert_eq!(
            problems(r#"{"shares": [50, 10]}"#),
            [(
                "/shares/1".to_owned(),
                "is 10 after 50; shares rise".to_owned()
            )]
        );
    }

    #[test]
    fn what_is_no_object_or_out_of_range_is_refused() {
        for text in [
            "",
            "[]",
            "7",
            r#"{"shares": []}"#,
            r#"{"shares": 10}"#,
            r#"{"requests_per_stage": 1.5}"#,
            r#"{"longest_stage_seconds": 604801}"#,
        ] {
            assert_eq!(problems(text).len(), 1, "{text}");
        }
    }
}
