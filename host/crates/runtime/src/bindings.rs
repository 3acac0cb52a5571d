//! What bindgen makes of `caxton:agent`, behind names of our own.

#[expect(
    missing_docs,
    unused_qualifications,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "bindgen writes it"
)]
#[allow(unfulfilled_lint_expectations)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit/agent",
        world: "stateful-agent",
        exports: { default: async },
    });
}

pub(crate) use generated::caxton::agent::{metrics, types};
pub(crate) use generated::exports::caxton::agent::{handler, health, state};
