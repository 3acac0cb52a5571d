//! What a policy says during one call: through `log`, on stdout and on stderr.
//!
//! The first [`LINES_MAX`] lines are kept, later ones are counted. The last lines on stderr are kept besides, whatever came
//! before: a guest that panics says why there, and whoever wrote it wants to read that.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::text;

/// Lines that are kept of one call: a policy is asked every second, and what it says is recorded each time.
pub const LINES_MAX: usize = 64;

/// Bytes that are kept of one line: a traceback's longest lines are far below.
pub const LINE_BYTES_MAX: usize = 4 * 1024;

/// Lines on stderr that go into the message of a fault: a panic takes three, a traceback a dozen.
const LAST_WORDS_LINES: usize = 16;

/// Bytes of those: a fault's message is shown on a terminal and kept in the history.
const LAST_WORDS_BYTES: usize = 2 * 1024;

/// Bytes that a guest may write to a stream at once, and so what the host copies at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// For whoever writes the policy.
    Debug,
    /// For whoever runs it. Lines on stdout count as this.
    Info,
    /// For whoever runs it, at once. Lines on stderr count as this.
    Warn,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The import `log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a policy wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// Where it came from.
    pub source: LogSource,
    /// Without control characters, at most [`LINE_BYTES_MAX`] bytes.
    pub text: String,
}

/// What a policy said during one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLog {
    /// The first [`LINES_MAX`] lines.
    pub lines: Vec<LogLine>,
    /// Lines after those.
    pub dropped: u64,
}

impl PolicyLog {
    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    fn push(&mut self, level: LogLevel, source: LogSource, text: String) {
        if !self.is_full() {
            self.lines.push(LogLine {
                level,
                source,
                text,
            });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// Bytes of a stream that have not come to the end of their line.
#[derive(Debug, Default)]
struct Partial(Vec<u8>);

impl Partial {
    /// Takes `bytes` in and gives each line that they end to `line`.
    fn take(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, ended) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.0.len());
            self.0.extend(content.iter().take(room));
            if ended {
                line(self.end());
            }
        }
    }

    fn end(&mut self) -> String {
        let bytes = std::mem::take(&mut self.0);
        let line = String::from_utf8_lossy(&bytes);
        text::cut(text::printable(&line).trim_end(), LINE_BYTES_MAX).to_owned()
    }
}

#[derive(Debug, Default)]
struct Heard {
    log: PolicyLog,
    stdout: Partial,
    stderr: Partial,
    last_words: VecDeque<String>,
}

impl Heard {
    fn stdout_line(&mut self, text: String) {
        self.log.push(LogLevel::Info, LogSource::Stdout, text);
    }

    fn stderr_line(&mut self, text: String) {
        if !text.is_empty() {
            if self.last_words.len() == LAST_WORDS_LINES {
                self.last_words.pop_front();
            }
            self.last_words.push_back(text.clone());
        }
        self.log.push(LogLevel::Warn, LogSource::Stderr, text);
    }

    fn written(&mut self, source: LogSource, bytes: &[u8]) {
        let mut lines = Vec::new();
        if source == LogSource::Stderr {
            self.stderr.take(bytes, |line| lines.push(line));
            lines.into_iter().for_each(|line| self.stderr_line(line));
        } else {
            self.stdout.take(bytes, |line| lines.push(line));
            lines.into_iter().for_each(|line| self.stdout_line(line));
        }
    }
}

/// Collects what is said during one call. Clones share what they heard: WASI wants streams that it owns.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Heard>>);

impl Recorder {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line through the import `log`.
    pub(super) fn line(&self, level: LogLevel, line: &str) {
        let log = &mut self.heard().log;
        // What is dropped anyway is not made fit to be shown: a flood of lines would take its time at the host's expense.
        let fit = |line| text::printable(text::cut(line, LINE_BYTES_MAX));
        let line = if log.is_full() {
            String::new()
        } else {
            fit(line)
        };
        log.push(level, LogSource::Log, line);
    }

    /// A stream for stdout or stderr.
    pub(super) fn stream(&self, source: LogSource) -> GuestStream {
        GuestStream {
            recorder: self.clone(),
            source,
        }
    }

    /// Everything that was said, and the last of it on stderr as text; lines that were not ended count as ended.
    pub(super) fn finish(&self) -> (PolicyLog, String) {
        let mut heard = self.heard();
        if !heard.stdout.0.is_empty() {
            let line = heard.stdout.end();
            heard.stdout_line(line);
        }
        if !heard.stderr.0.is_empty() {
            let line = heard.stderr.end();
            heard.stderr_line(line);
        }
        let last_words = Vec::from(std::mem::take(&mut heard.last_words)).join("\n");
        let last_words = text::tail(&last_words, LAST_WORDS_BYTES).to_owned();
        (std::mem::take(&mut heard.log), last_words)
    }
}

/// A guest's stdout or stderr. Takes everything at once, so a guest never waits for it.
#[derive(Debug, Clone)]
pub(super) struct GuestStream {
    recorder: Recorder,
    source: LogSource,
}

impl GuestStream {
    fn written(&self, bytes: &[u8]) {
        self.recorder.heard().written(self.source, bytes);
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

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.written(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &PolicyLog) -> Vec<&str> {
        log.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_line_may_come_in_pieces_and_the_last_one_without_an_end() {
        let recorder = Recorder::default();
        let out = recorder.stream(LogSource::Stdout);
        out.written(b"one\ntw");
        out.written(b"o\r\n\nthree");
        let (log, last_words) = recorder.finish();
        assert_eq!(texts(&log), ["one", "two", "", "three"]);
        assert_eq!(last_words, "");
    }

    #[test]
    fn a_flood_keeps_the_first_lines_and_the_last_words() {
        let recorder = Recorder::default();
        for n in 0..1_000 {
            recorder.line(LogLevel::Debug, &format!("line {n}"));
        }
        recorder
            .stream(LogSource::Stderr)
            .written(b"panicked at x.rs:1\nout of luck\n");
        let (log, last_words) = recorder.finish();
        assert_eq!(log.lines.len(), LINES_MAX);
        assert_eq!(log.dropped, 1_000 + 2 - LINES_MAX as u64);
        assert_eq!(last_words, "panicked at x.rs:1\nout of luck");
    }

    #[test]
    fn a_line_without_end_is_cut_and_takes_no_more_memory() {
        let recorder = Recorder::default();
        let error = recorder.stream(LogSource::Stderr);
        for _ in 0..100 {
            error.written(&[b'x'; 1_024]);
        }
        assert_eq!(recorder.heard().stderr.0.len(), LINE_BYTES_MAX);
        let (log, last_words) = recorder.finish();
        assert_eq!(
            log.lines.first().map(|line| line.text.len()),
            Some(LINE_BYTES_MAX)
        );
        assert_eq!(last_words.len(), LAST_WORDS_BYTES);
    }
}
