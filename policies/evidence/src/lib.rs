//! The default rollback policy `evidence`: it goes back when enough speaks against a version, however often it is looked at.
//!
//! A threshold on a rate that is looked at after every request goes back from healthy versions, and a bound for one look does so, too.
//! Here the chance of *ever* going back from a version at or below what is tolerated is bounded (`false_rollback_probability`),
//! and a version that fails 30 % of its requests is still found in about 26 of them.
//!
//! # How
//!
//! - **What is tolerated** moves with the stable version: [`Settings::max_failure_rate`], or [`Settings::relative_factor`] times what the
//!   stable version does at the same time (until it has enough traffic: did before the reload), whichever is more, up to a cap.
//! - **Evidence** is a mixture of likelihood ratios against seven worse rates, kept as logarithms and summed tick by tick (an
//!   e-value). Beside it a CUSUM looks for what begins late, so that ten thousand good requests buy no immunity.
//! - **Common cause**: the same CUSUM for the stable version against its own past. What hits both is nobody's fault: the reload is held.
//! - **Outage**: while the stable version's own rate is at or beyond the cap, in the latest requests that are compared with or in this
//!   tick alone, and in at least 10 of them, nothing worse can be told apart, and what the candidate does adds nothing to the evidence, for better or worse. So
//!   for every rate, each by itself. It ends when the stable version recovers, or when the candidate has all traffic.
//! - **Fit** is a version with enough requests whose failure rate is surely (Wilson, one-sided, 95 %) not above a bound.
//!
//! Each metric is one small unit (`rate`, `health`, `memory`) and `judge` combines them: the gravest verdict holds, and among equals
//! the first of failure rate, differing answers to copies, health, latency, custom ratios, memory, refusals.
//!
//! Rollbacks come before `no-data`: health checks lead back without any request.
//!
//! | verdict | code |
//! |---|---|
//! | rollback | `failure-rate`, `mirror-mismatch`, `health`, `latency`, `custom-metric`, `memory`; `rejections` and `unavailable` where so configured |
//! | hold | `no-data`, `common-cause`, `rejections`, `unavailable` |
//! | proceed | `healthy` |
//! | undecided | `insufficient-evidence` |
//!
//! Blame is the candidate's where the stable version has traffic at the same time, and otherwise unknown: after a graceful or immediate
//! swap there is no control, and a comparison of before and after cannot tell a bad version from a bad minute.
//!
//! One more failure never turns a rollback for failures into anything milder, and so for every other metric that counts bad ones (slow
//! calls, refusals, differing answers, ratios, health checks) with one more of its own bad ones. Not for memory; and not across
//! metrics: a request more that fails fast is one more that is not slow. The exception is the first failure of a caller with a
//! key, beside failures of callers without: then it may be one caller's.
//!
//! # What counts
//!
//! - A tick is a window. Windows that the host marks as warm-up are left out for both versions, and so are the first `warm_up_ticks`
//!   windows in which the candidate had requests, and everything before them. A candidate that listened begins them anew at the swap.
//! - The comparison begins with the first window in which the candidate is meant to have traffic, has some, or hears copies. What
//!   the stable version did earlier is in the baseline.
//! - While the candidate only listens, its answers to copies are judged in place of its answers to callers. At the swap these sums are
//!   dropped; those of its health checks stay.
//! - Once the candidate is meant to have all traffic and the stable version has none, a common cause is over: nothing could tell
//!   that it went on. What is tolerated stays what the last comparison gave.
//! - `min_failing_callers` counts where the host knows at least 5 callers of the candidate over the whole reload, and at least one of
//!   them had a failure: callers without a key are not known, and their failures may be anybody's.
//! - Latency is judged in windows in which both versions had traffic, from when the stable version's comparison window is full: the
//!   95th percentile of a few calls is chance. Counts come from buckets, so a call counts as slow from the next bound on.
//!   `min_failures` slow calls are enough, so the slow first calls of new instances count; `warm_up_ticks` leaves them out.
//! - Health is judged from the first check on, also without requests. The host checks the candidate only, so what ails both looks
//!   like the candidate's; a host that tells checks of the stable version too would get a common cause.
//! - A custom ratio is held against the stable version's of the same name; as a common cause only where the baseline has it.
//! - Memory is projected over `bake_seconds`, because a policy is not told how long the bake is.
//!
//! # State
//!
//! Sums only, a few hundred bytes of JSON and about as many for each custom ratio. An empty or unreadable state is made anew from
//! the windows, as is one that the windows no longer fit to.

mod counted;
mod health;
mod judge;
mod memory;
mod outlook;
mod rate;
mod settings;
mod state;

use caxton_policy::{Judgement, Problems, Reload, RollbackPolicy};

pub use settings::{JudgeRejections, Settings};
pub use state::State;

/// The policy.
pub struct Evidence;

impl RollbackPolicy for Evidence {
    const NAME: &'static str = "evidence";
    const ABOUT: &'static str = "Goes back when enough speaks against a version, with a bounded chance of ever going back from one that is \
                                 within tolerance, and waits where the stable version suffers, too.";
    type Settings = Settings;
    type State = State;

    fn check(settings: &Settings, problems: &mut Problems) {
        settings.check(problems);
    }

    fn evaluate(settings: &Settings, reload: &Reload<'_>, state: &mut State) -> Judgement {
        state.update(reload.windows, reload.context, settings);
        judge::judge(settings, reload, state)
    }
}

caxton_policy::rollback_policy!(Evidence);

#[cfg(test)]
mod figures_tests;
