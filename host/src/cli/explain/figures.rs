//! Figures as people read them.

use caxton_rollout::Finding;

use super::seen::{Figures, Seen};
use crate::cli::text::harmless;
use crate::cli::time::span;

/// `12 requests, 1 failed` and what else there is to say.
pub(super) fn figures(figures: &Figures) -> String {
    let mut parts = vec![requests(figures.requests)];
    if figures.requests > 0 {
        parts.push(match figures.failures {
            0 => "none failed".to_owned(),
            failures => format!("{failures} failed"),
        });
    }
    if figures.rejected > 0 {
        parts.push(format!("{} rejected", figures.rejected));
    }
    if figures.unavailable > 0 {
        parts.push(format!("{} put off", figures.unavailable));
    }
    if let Some(bound) = figures.p95_us {
        parts.push(p95(bound));
    }
    if figures.health_total > 0 {
        parts.push(format!(
            "health {} of {}",
            figures.health_passed, figures.health_total
        ));
    }
    parts.join(", ")
}

/// What was seen, in one line; none where nothing was.
pub(super) fn seen(seen: &Seen) -> String {
    let mut parts = vec![format!("candidate {}", figures(&seen.candidate))];
    if !seen.copies.is_nothing() {
        parts.push(format!(
            "copies {}, {} answered differently",
            figures(&seen.copies),
            seen.mismatches
        ));
    }
    if !seen.stable.is_nothing() {
        parts.push(format!("stable {}", figures(&seen.stable)));
    }
    parts.join("; ")
}

fn requests(requests: u64) -> String {
    match requests {
        0 => "no requests".to_owned(),
        1 => "1 request".to_owned(),
        n => format!("{n} requests"),
    }
}

fn p95(bound: u64) -> String {
    match bound {
        u64::MAX => "p95 above 1 min".to_owned(),
        us if us < 1_000 => format!("p95 up to {us} us"),
        us if us < 10_000_000 => format!("p95 up to {} ms", number(us as f64 / 1_000.0)),
        us => format!("p95 up to {}", span(us / 1_000)),
    }
}

/// `error-rate 8.333 above its limit 5 (12 observed, e-value 1.24)`. Harmless.
pub(super) fn finding(finding: &Finding) -> String {
    let against = if finding.breached { "against it: " } else { "" };
    let statistic = if finding.statistic == "threshold" {
        String::new()
    } else {
        format!(", {} {}", finding.statistic, number(finding.value))
    };
    let text = format!(
        "{against}{} {}, limit {} ({} observed{statistic})",
        finding.metric,
        number(finding.observed),
        number(finding.limit),
        finding.sample
    );
    harmless(&text).into_owned()
}

/// Four digits that count: `0.04762`, `8.333`, `1234567`, `1.2e-9`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-5..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    // Digits before the point, which is negative for leading zeros after it.
    let before = size.log10().floor() as i32 + 1;
    let decimals = usize::try_from(4 - before).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_that_count() {
        let numbers: Vec<String> = [
            0.0,
            5.0,
            33.333_333,
            100.0,
            0.047_619,
            1_234_567.89,
            1.5e-9,
            9_999.6,
            -2.5,
            f64::MAX,
        ]
        .into_iter()
        .map(number)
        .collect();
        assert_eq!(
            numbers,
            [
                "0",
                "5",
                "33.33",
                "100",
                "0.04762",
                "1234568",
                "1.500e-9",
                "10000",
                "-2.5",
                "1.798e308"
            ]
        );
    }
}
