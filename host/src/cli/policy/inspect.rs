//! `caxton policy inspect`: what a policy is.

use caxton_runtime::policy::{Policy, PolicyFacts};
use clap::Args;
use serde_json::{Value, json};

use super::find::{Found, find};
use super::kit::{CacheArgs, load};
use crate::cli::failure::Failure;
use crate::cli::table::{Cell, Table};
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::{print, print_json};

/// `caxton policy inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A file, or the name of a policy in this binary
    policy: String,
    /// As JSON, for tools; the only form that holds the whole schema of the settings
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

pub(super) async fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let found = find(&args.policy)?;
    let runtime = args.cache.runtime()?;
    let (policy, _) = load(&runtime, &found).await?;
    let facts = runtime
        .inspect(&found.bytes)
        .map_err(|reason| Failure::No(format!("{}: {reason}", found.place())))?;
    // It was compiled as a schema when the policy was loaded.
    let schema: Value = serde_json::from_str(&policy.info().settings_schema).unwrap_or_default();
    if args.json {
        return print_json(&machine(&found, &policy, &facts, &schema));
    }
    print(&human(&found, &policy, &facts, &schema, Paint::stdout()))
}

fn machine(found: &Found, policy: &Policy, facts: &PolicyFacts, schema: &Value) -> Value {
    let info = policy.info();
    json!({
        "name": found.name,
        "kind": facts.kind,
        "version": info.version,
        "about": info.about,
        "calls_itself": info.name,
        "embedded": found.file.is_none(),
        "file": found.file,
        "digest": facts.digest,
        "size": facts.size,
        "exports": facts.exports,
        "imports": facts.imports,
        "settings_schema": schema,
    })
}

fn human(
    found: &Found,
    policy: &Policy,
    facts: &PolicyFacts,
    schema: &Value,
    paint: Paint,
) -> String {
    let info = policy.info();
    let mut text = format!(
        "{}  {}\n",
        paint.tone(Tone::Strong, &harmless(&found.name)),
        facts.kind
    );
    let mut line = |label: &str, value: &str| {
        let label = paint.tone(Tone::Faint, &format!("  {label:<9}"));
        text.push_str(&format!("{label} {}\n", harmless(value)));
    };
    line("version", &info.version);
    line("about", &info.about);
    if info.name != found.name {
        line("itself", &format!("it calls itself {}", info.name));
    }
    match &found.file {
        Some(file) => line("from", &file.display().to_string()),
        None => line("from", "this binary"),
    }
    line("digest", &format!("sha256:{}", facts.digest));
    line(
        "size",
        &format!("{} ({} bytes)", bytesize::ByteSize(facts.size), facts.size),
    );
    for (label, names) in [("exports", &facts.exports), ("imports", &facts.imports)] {
        let mut label = label;
        for name in names {
            line(label, name);
            label = "";
        }
    }
    text.push('\n');
    text.push_str(&settings(schema, paint));
    text
}

/// The settings of the first level; what is inside them is in the schema.
fn settings(schema: &Value, paint: Paint) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return "It takes no settings.\n".to_owned();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let mut table = Table::new(&["SETTING", "TYPE", "DEFAULT", "ABOUT"]);
    for (name, property) in properties {
        let needed = required.is_some_and(|names| names.iter().any(|other| other == name.as_str()));
        let default = match property.get("default") {
            Some(default) => default.to_string(),
            None if needed => "required".to_owned(),
            None => "-".to_owned(),
        };
        let about = property.get("description").and_then(Value::as_str);
        table.row([
            Cell::new(harmless(name), Tone::Strong),
            harmless(&kind(property)).into_owned().into(),
            cut(&harmless(&default)).into(),
            harmless(&one_line(about.unwrap_or_default()))
                .into_owned()
                .into(),
        ]);
    }
    table.draw(paint)
}

fn kind(property: &Value) -> String {
    match property.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        _ if property.get("enum").is_some() => "one of".to_owned(),
        _ => "-".to_owned(),
    }
}

/// Text that was broken into lines for another width.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Long values are for the schema.
fn cut(text: &str) -> String {
    const SHOWN: usize = 32;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{shown}...")
}
