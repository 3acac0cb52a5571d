//! What the tests share: a host that runs, its callers, its operator, and the files that are dropped.

mod admin;
mod caxton;
mod events;
mod files;
mod http;
mod load;
mod outside;
mod process;
mod time;
mod turns;

pub(crate) use caxton::{Caxton, Setup};
pub(crate) use events::Event;
pub(crate) use files::{digest, put, variant};
pub(crate) use http::{Ask, Connection, Reply, once};
pub(crate) use load::{Load, Record};
pub(crate) use outside::Outside;
pub(crate) use process::{Around, HOSTS_OWN, binary};
pub(crate) use time::{PATIENCE, epoch_ms, wait_for};
pub(crate) use turns::Turn;
