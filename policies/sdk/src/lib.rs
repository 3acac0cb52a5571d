//! Policies for Caxton: how a new version of an agent comes in, and when to go back.
//!
//! A policy implements [`RollbackPolicy`] or [`StrategyPolicy`] and is exported with [`rollback_policy!`] or [`strategy_policy!`].
//! This one goes back when more than a tolerated share of the requests failed:
//!
//! ```
//! use caxton_policy::{Blame, Finding, Judgement, Reload, RollbackPolicy, windows};
//!
//! /// What can be configured.
//! #[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     /// Tolerated share of failed requests, 0 to 1.
//!     #[schemars(range(min = 0.0, max = 1.0))]
//!     max_failure_rate: f64,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { max_failure_rate: 0.05 }
//!     }
//! }
//!
//! struct Simple;
//!
//! impl RollbackPolicy for Simple {
//!     const NAME: &'static str = "simple";
//!     const ABOUT: &'static str = "Goes back when too many of at least 50 requests failed.";
//!     type Settings = Settings;
//!     type State = ();
//!
//!     fn evaluate(settings: &Settings, reload: &Reload<'_>, _state: &mut ()) -> Judgement {
//!         let calls = windows::candidate(windows::judged(reload.windows));
//!         let Some(rate) = calls.failure_rate().filter(|_| calls.requests >= 50) else {
//!             return Judgement::undecided("too-few", format!("{} of 50 requests", calls.requests));
//!         };
//!         let limit = settings.max_failure_rate;
//!         let finding = Finding::new("failure-rate", rate, limit, calls.requests).breached(rate > limit);
//!         let summary = format!("{} of {} requests failed", calls.failures, calls.requests);
//!         if rate > limit {
//!             return Judgement::rollback(Blame::Unknown, "failure-rate", summary).with([finding]);
//!         }
//!         Judgement::proceed("healthy", summary).with([finding])
//!     }
//! }
//!
//! caxton_policy::rollback_policy!(Simple);
//!
//! // Natively it is a function of its arguments, and so are its tests.
//! use caxton_policy::{Context, ReloadMetrics, Verdict, testing};
//! let windows = [testing::window(0, (3, 30), (0, 30)), testing::window(1, (3, 30), (0, 30))];
//! let (context, metrics) = (Context::default(), ReloadMetrics::default());
//! let reload = Reload { context: &context, metrics: &metrics, windows: &windows };
//! let judgement = Simple::evaluate(&Settings::default(), &reload, &mut ());
//! assert_eq!(judgement.verdict, Verdict::Rollback(Blame::Unknown));
//! assert_eq!(judgement.why.summary, "6 of 60 requests failed");
//! ```
//!
//! The crate of a policy has `crate-type = ["cdylib", "rlib"]`, and becomes a component with
//! `cargo build --release --target wasm32-wasip2`. It needs `serde` (with `derive`) and `schemars` for its settings.
//!
//! # What a policy can rely on
//!
//! - Settings come as the type that they are: the schema in `describe` is made from it with its defaults, the host holds what is
//!   configured against it, and [`check`](RollbackPolicy::check) says what a schema cannot.
//! - Nothing is kept from call to call but the state, which the host keeps. It starts empty, and does so again where it cannot be
//!   read: a policy must be able to start anew from the windows at any time.
//! - The same arguments must give the same answer: there is no clock, no randomness but `context.seed`, and no file.
//! - A panic is a fault, as is an answer that makes no sense. A fault freezes the reload and never goes back.
//!
//! It deliberately has no opinion: what is evidence enough is the policy's business.

mod answer;
mod bindings;
mod defaults;
mod policy;
mod schema;

#[doc(hidden)]
pub mod component;
pub mod log;
pub mod settings;
pub mod statistics;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod windows;
pub mod words;

pub use answer::{Judgement, Proposal, because};
pub use policy::{Reload, RollbackPolicy, StrategyPolicy};
pub use settings::Problems;
pub use windows::Counts;

