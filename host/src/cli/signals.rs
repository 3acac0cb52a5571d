//! What people and service managers send to a process to end it.

use std::io;

use tokio::sync::watch;

/// Counts the signals that ask the process to end: Ctrl-C, and SIGTERM where there is one.
#[derive(Debug, Clone)]
pub(crate) struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Begins to listen: from now on a signal is counted and does not end the process by itself.
    ///
    /// The third ends it at once, for a host that cannot even be forced.
    pub(crate) fn listen() -> io::Result<Self> {
        let (count, seen) = watch::channel(0);
        #[cfg(unix)]
        let mut terminate = {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::terminate())?
        };
        tokio::spawn(async move {
            loop {
                #[cfg(unix)]
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                #[cfg(not(unix))]
                let _ = tokio::signal::ctrl_c().await;
                count.send_modify(|count| *count += 1);
                if *count.borrow() >= 3 {
                    // 128 and the number of the interrupt, as shells have it.
                    std::process::exit(130);
                }
            }
        });
        Ok(Self(seen))
    }

    /// How often the process was asked so far.
    pub(crate) fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits until the process was asked to end this many times.
    pub(crate) async fn asked(&mut self, times: u32) {
        if self.0.wait_for(|count| *count >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
