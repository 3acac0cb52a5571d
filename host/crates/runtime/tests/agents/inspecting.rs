//! Bytes that cannot be an agent, each with its own message, and those that can.

use crate::runtime;
use caxton_runtime::{
    AgentSpec, Contract, Limits, MAX_COMPONENT_SIZE, PrepareError, Refusal, incomplete,
};
use caxton_test_artifacts::{STATEFUL, TOOL, WEB, WEB_P3, WEB_P3_STATEFUL};

fn refusal(bytes: &[u8]) -> Refusal {
    runtime().inspect(bytes).unwrap_err()
}

pub(crate) fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A handler in WAT: `start` is the body of its start function.
pub(crate) fn handler(start: &str, imports: &str) -> Vec<u8> {
    component(&handler_text(start, imports))
}

fn handler_text(start: &str, imports: &str) -> String {
    format!(
        r#"(component
          {imports}
          (type $types-type (instance
            (type $m (record (field "content-type" (option string)) (field "body" (list u8))
                             (field "metadata" (list (tuple string string)))))
            (export "message" (type (eq $m)))
            (type $f (variant (case "invalid" string) (case "unavailable" string) (case "internal" string)))
            (export "failure" (type (eq $f)))))
          (import "caxton:agent/types@0.1.0" (instance $types (type $types-type)))
          (alias export $types "message" (type $message))
          (alias export $types "failure" (type $failure))
          (core module $module
            (memory (export "memory") 1)
            (func $start {start})
            (start $start)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))
          (core instance $core (instantiate $module))
          (func $handle (param "request" $message) (result (result $message (error $failure)))
            (canon lift (core func $core "handle") (memory (core memory $core "memory"))
                        (realloc (core func $core "realloc"))))
          (instance $handler (export "handle" (func $handle)))
          (export "caxton:agent/handler@0.1.0" (instance $handler)))"#
    )
}

#[test]
fn agents_are_known_by_their_exports() {
    let web = runtime().inspect(WEB).unwrap();
    assert_eq!(
        (web.contract, web.passed_over, web.health, web.state),
        (Contract::HttpP2, vec![], false, false)
    );
    let web_p3 = runtime().inspect(WEB_P3).unwrap();
    assert_eq!(
        (
            web_p3.contract,
            web_p3.passed_over,
            web_p3.health,
            web_p3.state
        ),
        (Contract::HttpP3, vec![], true, false)
    );
    let several = runtime().inspect(WEB_P3_STATEFUL).unwrap();
    assert_eq!(
        (several.contract, several.passed_over, several.state),
        (Contract::HttpP3, vec![Contract::Handler], true)
    );
    let tool = runtime().inspect(TOOL).unwrap();
    assert_eq!(
        (tool.contract, tool.health, tool.state),
        (Contract::Handler, true, false)
    );
    let stateful = runtime().inspect(STATEFUL).unwrap();
    assert!(stateful.state);
    assert_eq!(stateful.size, STATEFUL.len() as u64);
}

