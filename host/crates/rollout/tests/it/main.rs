//! The core from outside: scenarios as tables of decisions, all short sequences of events, and random long ones.

mod exhaustive;
mod properties;
mod scenarios;
mod stage;
