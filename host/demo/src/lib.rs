//! The agent that `caxton demo` deploys: a printer of greetings, in three versions from one source.
//!
//! All greet in the same words, because `parallel` compares answers. Version 2 is a little faster. Version 3 fails three calls in ten,
//! which is what the demo lets a policy find out. Each call takes 5 to 20 milliseconds, so that there is always one in flight when
//! a version changes.

use std::thread::sleep;
use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::random::random::get_random_u64;

/// What every version answers.
const GREETING: &str = "Good day from the press.\n";

/// What this version is: how long a call may take, and how many calls of a hundred fail.
const VERSION: Version = if cfg!(feature = "v3") {
    Version {
        longest_ms: 16,
        failing_per_cent: 30,
    }
} else if cfg!(feature = "v2") {
    Version {
        longest_ms: 16,
        failing_per_cent: 0,
    }
} else {
    Version {
        longest_ms: 20,
        failing_per_cent: 0,
    }
};

/// What every call takes at least.
const SHORTEST_MS: u64 = 5;

struct Version {
    longest_ms: u64,
    failing_per_cent: u64,
}

/// The agent.
pub struct Demo;

impl Guest for Demo {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let spread = VERSION.longest_ms - SHORTEST_MS + 1;
        sleep(Duration::from_millis(
            SHORTEST_MS + get_random_u64() % spread,
        ));
        let (status, text) = if falls_below(get_random_u64(), VERSION.failing_per_cent) {
            (500, "The press is jammed.\n")
        } else {
            (200, GREETING)
        };
        answer(out, status, text);
    }
}

/// True for `per_cent` of a hundred draws.
fn falls_below(draw: u64, per_cent: u64) -> bool {
    draw % 100 < per_cent
}

/// Sends the whole reply. Where the caller went away, nobody is left to tell.
fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let head = OutgoingResponse::new(Fields::new());
    if head.set_status_code(status).is_err() {
        return;
    }
    let Ok(body) = head.body() else { return };
    ResponseOutparam::set(out, Ok(head));
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
    use super::Demo;
    wasip2::http::proxy::export!(Demo);
}
