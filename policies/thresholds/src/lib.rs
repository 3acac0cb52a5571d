//! The rollback policy `thresholds`: five triggers, each a figure and a limit, judged on what was measured.
//!
//! It looks at the candidate's windows since it got traffic, without those of its warm-up, and compares their sums with fixed
//! limits. Rates count only from a minimum sample on, so that one failure of one call decides nothing. It deliberately does
//! no statistics: whether a difference could be chance is another policy's question.

mod decision;
mod evidence;
mod settings;

use caxton_policy::{Judgement, Reload, RollbackPolicy};
pub use settings::{Settings, Trigger};

/// The policy.
pub struct Thresholds;

impl RollbackPolicy for Thresholds {
    const NAME: &'static str = "thresholds";
    const ABOUT: &'static str = "Goes back when a measured figure is beyond its limit: failed health checks, error rate, slowdown against \
                                 the stable version, memory, or a metric that the agent reports.";
    type Settings = Settings;
    type State = ();

    fn evaluate(settings: &Settings, reload: &Reload<'_>, _state: &mut ()) -> Judgement {
        decision::decide(settings, reload.context.baseline.as_ref(), reload.windows)
    }
}

caxton_policy::rollback_policy!(Thresholds);
