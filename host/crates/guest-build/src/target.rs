//! Is the guests' target installed? If not, rustup adds it; without rustup, the person is told what to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, TARGET, environment};

/// Makes sure that `rustc` can build for the guests' target. `directory` is where the toolchain's own choice (a
/// `rust-toolchain.toml`) applies.
pub(crate) fn ensure(rustc: &OsStr, directory: &Path) -> Result<(), Error> {
    if is_installed(rustc, directory)? {
        return Ok(());
    }
    let add = format!("rustup target add {TARGET}");
    let mut rustup = Command::new("rustup");
    environment::clean(&mut rustup);
    let added = rustup
        .args(["target", "add", TARGET])
        .current_dir(directory)
        .output();
    // Whatever rustup said: what counts is whether the target is there now, for instance because another build added it.
    if is_installed(rustc, directory)? {
        return Ok(());
    }
    let (why, command) = match added {
        Err(_) => (
            "and there is no rustup to add it".to_owned(),
            format!(
                "{add}    # rustup: https://rustup.rs; a distribution's Rust may have a package for {TARGET}"
            ),
        ),
        Ok(output) => (
            format!(
                "and `{add}` said: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            add,
        ),
    };
    Err(Error::NoTarget { why, command })
}

fn is_installed(rustc: &OsStr, directory: &Path) -> Result<bool, Error> {
    let mut command = Command::new(rustc);
    environment::clean(&mut command);
    let output = command
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(directory)
        .output()
        .map_err(|source| Error::Start {
            program: rustc.to_string_lossy().into_owned(),
            source,
        })?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // The directory is named for every target that rustc knows; it has files only for those that are installed.
    let has_files = libraries
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    Ok(output.status.success() && has_files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_not_there_is_named() {
        let error = ensure(OsStr::new("no-such-rustc"), Path::new(".")).unwrap_err();
        assert!(error.to_string().contains("no-such-rustc"), "{error}");
    }
}
