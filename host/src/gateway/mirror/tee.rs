//! A request's body on its way to the real version, kept for the copy.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::copy::{Copied, Copy};
use crate::gateway::settings::COPIED_BODY;

/// Passes on what the caller sends and keeps it. The copy is sent when the body is whole; it is skipped when the body is
/// too large, breaks off, or is not read to its end.
pub(crate) struct Teed<B> {
    inner: B,
    // Copied and not shared: a small chunk would keep the whole buffer that it was read into.
    kept: BytesMut,
    trailers: Option<HeaderMap>,
    /// Until it is sent or skipped.
    copy: Option<Copy>,
}

impl<B: Body<Data = Bytes>> Teed<B> {
    pub(crate) fn new(inner: B, copy: Copy) -> Self {
        let expected = usize::try_from(inner.size_hint().lower()).unwrap_or(usize::MAX);
        Self {
            inner,
            kept: BytesMut::with_capacity(expected.min(COPIED_BODY)),
            trailers: None,
            copy: Some(copy),
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.copy.is_none() {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if self.kept.len() + data.len() > COPIED_BODY {
                self.skip();
            } else {
                self.kept.extend_from_slice(data);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }

    fn send(&mut self) {
        if let Some(copy) = self.copy.take() {
            let data = std::mem::take(&mut self.kept).freeze();
            copy.send(Copied::new(data, self.trailers.take()));
        }
    }
}

impl<B> Teed<B> {
    fn skip(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.kept = BytesMut::new();
            copy.skip();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Teed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.send(),
            Poll::Ready(Some(Err(_))) => self.skip(),
            Poll::Ready(Some(Ok(frame))) => {
                self.keep(frame);
                // Whoever knows the length does not ask for the end.
                if self.inner.is_end_stream() {
                    self.send();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Teed<B> {
    fn drop(&mut self) {
        self.skip();
    }
}
