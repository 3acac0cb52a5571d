//! A WASI 0.2 HTTP agent that counts its calls and hands the count to the version after it. `/sleep/50` answers late, `/trap` does
//! not, `/keep` keeps its request, `/large/64` answers with 64 KiB more, and every other path just counts.

mod bindings;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

use bindings::exports::caxton::agent::{health, state};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// The encoding: eight bytes, little end first.
const FORMAT: &str = "count/1";

/// Calls answered by this version and those before it.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The agent.
pub struct Counter;

impl Guest for Counter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match path.split('/').nth(1).unwrap_or_default() {
            "sleep" => {
                let milliseconds = path.rsplit('/').next().and_then(|text| text.parse().ok());
                sleep(Duration::from_millis(milliseconds.unwrap_or(0)));
            }
            "trap" => std::process::abort(),
            "keep" => std::mem::forget(request),
            _ => {}
        }
        let count = COUNT.fetch_add(1, Relaxed) + 1;
        let kibibytes = path
            .strip_prefix("/large/")
            .and_then(|text| text.parse().ok());
        reply(out, &count.to_string(), kibibytes.unwrap_or(0));
    }
}

impl health::Guest for Counter {
    fn check() -> Result<(), String> {
        Ok(())
    }
}

impl state::Guest for Counter {
    fn save() -> Result<state::Snapshot, String> {
        Ok(state::Snapshot {
            format: FORMAT.to_owned(),
            data: COUNT.load(Relaxed).to_le_bytes().to_vec(),
        })
    }

    fn load(snapshot: state::Snapshot) -> Result<(), String> {
        if snapshot.format != FORMAT {
            return Err(format!("cannot read {}, only {FORMAT}", snapshot.format));
        }
        let bytes = <[u8; 8]>::try_from(snapshot.data.as_slice())
            .map_err(|_| format!("{FORMAT} is 8 bytes long, not {}", snapshot.data.len()))?;
        COUNT.store(u64::from_le_bytes(bytes), Relaxed);
        Ok(())
    }
}

fn reply(out: ResponseOutparam, text: &str, kibibytes: usize) {
    let head = OutgoingResponse::new(Fields::new());
    let Ok(body) = head.body() else { return };
    ResponseOutparam::set(out, Ok(head));
    // Where the caller went away, nobody is left to tell.
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        for _ in 0..kibibytes {
            let _ = stream.blocking_write_and_flush(&[b'.'; 1024]);
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

#[cfg(target_family = "wasm")]
mod export {
    #![allow(
        unsafe_code,
        reason = "generated: the component ABI is made of raw pointers"
    )]
    use super::Counter;
    wasip2::http::proxy::export!(Counter);
}
