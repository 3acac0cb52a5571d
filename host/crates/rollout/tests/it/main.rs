//! The core from outside: scenarios as tables of decisions, all short sequences of events, and random long ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod beside_the_permanent;
mod boundaries;
mod breaker;
mod copies;
mod crashing;
mod decisions;
mod exhaustive;
mod laws;
mod policies;
mod properties;
mod restart;
mod scenarios;
mod shares;
mod stage;
mod state;
mod unwell;
mod validation;
mod written_ahead;
