//! What wasmtime makes of `wit/policy`; nothing is written by hand.
//!
//! One world with both kinds' exports, because the exported interfaces are looked up one by one: a policy has one of the two.
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated; the contract's prose stands in the WIT"
)]

wasmtime::component::bindgen!({
    path: "../../../wit/policy",
    inline: "
        package caxton:runtime;
        world policy {
            import caxton:policy/log@0.1.0;
            export caxton:policy/about@0.1.0;
            export caxton:policy/strategy@0.1.0;
            export caxton:policy/rollback@0.1.0;
        }
    ",
    exports: { default: async },
});
