//! Settings: read into a type, and everything that is wrong with them told at once.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Problem, schema};

/// What is wrong with settings, collected.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem: where, as a JSON pointer (`/shares/1`; empty for the settings as a whole), and what would be right.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    /// True where nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// The JSON Schema of a settings type, without references, as `describe` tells it.
///
/// It refuses names that the type does not have, also where the type itself would pass over them: a misspelt setting would
/// otherwise have no effect, and nobody would notice. A type that takes any name says so in its schema (`additionalProperties`).
#[must_use]
pub fn schema<S: JsonSchema>() -> Value {
    let mut generator = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    generator.meta_schema = None;
    let mut schema: Value = generator
        .into_generator()
        .into_root_schema_for::<S>()
        .into();
    if let Value::Object(root) = &mut schema {
        schema::close(root);
    }
    schema
}

/// Everything that is wrong with `text`: what the schema says, and what `check` says.
///
/// The host compares settings with the schema before it asks a policy, so mostly `check` is what is left to say. It gets what is
/// written as far as that is right: a setting with a problem is as if it were left out.
///
/// # Errors
/// Every problem found.
pub fn check<S: DeserializeOwned + JsonSchema>(
    text: &str,
    check: fn(&S, &mut Problems),
) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut written)) => {
            let root = Value::Object(written.clone());
            schema::check(&schema::<S>(), &root, "", &mut problems);
            written.retain(|key, _| {
                let path = schema::member("", key);
                let below = format!("{path}/");
                !problems
                    .0
                    .iter()
                    .any(|problem| problem.path == path || problem.path.starts_with(&below))
            });
            match serde_json::from_value::<S>(Value::Object(written)) {
                Ok(settings) => check(&settings, &mut problems),
                Err(error) if problems.is_empty() => problems.add("", error.to_string()),
                Err(_) => {}
            }
        }
        Ok(_) => problems.add("", "must be an object"),
        Err(error) => problems.add("", format!("is not JSON: {error}")),
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into_vec())
    }
}

/// Settings for a decision. They were checked when the reload began.
///
/// # Errors
/// They cannot be read, in a sentence.
pub fn read<S: DeserializeOwned>(text: &str) -> Result<S, String> {
    serde_json::from_str(text).map_err(|error| format!("the settings cannot be read: {error}"))
}