#[test]
fn of_several_contracts_the_newest_counts() {
    let inspect = |exports: &[&str]| {
        let exports: String = exports
            .iter()
            .map(|name| format!(r#"(export "{name}" (instance $i))"#))
            .collect();
        let bytes = component(&format!("(component (instance $i) {exports})"));
        let inspection = runtime().inspect(&bytes).unwrap();
        (inspection.contract, inspection.passed_over)
    };
    let (handler, p2, p3) = (
        "caxton:agent/handler@0.1.2",
        "wasi:http/incoming-handler@0.2.9",
        "wasi:http/handler@0.3.2",
    );
    assert_eq!(
        inspect(&[handler, p2]),
        (Contract::HttpP2, vec![Contract::Handler])
    );
    assert_eq!(
        inspect(&[handler, p2, p3]),
        (Contract::HttpP3, vec![Contract::HttpP2, Contract::Handler])
    );
}

#[test]
fn another_draft_is_refused_by_its_name_and_ours() {
    let bytes = component(
        r#"(component (instance $i) (export "wasi:http/handler@0.3.0-rc-2025-09-16" (instance $i)))"#,
    );
    let refusal = runtime().inspect(&bytes).unwrap_err();
    assert_eq!(refusal.code(), "draft");
    expect_test::expect!["the component exports wasi:http/handler@0.3.0-rc-2025-09-16, a draft, and this host serves wasi:http/handler@0.3.0: build it with tools that have the release"].assert_eq(&refusal.to_string());
}

#[test]
fn every_refusal_has_its_own_message() {
    let too_large = vec![0; usize::try_from(MAX_COMPONENT_SIZE).unwrap() + 1];
    let module = wat::parse_str("(module)").unwrap();
    let mut invalid = component("(component (core module (func (result i32) i32.const 1)))");
    let position = invalid
        .windows(2)
        .rposition(|pair| pair == [0x41, 1])
        .unwrap();
    invalid[position] = 0x42;
    let cases: [(&[u8], &str, &str); 7] = [
        (b"", "empty", "is empty"),
        (&too_large, "too-large", "104857601 bytes"),
        (&WEB[..WEB.len() - 1], "incomplete", "still being written"),
        (b"GIF89a, certainly", "not-wasm", "\"GIF89a, \""),
        (&module, "core-module", "wasm-tools component new"),
        (&invalid, "invalid", "at byte "),
        (
            &component("(component)"),
            "no-contract",
            "wasi:http/incoming-handler@0.2",
        ),
    ];
    for (bytes, code, part) in cases {
        let refusal = refusal(bytes);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(refusal.to_string().contains(part), "{refusal}");
    }
}

#[test]
fn the_exports_that_were_found_are_named() {
    let refusal = refusal(&component(
        r#"(component (instance $i) (export "wasi:http/incoming-handler@0.3.0" (instance $i)))"#,
    ));
    let text = refusal.to_string();
    assert!(
        text.contains("found wasi:http/incoming-handler@0.3.0"),
        "{text}"
    );
}

#[test]
fn a_missing_import_is_named_with_the_nearest() {
    let import = |name: &str| {
        let imports = format!(r#"(import "{name}" (instance (export "f" (func))))"#);
        refusal(&handler("nop", &imports)).to_string()
    };
    let newer = import("wasi:clocks/wall-clock@0.4.0");
    assert!(
        newer.contains("imports wasi:clocks/wall-clock@0.4.0"),
        "{newer}"
    );
    assert!(
        newer.contains("nearest that it provides is wasi:clocks/wall-clock@0.2.12"),
        "{newer}"
    );
    let unknown = import("other:thing/store@0.2.0");
    assert!(
        unknown.contains("it provides WASI 0.2 and 0.3"),
        "{unknown}"
    );
}

#[test]
fn any_cut_inside_a_section_is_incomplete() {
    assert!(!incomplete(b"") && !incomplete(b"GIF") && !incomplete(WEB));
    assert!(incomplete(b"\0as") && incomplete(b"\0asm\x0d\0\x01"));
    let whole: Vec<usize> = (8..WEB.len())
        .filter(|end| !incomplete(&WEB[..*end]))
        .collect();
    // Only the borders between sections look whole.
    let share = whole.len() * 100 / WEB.len();
    assert!(share < 1, "{} prefixes look whole", whole.len());
}

#[tokio::test]
async fn a_trap_in_instantiation_says_so() {
    let prepare = |bytes: Vec<u8>| runtime().prepare(bytes.into(), AgentSpec::new("a", 1));
    let error = prepare(handler("unreachable", "")).await.unwrap_err();
    assert!(matches!(error, PrepareError::Trap(_)), "{error:?}");
    assert!(
        error.to_string().contains("when it is instantiated"),
        "{error}"
    );
    prepare(handler("nop", "")).await.unwrap();
}

#[tokio::test]
async fn a_start_that_never_ends_is_cut() {
    let mut spec = AgentSpec::new("a", 1);
    spec.limits.request_timeout = std::time::Duration::from_millis(200);
    let bytes = handler("(loop br 0)", "");
    let error = runtime().prepare(bytes.into(), spec).await.unwrap_err();
    assert!(matches!(error, PrepareError::Deadline { .. }), "{error:?}");
}

#[tokio::test]
async fn a_contract_with_another_signature_does_not_link() {
    let bytes = component(
        r#"(component (instance $i) (export "caxton:agent/handler@0.1.0" (instance $i)))"#,
    );
    let error = runtime()
        .prepare(bytes.into(), AgentSpec::new("a", 1))
        .await
        .unwrap_err();
    assert!(matches!(error, PrepareError::Link(_)), "{error:?}");
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused() {
    let bad = [
        Limits {
            memory: 1,
            ..Limits::default()
        },
        Limits {
            concurrency: 0,
            ..Limits::default()
        },
        Limits {
            idle_timeout: std::time::Duration::ZERO,
            ..Limits::default()
        },
    ];
    for limits in bad {
        let spec = AgentSpec {
            limits,
            ..AgentSpec::new("a", 1)
        };
        let error = runtime().prepare(WEB.into(), spec).await.unwrap_err();
        assert!(matches!(error, PrepareError::Spec(_)), "{error:?}");
    }
}

#[tokio::test]
async fn initial_memory_beyond_the_limit_is_refused() {
    let mut spec = AgentSpec::new("a", 1);
    spec.limits.memory = 1 << 20;
    // A Rust guest begins with 17 pages of 64 KiB.
    let error = runtime().prepare(WEB.into(), spec).await.unwrap_err();
    assert!(matches!(error, PrepareError::Instantiation(_)), "{error:?}");
    assert!(error.to_string().contains("memory"), "{error}");
}

/// Thresholds count traps. What a guest does to itself in its start code is one, with or without the instruction.
#[tokio::test]
async fn an_exit_in_start_code_is_the_agents_failure() {
    let imports = r#"(import "wasi:cli/exit@0.2.12" (instance $exits (export "exit" (func (param "status" (result))))))
        (core func $exit (canon lower (func $exits "exit")))
        (core instance $host (export "exit" (func $exit)))"#;
    let text = handler_text("(call $exit (i32.const 1))", imports)
        .replace(
            "(core module $module",
            r#"(core module $module (import "host" "exit" (func $exit (param i32)))"#,
        )
        .replace(
            "(instantiate $module)",
            r#"(instantiate $module (with "host" (instance $host)))"#,
        );
    let bytes = component(&text);
    let spec = AgentSpec::new("a", 1);
    let error = runtime().prepare(bytes.into(), spec).await.unwrap_err();
    assert!(matches!(error, PrepareError::Trap(_)), "{error:?}");
}
