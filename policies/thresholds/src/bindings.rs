//! What `wit-bindgen` makes of `wit/policy`; nothing is written by hand.
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
    world: "rollback-policy",
    pub_export_macro: true,
});
