//! A WASI 0.2 HTTP agent that tries what it was not granted: the header `x-try` says what, `x-what` with what; the answer says what came
//! of it.

use std::fmt::Debug;
use std::fs::read_to_string;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, ErrorCode as FileError, OpenFlags, PathFlags};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};

/// Redirects that are followed.
const REDIRECTS: usize = 3;

/// The agent.
pub struct Escaping;

impl Guest for Escaping {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let header = |name: &str| {
            let values = request.headers().get(name);
            values
                .first()
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .unwrap_or_default()
        };
        let what = header("x-what");
        let came = match header("x-try").as_str() {
            "read" => told(read_to_string(&what)),
            "open" => told(open(&what)),
            "link" => told(link(&what)),
            "environment" => told(Ok::<_, ()>(std::env::vars().collect::<Vec<_>>())),
            "listen" => told(TcpListener::bind(what)),
            "connect" => told(TcpStream::connect(what)),
            "udp" => told(UdpSocket::bind(what)),
            "look-up" => told(
                (what, 80)
                    .to_socket_addrs()
                    .map(Iterator::collect::<Vec<_>>),
            ),
            "call" => told(call(&what)),
            other => format!("{other} is nothing to try"),
        };
        reply(out, &came);
    }
}

fn told<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(got) => format!("got: {got:?}"),
        Err(error) => format!("refused: {error:?}"),
    }
}

/// Opens a path as it is, with none of a library's thoughts about it.
fn open(path: &str) -> Result<String, FileError> {
    let (directory, name) = get_directories()
        .into_iter()
        .next()
        .ok_or(FileError::BadDescriptor)?;
    directory.open_at(
        PathFlags::SYMLINK_FOLLOW,
        path,
        OpenFlags::empty(),
        DescriptorFlags::READ,
    )?;
    Ok(format!("{path} in {name}"))
}

/// Makes a link to a path and reads what it leads to.
fn link(path: &str) -> Result<String, FileError> {
    let (directory, _) = get_directories()
        .into_iter()
        .next()
        .ok_or(FileError::BadDescriptor)?;
    directory.symlink_at(path, "link")?;
    open("link")
}

/// Sends a request to a URL, follows where it leads, and tells the last status.
fn call(url: &str) -> Result<u16, ErrorCode> {
    let mut url = url.to_owned();
    for _ in 0..REDIRECTS {
        let response = ask(&url)?;
        let location = response.headers().get("location");
        match location.first() {
            Some(to) => url = String::from_utf8_lossy(to).into_owned(),
            None => return Ok(response.status()),
        }
    }
    Err(ErrorCode::LoopDetected)
}

fn ask(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url
        .split_once("://")
        .ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let scheme = if scheme == "https" {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    let path = format!("/{path}");
    request.set_path_with_query(Some(&path)).map_err(invalid)?;
    let future = outgoing_handler::handle(request, None)?;
    future.subscribe().block();
    match future.get() {
        Some(Ok(answer)) => answer,
        _ => Err(ErrorCode::InternalError(None)),
    }
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
    use super::Escaping;
    wasip2::http::proxy::export!(Escaping);
}
