//! The simulator: thousands of reloads with faults, from a seed.
//!
//! [`World`] is the outside of the core as books that can be checked, [`Simulation`] a long random life in it. There is
//! no wall clock, no thread and no file: a seed tells everything, and a run that fails is run again with its seed.
//!
//! What is deliberately not here: what the edge does with a command. That is what end-to-end tests are for.

mod books;
mod carrying;
mod chance;
mod crashes;
mod decisions;
mod grants;
mod journal;
mod rng;
mod rounds;
mod simulation;
mod ticks;
mod wishes;
mod world;

pub use books::{Books, Broken};
pub use journal::Journal;
pub use rng::Rng;
pub use simulation::Simulation;
pub use world::{Asks, Question, World};
