//! The strategy policy `standard`: a new version comes in as the agent's configuration says.
//!
//! It adds no judgement of its own. The plan is the configured one, and whenever every rollback policy finds the candidate fit, the
//! next planned step is proposed. How long a stage or a bake lasts, and where an operator must act, stands in the plan and is kept
//! by the host; this policy never asks for less, so it does not need to remember anything.
//!
//! A fixed share (`progressive = false`) comes as a plan of one stage with `needs-operator`: the host stays there until an operator
//! says `resume`, `promote` or `set-split`, whatever is proposed here.

mod decision;

use caxton_policy::{Context, Plan, Proposal, Reload, StrategyPolicy};
use schemars::JsonSchema;
use serde::Deserialize;

/// There are none: how a version comes in is said in `[reload]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// The policy.
pub struct Standard;

impl StrategyPolicy for Standard {
    const NAME: &'static str = "standard";
    const ABOUT: &'static str = "Brings a new version in as the agent's configuration says, one planned step whenever the version is found fit.";
    type Settings = Settings;
    type State = ();

    fn begin(_settings: &Settings, _context: &Context, configured: Plan) -> Plan {
        decision::plan(configured)
    }

    fn next(_settings: &Settings, reload: &Reload<'_>, fit: bool, _state: &mut ()) -> Proposal {
        decision::next(reload.context, fit)
    }
}

caxton_policy::strategy_policy!(Standard);
