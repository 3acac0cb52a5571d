//! A WASI 0.3 HTTP agent whose path says what it does, right or wrong; the routes that the guest `web` has too are named as there.
//! It always exports `health`; with the feature `state`, the number of requests that it has begun, and an older contract besides.

mod bindings;
mod http;

use std::fs::{File, OpenOptions, read_to_string};
use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bindings::exports::caxton::agent::health;
#[cfg(feature = "state")]
use bindings::exports::caxton::agent::{handler, state};
use http::{Reply, body_of, call, describe, sleep};
use wasip3::exports::http::handler::Guest;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{IpAddressFamily, TcpSocket, UdpSocket};
use wasip3::spawn_local;

/// What is read or written at once, in bytes.
const CHUNK: usize = 4096;
/// Longer than any test.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A file in a granted directory.
const FILE: &str = "/data/calls";
#[cfg(feature = "state")]
const FORMAT: &str = "count/1";

/// Requests that were begun, this one among them: by this instance, and with state by those before it.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The agent.
pub struct Web;

impl Guest for Web {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let whole = request.get_path_with_query().unwrap_or_default();
        let (path, query) = whole.split_once('?').unwrap_or((&whole, ""));
        let number = |name: &str, default| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| *key == name);
            values
                .next()
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(default)
        };
        let milliseconds = |name| Duration::from_millis(number(name, 0));
        match path {
            "/" => Reply::text(200, "hello\n"),
            "/echo" => echo(request),
            "/pass" => pass(request),
            "/headers" => Reply::text(200, describe(&request)),
            "/sleep" => {
                sleep(milliseconds("ms")).await;
                Reply::text(200, "slept\n")
            }
            "/stream" => stream(
                number("chunks", 10),
                milliseconds("gap"),
                size(number("size", 16)),
            ),
            "/big" => big(size(number("bytes", 1 << 20))),
            "/read-slow" => read_slow(request, milliseconds("ms")).await,
            "/count" => Reply::text(200, BEGUN.load(Ordering::Relaxed).to_string()),
            "/print" => {
                println!("out");
                eprintln!("err");
                Reply::text(200, "printed\n")
            }
            "/reach" => reach(&request).await,
            "/escape" => Reply::text(200, escape(&request).await),
            "/trap-mid-body" => {
                let after = milliseconds("after");
                after_first(async move |_reply| {
                    sleep(after).await;
                    std::process::abort()
                })
            }
            "/stall-mid-body" => after_first(async |_reply| sleep(A_DAY).await),
            "/fail-mid-body" => after_first(async |reply: Reply| reply.fail().await),
            "/leave-body" => after_first(async |reply| std::mem::forget(reply)),
            "/linger" => after_first(async |reply| {
                drop(reply);
                sleep(A_DAY).await;
            }),
            "/keep-request" => {
                std::mem::forget(request);
                Reply::text(200, "kept\n")
            }
            "/keep-body" => {
                std::mem::forget(body_of(request));
                Reply::text(200, "kept\n")
            }
            "/no-answer" => Err(ErrorCode::ConfigurationError),
            "/trap" => std::process::abort(),
            "/loop" => run_for_ever(),
            "/loop-behind-head" => after_first(async |_reply| run_for_ever()),
            "/block" => {
                sleep(A_DAY).await;
                Reply::text(200, "waited\n")
            }
            "/allocate" => loop {
                std::mem::forget(black_box(vec![1_u8; 1 << 20]));
            },
            _ => match path.strip_prefix("/status/").map(str::parse) {
                Some(Ok(status)) => Reply::text(status, "as you wish\n"),
                _ => Reply::text(404, "no such route\n"),
            },
        }
    }
}

impl health::Guest for Web {
    fn check() -> Result<(), String> {
        Ok(())
    }
}

#[cfg(feature = "state")]
impl state::Guest for Web {
    fn save() -> Result<state::Snapshot, String> {
        Ok(state::Snapshot {
            format: FORMAT.to_owned(),
            data: BEGUN.load(Ordering::Relaxed).to_le_bytes().to_vec(),
        })
    }

