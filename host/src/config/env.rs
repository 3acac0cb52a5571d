//! Variables that an agent sees: written out, or taken from the host's own environment when a version is prepared.
//!
//! What is written is kept, hashed and shown; what is taken stands nowhere but in the agent.

use std::collections::BTreeMap;
use std::ffi::OsString;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The `env` table of `[grants]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, Variable>);

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    /// It stands in the file.
    Text(String),
    /// The host has it in its own environment.
    FromHost {
        /// Under this name.
        from_env: String,
    },
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Nothing is quoted: whatever was written may be a secret.
        let wrong = || {
            Err(D::Error::custom(
                "a variable is text in quotes, or a table with the key from_env alone, which names one of the host's own",
            ))
        };
        match toml::Value::deserialize(from)? {
            toml::Value::String(text) => Ok(Self::Text(text)),
            toml::Value::Table(mut table) => match table.remove(FROM) {
                Some(toml::Value::String(from_env)) if table.is_empty() => {
                    Ok(Self::FromHost { from_env })
                }
                _ => wrong(),
            },
            _ => wrong(),
        }
    }
}

/// The key of a variable that the host has.
pub(super) const FROM: &str = "from_env";

impl Variables {
    /// Refuses names that no environment can hold.
    pub(super) fn checked(self, file: &str) -> Result<Self, ConfigError> {
        let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        for (name, value) in &self.0 {
            let fits = match value {
                Variable::Text(text) => !text.contains('\0'),
                Variable::FromHost { from_env } => is_name(from_env),
            };
            if !is_name(name) || !fits {
                // What stands behind a `=` was meant to be a value.
                let shown = name.split('=').next().unwrap_or_default();
                let why = format!(
                    " cannot hold {shown:?}: a name is not empty and has no `=`, and neither a name nor a value has a NUL"
                );
                return Err(ConfigError::of(file, "grants.env", why).at(name));
            }
        }
        Ok(self)
    }

    /// Each with its value, those of the host's own environment from `host`.
    ///
    /// # Errors
    /// The host has none of that name, or one that is not UTF-8: key and name, and never a value.
    pub fn values(
        &self,
        host: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<(String, String)>, String> {
        let value = |(key, variable): (&String, &Variable)| {
            let value = match variable {
                Variable::Text(text) => text.clone(),
                Variable::FromHost { from_env } => {
                    let missing = || {
                        format!(
                            "`grants.env` takes {key} from the host's environment variable {from_env}, which the host was started \
                             without: start it with {from_env} set"
                        )
                    };
                    host(from_env)
                        .ok_or_else(missing)?
                        .into_string()
                        .map_err(|_| {
                            format!(
                                "`grants.env` takes {key} from the host's environment variable {from_env}, whose value is not UTF-8"
                            )
                        })?
                }
            };
            Ok((key.clone(), value))
        };
        self.0.iter().map(value).collect()
    }

    /// Those that the host has: each with the name that it has there.
    pub fn of_the_host(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, value)| match value {
            Variable::Text(_) => None,
            Variable::FromHost { from_env } => Some((key.as_str(), from_env.as_str())),
        })
    }

    /// Names of the variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentConfig;

    fn read(text: &str) -> AgentConfig {
        AgentConfig::read("a.toml", text, &toml::Table::new()).unwrap()
    }

    #[test]
    fn a_variable_is_what_was_written_or_what_the_host_has() {
        let env = read("[grants.env]\nLEVEL = \"info\"\nKEY = { from_env = \"SECRET_KEY\" }\n").env;
        let values = env.values(|name| (name == "SECRET_KEY").then(|| "s3cret".into()));
        let pairs = [("KEY", "s3cret"), ("LEVEL", "info")];
        assert_eq!(
            values.unwrap(),
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        let missing = env.values(|_| None).unwrap_err();
        assert!(
            missing.contains("KEY") && missing.contains("SECRET_KEY") && missing.contains("set"),
            "{missing}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_refused_and_not_shown() {
        use std::os::unix::ffi::OsStringExt as _;
        let env = read("[grants.env]\nKEY = { from_env = \"K\" }\n").env;
        let told = env
            .values(|_| Some(OsString::from_vec(b"s3cret\xff".to_vec())))
            .unwrap_err();
        assert!(
            told.contains("not UTF-8") && !told.contains("s3cret"),
            "{told}"
        );
    }

    #[test]
    fn the_digest_is_of_what_was_written() {
        let digest = |text| read(text).digest;
        let one = digest("[grants]\nenv = { KEY = { from_env = \"A\" } }\n");
        assert_ne!(
            one,
            digest("[grants]\nenv = { KEY = { from_env = \"B\" } }\n")
        );
        assert_ne!(one, digest("[grants]\nenv = { KEY = \"A\" }\n"));
        assert_eq!(one, digest("[grants.env.KEY]\nfrom_env = \"A\"\n"));
    }

    #[test]
    fn wrong_variables_are_refused_and_not_shown() {
        for wrong in [
            "KEY = 53637265",
            "KEY = { from_env = 53637265 }",
            "KEY = { from_evn = \"53637265\" }",
            "KEY = { from_env = \"53637265\", or = \"53637265\" }",
            "KEY = { from_env = \"\" }",
            "KEY = { from_env = \"A=53637265\" }",
        ] {
            let text = format!("[grants.env]\n{wrong}\n");
            let told = AgentConfig::read("a.toml", &text, &toml::Table::new()).unwrap_err();
            let told = told.to_string();
            assert!(
                told.contains("line 2") && !told.contains("53637265"),
                "{told}"
            );
        }
    }
}
