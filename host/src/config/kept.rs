//! A configuration as it is kept beside the journal, so that a version runs with it again after a restart.

use toml::Value;

use super::ConfigError;
use super::agent::over_defaults;
use super::env::FROM;

/// What stands in the place of a granted variable's value.
const NOT_SHOWN: &str = "(not shown)";

/// NAME.toml (`text`) over the tables of `defaults`, as one text: read without any defaults it means the same, and is the
/// same version.
///
/// # Errors
/// The text is no TOML.
pub fn whole(file: &str, text: &str, defaults: &toml::Table) -> Result<String, ConfigError> {
    let own: toml::Table =
        toml::from_str(text).map_err(|error| ConfigError::parsing(file, text, &error))?;
    let whole = over_defaults(defaults.clone(), own);
    toml::to_string(&whole).map_err(|error| ConfigError::new(file, error.to_string()))
}

/// The same for people and for the journal: values of granted variables are left out. Where the host's own environment has
/// them, the name that they have there is no value.
#[must_use]
pub fn shown(whole: &str) -> String {
    let Ok(mut table) = toml::from_str::<toml::Table>(whole) else {
        return String::new();
    };
    let grants = table.get_mut("grants").and_then(Value::as_table_mut);
    let env = grants
        .and_then(|grants| grants.get_mut("env"))
        .and_then(Value::as_table_mut);
    let is_written = |value: &Value| value.get(FROM).is_none();
    for (_, value) in env
        .into_iter()
        .flatten()
        .filter(|(_, value)| is_written(value))
    {
        *value = Value::String(NOT_SHOWN.to_owned());
    }
    toml::to_string(&table).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentConfig;

    const DEFAULTS: &str =
        "[limits]\nmemory = \"32MiB\"\nconcurrency = 7\n[grants.env]\nLEVEL = \"info\"\n";
    const OWN: &str = "[grants.env]\nKEY = \"s3cret\"\nTOKEN = { from_env = \"HOST_TOKEN\" }\n[limits]\nmemory = \"1GiB\"\n[reload]\nbake = \"1m\"\n";

    #[test]
    fn what_is_kept_is_the_same_version() {
        let defaults: toml::Table = toml::from_str(DEFAULTS).unwrap();
        let read = AgentConfig::read("a.toml", OWN, &defaults).unwrap();
        let kept = whole("a.toml", OWN, &defaults).unwrap();
        let again = AgentConfig::read("a.toml", &kept, &toml::Table::new()).unwrap();
        assert_eq!(again.digest, read.digest);
        assert_eq!(format!("{:?}", again.limits), format!("{:?}", read.limits));
        assert_eq!(again.reload, read.reload);
        assert_eq!(again.env, read.env);
    }

    #[test]
    fn what_is_shown_has_no_value_that_was_granted() {
        let defaults: toml::Table = toml::from_str(DEFAULTS).unwrap();
        let shown = shown(&whole("a.toml", OWN, &defaults).unwrap());
        assert!(
            !shown.contains("s3cret") && !shown.contains("info"),
            "{shown}"
        );
        assert!(shown.contains("KEY = \"(not shown)\""), "{shown}");
        assert!(shown.contains("HOST_TOKEN"), "{shown}");
        assert!(shown.contains("concurrency = 7"), "{shown}");
    }
}
