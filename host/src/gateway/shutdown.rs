//! How a gateway is told to stop, and how its connections hear of it without a lock on the request path.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// How far stopping has come. It only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    Draining,
    Cut,
}

/// Tells a gateway to stop: first politely, then at once. Clones tell the same gateway.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    moved: Arc<Notify>,
}

impl Shutdown {
    /// No new connection, no further request on those that are open; running requests are waited for.
    pub fn stop(&self) {
        self.advance(Stage::Draining);
    }

    /// What still runs is cut.
    pub fn force(&self) {
        self.advance(Stage::Cut);
    }

    fn advance(&self, stage: Stage) {
        self.0.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.0.moved.notify_waiters();
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::SeqCst) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            _ => Stage::Cut,
        }
    }

    /// Ends when that stage, or a later one, is reached.
    pub(crate) async fn reached(&self, stage: Stage) {
        loop {
            let moved = self.0.moved.notified();
            if self.stage() >= stage {
                return;
            }
            moved.await;
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            shutdown: self.clone(),
            moved: None,
            waker: None,
        }
    }
}

/// Reads the stage on every poll of a task, and asks to be woken only when it was not asked before: waiting on the
/// notification itself would take its lock, shared by all connections, several times a request.
pub(crate) struct Watch {
    shutdown: Shutdown,
    moved: Option<Pin<Box<OwnedNotified>>>,
    waker: Option<Waker>,
}

impl Watch {
    /// The stage now. The task is woken when it moves on.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Stage {
        let woken_there = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.waker.as_ref().is_some_and(woken_there) {
            self.arm(cx);
        }
        let stage = self.shutdown.stage();
        if stage == Stage::Draining {
            // The last move of the stage has used the notification up: there may be one more.
            self.rearm_if_used(cx);
            return self.shutdown.stage();
        }
        stage
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let notified = Arc::clone(&self.shutdown.0.moved).notified_owned();
        let mut moved = Box::pin(notified);
        // A notification that comes before this poll is not lost: the stage is read after it.
        let _armed: Poll<()> = moved.as_mut().poll(cx);
        self.moved = Some(moved);
        self.waker = Some(cx.waker().clone());
    }

    fn rearm_if_used(&mut self, cx: &mut Context<'_>) {
        let used = match &mut self.moved {
            Some(moved) => moved.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if used {
            self.arm(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_watching_task_is_woken_by_each_of_two_moves() {
        let shutdown = Shutdown::default();
        let mut watch = shutdown.watch();
        let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(poll_fn(move |cx| {
            let stage = watch.poll(cx);
            told.send(stage).unwrap();
            if stage == Stage::Cut {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(seen.recv().await, Some(Stage::Serving));
        shutdown.stop();
        assert_eq!(seen.recv().await, Some(Stage::Draining));
        shutdown.force();
        assert_eq!(seen.recv().await, Some(Stage::Cut));
        tokio::time::timeout(Duration::from_secs(5), task)
            .await
            .unwrap()
            .unwrap();
        shutdown.reached(Stage::Draining).await;
    }

    #[test]
    fn a_stage_never_goes_back() {
        let shutdown = Shutdown::default();
        shutdown.force();
        shutdown.stop();
        assert_eq!(shutdown.stage(), Stage::Cut);
    }
}
