//! What comes from the terminal. Reading it blocks, so a thread of its own does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc;

/// Keys that may wait: more than anyone presses while one of them is taken.
const WAITING: usize = 64;

/// How often the thread looks whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Events of the terminal, in order. The thread ends with this value.
pub(super) struct Keys {
    events: mpsc::Receiver<io::Result<Event>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    pub(super) fn start() -> Self {
        let (to, events) = mpsc::channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let event = match event::poll(LOOK_UP) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let broken = event.is_err();
                if to.blocking_send(event).is_err() || broken {
                    return;
                }
            }
        });
        Self {
            events,
            stop,
            thread: Some(thread),
        }
    }

    /// The next event. Safe to cancel.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        let gone = || io::Error::other("the terminal sends nothing any more");
        self.events.recv().await.ok_or_else(gone)?
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.events.close();
        if let Some(thread) = self.thread.take() {
            // It could only have panicked, and that was told when it did.
            let _ = thread.join();
        }
    }
}
