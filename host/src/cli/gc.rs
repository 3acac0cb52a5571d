//! `caxton gc`: removes what is beyond the limits and what nothing names, while the host serves.

use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::args::Connection;
use super::client::Client;
use super::failure::Failure;
use super::policy::kit::slowly;
use super::{print, print_json};

/// `caxton gc`
#[derive(Debug, Args)]
pub struct GcArgs {
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Collected {
    files: u64,
    bytes: u64,
    records: u64,
    events: u64,
}

pub(super) async fn gc(args: &GcArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let collected = slowly("collecting", client.upkeep("gc", &json!({}))).await?;
    if args.json {
        return print_json(&collected);
    }
    print(&told(&client.read(collected)?))
}

fn told(collected: &Collected) -> String {
    let Collected {
        files,
        bytes,
        records,
        events,
    } = collected;
    if (*files, *records, *events) == (0, 0, 0) {
        return "nothing to remove now; what nothing names goes an hour after it was written\n"
            .to_owned();
    }
    let some = |count: &u64, one: &str, several: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {several}")),
    };
    let removed: Vec<String> = [
        some(files, "file", "files").map(|files| {
            let bytes = ByteSize::b(*bytes);
            format!("{files} that nothing names ({bytes})")
        }),
        some(
            records,
            "reload's decision records",
            "reloads' decision records",
        ),
        some(events, "event", "events"),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("removed {}\n", removed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_removed_is_told() {
        let of = |files, bytes, records, events| {
            told(&Collected {
                files,
                bytes,
                records,
                events,
            })
        };
        assert_eq!(
            of(0, 0, 0, 0),
            "nothing to remove now; what nothing names goes an hour after it was written\n"
        );
        assert_eq!(
            of(2, 3 << 20, 1, 40),
            "removed 2 files that nothing names (3.0 MiB), 1 reload's decision records, 40 events\n"
        );
        assert_eq!(of(0, 0, 0, 1), "removed 1 event\n");
    }
}
