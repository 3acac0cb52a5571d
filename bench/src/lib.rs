//! Figures of Caxton that anyone can measure again, and trials of what must hold through kills and over time.
//!
//! Everything here starts the real binary, drops real components, and sees of the host what its users see; `kill` also opens the
//! journal, as a person would. A measurement prints and judges nothing; a trial ends with violations, or without.

pub mod admin;
pub mod figures;
pub mod handover;
pub mod host;
pub mod kill;
pub mod many;
pub mod memory;
pub mod reload;
pub mod serve;
pub mod soak;
pub mod traffic;

/// A client for hosts.
fn client() -> reqwest::Client {
    // It wants to know who would do TLS, which no host here speaks. Where a provider is there already it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
