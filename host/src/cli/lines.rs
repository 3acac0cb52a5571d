//! An answer that comes line by line, for as long as the host has something to say.

use reqwest::Response;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::failure::Failure;
use super::print;
use super::text::{Paint, harmless_json};

/// Bytes of one line; the host's own limit for an event is far below.
const MAX_LINE: usize = 1024 * 1024;

/// What a line says. `what` is the word for what was expected.
pub(super) fn parsed<T: DeserializeOwned>(line: &str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(line)
        .map_err(|error| Failure::Unreachable(format!("the host sent what is no {what}: {error}")))
}

/// The lines of an answer, one after the other.
pub(super) struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        Self {
            response,
            read: Vec::new(),
        }
    }

    /// Prints each line, as it came or as `shown` shows it, up to the end; with `follow` there should be none.
    pub(super) async fn print_all<T: DeserializeOwned>(
        mut self,
        client: &Client,
        (json, follow): (bool, bool),
        what: &str,
        shown: impl Fn(&T, Paint) -> String,
    ) -> Result<(), Failure> {
        let paint = Paint::stdout();
        while let Some(line) = self.next(client).await? {
            if json {
                print(&format!("{}\n", harmless_json(&line)))?;
            } else {
                print(&shown(&parsed(&line, what)?, paint))?;
            }
        }
        if follow {
            return Err(Failure::Unreachable(
                "the host has stopped: there is nothing more to follow".to_owned(),
            ));
        }
        Ok(())
    }

    /// The next line that is not empty; none at the end. Safe to cancel.
    pub(super) async fn next(&mut self, client: &Client) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                let line = String::from_utf8_lossy(&line);
                match line.trim() {
                    "" => continue,
                    line => return Ok(Some(line.to_owned())),
                }
            }
            if self.read.len() > MAX_LINE {
                return Err(Failure::Unreachable(
                    "the host sent a line that has no end".to_owned(),
                ));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(client.lost(&error)),
            }
        }
    }
}
