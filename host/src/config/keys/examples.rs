//! Keys as the schema has them, each with values that must be refused, written into a file.

use serde_json::{Map, Value, json};

use crate::config::{SchemaKind, schema};

/// An entry of a list.
const ENTRY: &str = "[]";
/// A key that whoever writes the file chooses.
const ANY: &str = "*";

/// One key.
pub(super) struct Key {
    path: Vec<String>,
    pub(super) schema: Value,
    /// What must stand beside it.
    beside: String,
}

/// Every key of the file, also those that hold others.
pub(super) fn keys(kind: SchemaKind) -> Vec<Key> {
    let mut found = Vec::new();
    walk(&schema(Some(kind)), &[], &mut found);
    // What stands below them is the other file's.
    found.retain(|key| key.path.len() < 2 || key.path[0] != "defaults");
    found
}

fn walk(schema: &Value, path: &[String], found: &mut Vec<Key>) {
    let below = |name: &str| {
        path.iter()
            .cloned()
            .chain([name.to_owned()])
            .collect::<Vec<_>>()
    };
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = below(name);
        let required = schema["required"].as_array().into_iter().flatten();
        let others = required
            .filter_map(Value::as_str)
            .filter(|other| other != name);
        let mut beside: String = others
            .map(|other| format!("{other} = {}, ", good(other)))
            .collect();
        // One of several, and never two.
        if path.iter().any(|name| name == "affinity") {
            beside.clear();
        }
        walk(inner, &path, found);
        let (schema, beside) = (inner.clone(), beside);
        found.push(Key {
            path,
            schema,
            beside,
        });
    }
    for choice in ["anyOf", "oneOf"] {
        for inner in schema[choice].as_array().into_iter().flatten() {
            walk(inner, path, found);
        }
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &below(ENTRY), found);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &below(ANY), found);
    }
}

fn good(key: &str) -> &'static str {
    match key {
        "split" => "5",
        "name" => "\"evidence\"",
        "host" => "\"/srv\"",
        "guest" => "\"/x\"",
        _ => panic!("a value for {key}"),
    }
}

impl Key {
    pub(super) fn name(&self) -> String {
        self.path.join(".").replace(".[]", "[]")
    }

    pub(super) fn last(&self) -> &str {
        self.path.last().unwrap()
    }

    /// Whether the schema knows what stands in it.
    pub(super) fn holds_keys(&self) -> bool {
        let mut inner = Vec::new();
        walk(&self.schema, &[], &mut inner);
        !inner.is_empty() || self.last() == "defaults"
    }

    /// A file in which the key has this value.
    pub(super) fn text(&self, value: &str) -> String {
        self.file(&format!(
            "{{{{ {}{} = {value} }}}}",
            self.beside,
            self.last()
        ))
    }

    /// The same without the key.
    pub(super) fn without(&self) -> String {
        self.file(&format!("{{{{ {} }}}}", self.beside.trim_end_matches(", ")))
    }

    fn file(&self, innermost: &str) -> String {
        let innermost = innermost.replace("{{", "{").replace("}}", "}");
        let Some((_, above)) = self.path.split_last() else {
            return String::new();
        };
        let mut text = innermost;
        for name in above.iter().rev() {
            text = match name.as_str() {
                ENTRY => format!("[{text}]"),
                ANY => format!("{{ KEY = {text} }}"),
                name => format!("{{ {name} = {text} }}"),
            };
        }
        // The outermost table as one of its own.
        let inner = text
            .strip_prefix("{ ")
            .and_then(|text| text.strip_suffix(" }"));
        let inner = inner.unwrap_or_default();
        match (above.first(), inner.split_once(" = ")) {
            (Some(_), Some((table, rest))) => {
                let rest = rest
                    .strip_prefix("{ ")
                    .and_then(|text| text.strip_suffix(" }"));
                format!("[{table}]\n{}\n", rest.unwrap_or_default().trim())
            }
            _ => format!("{}\n", inner.trim()),
        }
    }

