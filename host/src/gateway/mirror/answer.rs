//! What is compared of two answers: status, headers, trailers, and a hash of the body.

use bytes::Bytes;
use caxton_runtime::{BodyError, CallError, Failure, Message};
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use sha2::{Digest, Sha256};

use super::super::message::is_framing;
use crate::routes::MirrorRules;

/// How a version answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// From its head to its end.
    Whole(Box<Print>),
    /// Not at all, or it broke off.
    Failed,
}

/// What is left of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Print {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: [u8; 32],
}

impl Answer {
    /// What a call without a reply says about its version; `None` where that is nothing: the host, the caller or a reload
    /// ended it.
    pub(crate) fn of_error(error: &CallError) -> Option<Self> {
        match error {
            CallError::Failure(
                Failure::Invalid(text) | Failure::Unavailable(text) | Failure::Internal(text),
            ) => {
                let mut sketch = Sketch::empty(error.status());
                sketch.hash.update(text);
                Some(sketch.end())
            }
            CallError::Trap(_)
            | CallError::OutOfFuel { .. }
            | CallError::Deadline { .. }
            | CallError::NoAnswer(_)
            | CallError::ReplyTooLarge { .. }
            | CallError::WrongContract => Some(Self::Failed),
            CallError::Cut
            | CallError::Busy(_)
            | CallError::Closed
            | CallError::Instantiation(_)
            | CallError::BadRequest(_)
            | CallError::RequestTooLarge { .. }
            | CallError::CallerTooSlow
            | CallError::Host(_) => None,
        }
    }

    /// The same for a body that broke off.
    pub(crate) fn of_broken(error: &BodyError) -> Option<Self> {
        match error {
            BodyError::Trap(_)
            | BodyError::AgentIdle
            | BodyError::Unfinished
            | BodyError::TooLarge { .. } => Some(Self::Failed),
            BodyError::Cut | BodyError::CallerIdle => None,
        }
    }

    /// A handler's reply. Its metadata are compared as the headers that they become.
    pub(crate) fn of_message(message: &Message, rules: &MirrorRules) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &message.metadata {
            let name = name.parse::<HeaderName>().ok();
            if let Some((name, value)) = name.zip(HeaderValue::from_str(value).ok()) {
                headers.append(name, value);
            }
        }
        let content_type = message.content_type.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(content_type)) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let mut sketch = Sketch::begin(StatusCode::OK, &headers, rules);
        sketch.hash.update(&message.body);
        sketch.end()
    }

    /// What differs between two answers, if anything does.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        match (self, other) {
            (Self::Failed, Self::Failed) => None,
            (Self::Failed, Self::Whole(_)) | (Self::Whole(_), Self::Failed) => {
                Some("one of the two failed")
            }
            (Self::Whole(one), Self::Whole(other)) => one.difference(other),
        }
    }
}

impl Print {
    fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.status != other.status {
            Some("status")
        } else if self.headers != other.headers {
            Some("headers")
        } else if self.trailers != other.trailers {
            Some("trailers")
        } else if self.body != other.body {
            Some("body")
        } else {
            None
        }
    }
}

/// A print in the making, while the answer passes by.
pub(crate) struct Sketch {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    ignored: Vec<HeaderName>,
    hash: Sha256,
}

impl Sketch {
    pub(crate) fn begin(status: StatusCode, headers: &HeaderMap, rules: &MirrorRules) -> Self {
        let mut sketch = Self::empty(status);
        sketch.ignored.clone_from(&rules.ignore_headers);
        sketch.headers = sketch.compared(headers);
        sketch
    }

    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
            ignored: Vec::new(),
            hash: Sha256::new(),
        }
    }

    pub(crate) fn add(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.hash.update(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = self.compared(trailers);
        }
    }

    pub(crate) fn end(self) -> Answer {
        Answer::Whole(Box::new(Print {
            status: self.status,
            headers: self.headers,
            trailers: self.trailers,
            body: self.hash.finalize().into(),
        }))
    }

    /// The headers that are compared. How a body is framed is the connection's matter; the body itself is compared.
    fn compared(&self, headers: &HeaderMap) -> HeaderMap {
        let is_compared = |name: &HeaderName| {
            !always_differs(name) && !is_framing(name) && !self.ignored.contains(name)
        };
        let kept = headers.iter().filter(|(name, _)| is_compared(name));
        let mut compared = HeaderMap::new();
        for (name, value) in kept {
            compared.append(name, value.clone());
        }
        compared
    }
}

