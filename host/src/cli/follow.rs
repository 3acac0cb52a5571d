//! `caxton events`: what happened, and what happens.

use super::args::EventsArgs;
use super::client::Client;
use super::failure::Failure;
use super::lines::Lines;
use super::text::{Paint, harmless_json};
use super::views::Happened;
use super::{print, show};

pub(super) async fn events(args: &EventsArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let mut lines = Lines::of(client.events(args.since.unwrap_or(0), args.follow).await?);
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
