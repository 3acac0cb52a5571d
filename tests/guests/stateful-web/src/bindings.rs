//! What `wit-bindgen` makes of the optional interfaces of `wit/agent`, and the one place that exports them.
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
    inline: "
        package test:stateful-web;
        world keeper {
            export caxton:agent/health@0.1.0;
            export caxton:agent/state@0.1.0;
        }
    ",
    path: "../../../wit/agent",
    world: "test:stateful-web/keeper",
});

#[cfg(target_family = "wasm")]
use crate::Counter;
#[cfg(target_family = "wasm")]
export!(Counter with_types_in self);
