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

#[cfg(not(feature = "state"))]
wit_bindgen::generate!({
    inline: "
        package test:web-p3;
        world checked {
            export caxton:agent/health@0.1.0;
        }
    ",
    path: "../../../wit/agent",
    world: "test:web-p3/checked",
});

#[cfg(feature = "state")]
wit_bindgen::generate!({
    inline: "
        package test:web-p3;
        world keeper {
            export caxton:agent/handler@0.1.0;
            export caxton:agent/health@0.1.0;
            export caxton:agent/state@0.1.0;
        }
    ",
    path: "../../../wit/agent",
    world: "test:web-p3/keeper",
    generate_all,
});

#[cfg(target_family = "wasm")]
use crate::Web;
#[cfg(target_family = "wasm")]
export!(Web with_types_in self);
