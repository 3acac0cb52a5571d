//! `caxton events`: what happened, and what happens.

use reqwest::Response;

use super::args::EventsArgs;
use super::client::Client;
use super::failure::Failure;
use super::text::{Paint, harmless_json};
use super::views::Happened;
use super::{print, show};

/// Bytes of one line; the host's own limit for an event is far below.
const MAX_LINE: usize = 1024 * 1024;

pub(super) async fn events(args: &EventsArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let mut lines = Lines {
        response: client.events(args.since.unwrap_or(0), args.follow).await?,
        read: Vec::new(),
    };
    let paint = Paint::stdout();
    while let Some(line) = lines.next(&client).await? {
        if args.json {
            print(&format!("{}\n", harmless_json(&line)))?;
            continue;
        }
        let event: Happened = serde_json::from_str(&line).map_err(|error| {
            Failure::Unreachable(format!("the host sent what is no event: {error}"))
        })?;
        print(&show::event(&event, paint))?;
    }
    if args.follow {
        return Err(Failure::Unreachable(
            "the host has stopped: there is nothing more to follow".to_owned(),
        ));
    }
    Ok(())
}

struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty; none at the end.
    async fn next(&mut self, client: &Client) -> Result<Option<String>, Failure> {
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
