//! Builds what the host embeds: its policies, and the three versions of the agent that `caxton demo` deploys.
//!
//! `OUT_DIR/artifacts.rs` then holds `POLICY_STANDARD`, `POLICY_THRESHOLDS`, `DEMO_V1`, `DEMO_V2` and `DEMO_V3`.

use std::process::ExitCode;

use caxton_guest_build::Guest;

fn main() -> ExitCode {
    let guests = [
        Guest::at("policies/standard"),
        Guest::at("policies/thresholds"),
        Guest::at("host/demo").named("demo-v1"),
        Guest::at("host/demo").named("demo-v2").feature("v2"),
        Guest::at("host/demo").named("demo-v3").feature("v3"),
    ];
    caxton_guest_build::main(&guests, None)
}
