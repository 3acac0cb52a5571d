//! Replies on their way out: what the host adds, what no agent may say, and bodies that end only when they are whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use caxton_runtime::{AgentBody, BodyError};
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};

use super::mirror::{Watch, Witness};
use super::refused::{ERROR, Refused};

/// The header that tells which version answered.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-caxton-version");

/// The body of a reply.
pub(crate) enum ReplyBody {
    /// Streamed by an agent. It ends with an error unless the agent finished it; hyper then breaks the connection off.
    Agent {
        /// What the agent sends.
        body: AgentBody,
        /// Why it broke off, held back for one turn: on an error hyper drops what it has not sent yet, the head too.
        broken: Option<BodyError>,
        /// Sees it pass by, where a copy's answer will be compared with it.
        watch: Option<Box<Watch>>,
    },
    /// At hand.
    Whole(Option<Bytes>),
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Agent {
                body,
                broken,
                watch,
            } => poll_agent(body, broken, watch.as_deref_mut(), cx),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Agent { body, broken, .. } => broken.is_none() && body.is_end_stream(),
            Self::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Agent { body, .. } => body.size_hint(),
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

fn poll_agent(
    body: &mut AgentBody,
    broken: &mut Option<BodyError>,
    watch: Option<&mut Watch>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    if let Some(error) = broken.take() {
        return Poll::Ready(Some(Err(error)));
    }
    let polled = Pin::new(body).poll_frame(cx);
    if let (Some(watch), Poll::Ready(item)) = (watch, &polled) {
        watch.saw(item.as_ref());
    }
    if let Poll::Ready(Some(Err(error))) = polled {
        *broken = Some(error);
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    polled
}

/// An HTTP agent's reply as it goes to the caller. That its body has the length which its head declares, and that none
/// is sent where HTTP has no place for one, is the runtime's to watch over.
pub(crate) fn of_agent(
    reply: Response<AgentBody>,
    version: Option<&HeaderValue>,
    witness: Option<Witness>,
) -> Result<Response<ReplyBody>, Refused> {
    let (mut parts, body) = reply.into_parts();
    if parts.status.is_informational() {
        if let Some(witness) = witness {
            witness.unusable();
        }
        return Err(Refused::BadReply("its status is an interim one"));
    }
    let expected = body.size_hint().exact();
    let watch = witness.map(|witness| Box::new(witness.watch(&parts, expected)));
    // How the connection frames replies is the gateway's matter.
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(UPGRADE);
    parts.headers.remove(ERROR);
    if let Some(version) = version {
        parts.headers.insert(VERSION, version.clone());
    }
    let broken = None;
    Ok(Response::from_parts(
        parts,
        ReplyBody::Agent {
            body,
            broken,
            watch,
        },
    ))
}
