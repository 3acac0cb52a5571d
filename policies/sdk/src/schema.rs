//! Settings held against their JSON Schema: the part of it that `schemars` writes for settings types.
//!
//! The host checks settings against the schema too, with all of JSON Schema. This is for what happens without a host: a test of a
//! policy sees the same problems natively, and a policy never has to trust who calls it.

use serde_json::{Map, Value};

use crate::Problems;

/// The pointer to `key` below `path`.
pub(crate) fn member(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Keywords whose parts add properties to an object.
const PARTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Refuses what the schema of an object does not name, unless it says something about such names itself.
pub(crate) fn close(root: &mut Map<String, Value>) {
    let is_object = root.get("type").is_some_and(|kind| kind == "object");
    let says = |key: &str| root.contains_key(key);
    if !is_object || says("additionalProperties") || says("unevaluatedProperties") {
        return;
    }
    // Beside its parts, `additionalProperties` would refuse what only they name.
    let key = if PARTS.into_iter().any(says) {
        "unevaluatedProperties"
    } else {
        "additionalProperties"
    };
    root.insert(key.to_owned(), Value::Bool(false));
}

/// Adds everything in which `value` is not as `schema` says.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, problems: &mut Problems) {
    let Some(schema) = schema.as_object() else {
        return;
    };
    if let Some(kinds) = schema.get("type")
        && !kind_fits(kinds, value)
    {
        problems.add(path, format!("must be {}", kind_words(kinds)));
        return;
    }
    choices(schema, value, path, problems);
    match value {
        Value::Object(fields) => object(schema, fields, path, problems),
        Value::Array(items) => array(schema, items, path, problems),
        Value::Number(_) => number(schema, value, path, problems),
        Value::String(text) => string(schema, text, path, problems),
        Value::Null | Value::Bool(_) => {}
    }
    for branches in ["oneOf", "anyOf"] {
        if let Some(branches) = schema.get(branches).and_then(Value::as_array) {
            one_of(branches, value, path, problems);
        }
    }
    for part in list(schema, "allOf") {
        check(part, value, path, problems);
    }
}

fn list<'a>(schema: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    schema
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn kind_fits(kinds: &Value, value: &Value) -> bool {
    match kinds {
        Value::String(kind) => match kind.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            _ => true,
        },
        Value::Array(kinds) => kinds.iter().any(|kind| kind_fits(kind, value)),
        _ => true,
    }
}

fn kind_words(kinds: &Value) -> String {
    match kinds {
        Value::String(kind) => match kind.as_str() {
            "object" => "a table".to_owned(),
            "array" => "a list".to_owned(),
            "string" => "a text".to_owned(),
            "boolean" => "true or false".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            other => other.to_owned(),
        },
        Value::Array(kinds) => kinds
            .iter()
            .map(kind_words)
            .collect::<Vec<_>>()
            .join(" or "),
        other => other.to_string(),
    }
}

fn choices(schema: &Map<String, Value>, value: &Value, path: &str, problems: &mut Problems) {
    let choices = list(schema, "enum");
    if !choices.is_empty() && !choices.contains(value) {
        problems.add(path, format!("is {value} and must be {}", or(choices)));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        problems.add(path, format!("is {value} and must be {only}"));
    }
}

fn object(
    schema: &Map<String, Value>,
    fields: &Map<String, Value>,
    path: &str,
    problems: &mut Problems,
) {
    let none = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    for required in list(schema, "required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(required) {
            problems.add(member(path, required), "is missing");
        }
    }
    let others = schema.get("additionalProperties");
    let mut known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let is_closed =
        if others.is_none() && schema.get("unevaluatedProperties") == Some(&Value::Bool(false)) {
            named(schema, &mut known);
            true
        } else {
            others == Some(&Value::Bool(false))
        };
    for (key, value) in fields {
        let at = member(path, key);
        if let Some(property) = properties.get(key) {
            check(property, value, &at, problems);
        } else if !is_closed {
            if let Some(others) = others {
                check(others, value, &at, problems);
            }
        } else if !known.contains(&key.as_str()) {
            let message = match known.as_slice() {
                [] => "is no setting; there are none".to_owned(),
                known => format!("is no setting; there are {}", known.join(", ")),
            };
            problems.add(at, message);
        }
    }
}

