//! Turns of what is untrusted and cannot be stopped: a thread that holds settings against a schema runs on to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use caxton_rollout::Digest;
use tokio::sync::Semaphore;

/// How long compiling a schema, and holding settings against one, may take: usually less than a millisecond.
pub(in super::super) const TIME_MAX: Duration = Duration::from_secs(5);

/// Threads that are at work for one component at once. What nobody waits for any more counts until it ends.
const AT_ONCE: usize = 2;

/// Who is at work, by component: what a schema costs, others need not wait for.
#[derive(Debug, Default)]
pub(in super::super) struct Turns(Mutex<BTreeMap<Digest, Arc<Semaphore>>>);

impl Turns {
    /// Runs `work` on a thread for blocking work, on behalf of this component. None: it took longer than `most`, waiting for
    /// its turn included, or panicked. What takes too long runs on to its end, nobody waits for it, and its turn is over
    /// only then.
    pub(in super::super) async fn within<T: Send + 'static>(
        &self,
        component: Digest,
        most: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turns = self.of(component);
        let done = async {
            let turn = turns.acquire_owned().await.ok()?;
            let running = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work()
            });
            running.await.ok()
        };
        tokio::time::timeout(most, done).await.ok().flatten()
    }

    fn of(&self, component: Digest) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits or works holds one, too.
        all.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = all.entry(component);
        Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    /// Each step doubles what is looked at.
    fn exponential(steps: usize) -> Schema {
        let mut shapes = serde_json::Map::new();
        for step in 0..steps {
            let next = json!({ "$ref": format!("#/$defs/s{}", step + 1) });
            shapes.insert(format!("s{step}"), json!({ "allOf": [next, next] }));
        }
        shapes.insert(format!("s{steps}"), json!({ "minProperties": 0 }));
        let schema = json!({
            "type": "object", "$defs": shapes, "allOf": [{ "$ref": "#/$defs/s0" }],
        });
        Schema::compile(&schema.to_string()).unwrap()
    }

    /// A schema and settings that take some seconds of this machine.
    fn slow() -> Schema {
        for steps in 4.. {
            let schema = exponential(steps);
            let started = Instant::now();
            schema.judge(&json!({}));
            if started.elapsed() > Duration::from_millis(100) {
                return exponential(steps + 4);
            }
        }
        unreachable!("there is always a next one");
    }

    #[tokio::test]
    async fn work_that_takes_too_long_does_not_pile_up_and_holds_nobody_else_up() {
        let (turns, slow) = (Turns::default(), Arc::new(slow()));
        let (bad, good) = (Digest::new([1; 32]), Digest::new([2; 32]));
        let begun = Arc::new(AtomicUsize::new(0));
        let most = Duration::from_millis(50);
        for _ in 0..6 {
            let (begun, slow) = (Arc::clone(&begun), Arc::clone(&slow));
            let judged = turns.within(bad, most, move || {
                begun.fetch_add(1, Ordering::Relaxed);
                slow.judge(&json!({})).problems.len()
            });
            assert_eq!(judged.await, None);
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
        let fine = move || exponential(2).judge(&json!({})).problems.len();
        assert_eq!(turns.within(good, TIME_MAX, fine).await, Some(0));
        // Once what ran on has ended, it is this component's turn again.
        let fine = move || exponential(2).judge(&json!({})).problems.len();
        let ended = turns.within(bad, Duration::from_secs(60), fine);
        assert_eq!(ended.await, Some(0));
    }
}
