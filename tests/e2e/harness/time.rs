//! Waiting for facts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a fact may take before the test fails. It says nothing about how fast the host is: it is long enough for a
/// machine that does other things besides, and short enough to be waited for by a person.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOKS_APART: Duration = Duration::from_millis(10);

/// Looks until there is something to see.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        tokio::time::sleep(LOOKS_APART).await;
    }
}

/// The wall clock, in milliseconds, as the host writes moments.
pub(crate) fn epoch_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        * 1_000.0
}
