//! Configurations that nobody wrote on purpose: real files with changes, and tables made up from keys and values.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use super::{AgentConfig, ConfigError, HostConfig};
use crate::mutate::{Change, cases, changed, changes, corpus};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Stands as a granted value in the corpus and nowhere else.
const SECRET: &str = "s3cr3t-of-the-corpus";

fn agent(text: &str) -> Result<AgentConfig, ConfigError> {
    AgentConfig::read("hello.toml", text, &toml::Table::new())
}

fn host(text: &str) -> Result<HostConfig, ConfigError> {
    HostConfig::read("caxton.toml", text, Path::new("/etc/caxton"))
}

/// A refusal says in which file, and where or at which key, on one line that is no book.
fn is_told(file: &str, error: &ConfigError) {
    let told = error.to_string();
    assert!(told.starts_with(&format!("{file}: ")), "{told:?}");
    assert!(
        told.contains("line ") || told.contains('`'),
        "neither line nor key: {told:?}"
    );
    assert!(!told.contains('\n') && told.len() < 4096, "{told:?}");
}

/// What was taken is taken again, and means the same.
fn agent_holds(text: &str) {
    match (agent(text), agent(text)) {
        (Ok(one), Ok(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            is_told("hello.toml", &one);
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

fn host_holds(text: &str) {
    match (host(text), host(text)) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            is_told("caxton.toml", &one);
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Slips that leave what is granted in its table.
fn stays(change: &Change) -> bool {
    match change {
        Change::Move(..) | Change::Splice(..) => false,
        Change::Remove(_, length) => *length <= 3,
        _ => true,
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "reload",
            "rollback",
            "health",
            "state",
            "instances",
            "limits",
            "grants",
            "route",
            "env",
            "dirs",
            "outbound",
            "component",
            "strategy",
            "stages",
            "split",
            "policies",
            "settings",
            "mirror",
            "affinity",
            "memory",
            "mode",
            "reuse",
            "concurrency",
            "interval",
            "bake",
            "host",
            "path",
            "guest",
            "write",
            "name",
            "\"\"",
            "a-b",
            "é",
        ][..],
    )
}

fn value() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        select(
            &[
                "true",
                "0",
                "-1",
                "1.5",
                "nan",
                "inf",
                "9223372036854775807",
                "\"\"",
                "\"30s\"",
                "\"0s\"",
                "\"1ns\"",
                "\"999999999y\"",
                "\"64MiB\"",
                "\"-1MiB\"",
                "\"18446744073709551615EiB\"",
                "\"off\"",
                "\"fresh\"",
                "\"graceful\"",
                "\"/\"",
                "\"/a/../b\"",
                "\"\\u0000\"",
                "\"sha256:00\"",
                "\"http://x:0\"",
                "1979-05-27",
                "[]",
                "{}",
            ][..],
        )
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
        any::<f64>().prop_map(|number| toml::Value::Float(number).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    plain.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::btree_map(key(), inner, 0..4).prop_map(|table| {
                let pairs: Vec<String> = table
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let line = (key(), value()).prop_map(|(key, value)| format!("{key} = {value}\n"));
    let head = (key(), any::<bool>()).prop_map(|(key, list)| {
        if list {
            format!("[[{key}]]\n")
        } else {
            format!("[{key}]\n")
        }
    });
    prop::collection::vec(prop_oneof![3 => line, 1 => head], 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn changed_files_of_agents_are_taken_or_refused_with_their_place(
        at in any::<prop::sample::Index>(),
        changes in changes(6),
    ) {
        let corpus = corpus(ROOT, "config");
        agent_holds(&text(&changed(&at, &corpus, &changes)));
    }

    #[test]
    fn changed_files_of_hosts_are_taken_or_refused_with_their_place(
        at in any::<prop::sample::Index>(),
        changes in changes(6),
    ) {
        let corpus = corpus(ROOT, "host-config");
        host_holds(&text(&changed(&at, &corpus, &changes)));
    }

    #[test]
    fn made_up_tables_are_taken_or_refused_with_their_place(document in document()) {
        agent_holds(&document);
        host_holds(&document);
        let defaults = format!("[defaults]\n{}", document.replace("\n[[", "\n[[defaults.").replace("\n[", "\n[defaults."));
        host_holds(&defaults);
    }

    #[test]
    fn what_is_granted_stands_in_no_refusal(
        at in any::<prop::sample::Index>(),
        change in changes(1).prop_filter("what is granted stays where it is", |changes| changes.iter().all(stays)),
    ) {
        for (folder, read) in [
            ("config", (|text| agent(text).err()) as fn(&str) -> Option<ConfigError>),
            ("host-config", |text| host(text).err()),
        ] {
            let corpus = corpus(ROOT, folder);
            let altered = text(&changed(&at, &corpus, &change));
            let told = read(&altered).map(|error| error.to_string()).unwrap_or_default();
            prop_assert!(!told.contains(SECRET), "{}\n{}", told, altered);
        }
    }
}

/// As they stand, too: a change is rarely none.
#[test]
fn each_file_of_the_corpus_holds() {
    for bytes in corpus(ROOT, "config") {
        agent_holds(&text(&bytes));
        let told = agent(&text(&bytes)).err().map(|error| error.to_string());
        assert!(
            !told.unwrap_or_default().contains(SECRET),
            "{}",
            text(&bytes)
        );
    }
    for bytes in corpus(ROOT, "host-config") {
        host_holds(&text(&bytes));
        let told = host(&text(&bytes)).err().map(|error| error.to_string());
        assert!(
            !told.unwrap_or_default().contains(SECRET),
            "{}",
            text(&bytes)
        );
    }
    let good: Vec<String> = corpus(ROOT, "config")
        .iter()
        .map(|bytes| text(bytes))
        .filter(|text| agent(text).is_ok())
        .collect();
    assert!(
        good.len() >= 3,
        "the corpus must hold files that are taken, too"
    );
}
