//! A caller's socket: gives up on one who takes nothing, and closes so that the last reply arrives.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::settings::LINGER;

/// What is read at once while a caller's remaining bytes are thrown away.
const DISCARD_BYTES: usize = 4096;

/// The transport under hyper's HTTP/1.1.
pub(crate) struct Socket {
    stream: TokioIo<TcpStream>,
    /// How long no byte may be accepted while bytes are to be sent.
    write_stall: Duration,
    /// Whether the caller takes the end of the connection for the end of the reply.
    ends_by_close: Arc<AtomicBool>,
    /// Runs only while the caller accepts nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs only after the last byte was sent.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(crate) fn new(
        stream: TcpStream,
        write_stall: Duration,
        ends_by_close: Arc<AtomicBool>,
    ) -> Self {
        Self {
            stream: TokioIo::new(stream),
            write_stall,
            ends_by_close,
            stalled: None,
            lingering: None,
        }
    }

    /// Turns waiting for the caller into an error once it has lasted too long.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Throws away what the caller still sends, until it closes too.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if lingering.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut thrown_away = [0; DISCARD_BYTES];
        loop {
            let stream = self.stream.inner();
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(&mut thrown_away) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The caller has closed without listening: nothing is left to protect.
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_discard(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Dropped without an orderly close: the reply is broken. Where only the close would have told its length, a
        // reset is the one thing that does not look like an end.
        if self.lingering.is_none() && self.ends_by_close.load(Ordering::Relaxed) {
            let _best_effort = self.stream.inner().set_zero_linger();
        }
    }
}
