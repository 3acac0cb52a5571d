//! What a file writes, laid over defaults. Keys that the defaults do not have are refused, with the nearest known one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::Problem;

/// `written` over `default`, key by key, at any depth.
pub(super) fn over<T: Serialize + DeserializeOwned>(
    default: &T,
    written: &Map<String, Value>,
    path: &str,
) -> Result<T, Problem> {
    let mut value = serde_json::to_value(default)
        .map_err(|error| Problem::at(path, format!("the defaults cannot be written: {error}")))?;
    lay(&mut value, written, path)?;
    read(value, path)
}

/// A value as what it must be, with the path of what is wrong in it.
pub(super) fn read<T: DeserializeOwned>(value: Value, path: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let path = match (path, inner.as_str()) {
            (path, "." | "?") => path.to_owned(),
            ("", inner) => inner.to_owned(),
            (path, inner) if inner.starts_with('[') => format!("{path}{inner}"),
            (path, inner) => format!("{path}.{inner}"),
        };
        Problem::at(&path, error.into_inner().to_string())
    })
}

/// `key` below `path`.
pub(super) fn below(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn lay(base: &mut Value, written: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    let Value::Object(base) = base else {
        return Err(Problem::at(path, "no object belongs here".to_owned()));
    };
    for (key, value) in written {
        let here = below(path, key);
        let Some(known) = base.get_mut(key) else {
            return Err(Problem::at(&here, unknown(key, base.keys())));
        };
        match value {
            Value::Object(value) if known.is_object() => lay(known, value, &here)?,
            value => *known = value.clone(),
        }
    }
    Ok(())
}

/// What to say of a key that nobody knows.
pub(super) fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match caxton_runtime::nearest(key, known.iter().copied()) {
        Some(near) => format!("there is no such field; did you mean {near:?}?"),
        None => format!("there is no such field; there are: {}", known.join(", ")),
    }
}
