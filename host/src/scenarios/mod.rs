//! Scenario files: courses of events with the verdicts that a policy must reach, and the runner for them.
//!
//! A file becomes [`Scenario`]s ([`parse`]); a [`Play`] walks through one and gives what a policy is asked at each tick,
//! computed as the core computes it; [`run()`] asks a policy and hands back what it said and where that differs from what
//! is expected ([`differences`]). Nothing here reads files, prints, or knows where policies come from.
//!
//! What must hold: the same file and the same policy give the same result. What a file writes and nobody reads is
//! refused, with the scenario and the field, so that no expectation is dropped in silence.

mod error;
mod expect;
mod file;
mod lay;
mod play;
mod run;
#[cfg(test)]
mod tests;
mod tick;

pub use error::{Problem, ScenarioError};
pub use expect::{Decision, Difference, Expect, Said, Wanted, differences};
pub use file::{FORMAT, Scenario, context, parse};
pub use play::{Play, Question};
pub use run::{Ran, Stopped, run};
