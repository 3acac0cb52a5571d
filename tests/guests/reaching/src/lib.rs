//! A WASI 0.2 HTTP agent that reaches for what is outside of itself.
//!
//! It sends a request to the URL in the header `x-call`, adds a line to `/data/calls`, and answers with what came of both. With the
//! header `x-try` it tries that instead, with what is in `x-what`, and answers with what came of it.

mod tries;

use std::fs::{OpenOptions, read_to_string};
use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};

/// Where a line is added.
const FILE: &str = "/data/calls";

/// Redirects that are followed.
const REDIRECTS: usize = 3;

/// The agent.
pub struct Reaching;

impl Guest for Reaching {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let header = |name: &str| {
            let values = request.headers().get(name);
            let value = values.first();
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let text = match header("x-try") {
            Some(kind) => tries::attempt(&kind, &header("x-what").unwrap_or_default()),
            None => call_and_write(header("x-call").as_deref()),
        };
        reply(out, &text);
    }
}

fn call_and_write(url: Option<&str>) -> String {
    let called = match url.map(call) {
        Some(Ok(status)) => status.to_string(),
        Some(Err(error)) => format!("{error:?}"),
        None => "nobody".to_owned(),
    };
    let wrote = match write() {
        Ok(()) => "written".to_owned(),
        Err(error) => error.to_string(),
    };
    let lines = read_to_string(FILE).map_or(0, |text| text.lines().count());
    format!("called: {called}\nfile: {wrote}\nlines: {lines}\n")
}

/// Sends a request to a URL, follows where it leads, and tells the last status.
fn call(url: &str) -> Result<u16, ErrorCode> {
    let mut url = url.to_owned();
    for _ in 0..REDIRECTS {
        let response = ask(&url)?;
        match response.headers().get("location").first() {
            Some(to) => url = String::from_utf8_lossy(to).into_owned(),
            None => return Ok(response.status()),
        }
    }
    Err(ErrorCode::LoopDetected)
}

fn ask(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some((_, rest)) => (Scheme::Http, rest),
        None => return Err(ErrorCode::HttpRequestUriInvalid),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    let path = format!("/{path}");
    request.set_path_with_query(Some(&path)).map_err(invalid)?;
    let body = request.body().map_err(invalid)?;
    let future = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    future.subscribe().block();
    match future.get() {
        Some(Ok(answer)) => answer,
        _ => Err(ErrorCode::InternalError(None)),
    }
}

fn write() -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(FILE)?;
    writeln!(file, "a call")
}

fn reply(out: ResponseOutparam, text: &str) {
    let head = OutgoingResponse::new(Fields::new());
    let Ok(body) = head.body() else { return };
    ResponseOutparam::set(out, Ok(head));
    // Where the caller went away, nobody is left to tell.
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

#[cfg(target_family = "wasm")]
mod export {
    #![allow(
        unsafe_code,
        reason = "generated: the component ABI is made of raw pointers"
    )]
    use super::Reaching;
    wasip2::http::proxy::export!(Reaching);
}
