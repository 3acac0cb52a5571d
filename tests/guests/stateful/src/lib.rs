//! A handler agent that counts its calls and hands the count to the version after it.
//!
//! A request's body may ask for more, as a command and a number: `sleep 50` answers late, `trap` does not, `fail` fails and counts, `grow
//! 1000` makes the state so many bytes longer, `slow-save 50`, `trap-save` and `refuse-save` are about the saves from then on.

mod bindings;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

use bindings::exports::caxton::agent::{handler, health, state};
use handler::{Failure, Message};

/// The encoding: eight bytes, little end first, and then any number that mean nothing. The second one is the same by another
/// name, and a version that writes it reads no other.
const FORMAT: &str = if cfg!(feature = "second-format") {
    "count/2"
} else {
    "count/1"
};

/// Calls answered by this version and those before it.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Bytes that the state has besides.
static BALLAST: AtomicU64 = AtomicU64::new(0);
/// How long a save takes, in milliseconds.
static SLOW_SAVE: AtomicU64 = AtomicU64::new(0);
/// How a save goes: well, with a trap, or not at all.
static SAVES: AtomicU8 = AtomicU8::new(WELL);

const WELL: u8 = 0;
const TRAPPING: u8 = 1;
const REFUSING: u8 = 2;

/// The agent.
pub struct Counter;

impl health::Guest for Counter {
    fn check() -> Result<(), String> {
        Ok(())
    }
}

impl handler::Guest for Counter {
    fn handle(request: Message) -> Result<Message, Failure> {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let (command, rest) = body.trim().split_once(' ').unwrap_or((body.trim(), ""));
        let number = rest.parse().unwrap_or(0);
        match command {
            "sleep" => sleep(Duration::from_millis(number)),
            "trap" => std::process::abort(),
            "grow" => BALLAST.store(number, Relaxed),
            "slow-save" => SLOW_SAVE.store(number, Relaxed),
            "trap-save" => SAVES.store(TRAPPING, Relaxed),
            "refuse-save" => SAVES.store(REFUSING, Relaxed),
            _ => {}
        }
        let count = COUNT.fetch_add(1, Relaxed) + 1;
        if command == "fail" {
            return Err(Failure::Internal(count.to_string()));
        }
        Ok(Message {
            content_type: Some("text/plain".to_owned()),
            body: count.to_string().into_bytes(),
            metadata: Vec::new(),
        })
    }
}

impl state::Guest for Counter {
    fn save() -> Result<state::Snapshot, String> {
        sleep(Duration::from_millis(SLOW_SAVE.load(Relaxed)));
        match SAVES.load(Relaxed) {
            TRAPPING => std::process::abort(),
            REFUSING => return Err("not now".to_owned()),
            _ => {}
        }
        let mut data = COUNT.load(Relaxed).to_le_bytes().to_vec();
        let ballast = usize::try_from(BALLAST.load(Relaxed)).unwrap_or(usize::MAX);
        data.resize(data.len().saturating_add(ballast), 0);
        Ok(state::Snapshot {
            format: FORMAT.to_owned(),
            data,
        })
    }

    fn load(snapshot: state::Snapshot) -> Result<(), String> {
        if snapshot.format != FORMAT {
            return Err(format!("cannot read {}, only {FORMAT}", snapshot.format));
        }
        let Some((count, ballast)) = snapshot.data.split_first_chunk() else {
            let length = snapshot.data.len();
            return Err(format!("{FORMAT} is 8 bytes long at least, not {length}"));
        };
        COUNT.store(u64::from_le_bytes(*count), Relaxed);
        BALLAST.store(ballast.len() as u64, Relaxed);
        Ok(())
    }
}
