//! The binary, the components that it is given, and what it answers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What builds the components.
const BUILD: &str = "policies/examples/build.sh";

/// What builds the agents.
const BUILD_AGENTS: &str = "tests/languages/agents/build.sh";

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_caxton");

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// A component that the build script makes.
pub fn component(name: &str) -> PathBuf {
    let path = built().join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is not there: run {BUILD}",
        path.display()
    );
    path
}

/// An agent that the other build script makes.
pub fn agent(name: &str) -> Vec<u8> {
    let path = built().join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run {BUILD_AGENTS}", path.display()))
}

/// What the build scripts made, and the tools that they installed.
pub fn built() -> PathBuf {
    root().join("target/examples")
}

/// The scenarios of the examples.
pub fn scenarios() -> PathBuf {
    root().join("policies/examples/scenarios.json")
}

/// Compiled code is kept from run to run: a component in JavaScript or Python takes long. It is found by its digest, so it is
/// never the code of another one.
pub fn data() -> PathBuf {
    built().join("data")
}

/// Runs `caxton policy ARGS` to its end.
pub fn policy<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    Command::new(BINARY)
        .arg("policy")
        .args(args)
        .env("CAXTON_DATA_DIR", data())
        .output()
        .unwrap()
}

/// What it printed with `--json`, whatever its exit code is.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in {}", said(output)))
}

/// Everything that it printed.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}({})",
        text(&output.stdout),
        text(&output.stderr),
        output.status
    )
}
