//! Agents, histories and events as text.

use super::sentences::{evidence_words, sentence, status_tone, verdict_word};
use super::table::{Cell, Table};
use super::text::{Paint, Tone, harmless};
use super::time::{ago, date_time, span};
use super::views::{Agent, Attention, Ended, Happened, Reload, Version};

/// Digits of a digest that tell two versions apart.
const SHORT_DIGEST: usize = 12;

/// The width of the labels in `status`.
const LABEL: usize = 12;

/// The list of agents; for a pipe a line each, with tabs between the fields and without a heading.
pub(super) fn agents(agents: &[Agent], host: &[Attention], now: u64, paint: Paint) -> String {
    if !paint.terminal() {
        return agents
            .iter()
            .map(|agent| joined(&agent_cells(agent)))
            .collect();
    }
    let mut table = Table::new(&[
        "AGENT",
        "STATE",
        "SERVES",
        "RELOAD",
        "IN FLIGHT",
        "ATTENTION",
    ]);
    for agent in agents {
        table.row(
            agent_cells(agent)
                .into_iter()
                .map(|(text, tone)| Cell::new(text, tone)),
        );
    }
    let mut text = if agents.is_empty() {
        String::new()
    } else {
        table.draw(paint)
    };
    let all = host
        .iter()
        .map(|attention| ("", attention))
        .chain(agents.iter().flat_map(|agent| {
            agent
                .attention
                .iter()
                .map(|attention| (agent.agent.as_str(), attention))
        }));
    for (agent, attention) in all {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&attention_lines(agent, attention, now, paint));
    }
    text
}

fn agent_cells(agent: &Agent) -> [(String, Tone); 6] {
    let state_tone = match agent.state.as_str() {
        "serving" => Tone::Good,
        "starting" => Tone::Busy,
        "failed" => Tone::Bad,
        _ => Tone::Faint,
    };
    let reload = match (&agent.reload, &agent.diverged) {
        (Some(reload), _) => (
            reload_words(reload, agent.candidate.as_ref()),
            status_tone(&reload.status),
        ),
        (None, Some(_)) => ("diverged".to_owned(), Tone::Bad),
        (None, None) => (String::new(), Tone::Plain),
    };
    let kinds: Vec<&str> = agent
        .attention
        .iter()
        .map(|attention| attention.kind.as_str())
        .collect();
    [
        (harmless(&agent.agent).into_owned(), Tone::Strong),
        (harmless(&agent.state).into_owned(), state_tone),
        (number(agent.serving), Tone::Plain),
        reload,
        (agent.in_flight.to_string(), Tone::Plain),
        (harmless(&kinds.join(", ")).into_owned(), Tone::Bad),
    ]
}

fn joined(cells: &[(String, Tone)]) -> String {
    let texts: Vec<&str> = cells.iter().map(|(text, _)| text.as_str()).collect();
    format!("{}\n", texts.join("\t"))
}

fn reload_words(reload: &Reload, candidate: Option<&Version>) -> String {
    let version = candidate
        .map(|version| format!("v{} ", version.number))
        .unwrap_or_default();
    let paused = if reload.paused { ", paused" } else { "" };
    harmless(&format!("{version}{}{paused}", reload.status)).into_owned()
}

fn attention_lines(agent: &str, attention: &Attention, now: u64, paint: Paint) -> String {
    let subject = if agent.is_empty() {
        String::new()
    } else {
        format!("{} ", harmless(agent))
    };
    let mark = paint.tone(Tone::Bad, "!");
    let since = paint.tone(Tone::Faint, &format!("({})", ago(attention.since, now)));
    let mut lines = format!(
        "{mark} {subject}{}: {} {since}\n",
        harmless(&attention.kind),
        harmless(&attention.text)
    );
    if !attention.command.is_empty() {
        lines.push_str(&format!("  try: {}\n", harmless(&attention.command)));
    }
    lines
}

