//! A copy of a request, from its making to the comparison of its answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use caxton_runtime::{Admission, AgentBody, CallInfo, Message};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::MIRRORED;
use super::answer::{Answer, Sketch};
use super::tasks::Tasks;
use crate::routes::{Listener, MirrorRules, Place};

/// Everything of a copy but its body.
pub(crate) struct Copy {
    tasks: Tasks,
    listener: Listener,
    place: Place,
    real: oneshot::Receiver<Answer>,
    info: CallInfo,
    head: Request<()>,
}

impl Copy {
    pub(super) fn new<B>(
        tasks: Tasks,
        listener: Listener,
        place: Place,
        real: oneshot::Receiver<Answer>,
        info: CallInfo,
        request: &Request<B>,
    ) -> Self {
        // Extensions are left out: they belong to the connection.
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        head.headers_mut()
            .insert(MIRRORED, HeaderValue::from_static("1"));
        Self {
            tasks,
            listener,
            place,
            real,
            info,
            head,
        }
    }

    /// Sends it with this body, in a task of its own.
    pub(crate) fn send(self, body: Copied) {
        let Self {
            tasks,
            listener,
            place,
            real,
            info,
            head,
        } = self;
        // Here and not in the task: copies come to the listener in the order of their requests.
        let Some(admission) = admit(&listener, info) else {
            return;
        };
        tasks.spawn(async move {
            let request = head.map(|()| body);
            let answer = ask(&listener, request, admission).await;
            drop(place);
            compare(&listener, answer, real).await;
        });
    }

    /// There will be no copy.
    pub(crate) fn skip(self) {
        self.listener.counts.skip();
    }
}

/// Sends the copy of a message, in a task of its own.
pub(super) fn send_message(
    tasks: &Tasks,
    listener: Listener,
    place: Place,
    real: oneshot::Receiver<Answer>,
    info: CallInfo,
    message: &Message,
) {
    let Some(admission) = admit(&listener, info) else {
        return;
    };
    let mut message = message.clone();
    let mirrored = (MIRRORED.as_str().to_owned(), "1".to_owned());
    message.metadata.push(mirrored);
    tasks.spawn(async move {
        let answer = match listener.served.version.handle(message, admission).await {
            Ok(reply) => Some(Answer::of_message(&reply, &listener.rules)),
            Err(error) => Answer::of_error(&error),
        };
        drop(place);
        compare(&listener, answer, real).await;
    });
}

/// A place at the listener, or one more that was skipped.
fn admit(listener: &Listener, info: CallInfo) -> Option<Admission> {
    let mirrored = CallInfo {
        mirrored: true,
        ..info
    };
    let admission = listener.served.version.admit(mirrored);
    if admission.is_err() {
        listener.counts.skip();
    }
    admission.ok()
}

async fn ask(
    listener: &Listener,
    request: Request<Copied>,
    admission: Admission,
) -> Option<Answer> {
    match listener.served.version.http(request, admission).await {
        Ok(reply) => read(reply, &listener.rules).await,
        Err(error) => Answer::of_error(&error),
    }
}

/// Reads the reply as a server would, and throws it away.
async fn read(reply: Response<AgentBody>, rules: &MirrorRules) -> Option<Answer> {
    let (head, mut body) = reply.into_parts();
    if head.status.is_informational() {
        return Some(Answer::Failed);
    }
    let expected = body.size_hint().exact();
    let mut sketch = Sketch::begin(head.status, &head.headers, rules);
    let mut seen = 0;
    // What the real version does after it has sent as much as its head promised is not looked at either.
    while expected != Some(seen) {
        match body.frame().await {
            None => break,
            Some(Err(error)) => return Answer::of_broken(&error),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                seen += u64::try_from(length).unwrap_or(u64::MAX);
                sketch.add(&frame);
            }
        }
    }
    Some(sketch.end())
}

/// Waits for the real answer and counts a copy that was answered differently.
async fn compare(listener: &Listener, answer: Option<Answer>, real: oneshot::Receiver<Answer>) {
    let Some(answer) = answer else {
        // The host had no room for it after all, or a reload cut it: as if it had not been made.
        listener.counts.skip();
        return;
    };
    // Without a real answer the caller is gone, and there is nothing to compare with.
    let Ok(real) = real.await else {
        return;
    };
    if let Some(difference) = real.difference(&answer) {
        listener.counts.differs();
        let version = &listener.served.version;
        tracing::debug!(
            agent = version.name(),
            version = version.number(),
            difference,
            "a copy was answered differently"
        );
    }
}

/// The body of a copy: at hand.
pub(crate) struct Copied {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Copied {
    pub(crate) fn new(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        let data = (!data.is_empty()).then_some(data);
        Self { data, trailers }
    }

    pub(crate) fn empty() -> Self {
        Self::new(Bytes::new(), None)
    }
}

impl Body for Copied {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.data.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
