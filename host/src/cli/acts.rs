//! `caxton history AGENT --acts`: what operators ordered.

use serde::Deserialize;

use super::args::AgentArgs;
use super::client::Client;
use super::failure::Failure;
use super::table::{Cell, Table};
use super::text::{Paint, Tone, harmless};
use super::time::{ago, date_time, now_ms};
use super::{print, print_json};

#[derive(Debug, Deserialize)]
struct Act {
    at: u64,
    order: String,
    refused: Option<String>,
}

pub(super) async fn acts(args: &AgentArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let acts = client.get(&format!("acts?agent={}", args.agent)).await?;
    if args.json {
        return print_json(&acts);
    }
    let acts: Vec<Act> = client.read(acts)?;
    if acts.is_empty() && Paint::stdout().terminal() {
        return print("nobody has ordered anything yet\n");
    }
    print(&table(&acts, now_ms(), Paint::stdout()))
}

/// Newest first; for a pipe a line each, with tabs between the fields and without a heading.
fn table(acts: &[Act], now: u64, paint: Paint) -> String {
    if !paint.terminal() {
        let line = |act: &Act| format!("{}\n", cells(act, date_time(act.at)).join("\t"));
        return acts.iter().map(line).collect();
    }
    let mut table = Table::new(&["ORDERED", "ORDER", "ANSWER"]);
    for act in acts {
        let [when, order, answer] = cells(act, ago(act.at, now));
        let tone = match act.refused {
            None => Tone::Good,
            Some(_) => Tone::Bad,
        };
        table.row([
            Cell::new(when, Tone::Faint),
            Cell::new(order, Tone::Strong),
            Cell::new(answer, tone),
        ]);
    }
    table.draw(paint)
}

fn cells(act: &Act, when: String) -> [String; 3] {
    let answer = match &act.refused {
        None => "taken".to_owned(),
        Some(why) => format!("refused: {}", harmless(why)),
    };
    [when, harmless(&act.order).into_owned(), answer]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::show::tests::{NOW, TERMINAL, check};
    use super::*;

    fn acts() -> Vec<Act> {
        let act = |at, order: &str, refused: Option<&str>| Act {
            at,
            order: order.to_owned(),
            refused: refused.map(str::to_owned),
        };
        vec![
            act(
                NOW - 3_000,
                "rollback --to 9",
                Some("there is no version 9"),
            ),
            act(NOW - 90_000, "pause\u{1b}[2J", None),
        ]
    }

    #[test]
    fn a_person_sees_what_was_ordered_and_what_was_said_to_it() {
        check(
            &table(&acts(), NOW, TERMINAL),
            expect![[r#"
            ORDERED    ORDER            ANSWER
            3 s ago    rollback --to 9  refused: there is no version 9
            1 min ago  pause\u{1b}[2J   taken
        "#]],
        );
    }

    #[test]
    fn a_pipe_gets_a_line_each() {
        check(
            &table(&acts(), NOW, Paint::PLAIN),
            expect![[r#"
            2026-11-23 22:47:58	rollback --to 9	refused: there is no version 9
            2026-11-23 22:46:31	pause\u{1b}[2J	taken
        "#]],
        );
    }
}
