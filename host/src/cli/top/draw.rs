//! The whole picture: a title, the table of agents, the selected agent, its last events, and a line for what is said.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::state::{Ask, Link, Order, State};
use super::theme::Theme;
use super::{detail, table};
use crate::cli::sentences::sentence;
use crate::cli::text::{Tone, harmless};
use crate::cli::time::{ago, date_time};
use crate::cli::views::{Agent, Happened};

/// Lines of events that are shown however much there is to say about the agent, if the terminal has room at all.
const EVENTS_AT_LEAST: usize = 4;

/// How long it is shown what became of an order, in milliseconds; the events tell the rest.
const SAID_FOR: u64 = 10_000;

/// What the keys do, in the order in which `?` shows them.
const KEYS: [(&str, &str); 8] = [
    (
        "up k, down j",
        "select an agent; Home and End go to the first and the last",
    ),
    (
        "p",
        "pause the reload, or resume it where it is paused, held, or waits for an operator",
    ),
    (
        "P",
        "promote: give the new version all traffic; it still bakes",
    ),
    (
        "b",
        "roll back: during a reload to the permanent version, otherwise to the one before it",
    ),
    ("", "(each of these asks first; y gives the order)"),
    ("?", "this help"),
    ("q, Ctrl-C", "leave; nothing changes for the agents"),
    (
        "columns",
        "NEXT: the version that comes in and its share; CALLS: in flight; rates without copies",
    ),
];

/// Draws the state as it is at a moment, in milliseconds since the Unix epoch.
pub(super) fn draw(state: &State, now: u64, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let room_for_agents = usize::from(area.height / 3).max(2);
    let shown = state.agents.len().clamp(1, room_for_agents);
    let rows = u16::try_from(shown).unwrap_or(u16::MAX).saturating_add(1);
    let [title, table, detail, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    write(title, buffer, title_line(state, now, theme, title.width));
    if state.agents.is_empty() {
        write(table, buffer, Line::from(nothing(state)));
    } else {
        table::draw(state, theme, table, buffer);
    }
    let lines = if state.help {
        help(theme, detail)
    } else {
        about(state, now, theme, detail)
    };
    Paragraph::new(lines).render(detail, buffer);
    write(footer, buffer, footer_line(state, now, theme));
}

fn write(area: Rect, buffer: &mut Buffer, line: Line<'_>) {
    line.render(area, buffer);
}

fn nothing(state: &State) -> &'static str {
    match state.link {
        Link::Waiting | Link::Lost { .. } => "",
        Link::Up => "no agents yet: copy a component into the agents directory as NAME.wasm",
    }
}

fn title_line(state: &State, now: u64, theme: Theme, width: u16) -> Line<'static> {
    let (text, tone) = match &state.link {
        Link::Waiting => ("asking the host ...".to_owned(), Tone::Busy),
        Link::Lost { since, .. } => {
            let text = format!("the host went away {}; looking for it", ago(*since, now));
            (text, Tone::Bad)
        }
        Link::Up => summary(state),
    };
    let clock = time_of_day(now);
    let name = "caxton top  ";
    let room = usize::from(width).saturating_sub(name.len() + clock.len() + 1);
    let text: String = text.chars().take(room).collect();
    let gap = room.saturating_sub(text.chars().count()) + 1;
    Line::from(vec![
        Span::styled(name, theme.tone(Tone::Strong)),
        Span::styled(text, theme.tone(tone)),
        Span::raw(" ".repeat(gap)),
        Span::styled(clock, theme.tone(Tone::Faint)),
    ])
}

fn summary(state: &State) -> (String, Tone) {
    let agents = match state.agents.len() {
        1 => "1 agent".to_owned(),
        count => format!("{count} agents"),
    };
    match (state.waiting_for_people(), state.host.first()) {
        (0, _) => (agents, Tone::Plain),
        (_, Some(first)) => {
            let text = format!("{agents}, ! {}: {}", first.kind, first.text);
            (harmless(&text).into_owned(), Tone::Bad)
        }
        (1, None) => (format!("{agents}, 1 thing waits for a person"), Tone::Bad),
        (count, None) => (
            format!("{agents}, {count} things wait for a person"),
            Tone::Bad,
        ),
    }
}

