//! A handler agent that answers well and whose health check always fails: it must never get traffic.

mod bindings;

use bindings::exports::caxton::agent::{handler, health};
use handler::{Failure, Message};

/// The agent.
pub struct Unhealthy;

impl health::Guest for Unhealthy {
    fn check() -> Result<(), String> {
        Err("database is down".to_owned())
    }
}

impl handler::Guest for Unhealthy {
    fn handle(request: Message) -> Result<Message, Failure> {
        Ok(request)
    }
}
