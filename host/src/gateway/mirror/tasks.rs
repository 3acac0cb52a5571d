//! Where copies run: beside the requests that they were made of, and no longer than the gateway.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of all copies of a gateway. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    /// Runs a copy to its end, or to the gateway's.
    pub(crate) fn spawn(&self, copy: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        // Its result is nobody's: what came of a copy is counted where it ends.
        drop(
            self.tracker
                .spawn(async move { end.run_until_cancelled(copy).await }),
        );
    }

    /// Ends what still runs. When this returns, no copy does.
    pub(crate) async fn end(&self) {
        self.end.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
