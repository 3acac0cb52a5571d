//! `caxton policy`, from outside: what each tool prints and how it ends. What varies from build to build is masked.

use std::path::Path;
use std::process::Output;

use caxton_test_artifacts::{POLICY_FAULTY, POLICY_THRESHOLDS, STRATEGY_FAULTY, WEB};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Running, caxton, check, told};

/// A folder with the policies of these tests in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let put =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        put("faulty.wasm", POLICY_FAULTY);
        put("strategy.wasm", STRATEGY_FAULTY);
        put("agent.wasm", WEB);
        put("core.wasm", &wat::parse_str("(module)").unwrap());
        put(
            "cut.wasm",
            POLICY_FAULTY.get(..POLICY_FAULTY.len() / 2).unwrap(),
        );
        put("empty.wasm", b"");
        put("text.wasm", b"# not a component");
        put("Own Policy.wasm", POLICY_THRESHOLDS);
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        caxton(self.path())
            .arg("policy")
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The exit code, and everything that was printed.
    #[track_caller]
    fn prints(&self, arguments: &[&str], right: Expect) {
        right.assert_eq(&masked(&told(&self.ask(arguments))));
    }

    fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.ask(arguments);
        let value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        (output.status.code(), value)
    }
}

/// Digests, sizes, times, fuel and versions of WASI are those of one build and one machine.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("  size ") {
            masked.push_str("  size      SIZE\n");
            continue;
        }
        let words: Vec<String> = line
            .split_inclusive([' ', '\t', '\n', ','])
            .map(masked_word)
            .collect();
        masked.push_str(&words.concat());
    }
    masked
}

fn masked_word(word: &str) -> String {
    let bare = word.trim_end_matches([' ', '\t', '\n', ',', ')']);
    let rest = word.get(bare.len()..).unwrap_or_default();
    let hex = |text: &str| text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match bare.strip_prefix("sha256:") {
        Some(digest) if hex(digest) => format!("sha256:DIGEST{rest}"),
        _ if bare.starts_with("wasi:") => {
            let name = bare.split('@').next().unwrap_or_default();
            format!("{name}@VERSION{rest}")
        }
        _ => word.to_owned(),
    }
}

/// A scenario file in which three things fail and one does not, with the policy `thresholds`.
fn some_fail() -> String {
    let bad: Vec<[u64; 4]> = vec![[3, 10, 0, 10]; 4];
    json!({
        "format": "caxton-scenarios/1",
        "scenarios": [
            { "id": "right", "expect": { "rollback_between_ticks": [2, 2] }, "ticks": bad },
            { "id": "early", "title": "expected too early", "expect": { "rollback_between_ticks": [1, 1] }, "ticks": bad },
            { "id": "never", "title": "expected never", "expect": { "never": "rollback", "final": { "decision": "continue" } }, "ticks": bad },
            { "id": "settings", "title": "a slip", "settings": { "minimum_sampel": 5 }, "expect": { "never": "rollback" }, "ticks": bad },
        ],
    })
    .to_string()
}

