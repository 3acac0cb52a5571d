//! A WASI 0.2 HTTP agent whose path says what it does, right or wrong. Each route is one behaviour that a host must live with.

mod faults;
mod hoard;
mod http;

use std::io::{self, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use http::{Exchange, Target};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// What is read or written at once, in bytes.
const CHUNK: usize = 4096;

/// The environment variable that holds a path: every request is answered as if it were for that one. So one component makes
/// versions that differ.
const ANSWER_AS: &str = "ANSWER_AS";

/// Requests that this instance has begun, this one among them: tells a fresh instance from a reused one.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The agent.
pub struct Web;

impl Guest for Web {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let target = match std::env::var(ANSWER_AS) {
            Ok(path) => Target::of_path(&path),
            Err(_) => Target::of(&request),
        };
        if let Err(error) = answer(&target, Exchange::new(request, out)) {
            eprintln!("{}: {error}", target.path);
        }
    }
}

fn answer(target: &Target, exchange: Exchange) -> io::Result<()> {
    let number = |name, default| target.number(name).unwrap_or(default);
    let milliseconds = |name| Duration::from_millis(number(name, 0));
    match target.path.as_str() {
        "/" => exchange.text(200, "hello\n"),
        "/echo" => echo(exchange, Duration::ZERO),
        "/headers" => {
            let text = exchange.describe();
            exchange.text(200, &text)
        }
        "/sleep" => {
            sleep(milliseconds("ms"));
            exchange.text(200, "slept\n")
        }
        "/stream" => {
            let size = size(number("size", 16));
            stream(exchange, number("chunks", 10), milliseconds("gap"), size)
        }
        "/read-slow" => read_slow(exchange, milliseconds("ms")),
        "/count" => exchange.text(200, &BEGUN.load(Ordering::Relaxed).to_string()),
        "/print" => {
            let lines = number("lines", 1);
            for line in 1..=lines {
                println!("out {line}");
                eprintln!("err {line}");
            }
            exchange.text(200, "printed\n")
        }
        "/big" => {
            hoard::bodies(number("behind", 0));
            big(exchange, number("bytes", 1 << 20))
        }
        "/memory" => {
            let mib = number("mib", 1);
            let kept = vec![1_u8; size(mib.saturating_mul(1 << 20))];
            let kept = std::hint::black_box(kept);
            exchange.text(200, &format!("{} bytes\n", kept.len()))
        }
        "/trap-mid-body" => {
            let _reply = exchange.begin_with(b"first\n")?;
            sleep(milliseconds("after"));
            faults::trap()
        }
        "/stall-mid-body" => {
            let _reply = exchange.begin_with(b"first\n")?;
            faults::wait_for_ever()
        }
        "/hoard" => {
            let taken =
                hoard::requests(number("requests", 100)) + hoard::bodies(number("bodies", 100));
            exchange.text(200, &taken.to_string())
        }
        "/loop-beside-body" => {
            let mut exchange = exchange;
            let body = exchange.read_body()?;
            body.wait_at_most(Duration::from_millis(20));
            faults::run_for_ever()
        }
        "/linger" => {
            exchange.text(200, "all of it\n")?;
            faults::wait_for_ever()
        }
        "/leave-body" => exchange.begin(200).map(std::mem::forget),
        "/keep-request" => {
            let mut exchange = exchange;
            std::mem::forget(exchange.read_body()?);
            exchange.text(200, "kept\n")
        }
        "/drop-body" => exchange.begin_with(b"first\n").map(drop),
        "/no-answer" => Ok(()),
        "/trap" => faults::trap(),
        "/panic" => faults::panic(),
        "/loop" => faults::run_for_ever(),
        "/block" => faults::wait_for_ever(),
        "/allocate" => faults::allocate_without_end(),
        path => match path
            .strip_prefix("/status/")
            .and_then(|code| code.parse().ok())
        {
            Some(status) => exchange.text(status, "as you wish\n"),
            None => exchange.text(404, "no such route\n"),
        },
    }
}

/// Sends each chunk back as soon as it is read.
fn echo(mut exchange: Exchange, pause: Duration) -> io::Result<()> {
    let mut request = exchange.read_body()?;
    let mut reply = exchange.begin(200)?;
    let mut chunk = [0; CHUNK];
    loop {
        match request.read(&mut chunk)? {
            0 => break,
            length => reply.send(chunk.get(..length).unwrap_or_default())?,
        }
        sleep(pause);
    }
    reply.finish()
}

fn stream(exchange: Exchange, chunks: u64, gap: Duration, size: usize) -> io::Result<()> {
    let mut reply = exchange.begin(200)?;
    for chunk in 0..chunks {
        if chunk > 0 {
            sleep(gap);
        }
        reply.send(&vec![b'x'; size])?;
    }
    reply.finish()
}

fn read_slow(mut exchange: Exchange, pause: Duration) -> io::Result<()> {
    let mut request = exchange.read_body()?;
    let mut chunk = [0; CHUNK];
    let mut total = 0;
    loop {
        match request.read(&mut chunk)? {
            0 => break,
            length => total += length,
        }
        sleep(pause);
    }
    drop(request);
    exchange.text(200, &format!("{total} bytes\n"))
}

fn big(exchange: Exchange, bytes: u64) -> io::Result<()> {
    let chunk = vec![b'x'; 64 * 1024];
    let mut reply = exchange.begin(200)?;
    let mut left = size(bytes);
    while left > 0 {
        let now = left.min(chunk.len());
        reply.send(chunk.get(..now).unwrap_or_default())?;
        left -= now;
    }
    reply.finish()
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(target_family = "wasm")]
mod export {
    #![allow(
        unsafe_code,
        reason = "generated: the component ABI is made of raw pointers"
    )]
    use super::Web;
    wasip2::http::proxy::export!(Web);
}
