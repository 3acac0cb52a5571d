//! `caxton policy backtest`: two policies side by side over records.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::again;
use super::kit::CacheArgs;
use crate::cli::failure::Failure;
use crate::cli::records::tell;
use crate::cli::show::short;
use crate::cli::table::{Cell, Table};
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::time::{date_time, span};
use crate::cli::{print, print_json};
use crate::records::read::Records;
use crate::replay::{Backtest, Course, Point, Run, Sum, backtest};

/// Changes of verdict that a line shows; the JSON has all.
const SHOWN: usize = 8;

const HELP: &str = "\
Each policy gets the settings that were recorded for one of its name or bytes, otherwise those of
NAME.toml beside its file; --settings-a and --settings-b are laid over either, key by key. A
reload in which one of them refuses its settings is skipped, and said.

  caxton policy backtest reloads.jsonl --policy evidence --policy ./mine.wasm
  caxton policy backtest reloads.jsonl --policy evidence --policy evidence --settings-b '{\"max_failure_rate\": 0.02}'

\"At least\" stands where a policy would have let more through than the records have: it does not go
back, and the reload was taken back or ended otherwise, or its records stop.

Exit code 1 where no reload could be judged; 2 where that is because a policy refuses the settings
that were given.";

/// `caxton policy backtest`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BacktestArgs {
    /// Files that `caxton records` wrote, oldest first; `-` is the standard input
    #[arg(value_name = "RECORDS", required = true)]
    pub records: Vec<PathBuf>,
    /// A policy's file, or the name of one in this binary; twice
    #[arg(long = "policy", value_name = "POLICY", required = true)]
    pub policies: Vec<String>,
    /// Settings of the first: a file in TOML or JSON, or a JSON object; laid over the recorded ones, key by key
    #[arg(long, value_name = "SETTINGS")]
    pub settings_a: Option<String>,
    /// Settings of the second, likewise
    #[arg(long, value_name = "SETTINGS")]
    pub settings_b: Option<String>,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Where compiled code is kept.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
}

pub(super) async fn run(args: &BacktestArgs) -> Result<(), Failure> {
    let [first, second] = args.policies.as_slice() else {
        return Err(Failure::Usage(format!(
            "two policies are compared: give --policy twice, not {} times; the same policy twice with other settings is \
             --policy A --policy A --settings-b '{{..}}'",
            args.policies.len()
        )));
    };
    let runtime = args.cache.runtime()?;
    let first = again::subject(&runtime, first, args.settings_a.as_deref()).await?;
    let second = again::subject(&runtime, second, args.settings_b.as_deref()).await?;
    let mut records = Records::of_files(&args.records);
    let tested = backtest([&first, &second], &mut records).await;
    tell(&records.take_notices());
    let tested = tested.map_err(again::failed)?;
    if args.json {
        print_json(&json!(tested))?;
    } else {
        print(&text(&tested, Paint::stdout()))?;
    }
    if !tested.reloads.is_empty() {
        return Ok(());
    }
    let what = if tested.skipped.is_empty() {
        "there is no reload in these records"
    } else {
        "no reload could be judged"
    };
    let given = args.settings_a.is_some() || args.settings_b.is_some();
    Err(again::nothing(&tested.skipped, given, what))
}

/// What came of a backtest.
fn text(tested: &Backtest, paint: Paint) -> String {
    let mut text = again::skipped_lines(&tested.skipped, paint);
    let Some(first) = tested.reloads.first() else {
        return text;
    };
    let same = tested.reloads.iter().all(|course| {
        let mut pairs = course.policies.iter().zip(&first.policies);
        pairs.all(|(run, first)| run.settings == first.settings)
    });
    for (letter, run) in ["A", "B"].into_iter().zip(&first.policies) {
        let settings = if same {
            harmless(&run.settings.to_string()).into_owned()
        } else {
            "settings as each reload had them".to_owned()
        };
        text.push_str(&format!(
            "{letter} is {} {}  {settings}\n",
            harmless(&run.policy),
            short(&run.digest.to_string()),
        ));
    }
    for course in &tested.reloads {
        text.push('\n');
        text.push_str(&of_reload(course, !same, paint));
    }
    text.push('\n');
    text.push_str(&sums(&tested.sum, paint));
    text.push('\n');
    text.push_str(tested.note);
    text.push('\n');
    text
}

