//! A handler agent that answers well and whose health check fails: it must never get traffic. Where it is granted `/data`, it is
//! healthy there until a file `/data/down` appears.

mod bindings;

use std::path::Path;

use bindings::exports::caxton::agent::{handler, health};
use handler::{Failure, Message};

/// The agent.
pub struct Unhealthy;

impl health::Guest for Unhealthy {
    fn check() -> Result<(), String> {
        let data = Path::new("/data");
        if data.is_dir() && !data.join("down").exists() {
            return Ok(());
        }
        Err("database is down".to_owned())
    }
}

impl handler::Guest for Unhealthy {
    fn handle(request: Message) -> Result<Message, Failure> {
        Ok(request)
    }
}
