//! Metric series with their right verdicts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use caxton_policy::testing;
use policy_evidence::Evidence;

fn check(file: &str, at_least: usize) {
    let path = format!(
        "{}/../../tests/scenarios/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let (scenarios, differences) = testing::run::<Evidence>(&text).unwrap();
    assert!(scenarios >= at_least, "{scenarios}");
    assert_eq!(differences, []);
}

#[test]
fn every_given_series_gets_its_verdict() {
    check("evidence.json", 17);
}

#[test]
fn every_further_series_gets_its_verdict() {
    check("evidence-more.json", 46);
}
