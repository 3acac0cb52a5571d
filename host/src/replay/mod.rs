//! Asks policies again what they were asked before.
//!
//! - [`replay()`]: one policy over records that it wrote or another wrote, and where it differs.
//! - [`backtest()`]: two policies side by side over the same records, each as if it alone had judged.
//! - [`what_if()`]: what would have changed an answer.
//!
//! A policy is a function of its arguments, so the same component with the same settings must answer what it answered,
//! fuel included. What no record can bring back is what another decision would have led to: past the first decision
//! that differs from what was done, the windows are those of another course.
//!
//! What must hold: nothing here changes anything anywhere; it needs no host; nothing panics on records or policies.

mod backtest;
mod differences;
mod made_up;
mod rerun;
mod subject;
mod what_if;

pub use self::backtest::{Backtest, Course, Departure, Point, Run, Said, Sum, backtest};
pub use self::differences::Difference;
pub use self::rerun::{Replayed, ReplayedReload, Skipped, SkippedReload, replay};
pub use self::subject::{ReplayError, Subject};
pub use self::what_if::{Change, what_if};

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
