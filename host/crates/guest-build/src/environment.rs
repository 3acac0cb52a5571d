//! What a nested cargo must not inherit from the outer one.
//!
//! Cargo gives a build script its own settings as variables, and a nested cargo would take them for its orders: flags meant for the
//! native target, clippy as a compiler, the outer target directory (whose lock the outer cargo holds).

use std::ffi::OsStr;
use std::process::Command;

/// Variables that begin with `CARGO_` and are about the person's cargo, not about this build: where it keeps things, how it reaches
/// registries, and the jobserver that bounds how much runs at once.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Variables that steer a compiler, or tell a build script about its crate.
const REMOVED: [&str; 17] = [
    "CARGO",
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "TARGET",
];

/// Takes out of `command`'s environment what belongs to the outer build.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if belongs_to_the_outer_build(&name) {
            command.env_remove(&name);
        }
    }
}

fn belongs_to_the_outer_build(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    if REMOVED.contains(&name) {
        return true;
    }
    name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_builds_orders_are_taken_out() {
        for name in [
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_CFG_TARGET_OS",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
        ] {
            assert!(belongs_to_the_outer_build(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_persons_own_cargo_stays() {
        for name in [
            "CARGO_HOME",
            "CARGO_MAKEFLAGS",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MINE_INDEX",
            "PATH",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!belongs_to_the_outer_build(OsStr::new(name)), "{name}");
        }
    }
}