    fn load(snapshot: state::Snapshot) -> Result<(), String> {
        let bytes = <[u8; 8]>::try_from(snapshot.data.as_slice())
            .map_err(|_| format!("{FORMAT} is 8 bytes long, not {}", snapshot.data.len()))?;
        BEGUN.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(feature = "state")]
impl handler::Guest for Web {
    fn handle(_request: handler::Message) -> Result<handler::Message, handler::Failure> {
        Err(handler::Failure::Internal(
            "nobody calls this contract".to_owned(),
        ))
    }
}

/// Computes and calls nothing.
fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Answers with a first line, and does something else behind it.
fn after_first<F: Future<Output = ()>>(
    then: impl FnOnce(Reply) -> F + 'static,
) -> Result<Response, ErrorCode> {
    let (response, mut reply) = Reply::begin(200)?;
    spawn_local(async move {
        reply.send(b"first\n".to_vec()).await;
        then(reply).await;
    });
    Ok(response)
}

/// Sends each chunk back as soon as it is read.
fn echo(request: Request) -> Result<Response, ErrorCode> {
    let (response, mut reply) = Reply::begin(200)?;
    spawn_local(async move {
        let mut body = body_of(request);
        loop {
            let (_, chunk) = body.read(Vec::with_capacity(CHUNK)).await;
            if chunk.is_empty() || !reply.send(chunk).await {
                return;
            }
        }
    });
    Ok(response)
}

/// Answers with the request's body, which the host takes over.
fn pass(request: Request) -> Result<Response, ErrorCode> {
    let (end, trailers) = wasip3::wit_future::new(|| Ok(None));
    drop(end);
    let headers = wasip3::http::types::Fields::new();
    let (response, _sent) = Response::new(headers, Some(body_of(request)), trailers);
    Ok(response)
}

fn stream(chunks: u64, gap: Duration, size: usize) -> Result<Response, ErrorCode> {
    let (response, mut reply) = Reply::begin(200)?;
    spawn_local(async move {
        for chunk in 0..chunks {
            if chunk > 0 {
                sleep(gap).await;
            }
            if !reply.send(vec![b'x'; size]).await {
                return;
            }
        }
    });
    Ok(response)
}

fn big(mut left: usize) -> Result<Response, ErrorCode> {
    let (response, mut reply) = Reply::begin(200)?;
    spawn_local(async move {
        while left > 0 {
            let now = left.min(64 * 1024);
            if !reply.send(vec![b'x'; now]).await {
                return;
            }
            left -= now;
        }
    });
    Ok(response)
}

async fn read_slow(request: Request, pause: Duration) -> Result<Response, ErrorCode> {
    let mut body = body_of(request);
    let mut total = 0;
    loop {
        let (_, chunk) = body.read(Vec::with_capacity(CHUNK)).await;
        if chunk.is_empty() {
            return Reply::text(200, format!("{total} bytes\n"));
        }
        total += chunk.len();
        sleep(pause).await;
    }
}

/// Calls the URL in the header `x-call` and adds a line to a file, and answers with what came of both, and of the environment.
async fn reach(request: &Request) -> Result<Response, ErrorCode> {
    let headers = request.get_headers().copy_all();
    let url = headers.iter().find(|(name, _)| name == "x-call");
    let called = match url {
        Some((_, url)) => match call(&String::from_utf8_lossy(url)).await {
            Ok(status) => status.to_string(),
            Err(error) => format!("{error:?}"),
        },
        None => "nobody".to_owned(),
    };
    let opened = OpenOptions::new().append(true).create(true).open(FILE);
    let wrote = match opened.and_then(|mut file: File| writeln!(file, "a call")) {
        Ok(()) => "written".to_owned(),
        Err(error) => error.to_string(),
    };
    let lines = read_to_string(FILE).map_or(0, |text| text.lines().count());
    let variables = std::env::vars().count();
    Reply::text(
        200,
        format!("called: {called}\nfile: {wrote}\nlines: {lines}\nvariables: {variables}\n"),
    )
}

/// Opens the path in the header `x-open`, as it is, in the first granted directory; makes sockets; looks up the name in the header
/// `x-name`. Answers with what came of each.
async fn escape(request: &Request) -> String {
    let header = |wanted: &str| {
        let headers = request.get_headers().copy_all();
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map_or_else(String::new, |(_, value)| {
            String::from_utf8_lossy(value).into_owned()
        })
    };
    let opened = match preopens::get_directories().first() {
        Some((directory, _)) => {
            let path = header("x-open");
            let read = DescriptorFlags::READ;
            let opened =
                directory.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), read);
            format!("{:?}", opened.await.map(|_| ()))
        }
        None => "no directory".to_owned(),
    };
    let tcp = TcpSocket::create(IpAddressFamily::Ipv4).map(|_| ());
    let udp = UdpSocket::create(IpAddressFamily::Ipv6).map(|_| ());
    let found = resolve_addresses(header("x-name")).await.map(|_| ());
    format!("opened: {opened}\ntcp: {tcp:?}\nudp: {udp:?}\nfound: {found:?}\n")
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
    wasip3::http::service::export!(Web);
}
