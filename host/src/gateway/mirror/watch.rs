//! The real answer as it passes by on its way to the caller.

use std::sync::Arc;

use bytes::Bytes;
use caxton_runtime::{BodyError, CallError, Message};
use http::response::Parts;
use http_body::Frame;
use tokio::sync::oneshot;

use super::answer::{Answer, Sketch};
use crate::routes::MirrorRules;

/// Waits for the real answer. Dropped, it says that there is none to compare with: the caller went away, or a reload cut
/// the call.
pub(crate) struct Witness {
    told: oneshot::Sender<Answer>,
    rules: Arc<MirrorRules>,
}

impl Witness {
    pub(super) fn new(rules: Arc<MirrorRules>) -> (Self, oneshot::Receiver<Answer>) {
        let (told, real) = oneshot::channel();
        (Self { told, rules }, real)
    }

    /// There is no reply.
    pub(crate) fn failed(self, error: &CallError) {
        tell(self.told, Answer::of_error(error));
    }

    /// There is one that cannot be sent to anybody.
    pub(crate) fn unusable(self) {
        tell(self.told, Some(Answer::Failed));
    }

    /// A handler's reply.
    pub(crate) fn replied(self, message: &Message) {
        let answer = Answer::of_message(message, &self.rules);
        tell(self.told, Some(answer));
    }

    /// The head of the reply; its body follows. `expected` is the body's length, where it is known.
    pub(crate) fn watch(self, head: &Parts, expected: Option<u64>) -> Watch {
        let sketch = Sketch::begin(head.status, &head.headers, &self.rules);
        Watch {
            open: Some((self.told, sketch)),
            expected,
            seen: 0,
        }
    }
}

/// Watches the body.
pub(crate) struct Watch {
    /// Until the answer has ended in one way or another.
    open: Option<(oneshot::Sender<Answer>, Sketch)>,
    expected: Option<u64>,
    seen: u64,
}

impl Watch {
    /// What the body gave: a frame, its end, or an error.
    pub(crate) fn saw(&mut self, item: Option<&Result<Frame<Bytes>, BodyError>>) {
        match item {
            Some(Ok(frame)) => {
                if let Some((_, sketch)) = &mut self.open {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    self.seen += u64::try_from(length).unwrap_or(u64::MAX);
                    sketch.add(frame);
                }
            }
            Some(Err(error)) => {
                if let Some((told, _)) = self.open.take() {
                    tell(told, Answer::of_broken(error));
                }
            }
            None => self.end(),
        }
    }

    fn end(&mut self) {
        if let Some((told, sketch)) = self.open.take() {
            tell(told, Some(sketch.end()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A server that has sent as much as the head promised does not ask for the end. Anything less: the caller is gone.
        if self.expected == Some(self.seen) {
            self.end();
        }
    }
}

fn tell(told: oneshot::Sender<Answer>, answer: Option<Answer>) {
    if let Some(answer) = answer {
        // Where nobody listens, the copy was skipped after all.
        let _ = told.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn watch(expected: Option<u64>) -> (Watch, oneshot::Receiver<Answer>) {
        let (witness, real) = Witness::new(Arc::default());
        let (head, ()) = Response::new(()).into_parts();
        (witness.watch(&head, expected), real)
    }

    fn data() -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from_static(b"hello")))
    }

    #[tokio::test]
    async fn an_answer_is_whole_at_its_end_or_its_length() {
        let (mut to_the_end, real) = watch(None);
        to_the_end.saw(Some(&data()));
        to_the_end.saw(None);
        let one = real.await.unwrap();
        let (mut to_its_length, real) = watch(Some(5));
        to_its_length.saw(Some(&data()));
        drop(to_its_length);
        assert_eq!(one.difference(&real.await.unwrap()), None);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_nothing_to_compare() {
        for expected in [None, Some(6)] {
            let (mut watch, real) = watch(expected);
            watch.saw(Some(&data()));
            drop(watch);
            assert!(real.await.is_err());
        }
        let (witness, real) = Witness::new(Arc::default());
        drop(witness);
        assert!(real.await.is_err());
        let (witness, real) = Witness::new(Arc::default());
        witness.failed(&CallError::Cut);
        assert!(real.await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_has_failed() {
        let (mut watch, real) = watch(Some(5));
        watch.saw(Some(&data()));
        watch.saw(Some(&Err(BodyError::Unfinished)));
        drop(watch);
        assert_eq!(real.await.unwrap(), Answer::Failed);
    }
}
