//! Bodies in both directions: the reply as the gateway reads it, and the request as the guest does.
//!
//! An answer is finished when its body is. The body of a WASI 0.2 reply ends cleanly when its sender is dropped, whatever the
//! reason; two facts repair that. As long as the guest's run has not ended, only an explicit finish closes the channel; and
//! before a store is dropped, its task aborts the bodies that the guest left open and says how the run ended.

use crate::call::{BodyError, Call};
use crate::counts::Outcome;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use tokio::sync::mpsc;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// The body of a reply. It ends with an error unless the whole answer was delivered.
///
/// Dropped before its end, it tells the runtime that the caller is gone: that counts against nobody.
pub struct AgentBody {
    inner: Option<WasiBody>,
    call: Arc<Call>,
    limit: u64,
    sent: u64,
    expected: Option<u64>,
    /// What a caller that goes away leaves behind must still be read, or a reused instance would see its writes fail.
    drain: bool,
}

impl AgentBody {
    pub(crate) fn new(
        inner: WasiBody,
        call: Arc<Call>,
        expected: Option<u64>,
        limit: u64,
        drain: bool,
    ) -> Self {
        Self {
            inner: Some(inner),
            call,
            limit,
            sent: 0,
            expected,
            drain,
        }
    }

    /// For replies that carry no body on the wire, whatever the guest writes: reads it all in the background.
    pub(crate) fn discard(mut self) -> Self {
        if let Some(inner) = self.inner.take() {
            tokio::spawn(drain(inner, Arc::clone(&self.call), true));
        }
        Self {
            inner: None,
            call: Arc::clone(&self.call),
            limit: 0,
            sent: 0,
            expected: None,
            drain: false,
        }
    }

    fn fail(&mut self, outcome: Outcome, error: BodyError) -> Poll<Option<<Self as Chunks>::Item>> {
        self.inner = None;
        self.call.fail(outcome, error.clone());
        Poll::Ready(Some(Err(error)))
    }

    fn data(&mut self, frame: Frame<Bytes>) -> Poll<Option<<Self as Chunks>::Item>> {
        if let Some(data) = frame.data_ref() {
            self.sent += data.len() as u64;
            if self.sent > self.limit {
                let limit = self.limit;
                return self.fail(Outcome::Failed, BodyError::TooLarge { limit });
            }
            if self.expected.is_some_and(|expected| self.sent > expected) {
                return self.fail(Outcome::Failed, BodyError::Unfinished);
            }
        }
        self.call.progressed(false);
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&mut self) -> Poll<Option<<Self as Chunks>::Item>> {
        if let Some(error) = self.call.broken().cloned() {
            self.inner = None;
            return Poll::Ready(Some(Err(error)));
        }
        if self.expected.is_some_and(|expected| self.sent != expected) {
            return self.fail(Outcome::Failed, BodyError::Unfinished);
        }
        self.inner = None;
        self.call.body_ended();
        Poll::Ready(None)
    }
}

/// Names the item of the stream once.
trait Chunks {
    type Item;
}

impl Chunks for AgentBody {
    type Item = Result<Frame<Bytes>, BodyError>;
}

impl Body for AgentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else {
            return Poll::Ready(None);
        };
        this.call.body_waker.register(cx.waker());
        if let Some(error) = this.call.broken().cloned() {
            this.inner = None;
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => this.data(frame),
            Poll::Ready(Some(Err(_aborted))) => {
                // The abort may be the sweep of a store whose end has its own reason.
                let error = this.call.broken().cloned();
                this.fail(Outcome::Failed, error.unwrap_or(BodyError::Unfinished))
            }
            Poll::Ready(None) => this.end(),
            Poll::Pending => {
                if !this.call.stalled().1 {
                    this.call.progressed(true);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, self.expected) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(expected)) => SizeHint::with_exact(expected.saturating_sub(self.sent)),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

impl Drop for AgentBody {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        // A server that has sent as much as the head promised does not ask for the end.
        let whole = self.expected == Some(self.sent) && self.call.broken().is_none();
        if whole {
            self.call.progressed(true);
            if self.call.has_guest_ended() {
                self.call.body_ended();
                return;
            }
        }
        if !self.call.has_guest_ended()
            && (whole || self.drain)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            if !whole && self.call.serving().single.is_some() {
                // Its place is given back when the guest has ended: until then the one instance is not free.
                self.call.forgo();
            } else if !whole {
                self.call.settle(Outcome::NotCounted);
            }
            runtime.spawn(drain(inner, Arc::clone(&self.call), whole));
            return;
        }
        self.call.fail(Outcome::NotCounted, BodyError::CallerIdle);
    }
}

