//! `caxton policy ls`: the policies that a running host knows.

use serde::Deserialize;

use crate::cli::args::ListArgs;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::show::short;
use crate::cli::table::{Cell, Table};
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::{print, print_json};

/// A policy as the host shows it. What another release of the host leaves out is shown as missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Listed {
    name: String,
    kind: Option<String>,
    version: Option<String>,
    about: Option<String>,
    digest: Option<String>,
    origin: Option<String>,
    state: Option<String>,
    /// What is wrong with its newest file.
    error: Option<String>,
    stage: Option<String>,
}

pub(super) async fn ls(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let policies = client.get("policies").await?;
    if args.json {
        return print_json(&policies);
    }
    let policies: Vec<Listed> = client.read(policies)?;
    print(&draw(&policies, Paint::stdout()))
}

fn draw(policies: &[Listed], paint: Paint) -> String {
    if !paint.terminal() {
        let line = |policy| {
            let texts = cells(policy).map(|(text, _)| text);
            format!("{}\n", texts.join("\t"))
        };
        return policies.iter().map(line).collect();
    }
    let mut table = Table::new(&[
        "POLICY", "KIND", "VERSION", "FROM", "STATE", "DIGEST", "ABOUT",
    ]);
    for policy in policies {
        table.row(cells(policy).map(|(text, tone)| Cell::new(text, tone)));
    }
    let mut text = table.draw(paint);
    for policy in policies {
        let Some(error) = &policy.error else { continue };
        let stage = policy
            .stage
            .as_deref()
            .map(|stage| format!(" at the stage {stage}"));
        text.push_str(&format!(
            "\n{} {}: its file is refused{}: {}\n",
            paint.tone(Tone::Bad, "!"),
            harmless(&policy.name),
            harmless(&stage.unwrap_or_default()),
            harmless(error)
        ));
    }
    text
}

fn cells(policy: &Listed) -> [(String, Tone); 7] {
    let text = |text: &Option<String>| match text {
        Some(text) => harmless(text).into_owned(),
        None => "-".to_owned(),
    };
    let tone = match policy.state.as_deref() {
        _ if policy.error.is_some() => Tone::Bad,
        Some("compiling") => Tone::Busy,
        _ => Tone::Plain,
    };
    [
        (harmless(&policy.name).into_owned(), Tone::Strong),
        (text(&policy.kind), Tone::Plain),
        (text(&policy.version), Tone::Plain),
        (text(&policy.origin), Tone::Faint),
        (text(&policy.state), tone),
        (
            policy
                .digest
                .as_deref()
                .map_or_else(|| "-".to_owned(), short),
            Tone::Faint,
        ),
        (text(&policy.about), Tone::Plain),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_person_sees_a_table_and_what_is_refused_and_a_pipe_sees_lines() {
        let listed: Vec<Listed> = serde_json::from_value(json!([
            {
                "name": "evidence", "kind": "rollback", "origin": "embedded", "version": "0.1.0", "about": "Weighs evidence.",
                "state": "ready", "digest": "0123456789abcdef", "used_by": ["hello"], "error": null, "stage": null,
            },
            { "name": "mine", "origin": "file", "state": "refused", "stage": "imports", "error": "it imports wasi:http" },
        ]))
        .unwrap();
        expect![[r#"
            POLICY    KIND      VERSION  FROM      STATE    DIGEST        ABOUT
            evidence  rollback  0.1.0    embedded  ready    0123456789ab  Weighs evidence.
            mine      -         -        file      refused  -             -

            ! mine: its file is refused at the stage imports: it imports wasi:http
        "#]]
        .assert_eq(&draw(&listed, Paint::MONOCHROME));
        expect![[r#"
            evidence	rollback	0.1.0	embedded	ready	0123456789ab	Weighs evidence.
            mine	-	-	file	refused	-	-
        "#]]
        .assert_eq(&draw(&listed, Paint::PLAIN));
    }
}
