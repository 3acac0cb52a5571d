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
    inline: "
        package guest:unhealthy;
        world unhealthy {
            export caxton:agent/handler@0.1.0;
            export caxton:agent/health@0.1.0;
        }
    ",
    world: "guest:unhealthy/unhealthy",
    generate_all,
});

#[cfg(target_family = "wasm")]
use crate::Unhealthy;
#[cfg(target_family = "wasm")]
export!(Unhealthy with_types_in self);
