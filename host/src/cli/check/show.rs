//! What came of checking one agent, for people and for tools.

use serde_json::{Value, json};

use super::facts::Version;
use super::one::{Checked, Stage};
use crate::cli::text::{Paint, Tone, harmless, harmless_lines};

/// The width of a stage's name.
const STAGE: usize = 14;
/// The width of the labels below.
const LABEL: usize = 11;

pub(super) fn human(checked: &Checked, paint: Paint) -> String {
    let mut text = String::new();
    for stage in Stage::ALL {
        let told = checked.stages.get(&stage);
        let word = match told {
            Some(Ok(())) => paint.tone(Tone::Good, "ok"),
            Some(Err(_)) => paint.tone(Tone::Bad, "failed"),
            None => paint.tone(Tone::Faint, "not reached"),
        };
        text.push_str(&format!("{stage:STAGE$} {word}\n"));
        if let Some(Err(reason)) = told {
            for line in harmless_lines(reason).lines() {
                text.push_str(&format!("{:STAGE$} {line}\n", ""));
            }
        }
    }
    for note in &checked.notes {
        text.push_str(&format!("note: {}\n", harmless(note)));
    }
    let result = match (checked.is_accepted(), checked.is_off) {
        (false, _) => paint.tone(Tone::Bad, "refused"),
        (true, true) => paint.tone(Tone::Good, "accepted, and turned off by its configuration"),
        (true, false) => paint.tone(Tone::Good, "accepted"),
    };
    let place = checked.file.display().to_string();
    text.push_str(&format!("{}: {result}\n", harmless(&place)));
    for (label, what) in facts(checked) {
        let label = paint.tone(Tone::Faint, &format!("  {label:LABEL$}"));
        text.push_str(&format!("{label} {}\n", harmless(&what)));
    }
    text
}

/// A line that says what it is.
pub(super) fn in_short(checked: &Checked) -> String {
    let Some(inspection) = &checked.inspection else {
        return String::new();
    };
    let mode = checked
        .version
        .as_ref()
        .map(|version| format!(", {}", version.mode));
    let size = bytesize::ByteSize(inspection.size);
    format!(
        "{}{}{}, {size}",
        inspection.contract.as_str(),
        mode.unwrap_or_default(),
        exports(checked)
    )
}

fn exports(checked: &Checked) -> &'static str {
    let has = checked
        .inspection
        .as_ref()
        .map(|inspection| (inspection.state, inspection.health));
    match has.unwrap_or_default() {
        (true, true) => ", with state and health",
        (true, false) => ", with state",
        (false, true) => ", with health",
        (false, false) => "",
    }
}

fn facts(checked: &Checked) -> Vec<(&'static str, String)> {
    let Some(inspection) = &checked.inspection else {
        return Vec::new();
    };
    let size = bytesize::ByteSize(inspection.size);
    let mut facts = vec![
        (
            "contract",
            format!("{}{}", inspection.contract.as_str(), exports(checked)),
        ),
        ("size", format!("{size} ({} bytes)", inspection.size)),
    ];
    let passed_over = inspection.passed_over.iter();
    facts.extend(passed_over.map(|contract| ("not called", contract.as_str().to_owned())));
    if let Some(version) = &checked.version {
        facts.push(("digest", format!("sha256:{}", version.identity.component)));
        let from = checked
            .config_file
            .as_ref()
            .map(|file| format!(" ({})", file.display()));
        let config = version.identity.config;
        facts.push((
            "config",
            format!("sha256:{config}{}", from.unwrap_or_default()),
        ));
        facts.push(("instances", version.mode.to_owned()));
        facts.extend(grants(version));
    }
    for (label, names) in [
        ("exports", &inspection.exports),
        ("imports", &inspection.imports),
    ] {
        let mut label = label;
        for name in names {
            facts.push((label, name.clone()));
            label = "";
        }
    }
    facts
}

fn grants(version: &Version) -> Vec<(&'static str, String)> {
    let granted = [
        ("env", &version.env),
        ("dirs", &version.dirs),
        ("outbound", &version.outbound),
    ];
    let granted = granted.into_iter().filter(|(_, what)| !what.is_empty());
    let mut lines: Vec<_> = granted
        .map(|(key, what)| format!("grants.{key}: {}", what.join(", ")))
        .collect();
    lines.extend(
        version
            .could_use
            .iter()
            .map(|(key, import)| format!("{key}: not granted, and it imports {import}")),
    );
    let labels = std::iter::once("grants").chain(std::iter::repeat(""));
    labels.zip(lines).collect()
}

pub(super) fn machine(checked: &Checked) -> Value {
    let stages = Stage::ALL.into_iter().map(|stage| {
        let result = match checked.stages.get(&stage) {
            Some(Ok(())) => "ok",
            Some(Err(_)) => "failed",
            None => "not-reached",
        };
        json!({ "stage": stage, "result": result })
    });
    let refused = checked.stages.iter().filter_map(|(stage, told)| {
        let reason = told.as_ref().err()?;
        Some(json!({ "stage": stage, "reason": reason }))
    });
    let inspection = checked.inspection.as_ref();
    let version = checked.version.as_ref();
    let could_use = |version: &Version| {
        let pairs = version.could_use.iter();
        pairs
            .map(|(key, import)| json!({ "key": key, "import": import }))
            .collect::<Vec<_>>()
    };
    json!({
        "agent": checked.name,
        "file": checked.file,
        "config": checked.config_file,
        "accepted": checked.is_accepted(),
        "enabled": !checked.is_off,
        "stages": stages.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "contract": inspection.map(|inspection| inspection.contract.as_str()),
        "passed_over": inspection.map(|inspection| {
            let contracts = inspection.passed_over.iter();
            contracts.map(|contract| contract.as_str()).collect::<Vec<_>>()
        }),
        "state": inspection.map(|inspection| inspection.state),
        "health": inspection.map(|inspection| inspection.health),
        "size": inspection.map(|inspection| inspection.size),
        "imports": inspection.map(|inspection| &inspection.imports),
        "exports": inspection.map(|inspection| &inspection.exports),
        "digest": version.map(|version| version.identity.component),
        "config_digest": version.map(|version| version.identity.config),
        "instances": version.map(|version| version.mode),
        "grants": version.map(|version| json!({
            "env": version.env, "dirs": version.dirs, "outbound": version.outbound, "could_use": could_use(version),
        })),
        "notes": checked.notes,
    })
}
