//! What is wrong with a scenario file, and where.

/// A file that is no scenario file, or a scenario in it that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.file, .scenario.as_deref(), .problem))]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// The scenario's id, or its place in the list where it has none. None for the file as a whole.
    pub scenario: Option<String>,
    /// What is wrong, and in which field.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `ticks[2].candidate.requests`; empty for the whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn at(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

fn told(file: &str, scenario: Option<&str>, problem: &Problem) -> String {
    let mut told = file.to_owned();
    if let Some(scenario) = scenario {
        told.push_str(&format!(", scenario {scenario}"));
    }
    if !problem.field.is_empty() {
        told.push_str(&format!(", {}", problem.field));
    }
    told.push_str(&format!(": {}", problem.message));
    told
}
