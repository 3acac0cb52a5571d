//! A WASI 0.2 HTTP agent that changes things outside of itself: it sends a request to the URL in the header `x-call`, adds a line to
//! `/data/calls`, and answers with what came of both.

use std::fs::{OpenOptions, read_to_string};
use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

/// Where a line is added.
const FILE: &str = "/data/calls";

/// The agent.
pub struct Reaching;

impl Guest for Reaching {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let urls = request.headers().get("x-call");
        let called = match urls.first() {
            Some(url) => match call(&String::from_utf8_lossy(url)) {
                Ok(status) => status.to_string(),
                Err(error) => format!("{error:?}"),
            },
            None => "nobody".to_owned(),
        };
        let wrote = match write() {
            Ok(()) => "written".to_owned(),
            Err(error) => error.to_string(),
        };
        let lines = read_to_string(FILE).map_or(0, |text| text.lines().count());
        reply(
            out,
            &format!("called: {called}\nfile: {wrote}\nlines: {lines}\n"),
        );
    }
}

fn call(url: &str) -> Result<u16, ErrorCode> {
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
        Some(Ok(answer)) => answer.map(|response| response.status()),
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
