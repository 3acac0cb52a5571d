//! The host: what connects the watched directory, the pure core, the runtime and the surfaces.
//!
//! Data flow: `caxton-watch` tells what the directory asks for, [`controller`] feeds it to the core
//! (`caxton-rollout`) and carries its commands out on the runtime, [`gateway`] reads the routing table that the
//! controller stores, [`admin`] shows what the controller published and passes operators' orders to it, [`cli`] is a
//! client of the admin API.

// The documentation of this crate is for those who work on it; nobody else builds on the host.
#![allow(rustdoc::private_intra_doc_links)]

pub mod admin;
mod artifacts;
mod attention;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
mod demo;
mod dev;
pub mod events;
mod folders;
pub mod gate;
pub mod gateway;
pub mod handle;
pub mod host;
pub mod logs;
#[cfg(test)]
#[path = "../../tests/corpus/mutate.rs"]
mod mutate;
pub mod policies;
pub mod project;
pub mod published;
pub mod records;
pub mod replay;
mod ring;
pub mod routes;
pub mod scenarios;
mod snapshots;
pub mod telemetry;
pub mod wit;
