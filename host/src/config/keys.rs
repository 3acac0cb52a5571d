//! Every key of both files, as `caxton schema` knows them: a key without a test of its effect, without a helpful refusal, or
//! without a description does not pass.

mod effects;
mod examples;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use expect_test::expect_file;
use serde_json::Value;

use self::effects::{AGENT, HOST};
use self::examples::{Key, keys, written};
use super::{AgentConfig, HostConfig, SchemaKind, schema};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const KINDS: [SchemaKind; 2] = [SchemaKind::Agent, SchemaKind::Host];

/// What the host makes of a file's text, apart from the digest; or its refusal.
fn read(kind: SchemaKind, text: &str) -> Result<String, String> {
    match kind {
        SchemaKind::Agent => AgentConfig::read("hello.toml", text, &toml::Table::new())
            .map(|config| {
                let digest = caxton_rollout::Digest::new([0; 32]);
                format!("{:?}", AgentConfig { digest, ..config })
            })
            .map_err(|error| error.to_string()),
        SchemaKind::Host => HostConfig::read("caxton.toml", text, Path::new(""))
            .map(|config| format!("{config:?}"))
            .map_err(|error| error.to_string()),
    }
}

/// What the schema makes of it; true where the text is no TOML, which is not its business.
fn fits(kind: SchemaKind, text: &str) -> bool {
    let Ok(table) = toml::from_str::<toml::Table>(text) else {
        return true;
    };
    let validator = jsonschema::validator_for(&schema(Some(kind))).unwrap();
    validator.is_valid(&serde_json::to_value(table).unwrap())
}

#[test]
fn each_key_has_a_test_of_its_effect_and_a_description() {
    for (kind, effects) in [(SchemaKind::Agent, AGENT), (SchemaKind::Host, HOST)] {
        let all = keys(kind);
        for key in &all {
            let description = key.schema.get("description").and_then(Value::as_str);
            assert!(
                description.is_some_and(|text| text.len() > 8),
                "{}",
                key.name()
            );
        }
        let leaves = all.iter().filter(|key| !key.holds_keys());
        let known: BTreeSet<String> = leaves.map(Key::name).collect();
        let shown: BTreeSet<String> = effects.iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(known, shown, "the table in effects.rs");
        for (key, tests) in effects {
            assert!(!tests.is_empty(), "{key}");
            for test in *tests {
                let (file, name) = test.split_once("::").unwrap();
                let source = fs::read_to_string(Path::new(ROOT).join(file))
                    .unwrap_or_else(|error| panic!("{key}: {file}: {error}"));
                let (before, _) = source
                    .split_once(&format!("fn {name}("))
                    .unwrap_or_else(|| panic!("{key}: {file} has no {name}"));
                let mark = before
                    .rfind("test")
                    .map_or(usize::MAX, |at| before[at..].lines().count());
                assert!(mark <= 4, "{key}: {file}: {name} is no test");
            }
        }
    }
}

/// The whole of what a person is told; each message in a form that helps.
#[test]
fn each_key_refuses_a_wrong_value_and_a_wrong_type_in_a_way_that_helps() {
    let mut told = String::new();
    for kind in KINDS {
        for key in keys(kind) {
            told.push_str(&format!("{}\n", key.name()));
            let wrongs = key.wrong();
            assert!(!wrongs.is_empty(), "{}", key.name());
            for (value, schema_knows) in wrongs {
                let text = key.text(&value);
                let error = read(kind, &text).expect_err(&text);
                told.push_str(&format!("    {value}\n        {error}\n"));
                assert!(error.contains(": line "), "{text}\n{error}");
                for ours in [
                    "struct ",
                    "u8",
                    "u32",
                    "u64",
                    "usize",
                    "map",
                    "sequence",
                    "variant index",
                ] {
                    assert!(!error.contains(ours), "{text}\n{error}");
                }
                assert_eq!(fits(kind, &text), !schema_knows, "{text}\n{error}");
            }
        }
    }
    expect_file!["./keys/refused.txt"].assert_eq(&told);
}

#[test]
fn each_default_in_the_schema_is_the_one_that_holds() {
    for kind in KINDS {
        for key in keys(kind) {
            let Some(default) = key.schema.get("default") else {
                continue;
            };
            let with = read(kind, &key.text(&written(default)));
            assert_eq!(with, read(kind, &key.without()), "{}", key.name());
        }
    }
}

/// What the host takes the schema takes, and what the schema refuses the host refuses.
fn agree(kind: SchemaKind, text: &str) {
    assert!(
        read(kind, text).is_err() || fits(kind, text),
        "the host takes what the schema refuses:\n{text}"
    );
}

#[test]
fn the_schema_takes_what_the_host_takes() {
    for (kind, folder) in [
        (SchemaKind::Agent, "config"),
        (SchemaKind::Host, "host-config"),
    ] {
        for bytes in crate::mutate::corpus(ROOT, folder) {
            agree(kind, &String::from_utf8_lossy(&bytes));
        }
    }
    for text in [
        "",
        "enabled = false\n",
        "[reload]\ndrain_timeout = \"1.5m 3 s\"\nbake = \"0\"\nwarm_up = \"1day 2h\"\n",
        "[limits]\nmemory = \"1.5 gb\"\nrequest_body = \"1024\"\nreply_body = \"1k\"\n",
        "[state]\ncheckpoint = \"off\"\n",
        "[grants]\noutbound = [\"HTTPS://api.example.com:8443\"]\n",
        "[grants.env.KEY]\nfrom_env = \"SECRET\"\n",
        "[route]\nhost = \"Hello.Example.\"\npath = \"/a/\"\n",
        "[reload]\naffinity = { cookie = \"sid\" }\n",
    ] {
        assert!(read(SchemaKind::Agent, text).is_ok(), "{text}");
        agree(SchemaKind::Agent, text);
        let below = format!(
            "[defaults]\n{}",
            text.replace("\n[", "\n[defaults.").replacen(
                '[',
                "[defaults.",
                usize::from(text.starts_with('['))
            )
        );
        agree(SchemaKind::Host, &below);
    }
    let both = jsonschema::validator_for(&schema(None)).unwrap();
    for (text, fits) in [
        ("[host]\ntick = \"1s\"\n", true),
        ("[limits]\n", true),
        ("[hots]\n", false),
    ] {
        let table: toml::Table = toml::from_str(text).unwrap();
        assert_eq!(
            both.is_valid(&serde_json::to_value(table).unwrap()),
            fits,
            "{text}"
        );
    }
}

/// The file with every key in README.md is one, says what holds anyway, and has each key.
#[test]
fn the_readme_shows_every_key_with_its_default() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, from_it) = readme.split_once("    # NAME.toml;").unwrap();
    let (block, _) = from_it.split_once("\n\n").unwrap();
    let text: String = block
        .lines()
        .skip(1)
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    assert_eq!(
        read(SchemaKind::Agent, &text),
        read(SchemaKind::Agent, ""),
        "{text}"
    );
    assert!(fits(SchemaKind::Agent, &text));
    for key in keys(SchemaKind::Agent) {
        let name = key.last();
        let is_there = name == "*" || text.lines().any(|line| line.contains(name));
        assert!(is_there, "README.md does not show {}", key.name());
    }
}
