//! The statistics that a policy needs: bounds of a rate, and sums of evidence that may be looked at after every tick.
//!
//! Plain `f64` from the standard library, the same on every machine that runs a component.

/// The 95 % point of the normal distribution, one-sided.
const Z: f64 = 1.644_853_626_951_472_7;

/// A rate that is surely not above this, by Wilson's one-sided 95 % bound; 1 of nothing. For one look at it, not for one after every tick.
#[must_use]
pub fn wilson_upper(bad: u64, all: u64) -> f64 {
    let (middle, half) = wilson(bad, all);
    (middle + half).min(1.0)
}

/// A rate that is surely not below this, by Wilson's one-sided 95 % bound; 0 of nothing.
#[must_use]
pub fn wilson_lower(bad: u64, all: u64) -> f64 {
    let (middle, half) = wilson(bad, all);
    (middle - half).max(0.0)
}

fn wilson(bad: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.5, 0.5);
    }
    let n = all as f64;
    let rate = bad.min(all) as f64 / n;
    let z2 = Z * Z;
    let scale = 1.0 + z2 / n;
    let middle = (rate + z2 / (2.0 * n)) / scale;
    let half = Z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt() / scale;
    (middle, half)
}

/// The logarithm of how much likelier `bad` of `all` are at the rate `alternative` than at the rate `tolerated`. Both rates lie
/// between 0 and 1, without the ends.
#[must_use]
pub fn log_ratio(bad: u64, all: u64, alternative: f64, tolerated: f64) -> f64 {
    // Most ticks have no bad ones, and a logarithm is the dearest thing here.
    let times_log = |count: u64, ratio: f64| match count {
        0 => 0.0,
        count => count as f64 * ratio.ln(),
    };
    times_log(bad, alternative / tolerated)
        + times_log(
            all.saturating_sub(bad),
            (1.0 - alternative) / (1.0 - tolerated),
        )
}

/// The logarithm of the sum of what `logs` are the logarithms of, without leaving the range of numbers.
#[must_use]
pub fn log_sum_exp(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    most + sum.ln()
}

/// The logarithm of an e-value: the mean of the likelihood ratios whose logarithms these are.
///
/// A version at or below what is tolerated ever brings it to 1/α with a chance of at most α, however often it is looked at.
#[must_use]
pub fn log_e_value(logs: &[f64]) -> f64 {
    log_sum_exp(logs) - (logs.len().max(1) as f64).ln()
}

/// One step of a CUSUM: what was and what comes, never below zero. Long good times buy no credit, so a late fault shows as
/// quickly as an early one.
#[must_use]
pub fn cusum(before: f64, log_ratio: f64) -> f64 {
    (before + log_ratio).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 5e-4, "{value} {expected}");
    }

    #[test]
    fn wilson_bounds_are_those_of_the_books() {
        near(wilson_upper(0, 25), 0.0977);
        near(wilson_lower(1, 3), 0.0781);
        near(wilson_lower(10, 100), 0.0604);
        near(wilson_upper(10, 100), 0.1607);
        assert_eq!((wilson_lower(0, 0), wilson_upper(0, 0)), (0.0, 1.0));
        near(wilson_upper(9, 9), 1.0);
        near(wilson_lower(0, 1_000_000), 0.0);
    }

    #[test]
    fn sums_of_exponentials_stay_in_range() {
        near(log_sum_exp(&[0.0, 0.0]), 2.0_f64.ln());
        near(log_sum_exp(&[5_000.0, 5_000.0]), 5_000.0 + 2.0_f64.ln());
        near(log_sum_exp(&[-9_000.0, 1.0]), 1.0);
        assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
        near(log_e_value(&[3.0, 3.0, 3.0]), 3.0);
    }

    #[test]
    fn evidence_grows_with_failures_and_shrinks_with_successes() {
        near(log_ratio(1, 1, 0.5, 0.1), 5.0_f64.ln());
        near(log_ratio(0, 1, 0.5, 0.1), (0.5_f64 / 0.9).ln());
        assert_eq!(cusum(1.0, -3.0), 0.0);
        assert_eq!(cusum(1.0, 3.0), 4.0);
    }
}
