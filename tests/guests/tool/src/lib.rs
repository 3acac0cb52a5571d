//! A handler agent whose request body says what it does, as a command and its words: `sleep 50`, `invalid no such thing`,
//! `metric ratio checks 3 100`. Any other body comes back as it was, with its content type and metadata.

mod bindings;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use bindings::caxton::agent::metrics;
use bindings::exports::caxton::agent::{handler, health};
use handler::{Failure, Message};

/// Calls that this instance has begun, this one among them: tells a fresh instance from a reused one.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The agent.
pub struct Tool;

impl health::Guest for Tool {
    fn check() -> Result<(), String> {
        Ok(())
    }
}

impl handler::Guest for Tool {
    fn handle(request: Message) -> Result<Message, Failure> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let (command, rest) = body.trim().split_once(' ').unwrap_or((body.trim(), ""));
        match command {
            "sleep" => {
                sleep(Duration::from_millis(number(rest)?));
                Ok(text("slept"))
            }
            "echo" => Ok(text(rest)),
            "count" => Ok(text(&BEGUN.load(Ordering::Relaxed).to_string())),
            "big" => Ok(text(&"x".repeat(number(rest)?))),
            "print" => {
                println!("{rest}");
                eprintln!("{rest}");
                Ok(text("printed"))
            }
            "metric" => report(rest).map(|()| text("reported")),
            "invalid" => Err(Failure::Invalid(rest.to_owned())),
            "unavailable" => Err(Failure::Unavailable(rest.to_owned())),
            "internal" => Err(Failure::Internal(rest.to_owned())),
            "trap" => std::process::abort(),
            "loop" => run_for_ever(),
            "block" => wait_for_ever(),
            "allocate" => allocate_without_end(),
            _ => Ok(request),
        }
    }
}

fn report(words: &str) -> Result<(), Failure> {
    let words: Vec<&str> = words.split(' ').collect();
    match words.as_slice() {
        ["add", name, increase] => metrics::add(name, number(increase)?),
        ["set", name, value] => metrics::set(name, number(value)?),
        ["ratio", name, bad, total] => metrics::ratio(name, number(bad)?, number(total)?),
        _ => {
            return Err(Failure::Invalid(
                "metric takes `add NAME N`, `set NAME VALUE` or `ratio NAME BAD TOTAL`".to_owned(),
            ));
        }
    }
    Ok(())
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, Failure> {
    word.parse()
        .map_err(|_| Failure::Invalid(format!("`{word}` is no number for this command")))
}

fn text(body: &str) -> Message {
    Message {
        content_type: Some("text/plain".to_owned()),
        body: body.as_bytes().to_vec(),
        metadata: Vec::new(),
    }
}

fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn wait_for_ever() -> ! {
    loop {
        sleep(Duration::from_secs(24 * 60 * 60));
    }
}

fn allocate_without_end() -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}
