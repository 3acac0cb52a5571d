//! A policy's JSON Schema, and what it says about settings.
//!
//! It comes from the policy, so it is untrusted: nothing that it refers to is fetched, its patterns are bounded, and whoever
//! uses it does so on a thread for blocking work with a time limit ([`Turns`]).

mod explain;
mod turns;

use jsonschema::error::{ValidationError, ValidationErrorKind};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use self::explain::{
    PROBLEM_BYTES_MAX, did_you_mean, meant, problem, unknown_setting, unknown_tag,
};
use super::refusal::SettingsProblem;
use super::text;
use crate::nearest::nearest;

pub(super) use self::turns::{TIME_MAX, Turns};

/// Bytes of a schema: some hundred settings with their prose.
pub(super) const SCHEMA_BYTES_MAX: usize = 256 * 1024;

/// Problems of one settings object that are told: nobody mends more at once.
pub(super) const PROBLEMS_MAX: usize = 32;

/// Patterns of one schema: each is compiled, and takes up to [`PATTERN_BYTES_MAX`].
const PATTERNS_MAX: usize = 256;

/// Bytes of one compiled pattern: enough for any that a person writes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Steps back that matching one pattern may take before it counts as not matching.
const BACKTRACKS_MAX: usize = 10_000;

/// A schema that settings can be held against.
pub(super) struct Schema {
    root: Value,
    validator: Validator,
}

/// What is wrong with settings.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// At most [`PROBLEMS_MAX`].
    pub(super) problems: Vec<SettingsProblem>,
    /// Whether every problem is that a required setting is missing, and there is one.
    pub(super) incomplete: bool,
}

impl Schema {
    /// Compiles the text of a schema whose root is an object.
    pub(super) fn compile(schema: &str) -> Result<Self, String> {
        if schema.len() > SCHEMA_BYTES_MAX {
            let size = schema.len();
            return Err(format!("it has {size} bytes; at most {SCHEMA_BYTES_MAX}"));
        }
        let root: Value =
            serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
        if root.get("type").and_then(Value::as_str) != Some("object") {
            return Err("its root has not `\"type\": \"object\"`".to_owned());
        }
        let patterns = patterns(&root);
        if patterns > PATTERNS_MAX {
            return Err(format!(
                "it has {patterns} patterns; at most {PATTERNS_MAX}"
            ));
        }
        let pattern = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACKS_MAX)
            .size_limit(PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(pattern)
            .build(&root)
            .map_err(|error| not_a_schema(&error))?;
        Ok(Self { root, validator })
    }

    /// Holds settings against it.
    pub(super) fn judge(&self, settings: &Value) -> Verdict {
        let mut verdict = Verdict {
            incomplete: true,
            ..Verdict::default()
        };
        for error in self.validator.iter_errors(settings).take(PROBLEMS_MAX) {
            verdict.incomplete &= matches!(error.kind(), ValidationErrorKind::Required { .. });
            self.explain(&error, &mut verdict.problems);
        }
        verdict.incomplete &= !verdict.problems.is_empty();
        verdict.problems.truncate(PROBLEMS_MAX);
        verdict
    }

    /// Appends what is wrong in the words of whoever wrote the settings.
    fn explain(&self, error: &ValidationError<'_>, problems: &mut Vec<SettingsProblem>) {
        let path = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.settings_beside(error.schema_path().as_str());
                for key in unexpected {
                    let pointer = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                    problems.push(problem(&pointer, &unknown_setting(key, &known)));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                problems.push(problem(path, &format!("`{name}` is missing")));
            }
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map_or(&[][..], Vec::as_slice);
                let options = options.iter().filter_map(Value::as_str);
                let written = error.instance().as_str().unwrap_or_default();
                let near = nearest(written, options);
                problems.push(problem(path, &format!("{error}{}", did_you_mean(near))));
            }
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context } => {
                match (meant(path, context), unknown_tag(context)) {
                    (Some(shape), _) => {
                        shape.iter().for_each(|error| self.explain(error, problems))
                    }
                    (None, Some(unknown)) => problems.push(unknown),
                    (None, None) => problems.push(problem(path, &error.to_string())),
                }
            }
            _ => problems.push(problem(path, &error.to_string())),
        }
    }

    /// Names of the settings that there are where the schema forbids others, at `keyword`.
    fn settings_beside(&self, keyword: &str) -> Vec<&str> {
        let (place, _) = keyword.rsplit_once('/').unwrap_or_default();
        let fields = self.root.pointer(&format!("{place}/properties"));
        let fields = fields.and_then(Value::as_object);
        fields.map_or_else(Vec::new, |fields| {
            fields.keys().map(String::as_str).collect()
        })
    }
}

fn not_a_schema(error: &ValidationError<'_>) -> String {
    let at = match error.instance_path().as_str() {
        "" => String::new(),
        path => format!("at {path}: "),
    };
    let wrong = match error.kind() {
        ValidationErrorKind::Referencing(unknown) => format!(
            "{unknown}; nothing outside of the schema is fetched: put what it refers to under `$defs`"
        ),
        _ => error.to_string(),
    };
    text::one_line(&format!("{at}{wrong}"), PROBLEM_BYTES_MAX)
}

fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let here = match (key.as_str(), value) {
                    ("pattern", Value::String(_)) => 1,
                    ("patternProperties", Value::Object(patterns)) => patterns.len(),
                    _ => 0,
                };
                here + patterns(value)
            })
            .sum(),
        Value::Array(items) => items.iter().map(patterns).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
