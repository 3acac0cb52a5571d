//! One HTTP exchange of WASI 0.3: the head is returned, and the body is written by a task that goes on after it.

use std::fmt::Write as _;
use std::time::Duration;

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use wasip3::{spawn_local, wit_future, wit_stream};
use wit_bindgen::{FutureWriter, StreamReader, StreamWriter};

/// What the end of a body says.
type End = Result<Option<Trailers>, ErrorCode>;

/// Where a reply's body is written. Dropped, it ends the body well.
pub(crate) struct Reply {
    stream: StreamWriter<u8>,
    end: FutureWriter<End>,
}

impl Reply {
    /// A head, and what its body is written with.
    pub(crate) fn begin(status: u16) -> Result<(Response, Self), ErrorCode> {
        let headers = [("content-type".to_owned(), b"text/plain".to_vec())];
        let headers = Fields::from_list(&headers).map_err(|_| internal("a header"))?;
        let (stream, contents) = wit_stream::new();
        let (end, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        response
            .set_status_code(status)
            .map_err(|()| internal("the status"))?;
        Ok((response, Self { stream, end }))
    }

    /// A whole text.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Result<Response, ErrorCode> {
        let (response, mut reply) = Self::begin(status)?;
        let text = text.into().into_bytes();
        spawn_local(async move {
            reply.send(text).await;
        });
        Ok(response)
    }

    /// Sends a piece of the body; false where nobody takes it any more.
    pub(crate) async fn send(&mut self, piece: Vec<u8>) -> bool {
        self.stream.write_all(piece).await.is_empty()
    }

    /// Ends the body with an error.
    pub(crate) async fn fail(self) {
        drop(self.stream);
        // Where the caller went away, nobody is left to tell.
        let _ = self.end.write(Err(internal("asked to fail"))).await;
    }
}

/// The request's body, from its beginning.
pub(crate) fn body_of(request: Request) -> StreamReader<u8> {
    let (read, result) = wit_future::new(|| Ok(()));
    drop(read);
    let (body, _trailers) = Request::consume_body(request, result);
    body
}

/// Method, target and headers as lines.
pub(crate) fn describe(request: &Request) -> String {
    let method = match request.get_method() {
        Method::Other(name) => name,
        known => format!("{known:?}").replace("Method::", "").to_uppercase(),
    };
    let scheme = match request.get_scheme() {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        _ => "none",
    };
    let mut text = format!(
        "method: {method}\nscheme: {scheme}\npath: {}\nauthority: {}\n",
        request.get_path_with_query().unwrap_or_default(),
        request.get_authority().unwrap_or_default()
    );
    for (name, value) in request.get_headers().copy_all() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

/// Sends a request to a URL and tells its status, or why there is none.
pub(crate) async fn call(url: &str) -> Result<u16, ErrorCode> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some((_, rest)) => (Scheme::Http, rest),
        None => return Err(ErrorCode::HttpRequestUriInvalid),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (end, trailers) = wit_future::new(|| Ok(None));
    drop(end);
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    let path = format!("/{path}");
    request.set_path_with_query(Some(&path)).map_err(invalid)?;
    client::send(request)
        .await
        .map(|answer| answer.get_status_code())
}

pub(crate) async fn sleep(time: Duration) {
    wait_for(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).await;
}

fn internal(what: &str) -> ErrorCode {
    ErrorCode::InternalError(Some(what.to_owned()))
}
