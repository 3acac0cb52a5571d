//! The components in the binary, built from source by the build script: embedded policies and the demo's versions.

include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));
