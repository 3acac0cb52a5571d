//! `caxton policy test`: scenario files against a policy.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::find::{Found, find};
use super::kit::{CacheArgs, load};
use crate::cli::failure::Failure;
use crate::cli::text::{Paint, Tone, harmless, harmless_lines};
use crate::cli::{print, print_json};
use crate::scenarios::{Difference, Ran, Scenario, Stopped, parse, run};
use caxton_runtime::nearest;

/// Largest scenario file: some ten thousand ticks with everything in them.
const MAX_FILE: u64 = 64 * 1024 * 1024;

const HELP: &str = r#"A scenario file:

  {
    "format": "caxton-scenarios/1",
    "tick_ms": 1000,
    "scenarios": [{
      "id": "half-of-it-fails",
      "expect": { "rollback_between_ticks": [1, 3] },
      "ticks": [[5, 10, 0, 10], [5, 10, 0, 10], [5, 10, 0, 10]]
    }]
  }

A tick is four numbers (the candidate's failures and requests, the stable version's failures and
requests) or an object with the contract's names for a window: { "candidate": { "requests": 10 } }.
A scenario may also have title, why, settings, tick_ms, baseline, context and, for a strategy
policy, plan. expect has never (a decision), final ({ decision, code, blame }) and
rollback_between_ticks; a tick that is an object may have an expect of its own, like final.
Decisions are proceed, undecided, hold and rollback, and continue for either of the first two; of
a strategy policy wait, advance, set-split, promote and hold.

Exit code 1 where a scenario failed, 2 where a file is broken; nothing was run then."#;

/// `caxton policy test`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TestArgs {
    /// A file, or the name of a policy in this binary
    policy: String,
    /// Scenario files
    #[arg(required = true, value_name = "SCENARIOS.json")]
    scenarios: Vec<PathBuf>,
    /// Run only the scenario with this id
    #[arg(long, value_name = "ID")]
    scenario: Option<String>,
    /// As JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// A scenario that was run.
struct Row {
    file: String,
    scenario: Scenario,
    ran: Ran,
}

pub(super) async fn test(args: &TestArgs) -> Result<(), Failure> {
    let found = find(&args.policy)?;
    // What is wrong with the files is told before anything compiles.
    let mut scenarios = Vec::new();
    for path in &args.scenarios {
        let file = path.display().to_string();
        let parsed =
            parse(&file, &text(path)?).map_err(|error| Failure::Usage(error.to_string()))?;
        scenarios.extend(parsed.into_iter().map(|scenario| (file.clone(), scenario)));
    }
    if let Some(id) = &args.scenario {
        let ids: Vec<String> = scenarios
            .iter()
            .map(|(_, scenario)| scenario.id.clone())
            .collect();
        scenarios.retain(|(_, scenario)| scenario.id == *id);
        if scenarios.is_empty() {
            return Err(Failure::Usage(unknown_scenario(id, &ids)));
        }
    }
    let runtime = args.cache.runtime()?;
    let (policy, _) = load(&runtime, &found).await?;
    let mut rows = Vec::with_capacity(scenarios.len());
    for (file, scenario) in scenarios {
        let ran = run(&policy, &scenario).await;
        rows.push(Row {
            file,
            scenario,
            ran,
        });
    }
    let failed = rows.iter().filter(|row| !row.ran.passed()).count();
    if args.json {
        let digest = policy.digest().to_string();
        print_json(&machine(&found, &digest, &rows))?;
    } else {
        print(&human(&rows, Paint::stdout()))?;
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let wrong =
        |what: String| Failure::Usage(format!("the scenario file {} {what}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?
        .len();
    if size > MAX_FILE {
        return Err(wrong(format!(
            "has {size} bytes, and at most {MAX_FILE} are read: split it"
        )));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

fn unknown_scenario(id: &str, ids: &[String]) -> String {
    match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => format!("there is no scenario {id:?} in these files; did you mean {near:?}?"),
        None => format!(
            "there is no scenario {id:?} in these files; there are: {}",
            ids.join(", ")
        ),
    }
}

fn human(rows: &[Row], paint: Paint) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| !row.ran.passed()) {
        let Scenario { id, title, .. } = &row.scenario;
        text.push_str(&format!(
            "{}  {}  {}  {}\n",
            paint.tone(Tone::Bad, "FAILED"),
            paint.tone(Tone::Strong, &harmless(id)),
            harmless(title),
            paint.tone(Tone::Faint, &format!("({})", harmless(&row.file)))
        ));
        for difference in &row.ran.differences {
            text.push_str(&format!("  {}\n", harmless(&difference_words(difference))));
        }
        if let Some(stopped) = &row.ran.stopped {
            text.push_str(&stopped_words(stopped));
        }
    }
    let failed = rows.iter().filter(|row| !row.ran.passed()).count();
    let count = format!(
        "{} passed, {failed} failed",
        rows.len().saturating_sub(failed)
    );
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    text.push_str(&format!("{}\n", paint.tone(tone, &count)));
    text
}

fn difference_words(difference: &Difference) -> String {
    let got = match &difference.got {
        Some(said) if said.tick == difference.tick => said.to_string(),
        Some(said) => format!("at tick {} {said}", said.tick),
        None => "nothing: it had rolled back before, and was not asked any more".to_owned(),
    };
    format!(
        "tick {}: expected {}, got {got}",
        difference.tick, difference.expected
    )
}

fn stopped_words(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Refused(why) => indented(why, "  "),
        Stopped::Fault { tick, fault, log } => {
            let when = match tick {
                0 => "asked to begin".to_owned(),
                tick => format!("tick {tick}"),
            };
            let mut text = indented(
                &format!("{when}: fault ({}): {}", kind(fault), fault.message),
                "  ",
            );
            // What it wrote to stderr stands in the fault's message.
            let said = log
                .lines
                .iter()
                .filter(|line| line.source != caxton_runtime::policy::LogSource::Stderr);
            for line in said {
                text.push_str(&indented(&format!("it said: {}", line.text), "    "));
            }
            text
        }
    }
}

/// The word for a fault, as in records and events.
fn kind(fault: &caxton_rollout::Fault) -> String {
    match serde_json::to_value(fault.kind) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn indented(text: &str, by: &str) -> String {
    let mut lines = String::new();
    for line in harmless_lines(text).lines() {
        lines.push_str(&format!("{by}{line}\n"));
    }
    lines
}

fn machine(found: &Found, digest: &str, rows: &[Row]) -> Value {
    let failed = rows.iter().filter(|row| !row.ran.passed()).count();
    let scenario = |row: &Row| {
        let (refused, fault) = match &row.ran.stopped {
            None => (Value::Null, Value::Null),
            Some(Stopped::Refused(why)) => (json!(why), Value::Null),
            Some(Stopped::Fault { tick, fault, log }) => (
                Value::Null,
                json!({ "tick": tick, "kind": fault.kind, "message": fault.message, "log": log }),
            ),
        };
        json!({
            "file": row.file,
            "id": row.scenario.id,
            "title": row.scenario.title,
            "passed": row.ran.passed(),
            "ticks": row.ran.said.len(),
            "final": row.ran.said.last(),
            "differences": row.ran.differences,
            "refused": refused,
            "fault": fault,
        })
    };
    json!({
        "policy": found.name,
        "digest": digest,
        "passed": rows.len().saturating_sub(failed),
        "failed": failed,
        "scenarios": rows.iter().map(scenario).collect::<Vec<_>>(),
    })
}
