//! Builds what the host embeds: its policies, and the three versions of the agent that `caxton demo` deploys.
//!
//! `OUT_DIR/artifacts.rs` then holds the embedded policies as `POLICY_NAME`, and `DEMO_V1` to `DEMO_V3`;
//! `OUT_DIR/sdk.rs` holds `SDK`, the files of `policies/sdk`, which a new policy in Rust gets a copy of.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use caxton_guest_build::Guest;

fn main() -> ExitCode {
    if let Err(error) = embed_sdk() {
        eprintln!("cannot embed policies/sdk: {error}");
        return ExitCode::FAILURE;
    }
    let guests = [
        Guest::at("policies/standard"),
        Guest::at("policies/evidence"),
        Guest::at("policies/thresholds"),
        Guest::at("policies/manual"),
        Guest::at("host/demo").named("demo-v1"),
        Guest::at("host/demo").named("demo-v2").feature("v2"),
        Guest::at("host/demo").named("demo-v3").feature("v3"),
    ];
    caxton_guest_build::main(&guests, None)
}

/// Writes the list of the crate's files, each with its path in the crate and its text.
fn embed_sdk() -> io::Result<()> {
    let var =
        |name| env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let sdk = Path::new(&var("CARGO_MANIFEST_DIR")?).join("../policies/sdk");
    println!("cargo:rerun-if-changed={}", sdk.display());
    let mut list = String::from("const SDK: &[(&str, &str)] = &[\n");
    for path in files(&sdk)? {
        let inside = path.strip_prefix(&sdk).unwrap_or(&path);
        let _ = writeln!(list, "    ({inside:?}, include_str!({path:?})),");
    }
    list.push_str("];\n");
    fs::write(Path::new(&var("OUT_DIR")?).join("sdk.rs"), list)
}

/// Every file below, in order. `wit` is a link into the repository; what it leads to is in the list.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.file_name() {
            Some(name) if path.is_dir() && name != "target" => found.extend(files(&path)?),
            _ if path.is_file() => found.push(path),
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}
