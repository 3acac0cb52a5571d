//! What guests print, line by line, with the agent and version that printed it.
//!
//! A guest never waits for whoever reads the lines: they go through a bounded queue to a thread of their own, and a version
//! that floods it loses lines, which the next line that fits tells.

use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Longer lines are broken here: a guest that never prints a newline must not grow a buffer.
pub const MAX_LINE: usize = 8 << 10;
/// Lines of one version that wait to be read; a burst fits, a flood does not.
const MAX_QUEUED_PER_VERSION: usize = 512;
/// Lines of all versions that wait to be read.
const MAX_QUEUED: usize = 8 << 10;
/// What a guest may hand over in one write.
const WRITE_BUDGET: usize = 64 << 10;

/// Which of the two streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a guest printed.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Who printed it.
    pub agent: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Where.
    pub stream: LogStream,
    /// Without its newline; at most [`MAX_LINE`] bytes; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Lines of this version that were lost before this one.
    pub dropped_before: u64,
    /// When it was printed.
    pub at: SystemTime,
}

/// Takes the lines, one after the other, on a thread of its own.
pub trait LogSink: Send + Sync + 'static {
    /// May block: only further log lines wait for it.
    fn line(&self, line: LogLine);
}

/// Hands lines to `tracing`, under the target `agent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, line: LogLine) {
        tracing::info!(
            target: "agent",
            agent = &*line.agent,
            version = line.version,
            stream = ?line.stream,
            dropped_before = line.dropped_before,
            "{}",
            line.text
        );
    }
}

struct Queued {
    line: LogLine,
    source: Arc<LogSource>,
}

/// Where the lines of all versions go in.
#[derive(Clone)]
pub(crate) struct LogQueue {
    sender: SyncSender<Queued>,
}

impl LogQueue {
    /// Starts the thread that feeds the sink; it ends when the last version is gone.
    pub(crate) fn start(sink: Arc<dyn LogSink>) -> std::io::Result<Self> {
        let (sender, receiver): (_, Receiver<Queued>) = sync_channel(MAX_QUEUED);
        std::thread::Builder::new()
            .name("caxton-logs".into())
            .spawn(move || {
                for queued in receiver {
                    queued.source.queued.fetch_sub(1, Relaxed);
                    sink.line(queued.line);
                }
            })?;
        Ok(Self { sender })
    }
}

/// One version's way into the queue.
pub(crate) struct LogSource {
    agent: Arc<str>,
    version: u64,
    queue: SyncSender<Queued>,
    queued: AtomicUsize,
    dropped: AtomicU64,
}

impl LogSource {
    pub(crate) fn new(queue: &LogQueue, agent: &str, version: u64) -> Arc<Self> {
        Arc::new(Self {
            agent: agent.into(),
            version,
            queue: queue.sender.clone(),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Queues one line, or counts it as lost.
    pub(crate) fn line(self: &Arc<Self>, stream: LogStream, text: String) {
        if self.queued.fetch_add(1, Relaxed) >= MAX_QUEUED_PER_VERSION {
            self.queued.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let dropped_before = self.dropped.swap(0, Relaxed);
        let line = LogLine {
            agent: Arc::clone(&self.agent),
            version: self.version,
            stream,
            text,
            dropped_before,
            at: SystemTime::now(),
        };
        let queued = Queued {
            line,
            source: Arc::clone(self),
        };
        if self.queue.try_send(queued).is_err() {
            self.queued.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(dropped_before + 1, Relaxed);
        }
    }
}

/// Cuts what one store writes to one stream into lines.
struct Lines {
    source: Arc<LogSource>,
    stream: LogStream,
    rest: BytesMut,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            for piece in text.chunks(MAX_LINE) {
                if self.rest.len() + piece.len() > MAX_LINE {
                    self.emit();
                }
                self.rest.extend_from_slice(piece);
            }
            if ended {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let line = self.rest.split();
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.source
            .line(self.stream, String::from_utf8_lossy(line).into_owned());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            self.emit();
        }
    }
}

/// One of a store's two output streams.
#[derive(Clone)]
pub(crate) struct GuestStream {
    // Only this store writes to it: the lock is never waited for.
    lines: Arc<Mutex<Lines>>,
}

impl GuestStream {
    pub(crate) fn new(source: &Arc<LogSource>, stream: LogStream) -> Self {
        Self {
            lines: Arc::new(Mutex::new(Lines {
                source: Arc::clone(source),
                stream,
                rest: BytesMut::new(),
            })),
        }
    }

    fn push(&self, bytes: &[u8]) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BUDGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(writes: &[&[u8]]) -> Vec<String> {
        let (sender, receiver) = sync_channel(100);
        let source = LogSource::new(&LogQueue { sender }, "a", 1);
        let stream = GuestStream::new(&source, LogStream::Stdout);
        for write in writes {
            stream.push(write);
        }
        drop((stream, source));
        receiver.into_iter().map(|q| q.line.text).collect()
    }

    #[test]
    fn writes_become_lines() {
        assert_eq!(
            printed(&[b"one\ntw", b"o\r\n\n", b"rest"]),
            ["one", "two", "", "rest"]
        );
    }

    #[test]
    fn a_line_without_end_is_broken() {
        let long = vec![b'x'; MAX_LINE * 2 + 1];
        let lines = printed(&[&long]);
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [MAX_LINE, MAX_LINE, 1]
        );
    }

    #[test]
    fn a_flood_loses_lines_and_says_so() {
        let (sender, receiver) = sync_channel(MAX_QUEUED);
        let source = LogSource::new(&LogQueue { sender }, "a", 1);
        for n in 0..MAX_QUEUED_PER_VERSION + 5 {
            source.line(LogStream::Stderr, n.to_string());
        }
        for _ in 0..MAX_QUEUED_PER_VERSION {
            receiver.recv().unwrap().source.queued.fetch_sub(1, Relaxed);
        }
        source.line(LogStream::Stderr, "after".into());
        assert_eq!(receiver.recv().unwrap().line.dropped_before, 5);
    }
}