fn always_differs(name: &HeaderName) -> bool {
    *name == DATE || name.as_str().starts_with("x-caxton-")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = &'static [(&'static str, &'static str)];

    fn headers(lines: Lines) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn answer(status: u16, lines: Lines, chunks: &[&'static str], trailers: Lines) -> Answer {
        let rules = MirrorRules {
            ignore_headers: vec![HeaderName::from_static("x-request-id")],
            ..MirrorRules::default()
        };
        let status = StatusCode::from_u16(status).unwrap();
        let mut sketch = Sketch::begin(status, &headers(lines), &rules);
        for chunk in chunks {
            sketch.add(&Frame::data(Bytes::from_static(chunk.as_bytes())));
        }
        if !trailers.is_empty() {
            sketch.add(&Frame::trailers(headers(trailers)));
        }
        sketch.end()
    }

    #[test]
    fn answers_are_the_same_whatever_always_differs_or_is_ignored() {
        let one = answer(200, &[("x-a", "1"), ("x-a", "2")], &["hel", "lo"], &[]);
        let other = answer(
            200,
            &[
                ("date", "now"),
                ("x-a", "1"),
                ("x-caxton-version", "2"),
                ("connection", "close"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("keep-alive", "1"),
                ("x-request-id", "7"),
                ("x-a", "2"),
            ],
            &["hello"],
            &[("x-request-id", "8")],
        );
        assert_eq!(one.difference(&other), None);
    }

    #[test]
    fn any_part_may_differ_and_is_named() {
        let one = || answer(200, &[("x-a", "1")], &["hello"], &[]);
        for (other, difference) in [
            (answer(201, &[("x-a", "1")], &["hello"], &[]), "status"),
            (answer(200, &[("x-a", "2")], &["hello"], &[]), "headers"),
            (answer(200, &[], &["hello"], &[]), "headers"),
            (
                answer(200, &[("x-a", "1"), ("x-a", "1")], &["hello"], &[]),
                "headers",
            ),
            (answer(200, &[("x-a", "1")], &["hell"], &[]), "body"),
            (
                answer(200, &[("x-a", "1")], &["hello"], &[("x-t", "1")]),
                "trailers",
            ),
            (Answer::Failed, "one of the two failed"),
        ] {
            assert_eq!(one().difference(&other), Some(difference));
            assert_eq!(other.difference(&one()), Some(difference));
        }
        assert_eq!(Answer::Failed.difference(&Answer::Failed), None);
    }

    #[test]
    fn messages_are_compared_by_type_metadata_and_body() {
        let message = |metadata: &[(&str, &str)], body: &'static str| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let message = Message {
                content_type: Some("text/plain".to_owned()),
                body: Bytes::from_static(body.as_bytes()),
                metadata: metadata.iter().map(pair).collect(),
            };
            Answer::of_message(&message, &MirrorRules::default())
        };
        let one = message(&[("x-a", "1")], "hello");
        let same = message(&[("x-a", "1"), ("x-caxton-mirrored", "1")], "hello");
        assert_eq!(one.difference(&same), None);
        let differs = |other| one.difference(&other);
        assert_eq!(differs(message(&[("x-a", "2")], "hello")), Some("headers"));
        assert_eq!(differs(message(&[("x-a", "1")], "hell")), Some("body"));
        let refusal = |failure| Answer::of_error(&CallError::Failure(failure)).unwrap();
        let invalid = || refusal(Failure::Invalid("why".to_owned()));
        assert_eq!(differs(invalid()), Some("status"));
        assert_eq!(invalid().difference(&invalid()), None);
        let other = refusal(Failure::Invalid("because".to_owned()));
        assert_eq!(invalid().difference(&other), Some("body"));
    }

    #[test]
    fn what_the_host_or_a_caller_ended_says_nothing() {
        for error in [
            CallError::Cut,
            CallError::Closed,
            CallError::Busy(String::new()),
            CallError::Host(String::new()),
            CallError::CallerTooSlow,
        ] {
            assert_eq!(Answer::of_error(&error), None, "{error}");
        }
        let trap = CallError::Trap(String::new());
        assert_eq!(Answer::of_error(&trap), Some(Answer::Failed));
        assert_eq!(Answer::of_broken(&BodyError::CallerIdle), None);
        let unfinished = Answer::of_broken(&BodyError::Unfinished);
        assert_eq!(unfinished, Some(Answer::Failed));
    }
}
