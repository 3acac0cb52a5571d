//! Agents, histories and events as text.

use super::sentences::{evidence_words, sentence, status_tone};
use super::table::{Cell, Table};
use super::text::{Paint, Tone, harmless};
use super::time::{ago, date_time, span};
use super::views::{Agent, Attention, Ended, Happened, Reload, StateReport, Version};

/// Digits of a digest that tell two versions apart.
const SHORT_DIGEST: usize = 12;

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

pub(super) fn agent_cells(agent: &Agent) -> [(String, Tone); 6] {
    let reload = match (&agent.reload, &agent.diverged) {
        (Some(reload), _) => (
            reload_words(reload, agent.candidate.as_ref()),
            status_tone(&reload.status),
        ),
        (None, Some(_)) => ("diverged".to_owned(), Tone::Bad),
        (None, None) if agent.enabled == Some(false) => ("turned off".to_owned(), Tone::Faint),
        (None, None) => (String::new(), Tone::Plain),
    };
    let kinds: Vec<&str> = agent
        .attention
        .iter()
        .map(|attention| attention.kind.as_str())
        .collect();
    [
        (harmless(&agent.agent).into_owned(), Tone::Strong),
        (
            harmless(&agent.state).into_owned(),
            state_tone(&agent.state),
        ),
        (number(agent.serving), Tone::Plain),
        reload,
        (agent.in_flight.to_string(), Tone::Plain),
        (harmless(&kinds.join(", ")).into_owned(), Tone::Bad),
    ]
}

/// How good an agent's state is.
pub(super) fn state_tone(state: &str) -> Tone {
    match state {
        "serving" => Tone::Good,
        "starting" => Tone::Busy,
        "failed" => Tone::Bad,
        _ => Tone::Faint,
    }
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

pub(super) fn attention_lines(
    agent: &str,
    attention: &Attention,
    now: u64,
    paint: Paint,
) -> String {
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
    let why = match ended.state.as_ref().and_then(state_words) {
        Some(state) => format!("{why}; {state}"),
        None => why.to_owned(),
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
        (harmless(&why).into_owned(), Tone::Plain),
    ]
}

/// What became of the state, where that is not simply that it moved.
fn state_words(state: &StateReport) -> Option<String> {
    let since = match state.calls_since {
        Some(1) => ", without 1 call answered since".to_owned(),
        Some(calls) => format!(", without {calls} calls answered since"),
        None => String::new(),
    };
    match (state.state_from.as_deref(), state.restored_from.as_deref()) {
        (Some("checkpoint"), _) => Some("state from the last checkpoint".to_owned()),
        (Some("none"), _) | (_, Some("none")) => Some("it began without state".to_owned()),
        (_, Some("live")) => Some(format!("state as it was before the swap{since}")),
        (_, Some("checkpoint")) => Some(format!("state from its last checkpoint{since}")),
        (_, Some("snapshot")) | (Some("snapshot"), _) => {
            Some(format!("state as it was last saved{since}"))
        }
        _ => None,
    }
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
    format!(
        "{}  {:<16} {}\n",
        paint.tone(Tone::Faint, &moment(event.at, paint)),
        harmless(agent),
        paint.tone(tone, &text)
    )
}

/// A moment to the millisecond. A person who reads along knows the day.
pub(super) fn moment(at: u64, paint: Paint) -> String {
    let date_time = date_time(at);
    let day = if paint.terminal() {
        "0000-00-00 ".len()
    } else {
        0
    };
    format!(
        "{}.{:03}Z",
        date_time.get(day..).unwrap_or(&date_time),
        at % 1_000
    )
}

pub(super) fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("v{number}"))
}

pub(super) fn version(version: Option<&Version>) -> String {
    version.map_or_else(
        || "-".to_owned(),
        |version| format!("v{} {}", version.number, short(&version.digest)),
    )
}

pub(super) fn short(digest: &str) -> String {
    harmless(&digest.chars().take(SHORT_DIGEST).collect::<String>()).into_owned()
}

#[cfg(test)]
#[path = "show_tests.rs"]
pub(super) mod tests;
