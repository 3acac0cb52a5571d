//! Policies and agents that are not written in Rust, through the real binary: their answers, their faults, and the guide; and what
//! `caxton new agent` writes, built and served.
//!
//! `cargo test --test languages`. It runs what `policies/examples/build.sh` and `tests/languages/agents/build.sh` built, and says so
//! where that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod agents;
mod caxton;
mod faults;
mod guide;
#[allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    reason = "it has what other tests need"
)]
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod projects;
mod same;
