//! `caxton logs`: what an agent's instances printed.

use std::time::Duration;

use caxton_rollout::{AgentName, VersionNumber};
use clap::Args;
use serde::Deserialize;

use super::args::{Connection, agent_name, span, version_number};
use super::client::Client;
use super::failure::Failure;
use super::lines::Lines;
use super::show::moment;
use super::text::{Paint, Tone, harmless};
use super::time;

/// `caxton logs`
#[derive(Debug, Args)]
// Its `--version` is the agent's.
#[command(disable_version_flag = true)]
pub struct LogsArgs {
    /// The agent's name
    #[arg(value_parser = agent_name)]
    pub agent: AgentName,
    /// Go on with what it prints from now
    #[arg(long, short)]
    pub follow: bool,
    /// Only what this version printed
    #[arg(long, value_name = "N", value_parser = version_number)]
    pub version: Option<VersionNumber>,
    /// Only what was printed in the last 10m, 2h, ...
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub since: Option<Duration>,
    /// Only so many of the newest lines [default: all that are remembered, 1,000 at most]
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<usize>,
    /// As JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// One line, or how many were forgotten before they were read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Printed {
    at: u64,
    version: u64,
    stream: String,
    text: String,
    dropped_before: u64,
    missed: Option<u64>,
    why: String,
}

pub(super) async fn logs(args: &LogsArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let lines = Lines::of(client.stream(&path(args, time::now_ms())).await?);
    lines
        .print_all(&client, (args.json, args.follow), "line", written)
        .await
}

fn path(args: &LogsArgs, now: u64) -> String {
    let mut path = format!("agents/{}/logs?follow={}", args.agent, args.follow);
    if let Some(version) = args.version {
        path.push_str(&format!("&version={}", version.get()));
    }
    if let Some(since) = args.since {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        path.push_str(&format!("&from={}", now.saturating_sub(since)));
    }
    if let Some(lines) = args.lines {
        path.push_str(&format!("&lines={lines}"));
    }
    path
}

fn written(printed: &Printed, paint: Paint) -> String {
    let aside = |text: &str| format!("{}\n", paint.tone(Tone::Busy, &format!("... {text}")));
    let lost = |lines: u64, why: &str| {
        let noun = if lines == 1 { "line" } else { "lines" };
        aside(&format!("{lines} {noun} {why}"))
    };
    match printed.missed {
        // How many, nobody knows.
        Some(0) => return aside(&harmless(&printed.why)),
        Some(missed) => return lost(missed, "not remembered any more"),
        None => {}
    }
    let mut text = String::new();
    if printed.dropped_before > 0 {
        text = lost(
            printed.dropped_before,
            "lost: they came too fast to be taken",
        );
    }
    let tone = match printed.stream.as_str() {
        "stderr" => Tone::Busy,
        _ => Tone::Faint,
    };
    text.push_str(&format!(
        "{} v{} {}  {}\n",
        paint.tone(Tone::Faint, &moment(printed.at, paint)),
        printed.version,
        paint.tone(tone, &harmless(&printed.stream)),
        harmless(&printed.text)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_when_who_and_where_and_acts_on_no_terminal() {
        let printed = Printed {
            at: 43_201_123,
            version: 3,
            stream: "stderr".to_owned(),
            text: "a\u{1b}[2J\tb\r".to_owned(),
            dropped_before: 2,
            missed: None,
            why: String::new(),
        };
        assert_eq!(
            written(&printed, Paint::MONOCHROME),
            "... 2 lines lost: they came too fast to be taken\n12:00:01.123Z v3 stderr  a\\u{1b}[2J\\tb\\r\n"
        );
        assert!(written(&printed, Paint::PLAIN).contains("1970-01-01 12:00:01.123Z v3 stderr"));
        let missed = Printed {
            missed: Some(1),
            ..Printed::default()
        };
        assert_eq!(
            written(&missed, Paint::PLAIN),
            "... 1 line not remembered any more\n"
        );
        let elsewhere = Printed {
            missed: Some(0),
            why: "it is not of this host".to_owned(),
            ..Printed::default()
        };
        assert_eq!(
            written(&elsewhere, Paint::PLAIN),
            "... it is not of this host\n"
        );
    }
}
