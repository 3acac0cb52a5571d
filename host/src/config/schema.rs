//! Both files as JSON Schema (draft 2020-12), for editors: derived from what is read, so that it knows each key that is read.
//!
//! What it cannot say, it leaves to the host: bounds of durations and sizes, which are text, stand in the descriptions, and what
//! does not go together is found by `caxton check`.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value, json};

use super::{host, units, written};

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// NAME.toml, beside an agent's component
    Agent,
    /// caxton.toml
    Host,
}

/// What such a file may say; of neither in particular: both, as definitions of one schema.
pub(crate) fn schema(kind: Option<Kind>) -> Value {
    match kind {
        Some(Kind::Agent) => of::<written::Agent>("A Caxton agent: NAME.toml"),
        Some(Kind::Host) => of::<host::File>("A Caxton host: caxton.toml"),
        None => json!({
            "$schema": schemars::consts::meta_schemas::DRAFT2020_12,
            "title": "Caxton: `agent` is NAME.toml, `host` is caxton.toml",
            "anyOf": [{ "$ref": "#/$defs/agent" }, { "$ref": "#/$defs/host" }],
            "$defs": { "agent": schema(Some(Kind::Agent)), "host": schema(Some(Kind::Host)) },
        }),
    }
}

fn of<T: JsonSchema>(title: &str) -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    tidy(&mut schema);
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// Where a helper below leaves the bounds of a text, until the key's description is there.
const BOUNDS: &str = "$comment";

/// TOML has no null, and our types of numbers are nobody's business; bounds of texts go into the description.
fn tidy(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        let holds_keys = object.contains_key("properties");
        let says_nothing = |value: &Value| value.is_null() || holds_keys && value.is_object();
        object.retain(|key, value| !(key == "default" && says_nothing(value) || key == "format"));
        describe_the_only_key(object);
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = kinds.as_slice() {
                let kind = kind.clone();
                object.insert("type".to_owned(), kind);
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type") != Some(&json!("null")));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        if let Some(Value::String(bounds)) = object.remove(BOUNDS) {
            let text = object.get("description").and_then(Value::as_str);
            let text = format!("{} {bounds}", text.unwrap_or_default());
            object.insert("description".to_owned(), text.trim().into());
        }
    }
    transform_subschemas(&mut tidy, schema);
}

/// One of several forms of a value is described by what stands above it; an editor shows what stands above the key.
fn describe_the_only_key(form: &mut Map<String, Value>) {
    let Some(description) = form.get("description").cloned() else {
        return;
    };
    let is_form = form.contains_key("required");
    let properties = form.get_mut("properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties.filter(|properties| is_form && properties.len() == 1)
        && let Some(Value::Object(only)) = properties.values_mut().next()
    {
        only.entry("description").or_insert(description);
    }
}

/// A duration as humantime reads it.
const DURATION: &str = r"^(0|(\s*[0-9]+(\.[0-9]+)?\s*(nanos|nsec|ns|usec|us|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|w|months|month|M|years|year|y)\s*)+)$";
/// A size as bytesize reads it.
const SIZE: &str = r"^[0-9]+(\.[0-9]+)?\s*([KkMmGgTtPpEe][Ii]?)?[Bb]?$";

fn duration(bounds: &RangeInclusive<Duration>) -> Schema {
    let shown = |time: &Duration| humantime::format_duration(*time).to_string();
    json_schema!({
        "type": "string",
        "pattern": DURATION,
        BOUNDS: format!("A duration from {} to {}.", shown(bounds.start()), shown(bounds.end())),
    })
}

fn size(bounds: &RangeInclusive<u64>) -> Schema {
    let shown = |size: &u64| ByteSize::b(*size).to_string();
    json_schema!({
        "type": "string",
        "pattern": SIZE,
        BOUNDS: format!("A size from {} to {}.", shown(bounds.start()), shown(bounds.end())),
    })
}

pub(super) fn timeout(_: &mut SchemaGenerator) -> Schema {
    duration(&units::TIMEOUT)
}

pub(super) fn wait(_: &mut SchemaGenerator) -> Schema {
    duration(&units::WAIT)
}

pub(super) fn limit(_: &mut SchemaGenerator) -> Schema {
    duration(&units::LIMIT)
}

pub(super) fn window(_: &mut SchemaGenerator) -> Schema {
    duration(&units::WINDOW)
}

pub(super) fn age(_: &mut SchemaGenerator) -> Schema {
    duration(&units::AGE)
}

pub(super) fn interval_or_off(_: &mut SchemaGenerator) -> Schema {
    let mut schema = duration(&units::LIMIT);
    let pattern = DURATION.replacen("^(0|", "^(off|0|", 1);
    schema.insert("pattern".to_owned(), pattern.into());
    schema
}

pub(super) fn memory(_: &mut SchemaGenerator) -> Schema {
    size(&units::MEMORY)
}

pub(super) fn body(_: &mut SchemaGenerator) -> Schema {
    size(&units::BODY)
}

pub(super) fn kept(_: &mut SchemaGenerator) -> Schema {
    size(&units::KEPT)
}

pub(super) fn digest(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$" })
}

pub(super) fn policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" })
}

pub(super) fn table(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

pub(super) fn origins(_: &mut SchemaGenerator) -> Schema {
    let origin = json!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/]+" });
    json_schema!({ "type": "array", "items": origin })
}

pub(super) fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+$" })
}

/// The words that are read as a `T`, asked of its reader.
pub(super) fn words<T: for<'de> Deserialize<'de>>(_: &mut SchemaGenerator) -> Schema {
    let mut words: &'static [&'static str] = &[];
    // It asks for a word and gets none: an error, and the words are known.
    let _ = T::deserialize(Ask(&mut words));
    json_schema!({ "type": "string", "enum": words })
}

/// Hears which words there are.
struct Ask<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = words;
        Err(Error::custom("it was only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("these are no words"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
