//! Builds guest components of this workspace from source, inside build scripts.
//!
//! A build script lists [`Guest`]s and calls [`build`]; it gets a component for each, and can write them as constants for
//! `include!`. The nested cargo works for `wasm32-wasip2` with the profile `guest`, in a target directory of its own that
//! all build scripts under one outer target directory share: guests are the same whatever the outer profile is, so `cargo test`
//! after `cargo run --release` compiles nothing again.
//!
//! What must hold: the outer build's flags, wrappers and profile never reach a guest; two build scripts that run at once do not
//! see each other's half-written output; a failure says what to do. It deliberately runs no other tool than cargo, rustc and rustup.

mod environment;
mod nested;
mod output;
mod target;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nested::Nested;
pub use output::{Built, Component};

/// The only target that guests are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// The profile that the workspace's root manifest defines for guests.
pub const PROFILE: &str = "guest";

/// A guest crate to build, with the features to build it with.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Directory of the crate, relative to the workspace's root.
    directory: PathBuf,
    /// Name of the component; none: the package's name.
    name: Option<String>,
    features: Vec<String>,
}

impl Guest {
    /// The guest crate in `directory`, which is relative to the workspace's root.
    ///
    /// The crate must be a member of the workspace, have the crate type `cdylib`, and not rename its library.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            name: None,
            features: Vec::new(),
        }
    }

    /// Calls the component `name` instead of after its package: for one crate in several feature sets.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Turns on a feature of the crate.
    #[must_use]
    pub fn feature(mut self, feature: impl Into<String>) -> Self {
        self.features.push(feature.into());
        self
    }
}

/// Why guests could not be built. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not called from a build script.
    #[error("the variable {0} is not set: this works in build scripts only")]
    NotInBuildScript(&'static str),
    /// No manifest with a `[workspace]` table in a parent directory.
    #[error("no Cargo.toml with a [workspace] table in {0} or above it")]
    NoWorkspace(PathBuf),
    /// A file could not be read, written, copied or locked.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        source: std::io::Error,
    },
    /// A guest's manifest names no package.
    #[error("{0} has no `name = \"..\"` in its [package] table")]
    NoPackageName(PathBuf),
    /// Two guests would be the same component.
    #[error("two guests are called {0}: give one of them another name with Guest::named")]
    SameName(String),
    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What came of it.
        source: std::io::Error,
    },
    /// The target is missing and cannot be added from here.
    #[error(
        "guests need the target {TARGET}, which this Rust toolchain does not have ({why}); run\n\n    {command}\n"
    )]
    NoTarget {
        /// Why it was not added.
        why: String,
        /// What adds it.
        command: String,
    },
    /// The nested cargo failed.
    #[error("building {guests} for {TARGET} failed; cargo says:\n\n{output}")]
    Build {
        /// Which guests.
        guests: String,
        /// What cargo wrote.
        output: String,
    },
    /// Cargo succeeded and left no component.
    #[error("{guest} was built and left no {path}; does its [lib] have crate-type = [\"cdylib\", \"rlib\"] and no name?", path = path.display())]
    NoComponent {
        /// Which guest.
        guest: String,
        /// Where its component was looked for.
        path: PathBuf,
    },
}

/// Builds `guests`, and tells the outer cargo which files they were built from.
///
/// Packages that appear once are built together in one nested cargo; a package with several feature sets takes as many runs as it
/// has sets.
///
/// # Errors
///
/// When not called from a build script, when the target is missing and cannot be added, and when a guest does not build.
pub fn build(guests: &[Guest]) -> Result<Built, Error> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let workspace = workspace_root(Path::new(&variable("CARGO_MANIFEST_DIR")?))?;
    let nested = Nested {
        cargo: variable("CARGO")?,
        rustc: variable("RUSTC")?,
        target_dir: shared_target_dir(&out_dir),
        components_dir: out_dir.join("guests"),
        workspace,
    };
    let _lock = lock(&nested.target_dir)?;
    target::ensure(&nested.rustc, &nested.workspace)?;
    let built = nested.build(guests)?;
    for source in built.sources() {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    Ok(built)
}

/// A whole `main` for a build script: builds `guests` and writes `OUT_DIR/artifacts.rs` with a constant for each.
///
/// With `list`, the file also has a constant of that name: every guest's name and bytes, in the order given.
pub fn main(guests: &[Guest], list: Option<&str>) -> ExitCode {
    let result = build(guests).and_then(|built| {
        let file = PathBuf::from(variable("OUT_DIR")?).join("artifacts.rs");
        let mut source = built.constants();
        if let Some(name) = list {
            source.push_str(&built.list(name));
        }
        std::fs::write(&file, source).map_err(|source| Error::File {
            what: "write",
            path: file,
            source,
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &'static str) -> Result<OsString, Error> {
    std::env::var_os(name).ok_or(Error::NotInBuildScript(name))
}

fn workspace_root(from: &Path) -> Result<PathBuf, Error> {
    from.ancestors()
        .find(|directory| {
            std::fs::read_to_string(directory.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
        })
        .map(Path::to_path_buf)
        .ok_or_else(|| Error::NoWorkspace(from.to_path_buf()))
}

/// `guests` in the outer target directory, which cargo marks with a `CACHEDIR.TAG`; without such a mark, in `out_dir` itself.
fn shared_target_dir(out_dir: &Path) -> PathBuf {
    out_dir
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out_dir)
        .join("guest-target")
}

/// Held from before the first nested cargo until the last component is copied: cargo's own lock ends with each run, and a run
/// with other features would replace the component before it is copied.
fn lock(target_dir: &Path) -> Result<File, Error> {
    let path = target_dir.join(".guest-build-lock");
    let locked = std::fs::create_dir_all(target_dir)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| Error::File {
        what: "lock",
        path,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_nearest_manifest_with_a_workspace_table() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        let member = root.join("a/b");
        std::fs::create_dir_all(&member).unwrap();
        std::fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        std::fs::write(member.join("Cargo.toml"), "[package]\nname = \"b\"\n").unwrap();

        assert_eq!(workspace_root(&member).unwrap(), root);
    }

    #[test]
    fn guests_share_the_marked_target_directory_and_without_a_mark_keep_to_out_dir() {
        let temporary = tempfile::tempdir().unwrap();
        let out_dir = temporary.path().join("target/debug/build/crate-1/out");
        std::fs::create_dir_all(&out_dir).unwrap();
        assert_eq!(
            shared_target_dir(&out_dir),
            out_dir.join("guest-target"),
            "no mark"
        );

        let target = temporary.path().join("target");
        std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(shared_target_dir(&out_dir), target.join("guest-target"));
    }
}
