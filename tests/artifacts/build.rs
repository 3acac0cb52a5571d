//! Builds every guest under `tests/guests`, and the policies: those that the host embeds, and the example of an own one.

use std::process::ExitCode;

use caxton_guest_build::Guest;

fn main() -> ExitCode {
    let guests = [
        Guest::at("tests/guests/web").named("web"),
        Guest::at("tests/guests/web-p3").named("web-p3"),
        Guest::at("tests/guests/web-p3")
            .named("web-p3-stateful")
            .feature("state"),
        Guest::at("tests/guests/flaky").named("flaky"),
        Guest::at("tests/guests/tool").named("tool"),
        Guest::at("tests/guests/unhealthy").named("unhealthy"),
        Guest::at("tests/guests/named").named("named"),
        Guest::at("tests/guests/stateful").named("stateful"),
        Guest::at("tests/guests/stateful")
            .named("stateful-2")
            .feature("second-format"),
        Guest::at("tests/guests/stateful-web").named("stateful-web"),
        Guest::at("tests/guests/reaching").named("reaching"),
        Guest::at("tests/guests/policy-faulty").named("policy-faulty"),
        Guest::at("tests/guests/strategy-faulty").named("strategy-faulty"),
        Guest::at("policies/standard"),
        Guest::at("policies/evidence"),
        Guest::at("policies/thresholds"),
        Guest::at("policies/manual"),
        Guest::at("policies/adaptive").named("adaptive"),
    ];
    caxton_guest_build::main(&guests, Some("EVERY_GUEST"))
}