/// One agent, a line for each thing there is to know.
pub(super) fn status(agent: &Agent, now: u64, paint: Paint) -> String {
    let mut page = Page {
        text: String::new(),
        paint,
    };
    let cells = agent_cells(agent);
    let [name, state, ..] = &cells;
    page.text = format!(
        "{}  {}\n",
        paint.tone(name.1, &name.0),
        paint.tone(state.1, &state.0)
    );
    page.line("serves", number(agent.serving));
    page.line("stable", version(agent.stable.as_ref()));
    if let Some(candidate) = &agent.candidate {
        page.line(
            "candidate",
            format!("{}, {} % of traffic", version(Some(candidate)), agent.split),
        );
    }
    if let Some(reload) = &agent.reload {
        let began = ago(reload.started_at, now);
        let paused = if reload.paused { ", paused" } else { "" };
        page.line(
            "reload",
            format!(
                "{}{paused}, {}, began {began}",
                reload.status, reload.strategy
            ),
        );
        page.line("", format!("id {}", reload.id));
        if let Some(reason) = &reload.reason {
            page.line("", reason.clone());
        }
    }
    for said in &agent.verdicts {
        page.line("policy", policy_line(said));
    }
    page.line("in flight", agent.in_flight.to_string());
    let kept: Vec<String> = agent.kept.iter().map(|kept| version(Some(kept))).collect();
    if !kept.is_empty() {
        page.line("kept", kept.join(", "));
    }
    if let Some(diverged) = &agent.diverged {
        page.line("diverged", diverged.clone());
    }
    for entry in &agent.quarantined {
        let label = if entry.blamed {
            "quarantined"
        } else {
            "set aside"
        };
        let again = entry
            .again_at
            .map(|at| format!(", again in {}", span(at.saturating_sub(now))))
            .unwrap_or_default();
        let digest = short(&entry.digest);
        page.line(
            label,
            format!(
                "{digest} {}{again}: {}",
                ago(entry.since, now),
                entry.reason
            ),
        );
    }
    if let Some(error) = &agent.last_error {
        page.line("last error", error.clone());
    }
    for attention in &agent.attention {
        page.text
            .push_str(&attention_lines("", attention, now, paint));
    }
    page.text
}

struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    /// Text of several lines stays under its label.
    fn line(&mut self, label: &str, what: String) {
        let mut label = format!("{label:LABEL$}");
        for line in what.lines() {
            let shown = self.paint.tone(Tone::Faint, &label);
            self.text
                .push_str(&format!("  {shown}{}\n", harmless(line)));
            label = " ".repeat(LABEL);
        }
    }
}

fn policy_line(said: &super::views::Verdict) -> String {
    let (word, _) = verdict_word(&said.verdict);
    let monitors = if said.enforcing {
        ""
    } else {
        " (monitors only)"
    };
    let faults = if said.faults > 0 {
        format!(", {} faults in a row", said.faults)
    } else {
        String::new()
    };
    let why = if said.why.summary.is_empty() {
        String::new()
    } else {
        format!(": {}", said.why.summary)
    };
    format!("{}{monitors} says {word}{faults}{why}", said.policy)
}

/// How reloads ended, newest first.
pub(super) fn history(results: &[Ended], now: u64, paint: Paint) -> String {
    let rows = results.iter().map(|ended| ended_cells(ended, now, paint));
    if !paint.terminal() {
        return rows.map(|cells| joined(&cells)).collect();
    }
    let mut table = Table::new(&[
        "ENDED", "VERSIONS", "STATUS", "STRATEGY", "TOOK", "LOST", "WHY",
    ]);
    rows.for_each(|cells| table.row(cells.into_iter().map(|(text, tone)| Cell::new(text, tone))));
    table.draw(paint)
}

fn ended_cells(ended: &Ended, now: u64, paint: Paint) -> [(String, Tone); 7] {
    let when = if paint.terminal() {
        ago(ended.completed_at, now)
    } else {
        date_time(ended.completed_at)
    };
    let why = match (&ended.rollback_reason, &ended.error) {
        (Some(reason), _) | (None, Some(reason)) => reason.as_str(),
        (None, None) => evidence_words(&ended.evidence),
    };
    let lost_tone = if ended.lost_requests == 0 {
        Tone::Plain
    } else {
        Tone::Bad
    };
    [
        (when, Tone::Faint),
        (versions(ended), Tone::Strong),
        (
            harmless(&ended.status).into_owned(),
            status_tone(&ended.status),
        ),
        (harmless(&ended.strategy).into_owned(), Tone::Plain),
        (
            span(ended.completed_at.saturating_sub(ended.started_at)),
            Tone::Plain,
        ),
        (ended.lost_requests.to_string(), lost_tone),
        (harmless(why).into_owned(), Tone::Plain),
    ]
}

fn versions(ended: &Ended) -> String {
    match ended.from {
        None => number(ended.to),
        from => format!("{} -> {}", number(from), number(ended.to)),
    }
}

/// One event on one line.
pub(super) fn event(event: &Happened, paint: Paint) -> String {
    let (text, tone) = sentence(&event.kind, &event.fields);
    let agent = event.agent.as_deref().unwrap_or("host");
    // A person who reads along knows the day.
    let date_time = date_time(event.at);
    let day = if paint.terminal() {
        "0000-00-00 ".len()
    } else {
        0
    };
    let at = format!(
        "{}.{:03}Z",
        date_time.get(day..).unwrap_or(&date_time),
        event.at % 1_000
    );
    format!(
        "{}  {:<16} {}\n",
        paint.tone(Tone::Faint, &at),
        harmless(agent),
        paint.tone(tone, &text)
    )
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("v{number}"))
}

fn version(version: Option<&Version>) -> String {
    version.map_or_else(
        || "-".to_owned(),
        |version| format!("v{} {}", version.number, short(&version.digest)),
    )
}

fn short(digest: &str) -> String {
    harmless(&digest.chars().take(SHORT_DIGEST).collect::<String>()).into_owned()
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
