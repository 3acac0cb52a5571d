//! A WASI 0.2 HTTP agent whose answers name its build, so that a caller can tell by the text alone whose answer it got.
//!
//! The name and the manner stand in `BUILD`, which whoever makes a version of it overwrites in the component's bytes. The path
//! `/sleep/50` answers late; every other path answers at once.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::random::random::get_random_u64;

/// Sixteen bytes to find it by, then the manner, then the name, with dots where there is room.
static BUILD: [u8; 33] = *b"caxton's build: g................";

/// Where the manner stands.
const MANNER: usize = 16;

/// The agent.
pub struct Named;

impl Guest for Named {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        // Read at run time, as it stands in memory: what the compiler saw may have been overwritten since.
        let build: &[u8; 33] = black_box(&BUILD);
        let path = request.path_with_query().unwrap_or_default();
        if let Some(milliseconds) = path.strip_prefix("/sleep/") {
            sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
        }
        let (manner, name) = build
            .get(MANNER..)
            .and_then(<[u8]>::split_first)
            .unwrap_or((&b'g', b""));
        let status = match manner {
            b'f' if get_random_u64().is_multiple_of(2) => 500,
            b't' if get_random_u64().is_multiple_of(2) => std::process::abort(),
            _ => 200,
        };
        reply(out, status, name);
    }
}

fn reply(out: ResponseOutparam, status: u16, text: &[u8]) {
    let head = OutgoingResponse::new(Fields::new());
    if head.set_status_code(status).is_err() {
        return;
    }
    let Ok(body) = head.body() else { return };
    ResponseOutparam::set(out, Ok(head));
    // Where the caller went away, nobody is left to tell.
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text);
    }
    let _ = OutgoingBody::finish(body, None);
}

#[cfg(target_family = "wasm")]
mod export {
    #![allow(
        unsafe_code,
        reason = "generated: the component ABI is made of raw pointers"
    )]
    use super::Named;
    wasip2::http::proxy::export!(Named);
}
