//! The rollback policy `budget`: a new version may fail so many requests more than the stable version would have, and no more.
//!
//! What a policy is told and may answer stands in wit/policy.wit; `caxton_policy` has the same in Rust.

use caxton_policy::windows::{self, Counts};
use caxton_policy::{Blame, Finding, Judgement, Problems, Reload, RollbackPolicy, log};

/// What `NAME.toml` or the agent's configuration may set. The schema is made from this type, and the host checks settings
/// against it before the policy sees them.
#[derive(Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many requests more may fail than the stable version would have failed.
    #[schemars(range(max = 1_000_000))]
    pub max_failures: u64,
    /// How many requests must be finished before the version may go on.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_failures: 5,
            min_requests: 50,
        }
    }
}

/// The policy; it keeps nothing between calls.
#[derive(Debug)]
pub struct Policy;

impl RollbackPolicy for Policy {
    const NAME: &'static str = "budget";
    const ABOUT: &'static str = "Goes back when more than max_failures requests failed beyond what the stable version shows.";
    type Settings = Settings;
    type State = ();

    /// What a schema cannot say.
    fn check(settings: &Settings, problems: &mut Problems) {
        let limit = settings.max_failures;
        if limit >= settings.min_requests {
            problems.add(
                "/min_requests",
                format!("must be more than max_failures ({limit}): otherwise a version of which every request fails would pass"),
            );
        }
    }

    fn evaluate(settings: &Settings, reload: &Reload<'_>, _state: &mut ()) -> Judgement {
        let (candidate, stable) = sums(reload);
        let requests = candidate.requests;

        // The stable version at the same time is the better comparison. Before it has a sample, it is what it was like before
        // the reload.
        let compared = if stable.requests >= settings.min_requests {
            stable
        } else {
            windows::stable(&reload.context.baseline)
        };
        let share = compared.failure_rate().unwrap_or(0.0);
        let excess = candidate.failures as f64 - requests as f64 * share;

        let limit = settings.max_failures as f64;
        let needed = settings.min_requests;
        let findings = [
            Finding::new("failures-beyond-stable", excess, limit, requests)
                .breached(excess > limit),
            Finding::new("requests", requests as f64, needed as f64, requests),
        ];
        let failed = format!(
            "{} of {requests} requests failed, {excess:.1} more than the stable version shows",
            candidate.failures
        );
        log::info(&failed);

        let judgement = if excess > limit {
            let blame = if stable.requests > 0 {
                Blame::Candidate
            } else {
                Blame::Unknown
            };
            Judgement::rollback(
                blame,
                "budget-spent",
                format!("{failed}; at most {limit} may"),
            )
        } else if requests < needed {
            Judgement::undecided(
                "too-few-requests",
                format!("{failed}; {needed} requests are needed"),
            )
        } else {
            Judgement::proceed("within-budget", format!("{failed}; up to {limit} may"))
        };
        judgement.with(findings)
    }
}

caxton_policy::rollback_policy!(Policy);

/// What both versions did since the reload began, without the time in which the new one warmed up. The stable version counts only
/// in windows in which the candidate had requests too, so that both saw the same minutes.
fn sums(reload: &Reload<'_>) -> (Counts, Counts) {
    windows::judged(reload.windows)
        .map(|window| (windows::candidate([window]), windows::stable([window])))
        .filter(|(candidate, _)| candidate.requests > 0)
        .fold(
            Default::default(),
            |(candidate, stable): (Counts, Counts), (tried, beside)| {
                (candidate.and(tried), stable.and(beside))
            },
        )
}

#[cfg(test)]
mod tests {
    use caxton_policy::{Context, ReloadMetrics, Verdict, Window, testing};

    use super::*;

    fn judge(windows: &[Window]) -> Judgement {
        let (context, metrics) = (Context::default(), ReloadMetrics::default());
        let reload = Reload {
            context: &context,
            metrics: &metrics,
            windows,
        };
        Policy::evaluate(&Settings::default(), &reload, &mut ())
    }

    #[test]
    fn the_sixth_failure_is_too_much() {
        let allowed = testing::window(0, (5, 50), (0, 50));
        assert_eq!(
            judge(std::slice::from_ref(&allowed)).verdict,
            Verdict::Proceed
        );
        let sixth = testing::window(1, (1, 1), (0, 1));
        let judgement = judge(&[allowed, sixth]);
        assert_eq!(judgement.verdict, Verdict::Rollback(Blame::Candidate));
        assert_eq!(
            judgement.why.summary,
            "6 of 51 requests failed, 6.0 more than the stable version shows; at most 5 may"
        );
    }

    #[test]
    fn what_both_versions_fail_is_no_fault_of_the_new_one() {
        let outage = testing::window(0, (30, 60), (30, 60));
        assert_eq!(judge(&[outage]).verdict, Verdict::Proceed);
    }

    #[test]
    fn a_budget_that_every_version_would_keep_is_refused() {
        let mut problems = Problems::default();
        let settings = Settings {
            max_failures: 50,
            min_requests: 50,
        };
        Policy::check(&settings, &mut problems);
        assert!(!problems.is_empty());
    }
}