#[test]
fn a_policy_that_is_nowhere_is_two_and_says_what_there_is() {
    let folder = Folder::new();
    folder.prints(&["inspect", "threshold"], expect![[r#"
        Some(2)
        error: there is no policy "threshold" in this binary, and no file of that name here; did you mean thresholds?
        in this binary are evidence, manual, standard, thresholds; a file is named by its path, for example ./threshold.wasm
    "#]]);
    folder.prints(&["inspect", "my-own"], expect![[r#"
        Some(2)
        error: there is no policy "my-own" in this binary, and no file of that name here
        in this binary are evidence, manual, standard, thresholds; a file is named by its path, for example ./my-own.wasm
    "#]]);
    folder.prints(&["check", "fault.wasm"], expect![[r#"
        Some(2)
        error: the policy fault.wasm cannot be read: No such file or directory (os error 2); did you mean ./faulty.wasm?
    "#]]);
    folder.prints(
        &["bench", "./none/policy.wasm"],
        expect![[r#"
        Some(2)
        error: the policy ./none/policy.wasm cannot be read: No such file or directory (os error 2)
    "#]],
    );
    std::fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    folder.prints(
        &["test", "folder.wasm", "a.json"],
        expect![[r#"
        Some(2)
        error: the policy folder.wasm cannot be read: it is no file; name the .wasm file
    "#]],
    );
    check(
        &folder.ask(&[]),
        2,
        &["Usage: caxton policy", "inspect", "check", "test", "bench"],
    );
    check(&folder.ask(&["benhc"]), 2, &["bench"]);
}

#[test]
fn inspect_shows_what_a_policy_is() {
    let folder = Folder::new();
    folder.prints(
        &["inspect", "./faulty.wasm"],
        expect![[r#"
            Some(0)
            faulty  rollback policy
              version   0.1.0
              about     Does what its settings say, right or wrong.
              itself    it calls itself policy-faulty
              from      ./faulty.wasm
              digest    sha256:DIGEST
              size      SIZE
              exports   caxton:policy/about@0.1.0
                        caxton:policy/rollback@0.1.0
              imports   caxton:policy/log@0.1.0
                        caxton:policy/types@0.1.0
                        wasi:io/poll@VERSION
                        wasi:clocks/monotonic-clock@VERSION
                        wasi:io/error@VERSION
                        wasi:io/streams@VERSION
                        wasi:cli/environment@VERSION
                        wasi:cli/exit@VERSION
                        wasi:cli/stdin@VERSION
                        wasi:cli/stdout@VERSION
                        wasi:cli/stderr@VERSION
                        wasi:cli/terminal-input@VERSION
                        wasi:cli/terminal-output@VERSION
                        wasi:cli/terminal-stdin@VERSION
                        wasi:cli/terminal-stdout@VERSION
                        wasi:cli/terminal-stderr@VERSION
                        wasi:clocks/wall-clock@VERSION

            SETTING  TYPE    DEFAULT  ABOUT
            fault    string  -
        "#]],
    );
    folder.prints(&["inspect", "agent.wasm"], expect![[r#"
        Some(1)
        error: agent.wasm: the component is an agent and exports nothing of caxton:policy; agents belong into the agents directory
        `caxton policy check agent.wasm` shows what is looked at, in order
    "#]]);
    let (code, shown) = folder.json(&["inspect", "thresholds", "--json"]);
    assert_eq!(code, Some(0));
    assert_eq!(shown["kind"], "rollback");
    assert_eq!(shown["embedded"], true);
    assert_eq!(shown["settings_schema"]["type"], "object");
    assert_eq!(shown["digest"].as_str().unwrap().len(), 64);
    let exports = shown["exports"].to_string();
    assert!(
        exports.contains("caxton:policy/rollback@0.1.0"),
        "{exports}"
    );
    check(
        &folder.ask(&["inspect", "standard"]),
        0,
        &["strategy policy", "this binary", "takes no settings"],
    );
    check(
        &folder.ask(&["inspect", "thresholds"]),
        0,
        &["minimum_sample", "integer", "20", "triggers"],
    );
    // Both were compiled once and are found again.
    let compiled = std::fs::read_dir(folder.path().join(".caxton/compiled")).unwrap();
    assert_eq!(compiled.count(), 3);
}

#[test]
fn check_names_the_stage_and_the_reason() {
    let folder = Folder::new();
    folder.prints(
        &["check", "faulty.wasm"],
        expect![[r#"
        Some(0)
        read       ok
        size       ok
        component  ok
        contract   ok
        imports    ok
        compile    ok
        describe   ok
        schema     ok
        settings   ok
        trial      ok
        faulty.wasm: accepted, a rollback policy
    "#]],
    );
    folder.prints(&["check", "core.wasm"], expect![[r#"
        Some(1)
        read       ok
        size       ok
        component  failed
                   the file is a core module and a policy is a component; build for wasm32-wasip2, or wrap it with `wasm-tools component new`
        contract   not reached
        imports    not reached
        compile    not reached
        describe   not reached
        schema     not reached
        settings   not reached
        trial      not reached
        core.wasm: refused at the stage component
    "#]]);
    check(
        &folder.ask(&["check", "thresholds"]),
        0,
        &["accepted", "rollback policy"],
    );
    check(
        &folder.ask(&["check", "standard"]),
        0,
        &["accepted", "strategy policy"],
    );
    for (file, stage, reason) in [
        ("empty.wasm", "size", "empty"),
        ("text.wasm", "component", "not WebAssembly"),
        ("cut.wasm", "component", "copied whole"),
        ("agent.wasm", "contract", "agents directory"),
    ] {
        check(
            &folder.ask(&["check", file]),
            1,
            &[&format!("refused at the stage {stage}"), reason],
        );
        let (code, shown) = folder.json(&["check", file, "--json"]);
        assert_eq!(
            (code, &shown["accepted"]),
            (Some(1), &json!(false)),
            "{file}"
        );
        assert_eq!(shown["refused"]["stage"], stage, "{file}");
        let last = shown["stages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last, json!({ "stage": "trial", "result": "not-reached" }));
    }
    check(
        &folder.ask(&["check", "Own Policy.wasm"]),
        0,
        &["accepted", "note:", "rename"],
    );
}

#[test]
fn check_takes_settings_from_beside_the_policy_and_from_the_command_line() {
    let folder = Folder::new();
    let failed = |arguments: &[&str], words: &[&str]| check(&folder.ask(arguments), 1, words);
    // What stands on the command line is wrong usage.
    let misused = |arguments: &[&str], words: &[&str]| check(&folder.ask(arguments), 2, words);
    misused(
        &[
            "check",
            "faulty.wasm",
            "--settings",
            r#"{"fault": "check-problem"}"#,
        ],
        &["stage settings", "/fault: was asked to be wrong"],
    );
    failed(
        &["check", "faulty.wasm", "--settings", r#"{"fault": "trap"}"#],
        &["stage trial", "it trapped"],
    );
    misused(
        &[
            "check",
            "thresholds",
            "--settings",
            r#"{"minimum_sample": 0}"#,
        ],
        &["stage settings", "/minimum_sample"],
    );
    folder.write("more.json", r#"{"fault": "trap"}"#);
    failed(
        &["check", "faulty.wasm", "--settings", "more.json"],
        &["stage trial"],
    );
    folder.write("faulty.toml", "fault = \"error\"\n");
    failed(
        &["check", "faulty.wasm"],
        &["stage trial", "was asked to fail"],
    );
    folder.write("faulty.toml", "fault = \"check-problem\"\n");
    failed(&["check", "faulty.wasm"], &["stage settings"]);
    folder.write("faulty.toml", "fault =");
    for command in ["check", "bench"] {
        misused(&[command, "faulty.wasm"], &["faulty.toml", "line 1"]);
    }
    folder.write("faulty.toml", "fault = \"error\"\n");
    folder.write("good.toml", "fault = \"proceed\"\n");
    check(
        &folder.ask(&["check", "faulty.wasm", "--settings", "good.toml"]),
        0,
        &["accepted"],
    );
    folder.write("bad.toml", "fault =");
    for (settings, words) in [
        ("bad.toml", &["bad.toml", "line 1"][..]),
        ("none.toml", &["none.toml", "JSON object"]),
        ("{fault}", &["no JSON object"]),
    ] {
        check(
            &folder.ask(&["check", "faulty.wasm", "--settings", settings]),
            2,
            words,
        );
    }
}

#[test]
fn test_tells_each_difference_and_counts() {
    let folder = Folder::new();
    folder.write("some.json", &some_fail());
    folder.prints(&["test", "thresholds", "some.json"], expect![[r#"
        Some(1)
        FAILED  early  expected too early  (some.json)
          tick 2: expected rollback at tick 1, got rollback blaming candidate (error-rate): error rate 30.0 % is above 5 % (6 of 20 requests failed)
        FAILED  never  expected never  (some.json)
          tick 2: expected never rollback, got rollback blaming candidate (error-rate): error rate 30.0 % is above 5 % (6 of 20 requests failed)
          tick 2: expected continue at the end, got rollback blaming candidate (error-rate): error rate 30.0 % is above 5 % (6 of 20 requests failed)
        FAILED  settings  a slip  (some.json)
          settings of policy thresholds: /minimum_sampel: there is no such setting; did you mean `minimum_sample`?
        1 passed, 3 failed
    "#]]);
    folder.prints(
        &["test", "thresholds", "some.json", "--scenario", "right"],
        expect![[r#"
            Some(0)
            1 passed, 0 failed
        "#]],
    );
    folder.prints(
        &["test", "thresholds", "some.json", "--scenario", "erly"],
        expect![[r#"
            Some(2)
            error: there is no scenario "erly" in these files; did you mean "early"?
        "#]],
    );
    let (code, shown) = folder.json(&["test", "thresholds", "some.json", "some.json", "--json"]);
    assert_eq!(code, Some(1));
    assert_eq!((&shown["passed"], &shown["failed"]), (&json!(2), &json!(6)));
    let early = &shown["scenarios"][1];
    assert_eq!(
        (&early["id"], &early["passed"]),
        (&json!("early"), &json!(false))
    );
    assert_eq!(early["differences"][0]["tick"], 2);
    assert_eq!(early["differences"][0]["got"]["decision"], "rollback");
    assert!(shown["scenarios"][3]["refused"].is_string());
}

#[test]
fn test_shows_the_last_words_of_a_policy_at_fault() {
    let folder = Folder::new();
    let with = |fault: &str| {
        json!({
            "format": "caxton-scenarios/1",
            "scenarios": [{
                "id": fault, "title": "asked to be wrong", "settings": { "fault": fault },
                "expect": { "never": "rollback" }, "ticks": [[0, 1, 0, 0]],
            }],
        })
    };
    folder.write("error.json", &with("error").to_string());
    folder.prints(
        &["test", "faulty.wasm", "error.json"],
        expect![[r#"
        Some(1)
        FAILED  error  asked to be wrong  (error.json)
          tick 1: fault (error): it answered with an error: was asked to fail
        0 passed, 1 failed
    "#]],
    );
    folder.write("trap.json", &with("trap").to_string());
    let (code, shown) = folder.json(&["test", "faulty.wasm", "trap.json", "--json"]);
    assert_eq!(code, Some(1));
    assert_eq!(shown["scenarios"][0]["fault"]["kind"], "trap");
    assert_eq!(shown["scenarios"][0]["fault"]["tick"], 1);
}

#[test]
fn a_broken_scenario_file_is_two_and_says_where() {
    let folder = Folder::new();
    folder.write("list.json", "[]");
    folder.prints(&["test", "thresholds", "list.json"], expect![[r#"
        Some(2)
        error: list.json, format: it is missing: a scenario file begins with "format": "caxton-scenarios/1"
    "#]]);
    folder.write(
        "slip.json",
        &json!({
            "format": "caxton-scenarios/1",
            "scenarios": [{ "id": "A1", "expect": { "never": "hold" }, "ticks": [[0, 1, 0, 0], { "candidate": { "request": 1 } }] }],
        })
        .to_string(),
    );
    folder.prints(&["test", "thresholds", "slip.json"], expect![[r#"
        Some(2)
        error: slip.json, scenario A1, ticks[1].candidate.request: there is no such field; did you mean "requests"?
    "#]]);
    folder.prints(
        &["test", "thresholds", "none.json"],
        expect![[r#"
        Some(2)
        error: the scenario file none.json cannot be read: No such file or directory (os error 2)
    "#]],
    );
    check(&folder.ask(&["test", "thresholds"]), 2, &["SCENARIOS.json"]);
}

#[test]
fn bench_gives_the_same_answers_in_two_processes_compiled_or_not() {
    let folder = Folder::new();
    let bench = |more: &[&str]| {
        let mut arguments = vec![
            "bench",
            "thresholds",
            "--calls",
            "20",
            "--windows",
            "1,120",
            "--json",
        ];
        arguments.extend(more);
        let (code, shown) = folder.json(&arguments);
        assert_eq!(code, Some(0), "{shown}");
        shown
    };
    let (first, cached, fresh) = (bench(&[]), bench(&[]), bench(&["--fresh"]));
    let came = |shown: &Value| shown["from_cache"].as_bool().unwrap();
    assert_eq!(
        (came(&first), came(&cached), came(&fresh)),
        (false, true, false)
    );
    assert_eq!(first["answers"], cached["answers"]);
    assert_eq!(first["answers"], fresh["answers"]);
    let other = bench(&["--settings", r#"{"minimum_sample": 7}"#]);
    assert_ne!(
        first["answers"], other["answers"],
        "settings reach the policy"
    );
    for cost in first["costs"].as_array().unwrap() {
        assert_eq!(cost["calls"], 20);
        for figure in ["median_us", "p99_us", "fuel", "memory"] {
            assert!(cost[figure].as_u64().unwrap() > 0, "{figure} in {cost}");
        }
    }
    assert!(first["costs"][1]["fuel"].as_u64() > first["costs"][0]["fuel"].as_u64());
}

#[test]
fn bench_says_what_it_cannot_measure() {
    let folder = Folder::new();
    let text = folder.ask(&["bench", "standard", "--calls", "3", "--windows", "10"]);
    check(
        &text,
        0,
        &["strategy policy", "loaded", "10\t3\t", "answers  sha256:"],
    );
    folder.prints(
        &["bench", "thresholds", "--windows", "0"],
        expect![[r#"
        Some(2)
        error: invalid value '0' for '--windows <N,N,...>': a policy is shown 1 to 120 windows

        For more information, try '--help'.
    "#]],
    );
    folder.prints(
        &["bench", "thresholds", "--windows", "1,121"],
        expect![[r#"
            Some(2)
            error: invalid value '121' for '--windows <N,N,...>': a policy is shown 1 to 120 windows

            For more information, try '--help'.
        "#]],
    );
    check(
        &folder.ask(&["bench", "thresholds", "--calls", "0"]),
        2,
        &["--calls"],
    );
    check(
        &folder.ask(&[
            "bench",
            "thresholds",
            "--settings",
            r#"{"minimum_sample": "many"}"#,
        ]),
        2,
        &["minimum_sample"],
    );
    check(
        &folder.ask(&[
            "bench",
            "faulty.wasm",
            "--calls",
            "2",
            "--windows",
            "1",
            "--settings",
            r#"{"fault": "error"}"#,
        ]),
        1,
        &["first fault:", "was asked to fail", "\t2\n"],
    );
}

#[test]
fn records_that_cannot_be_read_are_a_no_and_what_is_no_name_is_wrong_usage() {
    let folder = Folder::new();
    folder.write("broken.jsonl", "hello\n");
    for records in ["none.jsonl", "broken.jsonl"] {
        check(
            &folder.ask(&["replay", "thresholds", records]),
            1,
            &[records],
        );
        let backtest = [
            "backtest", records, "--policy", "manual", "--policy", "manual",
        ];
        check(&folder.ask(&backtest), 1, &[records]);
    }
    folder.write("empty.jsonl", "");
    check(
        &folder.ask(&["replay", "thresholds", "empty.jsonl"]),
        1,
        &["there is no reload in these records"],
    );
    let explain = caxton(folder.path())
        .args(["explain", "", "--file", "empty.jsonl"])
        .output()
        .unwrap();
    check(&explain, 2, &["[RELOAD]"]);
}

#[test]
fn ls_shows_what_a_running_host_knows() {
    let host = Running::start();
    check(
        &host.ask(&["policy", "ls"]),
        0,
        &["thresholds\t", "standard\t"],
    );
    let list = host.ask(&["policy", "ls", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|policy| policy["name"] == "thresholds"),
        "{list}"
    );
    let mut kinds = list.as_array().unwrap().iter();
    let has_kind = |policy: &Value| policy["kind"].is_string();
    assert!(kinds.all(has_kind), "compiled or not: {list}");
    let nobody = Folder::new();
    check(&nobody.ask(&["ls"]), 3, &[".caxton", "caxton run"]);
}

#[test]
fn the_demo_refuses_what_cannot_judge_in_it() {
    let folder = Folder::new();
    let demo = |policy: &str| {
        let output = caxton(folder.path())
            .args(["demo", "--policy", policy])
            .output();
        output.unwrap()
    };
    check(&demo("threshold"), 2, &["did you mean thresholds?"]);
    check(
        &demo("strategy.wasm"),
        2,
        &["strategy policy", "rollback policy", "--strategy"],
    );
    check(
        &demo("core.wasm"),
        1,
        &["core module", "caxton policy check core.wasm"],
    );
}
