//! A handler agent that counts its calls and hands the count to the version after it.

mod bindings;

use std::sync::atomic::{AtomicU64, Ordering};

use bindings::exports::caxton::agent::{handler, health, state};
use handler::{Failure, Message};

/// The encoding: eight bytes, little end first.
const FORMAT: &str = "count/1";

/// Calls answered by this version and those before it.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The agent.
pub struct Counter;

impl health::Guest for Counter {
    fn check() -> Result<(), String> {
        Ok(())
    }
}

impl handler::Guest for Counter {
    fn handle(_request: Message) -> Result<Message, Failure> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Message {
            content_type: Some("text/plain".to_owned()),
            body: count.to_string().into_bytes(),
            metadata: Vec::new(),
        })
    }
}

impl state::Guest for Counter {
    fn save() -> Result<state::Snapshot, String> {
        Ok(state::Snapshot {
            format: FORMAT.to_owned(),
            data: COUNT.load(Ordering::Relaxed).to_le_bytes().to_vec(),
        })
    }

    fn load(snapshot: state::Snapshot) -> Result<(), String> {
        if snapshot.format != FORMAT {
            return Err(format!("cannot read {}, only {FORMAT}", snapshot.format));
        }
        let bytes = <[u8; 8]>::try_from(snapshot.data.as_slice())
            .map_err(|_| format!("{FORMAT} is 8 bytes long, not {}", snapshot.data.len()))?;
        COUNT.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        Ok(())
    }
}