impl std::fmt::Debug for AgentBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentBody")
            .field("sent", &self.sent)
            .field("expected", &self.expected)
            .field("ended", &self.inner.is_none())
            .finish_non_exhaustive()
    }
}

/// Takes the reply from the guest as fast as it writes, up to the limit, whatever its caller does: a single instance is everybody's,
/// and one that waited for a slow reader until its time was up would take all that it remembers along.
pub(crate) fn taken_at_once(mut inner: WasiBody, call: Arc<Call>, limit: u64) -> WasiBody {
    // Bounded by the limit of a reply.
    let (taker, mut taken) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(frame) = inner.frame().await {
            call.progressed(false);
            let length = frame.as_ref().ok().and_then(Frame::data_ref);
            bytes += length.map_or(0, |data| data.len() as u64);
            let ended = frame.is_err() || bytes > limit;
            // Where the caller is gone the guest still writes to the end.
            let _ = taker.send(frame);
            if ended {
                return;
            }
        }
    });
    StreamBody::new(futures::stream::poll_fn(move |cx| taken.poll_recv(cx))).boxed_unsync()
}

/// Reads what nobody wants. It ends with the guest's run at the latest: the run is supervised, and its end closes the body.
async fn drain(mut inner: WasiBody, call: Arc<Call>, answered: bool) {
    loop {
        call.progressed(true);
        match inner.frame().await {
            Some(Ok(_unwanted)) => {}
            Some(Err(_aborted)) => {
                if answered {
                    call.fail(Outcome::Failed, BodyError::Unfinished);
                }
                return;
            }
            None => {
                call.body_ended();
                return;
            }
        }
    }
}

/// The request's body on its way to the guest: bounded, and telling who is waiting for whom.
pub(crate) struct RequestBody<B> {
    inner: B,
    left: u64,
    call: Arc<Call>,
    ended: bool,
    arrival: Option<Arc<Arrival>>,
}

/// Takes the wake-up when the caller has sent something: from here on a guest that does not read it has no one to wait for.
struct Arrival {
    reader: AtomicWaker,
    // The caller's side may keep the waker for as long as it likes, and must not keep the version with it.
    call: Weak<Call>,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(call) = self.call.upgrade() {
            call.request.waits_for_caller.store(false, Relaxed);
        }
        self.reader.wake();
    }
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    pub(crate) fn boxed(inner: B, limit: u64, call: Arc<Call>) -> WasiBody {
        Self {
            inner,
            left: limit,
            call,
            ended: false,
            arrival: None,
        }
        .boxed_unsync()
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        // A guest that lets go of the body does not wait for the caller any more.
        self.call.request.waits_for_caller.store(false, Relaxed);
        self.call.request.let_go.store(true, Relaxed);
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let flow = &this.call.request;
        let arrival = this.arrival.get_or_insert_with(|| {
            Arc::new(Arrival {
                reader: AtomicWaker::new(),
                call: Arc::downgrade(&this.call),
            })
        });
        arrival.reader.register(cx.waker());
        let waker = Waker::from(Arc::clone(arrival));
        // Set before the look: what arrives in between clears it again.
        flow.waits_for_caller.store(true, Relaxed);
        let frame = Pin::new(&mut this.inner).poll_frame(&mut Context::from_waker(&waker));
        if frame.is_ready() {
            flow.waits_for_caller.store(false, Relaxed);
        }
        match frame {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => {
                        this.ended = true;
                        flow.too_large.store(true, Relaxed);
                        Poll::Ready(Some(Err(HttpError::HttpRequestBodySize(None))))
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => {
                this.ended = true;
                flow.broke.store(true, Relaxed);
                Poll::Ready(Some(Err(HttpError::InternalError(Some(error.to_string())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
