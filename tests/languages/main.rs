//! The policies that are not written in Rust, through the real binary: their scenarios, their answers, their faults, and the guide;
//! and what `caxton new agent` writes, built and served.
//!
//! `cargo test --test languages`. It runs what `policies/examples/build.sh` built, and says so where that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod caxton;
mod faults;
mod guide;
mod projects;
mod same;
