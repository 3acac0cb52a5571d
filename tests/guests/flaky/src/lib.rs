//! A WASI 0.2 HTTP agent that fails 30 % of its calls at random, and is friendly otherwise.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::random::random::get_random_u64;

/// How many of a hundred calls fail.
const FAILING_PER_CENT: u64 = 30;

/// The agent.
pub struct Flaky;

impl Guest for Flaky {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let (status, text) = if get_random_u64() % 100 < FAILING_PER_CENT {
            (500, "out of luck\n")
        } else {
            (200, "hello\n")
        };
        let head = OutgoingResponse::new(Fields::new());
        if head.set_status_code(status).is_err() {
            return;
        }
        let Ok(body) = head.body() else { return };
        ResponseOutparam::set(out, Ok(head));
        // Where the caller went away, nobody is left to tell.
        if let Ok(stream) = body.write() {
            let _ = stream.blocking_write_and_flush(text.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

#[cfg(target_family = "wasm")]
mod export {
    #![allow(
        unsafe_code,
        reason = "generated: the component ABI is made of raw pointers"
    )]
    use super::Flaky;
    wasip2::http::proxy::export!(Flaky);
}
