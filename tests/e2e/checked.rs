//! `caxton check` and `caxton schema`: what a host would say, without one.

use std::fs;
use std::path::Path;
use std::process::Output;

use caxton_test_artifacts::{STATEFUL, TOOL, WEB};
use serde_json::{Value, json};

use crate::harness::{binary, digest};

fn caxton(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn checked(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = caxton(folder, &[&["check", "--json"], arguments].concat());
    let value = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        value.unwrap_or_else(|_| panic!("{}", told(&output))),
    )
}

#[test]
fn what_a_host_takes_is_accepted_and_said_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("web.wasm"), WEB).unwrap();
    fs::write(
        at("web.toml"),
        "[grants]\nenv = { KEY = { from_env = \"NOT_SET_HERE\" } }\n",
    )
    .unwrap();
    let (code, web) = checked(folder.path(), &["web.wasm"]);
    assert_eq!(code, Some(0), "{web:#}");
    assert!(
        web["stages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|stage| stage["result"] == "ok"),
        "{web:#}"
    );
    assert_eq!(web["digest"], digest(WEB));
    assert_eq!(web["contract"], "wasi:http/incoming-handler@0.2");
    assert_eq!(
        (&web["instances"], &web["state"], &web["health"]),
        (&json!("fresh"), &json!(false), &json!(false))
    );
    assert_eq!(web["grants"]["env"], json!(["KEY"]));
    assert!(web["notes"].to_string().contains("NOT_SET_HERE"), "{web:#}");
    assert!(
        web["config_digest"].is_string() && web["size"] == WEB.len(),
        "{web:#}"
    );
    fs::write(at("keeps.wasm"), STATEFUL).unwrap();
    let (code, keeps) = checked(folder.path(), &["keeps.wasm"]);
    assert_eq!(
        (code, &keeps["instances"], &keeps["state"]),
        (Some(0), &json!("single"), &json!(true)),
        "{keeps:#}"
    );
    // Nothing was left behind, and a person is told the same.
    assert!(!at(".caxton").exists());
    let output = caxton(folder.path(), &["check", "web.wasm"]);
    let text = told(&output);
    for part in [
        "instance       ok",
        "web.wasm: accepted",
        "sha256:",
        "grants.env: KEY",
        "exports",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn each_refusal_names_its_stage() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text.wasm"), "no component").unwrap();
    fs::write(at("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(at("empty.wasm"), "").unwrap();
    fs::write(at("none.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    fs::create_dir(at("folder.wasm")).unwrap();
    fs::write(at("web.wasm"), WEB).unwrap();
    fs::write(at("keeps.wasm"), STATEFUL).unwrap();
    let config = |text: &str| {
        fs::write(at("c.toml"), text).unwrap();
        "c.toml"
    };
    let cases: [(&str, &str, &str, &str); 9] = [
        ("text.wasm", "", "format", "not WebAssembly"),
        ("core.wasm", "", "format", "wasm-tools component new"),
        ("empty.wasm", "", "format", "empty"),
        ("none.wasm", "", "contract", "exports nothing"),
        (
            "web.wasm",
            "[limits]\nconcurrency = 0\n",
            "configuration",
            "line 2: `limits.concurrency`",
        ),
        (
            "web.wasm",
            "[limits]\nmemory = \"1MiB\"\n",
            "instance",
            "memory",
        ),
        (
            "web.wasm",
            "[rollback]\npolicies = [{ name = \"evidense\" }]\n",
            "policies",
            "did you mean `evidence`?",
        ),
        (
            "web.wasm",
            "[rollback]\npolicies = [{ name = \"thresholds\", settings = { minimum_sampel = 5 } }]\n",
            "policies",
            "minimum_sample",
        ),
        (
            "keeps.wasm",
            "[reload]\nstrategy = \"traffic-splitting\"\n",
            "configuration",
            "preserve_state = false",
        ),
    ];
    for (file, text, stage, part) in cases {
        let (code, value) = checked(folder.path(), &[file, "--config", config(text)]);
        assert_eq!(code, Some(1), "{file}: {value:#}");
        let refused = &value["refused"][0];
        assert_eq!(refused["stage"], stage, "{file}: {value:#}");
        assert!(
            refused["reason"].as_str().unwrap().contains(part),
            "{file}: {refused}"
        );
    }
    // Both files are looked at, whatever is wrong with one of them.
    let (_, both) = checked(
        folder.path(),
        &["core.wasm", "--config", config("enabled = 5\n")],
    );
    assert_eq!(both["refused"].as_array().unwrap().len(), 2, "{both:#}");
    let wrong = caxton(folder.path(), &["check", "nothing.wasm"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    fs::write(at("host.toml"), "[defaults.limits]\nconcurrency = 0\n").unwrap();
    let wrong = caxton(
        folder.path(),
        &["check", "web.wasm", "--host-config", "host.toml"],
    );
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[test]
fn a_directory_is_checked_as_it_would_be_watched() {
    let folder = tempfile::tempdir().unwrap();
    let agents = folder.path().join("agents");
    fs::create_dir(&agents).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(agents.join(name), bytes).unwrap();
    put("a.wasm", TOOL);
    put("b.wasm", WEB);
    put("b.toml", b"[route]\npath = \"/shop\"\n");
    put("off.wasm", WEB);
    put("off.toml", b"enabled = false\n[route]\npath = \"/shop\"\n");
    put(
        "a.toml",
        b"[grants]\nenv = { KEY = { from_env = \"NOT_SET_HERE\" } }\n",
    );
    put("waits.toml", b"");
    put(".hidden.wasm", b"");
    put("notes.txt", b"");
    let (code, good) = checked(folder.path(), &["agents"]);
    assert_eq!(code, Some(0), "{good:#}");
    assert_eq!(good["agents"].as_array().unwrap().len(), 3);
    assert!(
        good["notes"].to_string().contains("waits for waits.wasm"),
        "{good:#}"
    );
    put("c.wasm", WEB);
    put("c.toml", b"[route]\npath = \"/shop\"\n");
    put("Bad Name.wasm", WEB);
    put("d.wasm", b"");
    let (code, bad) = checked(folder.path(), &["agents"]);
    assert_eq!(code, Some(1), "{bad:#}");
    assert!(
        bad["refused"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("bad-name.wasm"),
        "{bad:#}"
    );
    let of = |name: &str| {
        bad["agents"]
            .as_array()
            .unwrap()
            .iter()
            .find(|agent| agent["agent"] == name)
            .unwrap()
    };
    assert!(
        of("c")["route_taken"].as_str().unwrap().contains("agent b"),
        "{bad:#}"
    );
    assert_eq!(of("d")["accepted"], false);
    assert_eq!(of("off")["enabled"], false);
    let text = told(&caxton(folder.path(), &["check", "agents"]));
    for part in [
        "turned off",
        "! d: format: the file is empty",
        "! c: agent c claims",
        "note: waits.toml",
        "note: a: KEY is taken from NOT_SET_HERE",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_schema_is_printed_for_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let schema = |arguments: &[&str]| -> Value {
        let output = caxton(folder.path(), &[&["schema"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (agent, host, both) = (schema(&["agent"]), schema(&["host"]), schema(&[]));
    assert_eq!(
        agent["properties"]["reload"]["properties"]["strategy"]["enum"][3],
        "traffic-splitting"
    );
    assert_eq!(agent["additionalProperties"], false);
    assert!(host["properties"]["defaults"]["properties"]["limits"].is_object());
    assert_eq!(
        (&both["$defs"]["agent"], &both["$defs"]["host"]),
        (&agent, &host)
    );
    let wrong = caxton(folder.path(), &["schema", "agents"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}
