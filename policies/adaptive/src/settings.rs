//! The settings: what may be written, what it means, and what a schema cannot say about it.

use caxton_policy::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Requests that the new version should answer in each stage.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_stage: u64,
    /// How long a stage lasts at least, however much traffic there is.
    #[schemars(range(min = 1, max = 604_800))]
    pub shortest_stage_seconds: u64,
    /// How long a stage is planned to last at most. A share that sees too few requests in that time is left out.
    #[schemars(range(min = 1, max = 604_800))]
    pub longest_stage_seconds: u64,
    /// The shares to choose from, in per cent, rising. All traffic comes after the last.
    #[schemars(length(min = 1, max = 32))]
    pub shares: Vec<Share>,
}

/// A share of the traffic, in per cent.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Share(#[schemars(range(min = 1, max = 99))] pub u8);

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests_per_stage: 50,
            shortest_stage_seconds: 10,
            longest_stage_seconds: 300,
            shares: [1, 5, 10, 25, 50, 75].map(Share).to_vec(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self, problems: &mut Problems) {
        for (index, pair) in self.shares.windows(2).enumerate() {
            if let [Share(before), Share(share)] = pair
                && share <= before
            {
                let path = format!("/shares/{}", index.saturating_add(1));
                problems.add(path, format!("is {share} after {before}; shares rise"));
            }
        }
        let (shortest, longest) = (self.shortest_stage_seconds, self.longest_stage_seconds);
        if shortest > longest {
            problems.add(
                "/shortest_stage_seconds",
                format!(
                    "is {shortest} and must not be above longest_stage_seconds, which is {longest}"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caxton_policy::{StrategyPolicy as _, settings};

    use crate::Adaptive;

    fn problems(text: &str) -> Vec<(String, String)> {
        settings::check(text, Adaptive::check)
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|problem| (problem.path, problem.message))
            .collect()
    }

    #[test]
    fn nothing_written_is_the_default_and_the_schema_says_the_same() {
        let defaults: Settings = settings::read("{}").unwrap();
        assert_eq!(defaults, Settings::default());
        let schema = settings::schema::<Settings>();
        assert_eq!(schema["type"], "object");
        let written = |name: &str| &schema["properties"][name]["default"];
        assert_eq!(written("requests_per_stage"), 50);
        assert_eq!(written("shortest_stage_seconds"), 10);
        assert_eq!(written("longest_stage_seconds"), 300);
        assert_eq!(written("shares").as_array().unwrap().len(), 6);
    }

    #[test]
    fn every_setting_can_be_written() {
        let text = r#"{"requests_per_stage": 1000, "shortest_stage_seconds": 1, "longest_stage_seconds": 1, "shares": [99]}"#;
        assert_eq!(problems(text), []);
        let expected = Settings {
            requests_per_stage: 1_000,
            shortest_stage_seconds: 1,
            longest_stage_seconds: 1,
            shares: vec![Share(99)],
        };
        assert_eq!(settings::read::<Settings>(text).unwrap(), expected);
    }

    #[test]
    fn every_problem_is_listed() {
        let found = problems(
            r#"{"longest_stage_seconds": 5, "requests_per_stage": 0, "shares": [0, 10, 100, "x"], "stages": 3}"#,
        );
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/requests_per_stage",
                "/shares/0",
                "/shares/2",
                "/shares/3",
                "/stages",
                "/shortest_stage_seconds",
            ]
        );
        let found = problems(r#"{"shares": [10, 10, 50, 20], "stages": 3}"#);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["/stages", "/shares/1", "/shares/3"]);
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
