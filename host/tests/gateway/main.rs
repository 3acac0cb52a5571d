//! The gateway on real sockets, byte by byte, before real components.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod fuzz;
mod gate;
mod hostile;
mod limits;
mod mirror;
mod raw;
mod rig;
mod routing;
mod shares;
mod shutdown;
mod status;
mod streams;
mod swap;
