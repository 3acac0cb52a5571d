//! Copies of requests for a version that listens: it answers as if it served, and its answers reach nobody.
//!
//! Data flow: the real call is admitted → [`begin`] decides whether there is a copy → the body is [teed](tee) on its way
//! to the real version → the [copy] is sent once it is whole, in a [task of its own](tasks) → the copy's [answer] is
//! compared with that of the real version, which was [watched](watch) on its way to the caller.
//!
//! What must hold:
//! - the real answer never waits for a copy, and is the same with one as without;
//! - what copies cost is bounded: so many at once as the listener's own limit of concurrent calls, and so much kept of a
//!   body. What does not fit is skipped and counted;
//! - no answer is kept: both are hashed as they pass by;
//! - a caller cannot make its request look like a copy.

mod answer;
mod copy;
mod tasks;
mod tee;
mod watch;

use caxton_runtime::{CallInfo, Message};
use http::{HeaderName, Method, Request};
use hyper::body::Body;
use tokio::sync::oneshot;

pub(crate) use self::copy::{Copied, Copy};
pub(crate) use self::tasks::Tasks;
pub(crate) use self::tee::Teed;
pub(crate) use self::watch::{Watch, Witness};
use super::settings::COPIED_BODY;
use crate::routes::Listener;

/// The header that tells a listener that a request is a copy, so that it can leave undone what must not happen twice.
/// Only the host sets it.
pub(crate) const MIRRORED: HeaderName = HeaderName::from_static("x-caxton-mirrored");

/// The copy of a request that has a place at the version that really answers it, and the witness of the real answer.
/// `None` where the rules admit no copy, or none can be made.
pub(crate) fn begin<B: Body>(
    tasks: &Tasks,
    listener: &Listener,
    request: &Request<B>,
    info: CallInfo,
) -> Option<(Copy, Witness)> {
    let length = request.body().size_hint().lower();
    let (place, real, witness) = prepare(listener, request.method(), length)?;
    let copy = Copy::new(tasks.clone(), listener.clone(), place, real, info, request);
    Some((copy, witness))
}

/// The same for a message, which is whole: its copy is on its way.
pub(crate) fn begin_message(
    tasks: &Tasks,
    listener: &Listener,
    message: &Message,
    info: CallInfo,
) -> Option<Witness> {
    let length = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
    let (place, real, witness) = prepare(listener, &Method::POST, length)?;
    copy::send_message(tasks, listener.clone(), place, real, info, message);
    Some(witness)
}

type Prepared = (
    crate::routes::Place,
    oneshot::Receiver<answer::Answer>,
    Witness,
);

fn prepare(listener: &Listener, method: &Method, length: u64) -> Option<Prepared> {
    if !listener.rules.admit(method) {
        return None;
    }
    let limit = listener.served.version.limits().concurrency;
    let fits = usize::try_from(length).is_ok_and(|length| length <= COPIED_BODY);
    let Some(place) = fits.then(|| listener.counts.place(limit)).flatten() else {
        listener.counts.skip();
        return None;
    };
    let (witness, real) = Witness::new(listener.rules.clone());
    Some((place, real, witness))
}