/// The selected agent, and the last of its events in the room that is left.
fn about(state: &State, now: u64, theme: Theme, area: Rect) -> Vec<Line<'static>> {
    let Some(agent) = state.agent() else {
        return Vec::new();
    };
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let name = harmless(&agent.agent);
    let mut lines = vec![rule(&name, theme, width)];
    let about = detail::lines(agent, now, theme, width);
    let room = height.saturating_sub(2 + EVENTS_AT_LEAST);
    let (count, fits) = (about.len(), about.len() <= room);
    let shown = if fits { count } else { room.saturating_sub(1) };
    lines.extend(about.into_iter().take(shown));
    if !fits {
        let more = format!("... {} lines more: caxton status {name}", count - shown);
        lines.push(Line::styled(more, theme.tone(Tone::Faint)));
    }
    lines.push(rule("events", theme, width));
    let room = height.saturating_sub(lines.len());
    lines.extend(
        state
            .tail(&agent.agent, room)
            .into_iter()
            .map(|event| event_line(event, theme, width)),
    );
    lines
}

fn rule(title: &str, theme: Theme, width: usize) -> Line<'static> {
    let dashes = width.saturating_sub(title.chars().count() + 4);
    let text = format!("-- {title} {}", "-".repeat(dashes));
    Line::styled(text, theme.tone(Tone::Faint))
}

fn event_line(event: &Happened, theme: Theme, width: usize) -> Line<'static> {
    let (text, tone) = sentence(&event.kind, &event.fields);
    let whose = if event.agent.is_none() { "host: " } else { "" };
    let time = format!("{} ", time_of_day(event.at));
    let text = detail::wrap(
        &format!("{whose}{text}"),
        width.saturating_sub(time.len()),
        1,
    );
    Line::from(vec![
        Span::styled(time, theme.tone(Tone::Faint)),
        Span::styled(text.join(" "), theme.tone(tone)),
    ])
}

fn help(theme: Theme, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let mut lines = vec![rule("keys", theme, width)];
    for (key, what) in KEYS {
        let mut key = format!("  {key:<14}");
        for part in detail::wrap(what, width.saturating_sub(key.len()), 2) {
            lines.push(Line::from(vec![
                Span::styled(key, theme.tone(Tone::Strong)),
                Span::raw(part),
            ]));
            key = " ".repeat(16);
        }
    }
    lines
}

fn footer_line(state: &State, now: u64, theme: Theme) -> Line<'static> {
    if let Some(ask) = &state.ask {
        let question = harmless(&question(ask, state.agent())).into_owned();
        return Line::from(vec![
            Span::styled(question, Theme::selected()),
            Span::styled("  y: yes, any other key: no", Style::new()),
        ]);
    }
    let said = state.said.as_ref();
    if let Some(said) = said.filter(|said| now.saturating_sub(said.at) < SAID_FOR) {
        let first = said.text.lines().next().unwrap_or_default();
        return Line::styled(harmless(first).into_owned(), theme.tone(said.tone));
    }
    if let Link::Lost { why, .. } = &state.link {
        let first = why.lines().next().unwrap_or_default();
        return Line::styled(harmless(first).into_owned(), theme.tone(Tone::Bad));
    }
    let keys = "up/down select   p pause/resume   P promote   b rollback   ? help   q quit";
    Line::styled(keys, theme.tone(Tone::Faint))
}

/// What a yes would do.
fn question(ask: &Ask, agent: Option<&Agent>) -> String {
    let name = &ask.agent;
    let agent = agent.filter(|agent| agent.agent == *name);
    let reloads = agent.is_some_and(|agent| agent.reload.is_some());
    match ask.order {
        Order::Pause => format!("pause the reload of {name}?"),
        Order::Resume => format!("let the reload of {name} go on?"),
        Order::Promote => format!("give the new version of {name} all traffic?"),
        Order::Rollback if reloads => format!("take {name} back to its permanent version?"),
        Order::Rollback => format!("take {name} back to the version before?"),
    }
}

fn time_of_day(at: u64) -> String {
    let date_time = date_time(at);
    let time = date_time.rsplit(' ').next().unwrap_or_default();
    format!("{time}Z")
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
