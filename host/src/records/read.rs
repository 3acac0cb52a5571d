//! Reads decision records: lines, and from them, call by call, what each policy was asked.
//!
//! A file may hold several reloads, one after the other. What is cut off at its end, and what a newer host wrote besides,
//! is passed over and told; anything else that is wrong ends the reading with the place and the reason. Nothing here asks
//! a policy.
//!
//! What must hold: a line takes bounded memory, however long it is, and a reload no more than its latest rounds and windows
//! do, however many windows stand before a round.

mod course;
mod lines;

pub use self::course::{Happening, Question, Records, Round, Turn};
pub use self::lines::{LINE_BYTES_MAX, Notice, Unreadable};

#[cfg(test)]
mod tests;