pub use bindings::base::caxton::policy::types::{
    Absence, Arm, Attempt, Bucket, Context, CustomMetric, Explanation, Finding, Info, MetricValue,
    Outcome, Phase, Problem, ReloadMetrics, Strategy, Version, Window,
};
pub use bindings::rollback::exports::caxton::policy::rollback::{Blame, Verdict};
pub use bindings::strategy::exports::caxton::policy::strategy::{Plan, Stage, Step};

/// What the export macros need from here.
#[doc(hidden)]
pub mod exported {
    pub use crate::bindings::base;
    pub use crate::bindings::base::exports::caxton::policy::about;
    pub use crate::bindings::rollback;
    pub use crate::bindings::rollback::exports::caxton::policy::rollback as rollback_interface;
    pub use crate::bindings::strategy;
    pub use crate::bindings::strategy::exports::caxton::policy::strategy as strategy_interface;
}

/// Exports a [`RollbackPolicy`] as a component. Natively it does nothing, so that the crate links and its tests run.
///
/// The policy's version is its crate's.
#[macro_export]
macro_rules! rollback_policy {
    ($policy:ty) => {
        $crate::__exported_about!($policy, $crate::RollbackPolicy);

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::exported::rollback_interface as interface;

            impl interface::Guest for __CaxtonPolicy {
                fn evaluate(
                    settings: ::std::string::String,
                    context: interface::Context,
                    metrics: interface::ReloadMetrics,
                    windows: ::std::vec::Vec<interface::Window>,
                    state: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<interface::Answer, ::std::string::String> {
                    $crate::component::evaluate::<$policy>(
                        &settings, &context, &metrics, &windows, &state,
                    )
                }
            }

            $crate::exported::rollback::export!(__CaxtonPolicy with_types_in $crate::exported::rollback);
        };
    };
}

/// Exports a [`StrategyPolicy`] as a component. Natively it does nothing, so that the crate links and its tests run.
///
/// The policy's version is its crate's.
#[macro_export]
macro_rules! strategy_policy {
    ($policy:ty) => {
        $crate::__exported_about!($policy, $crate::StrategyPolicy);

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::exported::strategy_interface as interface;

            impl interface::Guest for __CaxtonPolicy {
                fn begin(
                    settings: ::std::string::String,
                    context: interface::Context,
                    configured: interface::Plan,
                ) -> ::core::result::Result<interface::Plan, ::std::string::String> {
                    $crate::component::begin::<$policy>(&settings, &context, configured)
                }

                fn next(
                    settings: ::std::string::String,
                    context: interface::Context,
                    fit: bool,
                    metrics: interface::ReloadMetrics,
                    windows: ::std::vec::Vec<interface::Window>,
                    state: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<interface::Answer, ::std::string::String> {
                    let reload = $crate::Reload {
                        context: &context,
                        metrics: &metrics,
                        windows: &windows,
                    };
                    $crate::component::next::<$policy>(&settings, &reload, fit, &state)
                }
            }

            $crate::exported::strategy::export!(__CaxtonPolicy with_types_in $crate::exported::strategy);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __exported_about {
    ($policy:ty, $kind:path) => {
        #[cfg(target_family = "wasm")]
        struct __CaxtonPolicy;

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::exported::about;

            impl about::Guest for __CaxtonPolicy {
                fn describe() -> about::Info {
                    $crate::component::describe::<<$policy as $kind>::Settings>(
                        <$policy as $kind>::NAME,
                        env!("CARGO_PKG_VERSION"),
                        <$policy as $kind>::ABOUT,
                    )
                }

                fn check_settings(
                    settings: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::vec::Vec<about::Problem>> {
                    $crate::component::check_settings(&settings, <$policy as $kind>::check)
                }
            }

    $crate::exported::base::export!(__CaxtonPolicy with_types_in $crate::exported::base);
        };
    };
}