    /// Values that the host refuses, and whether the schema does, too.
    pub(super) fn wrong(&self) -> Vec<(String, bool)> {
        let schema = &self.schema;
        let mut wrong = Vec::new();
        let mut add = |value: &str, schema_knows| wrong.push((value.to_owned(), schema_knows));
        match schema["type"].as_str() {
            Some("string") => add("5", true),
            Some("integer") => {
                add("\"five\"", true);
                add("-1", true);
                for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
                    if let Some(bound) = schema[bound].as_i64().filter(|bound| *bound > 0) {
                        add(&(bound + beyond).to_string(), true);
                    }
                }
            }
            Some("boolean") => add("\"yes\"", true),
            Some("array") => add("\"one\"", true),
            _ => add("5", true),
        }
        if let Some(words) = schema["enum"].as_array() {
            let word = words[0].as_str().unwrap();
            let twice = word.chars().last().unwrap();
            add(&format!("\"{word}{twice}\""), true);
        }
        if let Some(properties) = schema["properties"]
            .as_object()
            .filter(|_| self.last() != "defaults")
        {
            let (name, _) = properties.iter().next_back().unwrap();
            add(&format!("{{ {name}s = 1 }}"), true);
            add("[]", true);
        }
        for (value, schema_knows) in self.special() {
            add(value, schema_knows);
        }
        wrong
    }

    /// Of texts: what has the wrong form, and what the schema cannot see.
    fn special(&self) -> Vec<(&'static str, bool)> {
        let pattern = self.schema["pattern"].as_str().unwrap_or_default();
        let name = self.name();
        match name.as_str() {
            "component" => vec![("\"sha256:12\"", true)],
            "reload.policy" | "rollback.policies[].name" => vec![("\"Not A Name\"", true)],
            "reload.policy_settings" | "rollback.policies[].settings" => {
                vec![("{ a = nan }", false)]
            }
            "reload.stages" => vec![
                ("[]", true),
                ("[{ split = 50 }, { split = 40 }]", false),
                ("[[5]]", true),
            ],
            "reload.affinity" => vec![("{ heder = \"x\" }", true)],
            "reload.affinity.header" | "reload.affinity.cookie" => vec![("\"a b\"", false)],
            "reload.mirror.ignore_headers" => vec![("[\"a b\"]", false)],
            "rollback.policies" => vec![("[{ name = \"manual\", mode = \"monitor\" }]", false)],
            "state.checkpoint" => vec![("\"never\"", true), ("\"0s\"", false)],
            "grants.env" => vec![("{ \"a=b\" = \"c\" }", false), ("{ KEY = 5 }", true)],
            "grants.env.*.from_env" => vec![("\"\"", false)],
            "grants.dirs" => vec![("[[\"/srv\", \"/x\"]]", true)],
            "grants.dirs[].guest" => vec![("\"x\"", true)],
            "grants.outbound" => vec![
                ("[\"example.com\"]", true),
                ("[\"https://me@example.com\"]", false),
            ],
            "route.host" => vec![("\"a b\"", true)],
            "health.path" => vec![("\"healthz\"", true), ("\"/a b\"", false)],
            "route.path" => vec![("\"shop\"", true), ("\"/a//b\"", false)],
            "host.listen" | "host.admin" => vec![
                ("\"8080\"", true),
                ("\"127.0.0.1\"", true),
                ("\"127.0.0.1:99999\"", false),
            ],
            "defaults" => vec![
                ("{ limits = { concurrency = 0 } }", true),
                ("{ instances = { mode = \"fresh\", reuse = 3 } }", false),
            ],
            _ if pattern.contains("hours") => vec![
                ("\"30\"", true),
                ("\"30 parsecs\"", true),
                ("\"999years\"", false),
            ],
            _ if pattern.contains("Bb") => vec![
                ("\"lots\"", true),
                ("\"64 MiBs\"", true),
                ("\"0\"", false),
                ("\"999EiB\"", false),
            ],
            _ => Vec::new(),
        }
    }
}

/// A value of the schema as it is written in a file.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs = |table: &Map<String, Value>| {
                let pair = |(key, value): (&String, &Value)| format!("{key} = {}", written(value));
                table.iter().map(pair).collect::<Vec<_>>().join(", ")
            };
            format!("{{ {} }}", pairs(table))
        }
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(written).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

#[test]
fn keys_are_written_where_they_belong() {
    let keys = keys(SchemaKind::Agent);
    let text = |name: &str| {
        keys.iter()
            .find(|key| key.name() == name)
            .unwrap()
            .text("1")
    };
    assert_eq!(text("enabled"), "enabled = 1\n");
    assert_eq!(text("limits"), "limits = 1\n");
    assert_eq!(text("limits.memory"), "[limits]\nmemory = 1\n");
    assert_eq!(
        text("reload.stages[].at_least"),
        "[reload]\nstages = [{ split = 5, at_least = 1 }]\n"
    );
    assert_eq!(
        text("grants.env.*.from_env"),
        "[grants]\nenv = { KEY = { from_env = 1 } }\n"
    );
    assert_eq!(
        written(&json!({ "a": [true, "b"] })),
        "{ a = [true, \"b\"] }"
    );
}
