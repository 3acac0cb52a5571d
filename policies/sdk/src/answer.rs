//! What a policy answers, and why.

use crate::{Blame, Explanation, Finding, Step, Verdict};

/// The contract takes so many findings with an answer; later ones are left out.
const FINDINGS: usize = 64;

/// A verdict with its reason.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What the evidence says.
    pub verdict: Verdict,
    /// Why.
    pub why: Explanation,
}

impl Judgement {
    /// A verdict for a reason: a code for machines (`a-z`, `0-9`, `-`) and a sentence for people.
    pub fn new(verdict: Verdict, code: &str, summary: impl Into<String>) -> Self {
        Self {
            verdict,
            why: because(code, summary),
        }
    }

    /// Enough speaks for the version.
    pub fn proceed(code: &str, summary: impl Into<String>) -> Self {
        Self::new(Verdict::Proceed, code, summary)
    }

    /// Nothing speaks against it, and not enough for it.
    pub fn undecided(code: &str, summary: impl Into<String>) -> Self {
        Self::new(Verdict::Undecided, code, summary)
    }

    /// Something speaks against going on, and it is not surely the candidate.
    pub fn hold(code: &str, summary: impl Into<String>) -> Self {
        Self::new(Verdict::Hold, code, summary)
    }

    /// Back to the stable version, now.
    pub fn rollback(blame: Blame, code: &str, summary: impl Into<String>) -> Self {
        Self::new(Verdict::Rollback(blame), code, summary)
    }

    /// Adds what was looked at.
    #[must_use]
    pub fn with(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        add(&mut self.why, findings);
        self
    }
}

/// A step with its reason.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What to do next.
    pub step: Step,
    /// Why.
    pub why: Explanation,
    /// When to ask again, from now; none: at the host's next tick.
    pub next_check_ms: Option<u64>,
}

impl Proposal {
    /// A step for a reason.
    pub fn new(step: Step, code: &str, summary: impl Into<String>) -> Self {
        Self {
            step,
            why: because(code, summary),
            next_check_ms: None,
        }
    }

    /// Stay, and ask again.
    pub fn wait(code: &str, summary: impl Into<String>) -> Self {
        Self::new(Step::Wait, code, summary)
    }

    /// Adds what was looked at.
    #[must_use]
    pub fn with(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        add(&mut self.why, findings);
        self
    }
}

/// A reason: a code for machines and a sentence for people, with nothing measured yet.
pub fn because(code: &str, summary: impl Into<String>) -> Explanation {
    Explanation {
        code: code.to_owned(),
        summary: summary.into(),
        findings: Vec::new(),
    }
}

fn add(why: &mut Explanation, findings: impl IntoIterator<Item = Finding>) {
    let room = FINDINGS.saturating_sub(why.findings.len());
    why.findings.extend(findings.into_iter().take(room));
}

impl Finding {
    /// A figure held against a limit: `observed` and `limit` in the same unit, from so many observations. Its statistic is
    /// `threshold`, and it speaks against nothing.
    ///
    /// Figures that are not finite are a fault for the host: they become the nearest one that is, and NaN becomes zero.
    pub fn new(metric: impl Into<String>, observed: f64, limit: f64, sample: u64) -> Self {
        Self {
            metric: metric.into(),
            observed: finite(observed),
            limit: finite(limit),
            sample,
            statistic: "threshold".to_owned(),
            value: finite(observed),
            breached: false,
        }
    }

    /// What was computed from it: `e-value`, `cusum`, `wilson-upper-95`, and so on.
    #[must_use]
    pub fn by(mut self, statistic: &str, value: f64) -> Self {
        statistic.clone_into(&mut self.statistic);
        self.value = finite(value);
        self
    }

    /// Whether this figure by itself speaks against the candidate.
    #[must_use]
    pub fn breached(mut self, breached: bool) -> Self {
        self.breached = breached;
        self
    }
}

fn finite(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_told_as_what_comes_nearest() {
        let finding =
            Finding::new("x", f64::NAN, f64::INFINITY, 1).by("e-value", f64::NEG_INFINITY);
        assert_eq!(
            (finding.observed, finding.limit, finding.value),
            (0.0, f64::MAX, f64::MIN)
        );
    }

    #[test]
    fn no_more_findings_than_the_contract_takes() {
        let many = (0..100).map(|n| Finding::new("x", 0.0, 0.0, n));
        let judgement = Judgement::proceed("ok", "fine").with(many);
        assert_eq!(judgement.why.findings.len(), FINDINGS);
    }
}
