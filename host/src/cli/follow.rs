//! `caxton events`: what happened, and what happens.

use super::args::EventsArgs;
use super::client::Client;
use super::failure::Failure;
use super::lines::Lines;
use super::show;

pub(super) async fn events(args: &EventsArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let lines = Lines::of(client.events(args.since.unwrap_or(0), args.follow).await?);
    lines
        .print_all(&client, (args.json, args.follow), "event", show::event)
        .await
}
