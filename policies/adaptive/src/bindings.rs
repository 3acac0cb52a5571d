//! What `wit-bindgen` makes of `wit/policy`, and the one place that exports them.
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
    path: "../../wit/policy",
    world: "strategy-policy",
});

#[cfg(target_family = "wasm")]
use crate::Adaptive;
#[cfg(target_family = "wasm")]
export!(Adaptive with_types_in self);
