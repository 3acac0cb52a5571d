//! Policies as components: loaded, refused, asked, and failing in every way there is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod adaptive;
mod answers;
mod contract;
mod embedded;
mod faults;
mod figures;
mod fixture;
mod loading;
