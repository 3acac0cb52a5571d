//! One HTTP exchange, with the order that WASI wants: head, body, end.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream};

/// What the request asks for.
pub(crate) struct Target {
    pub(crate) path: String,
    query: String,
}

impl Target {
    pub(crate) fn of(request: &IncomingRequest) -> Self {
        Self::of_path(&request.path_with_query().unwrap_or_default())
    }

    pub(crate) fn of_path(whole: &str) -> Self {
        let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
        Self {
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
            query: query.to_owned(),
        }
    }

    /// The query parameter `name`, where it is there and a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse().ok())
    }
}

/// A request, and the place for its reply.
pub(crate) struct Exchange {
    request: IncomingRequest,
    out: ResponseOutparam,
}

impl Exchange {
    pub(crate) fn new(request: IncomingRequest, out: ResponseOutparam) -> Self {
        Self { request, out }
    }

    /// Method, path and headers as lines.
    pub(crate) fn describe(&self) -> String {
        let method = match self.request.method() {
            Method::Other(name) => name,
            known => format!("{known:?}").replace("Method::", "").to_uppercase(),
        };
        let mut text = format!(
            "method: {method}\npath: {}\nauthority: {}\n",
            self.request.path_with_query().unwrap_or_default(),
            self.request.authority().unwrap_or_default()
        );
        for (name, value) in self.request.headers().entries() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
        }
        text
    }

    /// The request's body, from its beginning; works once.
    pub(crate) fn read_body(&mut self) -> io::Result<RequestBody> {
        let body = self
            .request
            .consume()
            .map_err(|()| refused("the request's body"))?;
        let stream = body
            .stream()
            .map_err(|()| refused("the request's stream"))?;
        Ok(RequestBody {
            stream,
            _body: body,
        })
    }

    /// Sends the head. What is left is the body.
    pub(crate) fn begin(self, status: u16) -> io::Result<Reply> {
        let headers = Fields::new();
        headers
            .set("content-type", &[b"text/plain".to_vec()])
            .map_err(|_| refused("a header"))?;
        let head = OutgoingResponse::new(headers);
        head.set_status_code(status)
            .map_err(|()| refused("the status"))?;
        let body = head.body().map_err(|()| refused("the reply's body"))?;
        let stream = body.write().map_err(|()| refused("the reply's stream"))?;
        ResponseOutparam::set(self.out, Ok(head));
        Ok(Reply { stream, body })
    }

    /// Sends the head and a first piece of the body.
    pub(crate) fn begin_with(self, first: &[u8]) -> io::Result<Reply> {
        let mut reply = self.begin(200)?;
        reply.send(first)?;
        Ok(reply)
    }

    /// Answers with a whole text.
    pub(crate) fn text(self, status: u16, text: &str) -> io::Result<()> {
        let mut reply = self.begin(status)?;
        reply.send(text.as_bytes())?;
        reply.finish()
    }
}

/// A request's body while it is read. The stream is dropped before the body that it belongs to.
pub(crate) struct RequestBody {
    stream: InputStream,
    _body: IncomingBody,
}

impl RequestBody {
    /// Waits until there is something to read, or for so long.
    pub(crate) fn wait_at_most(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (data, timer) = (self.stream.subscribe(), subscribe_duration(nanoseconds));
        poll(&[&data, &timer]);
    }
}

impl io::Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.stream, buffer)
    }
}

/// A reply whose head is sent. The stream is dropped before the body that it belongs to.
pub(crate) struct Reply {
    stream: OutputStream,
    body: OutgoingBody,
}

impl Reply {
    /// Sends a piece of the body and waits until it is taken.
    pub(crate) fn send(&mut self, piece: &[u8]) -> io::Result<()> {
        self.stream.write_all(piece)?;
        io::Write::flush(&mut self.stream)
    }

    /// Ends the body. One that is dropped instead is unfinished.
    pub(crate) fn finish(self) -> io::Result<()> {
        drop(self.stream);
        OutgoingBody::finish(self.body, None)
            .map_err(|error| io::Error::other(format!("{error:?}")))
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::other(format!("the host refused {what}"))
}
