//! A policy's settings: what its own file says, and what an agent lays over it.

use serde_json::{Map, Number, Value};

/// A settings object.
pub type Settings = Map<String, Value>;

/// The table as JSON. Dates become text, as they stand in the file.
///
/// # Errors
/// A number in it that JSON has none for; the message names its place as a JSON pointer.
pub fn as_json(table: &toml::Table) -> Result<Settings, String> {
    table_as_json(table, "")
}

fn table_as_json(table: &toml::Table, path: &str) -> Result<Settings, String> {
    table
        .iter()
        .map(|(key, value)| Ok((key.clone(), value_as_json(value, &format!("{path}/{key}"))?)))
        .collect()
}

fn value_as_json(value: &toml::Value, path: &str) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::Number((*number).into()),
        toml::Value::Float(number) => Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("{path}: {number} is no number that a policy can be given"))?,
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(at, item)| value_as_json(item, &format!("{path}/{at}")))
                .collect::<Result<_, _>>()?,
        ),
        toml::Value::Table(table) => Value::Object(table_as_json(table, path)?),
    })
}

/// `own` over `below`, table by table and key by key; arrays are replaced whole.
#[must_use]
pub fn laid_over(mut below: Settings, own: Settings) -> Settings {
    for (key, value) in own {
        let value = match (below.remove(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => {
                Value::Object(laid_over(under, over))
            }
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_agents_settings_lie_over_the_policys_key_by_key() {
        let below = object(json!({ "a": 1, "t": { "x": 1, "y": [1, 2] }, "l": [1, 2], "s": {} }));
        let own = object(json!({ "t": { "y": [3], "z": 4 }, "l": [], "s": 5, "n": null }));
        assert_eq!(
            Value::Object(laid_over(below, own)),
            json!({ "a": 1, "t": { "x": 1, "y": [3], "z": 4 }, "l": [], "s": 5, "n": null })
        );
    }

    #[test]
    fn a_table_is_json_and_what_cannot_be_is_named() {
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        let written = table("a = 1\nb = 0.5\nc = [true, 1979-05-27]\n[d.e]\nf = \"g\"");
        assert_eq!(
            Value::Object(as_json(&written).unwrap()),
            json!({ "a": 1, "b": 0.5, "c": [true, "1979-05-27"], "d": { "e": { "f": "g" } } })
        );
        let error = as_json(&table("[a]\nb = [1.0, nan]")).unwrap_err();
        assert!(error.starts_with("/a/b/1: "), "{error}");
    }
}
