//! The local loop: what a person sees who works on an agent, in `caxton run --dev` and `caxton dev`.
//!
//! A host in dev mode is the host of `caxton run` with other settings (`config/dev.rs`), and it says in one line what became of
//! each save. `caxton dev` builds besides: `project` finds out how, `sources` sees what is saved, `turns` decides, `build` runs, and
//! `work` ties them together. What is said is made of the host's events alone (`report`), so that it is what happened and not what was meant to.

mod build;
mod lines;
mod project;
mod report;
mod sources;
mod turns;
mod work;

use std::sync::Arc;

pub(crate) use lines::PrintedLines;
pub(crate) use report::Report;
pub(crate) use work::{Asked, work};

use crate::cli::{Paint, print};
use crate::events::EventLog;

/// What the log says beside those lines: only what they do not say.
pub(crate) const LOG: &str = "warn,caxton::controller=error";

/// Said once, before the first line.
pub(crate) const NOT_USED: &str =
    "dev: warm_up, bake and rollback of configurations are not used\n";

/// Prints what happens, from the first event on, for as long as the host lives.
pub(crate) async fn report(events: Arc<EventLog>, mut report: Report) {
    let mut follower = events.follow(0);
    let paint = Paint::stdout();
    loop {
        for event in follower.next().await {
            if let Some(line) = report.take_in(&event) {
                // Whoever closes the output wants the host to be quiet, not to end.
                let _ = print(&line.painted(paint));
            }
        }
    }
}
