//! `caxton policy check`: whether a host takes a policy, stage by stage.

use caxton_runtime::policy::{Policy, Stage};
use clap::Args;
use serde_json::{Value, json};

use super::find::{Found, find};
use super::kit::{CacheArgs, compiling, slowly};
use super::settings;
use crate::cli::failure::Failure;
use crate::cli::text::{Paint, Tone, harmless, harmless_lines};
use crate::cli::{print, print_json};
use crate::policies::{self, Refused, Settings};

const HELP: &str = "\
The stages are those of a host's policies directory, in its order: read, size, component, contract
(and its version), imports, compile, describe, schema, settings (NAME.toml beside the policy, and
--settings over it), trial (one call about a made-up reload).

  caxton policy check ./latency-guard.wasm
  caxton policy check evidence --settings '{\"max_failure_rate\": 0.02}'

Exit code 1 where a host would refuse it, 2 where it is what --settings says that it does not take.";

/// `caxton policy check`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CheckArgs {
    /// A file, or the name of a policy in this binary
    policy: String,
    /// Settings: a file in TOML or JSON, or a JSON object; laid over the file NAME.toml beside the policy
    #[arg(long, value_name = "SETTINGS")]
    settings: Option<String>,
    /// As JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

pub(super) async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let found = find(&args.policy)?;
    let given = settings::given(&found, args.settings.as_deref())?;
    can_be_written(&given)?;
    let runtime = args.cache.runtime()?;
    let bytes = found.bytes.clone();
    let validating = policies::validate(&runtime, &found.name, bytes, &given);
    let checked = slowly(&compiling(&found), validating).await;
    let mut notes = notes(&found);
    if let Ok(policy) = &checked
        && policy
            .lacks_settings(&Value::Object(given).to_string())
            .await
    {
        notes.push(
            "it was not tried, because settings that it requires are missing: give them with --settings".to_owned(),
        );
    }
    if args.json {
        print_json(&machine(&found, &checked, &notes))?;
    } else {
        print(&human(&found, &checked, &notes, Paint::stdout()))?;
    }
    checked.map(|_| ()).map_err(|refused| match &args.settings {
        Some(settings) if refused.stage == Stage::Settings => Failure::Usage(format!(
            "the policy does not take --settings {settings} over its own"
        )),
        _ => Failure::Told,
    })
}

fn can_be_written(settings: &Settings) -> Result<(), Failure> {
    let written = toml::Table::try_from(settings);
    written.map(|_| ()).map_err(|error| {
        Failure::Usage(format!(
            "these settings cannot be written as TOML, which a host reads them from: {error}"
        ))
    })
}

/// What does not speak against the policy, and would keep a host from finding it.
fn notes(found: &Found) -> Vec<String> {
    let mut notes = Vec::new();
    if found.file.is_none() {
        return notes;
    }
    if !caxton_watch::is_name(&found.name) {
        notes.push(format!(
            "a policies directory takes files named with 1 to 64 of a-z 0-9 - _: rename it, {:?} cannot be a policy's name",
            found.name
        ));
    } else if policies::embedded().any(|(name, _)| name == found.name) {
        notes.push(format!(
            "{} is the name of a policy in this binary, which goes before a file: rename it",
            found.name
        ));
    }
    notes
}

type Checked = Result<Policy, Refused>;

/// A stage and how it went: none where it was not reached.
fn stages(checked: &Checked) -> impl Iterator<Item = (Stage, Option<bool>)> {
    let failed = checked.as_ref().err().map(|refused| refused.stage);
    Stage::ALL.into_iter().map(move |stage| {
        let went = match failed {
            Some(failed) if stage == failed => Some(false),
            Some(failed) if stage > failed => None,
            _ => Some(true),
        };
        (stage, went)
    })
}

fn human(found: &Found, checked: &Checked, notes: &[String], paint: Paint) -> String {
    let mut text = String::new();
    for (stage, went) in stages(checked) {
        let word = match went {
            Some(true) => paint.tone(Tone::Good, "ok"),
            Some(false) => paint.tone(Tone::Bad, "failed"),
            None => paint.tone(Tone::Faint, "not reached"),
        };
        text.push_str(&format!("{:<10} {word}\n", stage.to_string()));
        if let (Some(false), Err(refused)) = (went, checked) {
            for line in harmless_lines(&refused.reason).lines() {
                text.push_str(&format!("           {line}\n"));
            }
        }
    }
    for note in notes {
        text.push_str(&format!("note: {}\n", harmless(note)));
    }
    let place = found.place();
    text.push_str(&match checked {
        Ok(policy) => {
            let accepted = paint.tone(Tone::Good, "accepted");
            format!("{place}: {accepted}, a {}\n", policy.kind())
        }
        Err(refused) => {
            let refusal = paint.tone(Tone::Bad, "refused");
            format!("{place}: {refusal} at the stage {}\n", refused.stage)
        }
    });
    text
}

fn machine(found: &Found, checked: &Checked, notes: &[String]) -> Value {
    let refused = checked.as_ref().err();
    let stages: Vec<Value> = stages(checked)
        .map(|(stage, went)| {
            let result = match went {
                Some(true) => "ok",
                Some(false) => "failed",
                None => "not-reached",
            };
            json!({ "stage": stage, "result": result })
        })
        .collect();
    json!({
        "policy": found.name,
        "file": found.file,
        "accepted": checked.is_ok(),
        "kind": checked.as_ref().ok().map(|policy| policy.kind()),
        "digest": checked.as_ref().ok().map(|policy| policy.digest()),
        "stages": stages,
        "refused": refused.map(|refused| json!({ "stage": refused.stage, "reason": refused.reason })),
        "notes": notes,
    })
}
