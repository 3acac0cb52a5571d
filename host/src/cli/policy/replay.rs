//! `caxton policy replay`: a policy over records, and where it differs from them.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::again;
use super::kit::CacheArgs;
use crate::cli::failure::Failure;
use crate::cli::records::tell;
use crate::cli::show::short;
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::{print, print_json};
use crate::records::read::Records;
use crate::replay::{Replayed, ReplayedReload, replay};

const HELP: &str = "\
Each call of a recorded policy is made again and compared. The policy gets the settings that were
recorded for one of its name or bytes, otherwise those of NAME.toml beside its file; --settings is
laid over either, key by key. A reload in which nothing can be compared is skipped, and said.

  caxton policy replay evidence reload.jsonl
  caxton policy replay ./mine.wasm reload.jsonl --as evidence --settings '{\"max_failure_rate\": 0.02}'

Exit code 1 where the same bytes and settings answer otherwise than recorded, and where no call
could be compared at all; 2 where that is because the policy refuses what --settings says.";

/// `caxton policy replay`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ReplayArgs {
    /// A policy's file, or the name of one in this binary
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// Files that `caxton records` wrote, oldest first; `-` is the standard input
    #[arg(value_name = "RECORDS", required = true)]
    pub records: Vec<PathBuf>,
    /// Settings: a file in TOML or JSON, or a JSON object; laid over the recorded ones, key by key
    #[arg(long, value_name = "SETTINGS")]
    pub settings: Option<String>,
    /// Compare with this policy of the records; without it, with the one of the same bytes or name
    #[arg(long = "as", value_name = "NAME")]
    pub recorded_as: Option<String>,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Where compiled code is kept.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
}

pub(super) async fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let runtime = args.cache.runtime()?;
    let mut subject = again::subject(&runtime, &args.policy, args.settings.as_deref()).await?;
    subject.recorded_as.clone_from(&args.recorded_as);
    let mut records = Records::of_files(&args.records);
    let replayed = replay(&subject, &mut records).await;
    tell(&records.take_notices());
    let replayed = replayed.map_err(again::failed)?;
    if args.json {
        print_json(&json!({
            "policy": subject.policy.name(),
            "digest": subject.policy.digest(),
            "broken": replayed.is_broken(),
            "calls": replayed.calls(),
            "calls_skipped": replayed.calls_skipped(),
            "reloads": replayed.reloads,
            "skipped": replayed.skipped,
        }))?;
    } else {
        print(&text(&replayed, Paint::stdout()))?;
    }
    outcome(&replayed, args.settings.is_some())
}

/// How the command ends.
fn outcome(replayed: &Replayed, settings_given: bool) -> Result<(), Failure> {
    if replayed.is_broken() {
        return Err(Failure::Told);
    }
    if replayed.calls() > 0 {
        return Ok(());
    }
    let what = if replayed.reloads.is_empty() && replayed.skipped.is_empty() {
        "there is no reload in these records".to_owned()
    } else {
        match replayed.calls_skipped() {
            0 => "no call could be compared".to_owned(),
            n => format!("no call could be compared, {n} were skipped"),
        }
    };
    Err(again::nothing(&replayed.skipped, settings_given, &what))
}

/// What came of a replay.
fn text(replayed: &Replayed, paint: Paint) -> String {
    let reloads = replayed.reloads.iter();
    let mut text: String = reloads.map(|reload| of_reload(reload, paint)).collect();
    text.push_str(&again::skipped_lines(&replayed.skipped, paint));
    text
}

fn of_reload(reload: &ReplayedReload, paint: Paint) -> String {
    let calls = match reload.calls {
        1 => "1 call".to_owned(),
        n => format!("{n} calls"),
    };
    let (word, tone) = match (reload.calls_that_differ, reload.same) {
        (0, _) if reload.calls == 0 => ("nothing to compare".to_owned(), Tone::Busy),
        (0, _) => (format!("no difference in {calls}"), Tone::Good),
        (n, true) => (format!("{n} of {calls} differ, and none may"), Tone::Bad),
        (n, false) => (format!("{n} of {calls} differ"), Tone::Busy),
    };
    let skipped = match reload.calls_skipped {
        0 => String::new(),
        n => format!(", {n} not compared"),
    };
    let how = if reload.same {
        "same bytes and settings".to_owned()
    } else {
        format!(
            "against {} {}, other bytes or settings",
            harmless(&reload.policy),
            short(&reload.recorded_digest.to_string())
        )
    };
    let mut text = format!(
        "{} {}: {}{skipped} ({how})\n",
        reload.agent,
        reload.reload,
        paint.tone(tone, &word)
    );
    for difference in &reload.differences {
        text.push_str(&format!(
            "  {} {}: recorded {}, now {}\n",
            place(difference.tick),
            harmless(&difference.field),
            harmless(&difference.recorded),
            harmless(&difference.now)
        ));
    }
    let told: u64 = reload
        .differences
        .iter()
        .fold((0, None), |(calls, last), difference| {
            let new = last != Some(difference.tick);
            (calls + u64::from(new), Some(difference.tick))
        })
        .0;
    if reload.calls_that_differ > told {
        text.push_str(&format!(
            "  and {} more calls\n",
            reload.calls_that_differ - told
        ));
    }
    for skipped in &reload.skipped {
        text.push_str(&format!(
            "  {} not compared: {}\n",
            place(skipped.tick),
            harmless(&skipped.reason)
        ));
    }
    let left_out = reload
        .calls_skipped
        .saturating_sub(u64::try_from(reload.skipped.len()).unwrap_or(u64::MAX));
    if left_out > 0 {
        text.push_str(&format!("  and {left_out} more not compared\n"));
    }
    text
}

fn place(tick: Option<u64>) -> String {
    tick.map_or_else(|| "plan".to_owned(), |tick| format!("round {tick}"))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
