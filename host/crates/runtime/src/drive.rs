//! The guest's side of one HTTP call, inside of its store: from the request to the end of all that it does for it.
//!
//! A guest of WASI 0.2 has ended when its call returns. One of 0.3 returns the head and goes on, in tasks that write the body; it
//! has ended when none of its tasks is left and its body has been taken. A body of 0.3 ends cleanly when its store goes, whatever
//! the reason, so the store stays until then.

use crate::store::AgentStore;
use bytes::Bytes;
use futures::channel::oneshot::{self, Sender};
use http::Uri;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::handler::{Prepared, Proxy, Response};
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView};

/// Runs the guest on one request; its head goes to `head` as soon as there is one.
pub(crate) async fn drive(
    accessor: &Accessor<AgentStore>,
    proxy: &Proxy,
    request: http::Request<WasiBody>,
    head: Sender<wasmtime::Result<Response>>,
) -> wasmtime::Result<()> {
    match proxy {
        Proxy::P2(_) => call(accessor, proxy, request, head).await,
        Proxy::P3(_) => {
            let (sender, mut answer) = oneshot::channel();
            call(accessor, proxy, with_authority(request), sender).await?;
            let taken = match answer.try_recv() {
                Ok(Some(Ok(answer))) => {
                    let (parts, body) = answer.into_parts();
                    let (body, taken) = UntilTaken::new(body);
                    // Whoever waited for it may be gone; then nobody takes the body either.
                    let _ = head.send(Ok(Response::from_parts(parts, body.boxed_unsync())));
                    Some(taken)
                }
                Ok(Some(error)) => {
                    let _ = head.send(error);
                    None
                }
                _ => None,
            };
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            if let Some(taken) = taken {
                // Its sender is let go of with the body.
                let _ = taken.await;
            }
            Ok(())
        }
    }
}

/// Up to the guest's return.
async fn call(
    accessor: &Accessor<AgentStore>,
    proxy: &Proxy,
    request: http::Request<WasiBody>,
    head: Sender<wasmtime::Result<Response>>,
) -> wasmtime::Result<()> {
    let prepared = accessor.with(|mut store| {
        Prepared::new(
            store.as_context_mut(),
            proxy,
            request,
            AgentStore::http,
            head,
        )
    })?;
    prepared.run(accessor, pending()).await.map(drop)
}

/// Puts the host that was asked for into the target, where a guest of 0.3 finds it; what no target can hold was refused before.
fn with_authority(mut request: http::Request<WasiBody>) -> http::Request<WasiBody> {
    if request.uri().authority().is_none()
        && let Some(host) = request.headers().get(HOST)
        && let Ok(authority) = host.as_bytes().try_into()
    {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority);
        parts.path_and_query = parts
            .path_and_query
            .or(Some(PathAndQuery::from_static("/")));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// A body that tells when it is over, or let go of.
struct UntilTaken {
    inner: Option<(WasiBody, Sender<()>)>,
}

impl UntilTaken {
    fn new(body: WasiBody) -> (Self, oneshot::Receiver<()>) {
        let (open, taken) = oneshot::channel();
        let inner = Some((body, open));
        (Self { inner }, taken)
    }
}

impl Body for UntilTaken {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Some((body, _)) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.inner = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some((body, _)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
