//! Who may use the machine: most tests share it, those that measure time or load have it for themselves.
//!
//! Test threads are one for each core; without turns, a test that asks whether an answer came within 100 ms would ask
//! how busy the other test keeps the machine.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Leave to use the machine, given back when dropped.
#[expect(dead_code, reason = "held, not read")]
pub(crate) enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// Beside other tests.
    pub(crate) async fn shared() -> Self {
        Self::Shared(MACHINE.read().await)
    }

    /// While no other test runs.
    pub(crate) async fn alone() -> Self {
        Self::Alone(MACHINE.write().await)
    }
}