/// Adds the properties that the parts of a schema name.
fn named<'a>(schema: &'a Map<String, Value>, names: &mut Vec<&'a str>) {
    let parts = PARTS.into_iter().flat_map(|key| list(schema, key));
    for part in parts.filter_map(Value::as_object) {
        let properties = part.get("properties").and_then(Value::as_object);
        names.extend(
            properties
                .into_iter()
                .flat_map(|properties| properties.keys())
                .map(String::as_str),
        );
        named(part, names);
    }
}

fn array(schema: &Map<String, Value>, items: &[Value], path: &str, problems: &mut Problems) {
    let bound = |key: &str| {
        let bound = schema.get(key).and_then(Value::as_u64);
        bound.and_then(|bound| usize::try_from(bound).ok())
    };
    let length = items.len();
    if let Some(least) = bound("minItems").filter(|least| length < *least) {
        problems.add(path, format!("has {length} and must have at least {least}"));
    }
    if let Some(most) = bound("maxItems").filter(|most| length > *most) {
        problems.add(path, format!("has {length} and must have at most {most}"));
    }
    if let Some(each) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check(each, item, &format!("{path}/{index}"), problems);
        }
    }
}

fn number(schema: &Map<String, Value>, value: &Value, path: &str, problems: &mut Problems) {
    let Some(number) = value.as_f64() else {
        return;
    };
    type Fits = fn(f64, f64) -> bool;
    let bounds: [(&str, Fits, &str); 4] = [
        ("minimum", |number, bound| number >= bound, "at least"),
        ("maximum", |number, bound| number <= bound, "at most"),
        ("exclusiveMinimum", |number, bound| number > bound, "above"),
        ("exclusiveMaximum", |number, bound| number < bound, "below"),
    ];
    for (key, fits, words) in bounds {
        if let Some(bound) = schema.get(key)
            && bound.as_f64().is_some_and(|bound| !fits(number, bound))
        {
            problems.add(path, format!("is {value} and must be {words} {bound}"));
        }
    }
}

fn string(schema: &Map<String, Value>, text: &str, path: &str, problems: &mut Problems) {
    let length = text.chars().count() as u64;
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(least) = bound("minLength").filter(|least| length < *least) {
        problems.add(path, format!("must have at least {least} characters"));
    }
    if let Some(most) = bound("maxLength").filter(|most| length > *most) {
        problems.add(path, format!("must have at most {most} characters"));
    }
}

/// The problems of the branch that was meant: the one whose tag is written, or else the one with the fewest.
fn one_of(branches: &[Value], value: &Value, path: &str, problems: &mut Problems) {
    let mut meant: Option<Vec<crate::Problem>> = None;
    let mut tags = Vec::new();
    for branch in branches {
        if let Some((key, tag)) = tag(branch) {
            if value.get(key) != Some(tag) {
                tags.push((key, tag.clone()));
                continue;
            }
        } else if let Some(only) = branch.get("const")
            && only != value
        {
            tags.push(("", only.clone()));
            continue;
        }
        let mut found = Problems::default();
        check(branch, value, path, &mut found);
        if found.is_empty() {
            return;
        }
        let found = found.into_vec();
        if meant.as_ref().is_none_or(|least| found.len() < least.len()) {
            meant = Some(found);
        }
    }
    match (meant, tags.first()) {
        (Some(found), _) => {
            for problem in found {
                problems.add(problem.path, problem.message);
            }
        }
        (None, Some((key, _))) => {
            let at = if key.is_empty() {
                path.to_owned()
            } else if value.is_object() {
                member(path, key)
            } else {
                path.to_owned()
            };
            let words: Vec<Value> = tags.iter().map(|(_, tag)| tag.clone()).collect();
            let message = match (key.is_empty(), value.is_object()) {
                (false, false) => format!("must be a table whose {key} is {}", or(&words)),
                _ => format!("must be {}", or(&words)),
            };
            problems.add(at, message);
        }
        (None, None) => {}
    }
}

/// The property that says which of several tables this is, and its value.
fn tag(branch: &Value) -> Option<(&str, &Value)> {
    let properties = branch.get("properties")?.as_object()?;
    properties
        .iter()
        .find_map(|(key, property)| Some((key.as_str(), property.get("const")?)))
}

fn or(choices: &[Value]) -> String {
    let words: Vec<String> = choices.iter().map(Value::to_string).collect();
    words.join(" or ")
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
