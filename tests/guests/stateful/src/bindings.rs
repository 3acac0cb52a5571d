//! What `wit-bindgen` makes of `wit/agent`, and the one place that exports them.
#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated: the component ABI takes raw pointers, and the contract's prose stands in the WIT"
)]

wit_bindgen::generate!({
    path: "../../../wit/agent",
    world: "stateful-agent",
});

#[cfg(target_family = "wasm")]
use crate::Counter;
#[cfg(target_family = "wasm")]
export!(Counter with_types_in self);
