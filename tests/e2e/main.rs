//! End to end: the real binary, real components, real sockets, real files.
//!
//! Each test starts a host of its own in a temporary directory, on free ports, and talks to it as its users do: it drops
//! files, sends requests, gives signals and orders. It waits for facts with a deadline and never for a time. Where a
//! person's or a network's slowness is the matter itself (a file that is written slowly), the test is slow on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod harness;

mod acceptance;
mod attention;
mod bodies;
mod by_hand;
mod checked;
mod command_line;
mod configuration;
mod contracts;
mod demo;
mod dev_loop;
mod equal_answers;
mod escapes;
mod evidence;
mod explained;
mod faults_of_the_world;
mod handed_over;
mod in_flight;
mod isolation;
mod judged;
mod kept_versions;
mod kills;
mod logs;
mod metered;
mod nothing_lost;
mod operators;
mod parallel;
mod policies;
mod policy_contract;
mod policy_faults;
mod policy_folder;
mod policy_lists;
mod quarantine;
mod records;
mod refusals;
mod reloads_under_load;
mod restarts;
mod security;
mod shutdown;
mod side_effects;
mod splitting;
mod state;
mod state_on_disk;
mod supersession;
mod supervision;
mod telemetry;
mod triggers;
mod turned_off;
mod upkeep;
mod validation;
mod waiting;
mod watching;
