//! What `wit-bindgen` makes of the contract.
//!
//! The contract's two worlds both export `about`, and one crate cannot hold its export macro twice. So each interface that a policy
//! exports is a world of its own here, all with the same types; a component that exports two of them has the union of both
//! worlds, which is the contract's. What is not exported leaves nothing in a component: with `pub_export_macro` a world's exports are
//! described where its macro is used.
#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated: the component ABI takes raw pointers, and the contract's prose stands in the WIT"
)]

pub mod base {
    wit_bindgen::generate!({
        inline: "
            package caxton:policy-sdk;
            world base {
                import caxton:policy/log@0.1.0;
                export caxton:policy/about@0.1.0;
            }
        ",
        path: "wit",
        world: "caxton:policy-sdk/base",
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "caxton:policy/types@0.1.0/reload-metrics": [#[derive(Default)]],
            "caxton:policy/types@0.1.0/version": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(default, rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/phase": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "caxton:policy/types@0.1.0/absence": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "caxton:policy/types@0.1.0/metric-value": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "caxton:policy/types@0.1.0/custom-metric": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/bucket": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/arm": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(default, rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/window": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(default, rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/outcome": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "caxton:policy/types@0.1.0/attempt": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "caxton:policy/types@0.1.0/context": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(default, rename_all = "kebab-case", deny_unknown_fields))]],
        },
    });
}

pub mod rollback {
    wit_bindgen::generate!({
        inline: "
            package caxton:policy-sdk;
            world rollback-only {
                export caxton:policy/rollback@0.1.0;
            }
        ",
        path: "wit",
        world: "caxton:policy-sdk/rollback-only",
        with: {
            "caxton:policy/types@0.1.0": super::base::caxton::policy::types,
            "caxton:policy/rollback@0.1.0": generate,
        },
        pub_export_macro: true,
        additional_derives: [PartialEq],
    });
}

pub mod strategy {
    wit_bindgen::generate!({
        inline: "
            package caxton:policy-sdk;
            world strategy-only {
                export caxton:policy/strategy@0.1.0;
            }
        ",
        path: "wit",
        world: "caxton:policy-sdk/strategy-only",
        with: {
            "caxton:policy/types@0.1.0": super::base::caxton::policy::types,
            "caxton:policy/strategy@0.1.0": generate,
        },
        pub_export_macro: true,
        additional_derives: [PartialEq],
    });
}
