//! The two traits that a policy implements one of.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Judgement, Plan, Problems, Proposal, ReloadMetrics, Window};

/// What a policy is asked about: one reload so far.
#[derive(Clone, Copy, Debug)]
pub struct Reload<'a> {
    /// Where the reload stands.
    pub context: &'a Context,
    /// The candidate over the whole reload, in a few figures.
    pub metrics: &'a ReloadMetrics,
    /// Both versions over time, oldest first; since the reload began, at most 120.
    pub windows: &'a [Window],
}

/// A policy that says when to go back.
pub trait RollbackPolicy {
    /// Its name, as configurations write it.
    const NAME: &'static str;
    /// What it does, in a sentence or two.
    const ABOUT: &'static str;
    /// What can be configured. With `#[serde(default)]` everything has a default, and the schema shows it. A misspelt setting is
    /// refused, unless the type itself takes any name (a flattened map).
    type Settings: DeserializeOwned + JsonSchema;
    /// What it remembers from one call to the next in a reload: the host keeps it, as JSON of at most 64 KiB. It starts as the
    /// default, and does so again where it cannot be read. `()` for a policy that remembers nothing.
    ///
    /// JSON has no infinity and no NaN: a state that would not come back as it is, or is too large, is a fault of the policy.
    /// (In an `Option`, a number that is not finite comes back as `None`, and nobody can tell.)
    type State: Serialize + DeserializeOwned + Default;

    /// What the schema cannot say about settings. Every problem should be added, not only the first.
    fn check(_settings: &Self::Settings, _problems: &mut Problems) {}

    /// The verdict. The host asks at each tick of a reload in which the candidate has traffic or copies.
    fn evaluate(
        settings: &Self::Settings,
        reload: &Reload<'_>,
        state: &mut Self::State,
    ) -> Judgement;
}

/// A policy that says how a version comes in.
pub trait StrategyPolicy {
    /// Its name, as configurations write it.
    const NAME: &'static str;
    /// What it does, in a sentence or two.
    const ABOUT: &'static str;
    /// What can be configured, as in [`RollbackPolicy::Settings`].
    type Settings: DeserializeOwned + JsonSchema;
    /// What it remembers from one call of [`next`](StrategyPolicy::next) to the other, as in [`RollbackPolicy::State`].
    type State: Serialize + DeserializeOwned + Default;

    /// What the schema cannot say about settings. Every problem should be added, not only the first.
    fn check(_settings: &Self::Settings, _problems: &mut Problems) {}

    /// How the reload is to go; `configured` is what the agent's configuration says. The host asks once in a reload.
    fn begin(settings: &Self::Settings, context: &Context, configured: Plan) -> Plan;

    /// The next step. `fit` says that every rollback policy that enforces said `proceed`; without it the host takes no step forward.
    fn next(
        settings: &Self::Settings,
        reload: &Reload<'_>,
        fit: bool,
        state: &mut Self::State,
    ) -> Proposal;
}