fn of_reload(course: &Course, with_settings: bool, paint: Paint) -> String {
    let title = format!("{} {}", course.agent, course.reload);
    let fact = match (course.rolled_back_at, &course.status) {
        (Some(tick), _) => format!("rolled back in round {tick}"),
        (None, Some(status)) => harmless(status).into_owned(),
        (None, None) => "not ended in these records".to_owned(),
    };
    let mut text = format!(
        "{}  {} UTC, {} rounds; in fact: {fact}\n",
        paint.tone(Tone::Strong, &title),
        date_time(course.at.0),
        course.rounds
    );
    if let Some(at) = course.full_at {
        let since = span(at.0.saturating_sub(course.at.0));
        text.push_str(&format!(
            "  {}\n",
            paint.tone(
                Tone::Busy,
                &format!("its records stop after {since}: what came then is not known")
            )
        ));
    }
    for (letter, run) in ["A", "B"].into_iter().zip(&course.policies) {
        if with_settings {
            text.push_str(&format!(
                "  {letter} with {}\n",
                harmless(&run.settings.to_string())
            ));
        }
        text.push_str(&of_run(letter, run, paint));
    }
    text.push_str(&match course.first_difference {
        Some(tick) => format!("  A and B differ first in round {tick}\n"),
        None => "  A and B say the same in every round\n".to_owned(),
    });
    text
}

fn of_run(letter: &str, run: &Run, paint: Paint) -> String {
    let mut text = match &run.rollback {
        Some(back) => {
            let word = paint.tone(Tone::Bad, "goes back");
            format!(
                "  {letter} {word} {}, {}\n    {}: {}\n",
                point(back),
                let_through(back.failures, back.requests, false),
                harmless(&back.code),
                harmless(&back.summary)
            )
        }
        None => format!(
            "  {letter} does not go back; {}\n",
            let_through(run.failures, run.requests, run.at_least)
        ),
    };
    if let Some(proceed) = &run.proceed {
        text.push_str(&format!("    first proceed {}\n", point(proceed)));
    }
    let mut said: Vec<String> = run
        .said
        .iter()
        .take(SHOWN)
        .map(|said| {
            let rounds = if said.from == said.to {
                said.from.to_string()
            } else {
                format!("{}-{}", said.from, said.to)
            };
            harmless(&format!("{rounds} {} ({})", said.verdict, said.code)).into_owned()
        })
        .collect();
    if run.said.len() > SHOWN {
        said.push(format!("and {} more changes", run.said.len() - SHOWN));
    }
    if !said.is_empty() {
        text.push_str(&format!("    rounds {}\n", said.join(", ")));
    }
    if run.faults > 0 {
        text.push_str(&format!("    no usable answer in {} rounds\n", run.faults));
    }
    if let Some(departs) = &run.departs {
        text.push_str(&format!(
            "    from round {} on no longer fact: {}\n",
            departs.tick, departs.text
        ));
    }
    let may = run.may_depart.as_ref().filter(|may| {
        run.departs
            .as_ref()
            .is_none_or(|departs| may.tick < departs.tick)
    });
    if let Some(may) = may {
        text.push_str(&format!(
            "    from round {} on perhaps no longer fact: {}\n",
            may.tick, may.text
        ));
    }
    text
}

fn point(point: &Point) -> String {
    format!(
        "in round {}, after {} and {} requests",
        point.tick,
        span(point.elapsed_ms),
        point.requests
    )
}

fn let_through(failures: u64, requests: u64, at_least: bool) -> String {
    let at_least = if at_least { "at least " } else { "" };
    format!("{at_least}{failures} failed of {requests} requests let through")
}

fn sums(sums: &[Sum; 2], paint: Paint) -> String {
    let mut table = Table::new(&[
        "ALL RELOADS",
        "GOES BACK",
        "PROCEEDS",
        "NEITHER",
        "FAILED REQUESTS LET THROUGH",
        "MEAN TIME TO GO BACK",
    ]);
    for (letter, sum) in ["A", "B"].into_iter().zip(sums) {
        let neither = sum
            .reloads
            .saturating_sub(sum.rolled_back)
            .saturating_sub(sum.proceeded);
        let cells = [
            format!("{letter} {}", harmless(&sum.policy)),
            format!("{} of {}", sum.rolled_back, sum.reloads),
            sum.proceeded.to_string(),
            neither.to_string(),
            format!(
                "{}{} of {}",
                if sum.at_least { "at least " } else { "" },
                sum.failures,
                sum.requests
            ),
            sum.mean_ms_to_rollback.map_or_else(|| "-".to_owned(), span),
        ];
        table.row(cells.into_iter().map(Cell::from));
    }
    table.draw(paint)
}

#[cfg(test)]
#[path = "backtest_tests.rs"]
mod tests;
