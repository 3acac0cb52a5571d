//! The table of all agents: a row each, the selected one marked.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, StatefulWidget, Table, TableState};

use super::state::State;
use super::theme::Theme;
use crate::cli::phase;
use crate::cli::sentences::status_tone;
use crate::cli::show::{number, state_tone};
use crate::cli::text::{Tone, harmless};
use crate::cli::views::Agent;

/// A column: its heading, its width (none: what is left), and the narrowest terminal on which it is shown.
struct Column(&'static str, Option<u16>, u16);

/// All of them fit into 80; on less, the agent's name matters more than its figures.
const COLUMNS: [Column; 11] = [
    Column("AGENT", None, 0),
    Column("STATE", Some(8), 0),
    Column("VER", Some(4), 0),
    Column("NEXT", Some(9), 48),
    Column("PHASE", Some(9), 38),
    Column("GATE", Some(7), 80),
    Column("CALLS", Some(5), 72),
    Column("REQ/S", Some(5), 54),
    Column("ERR/S", Some(5), 60),
    Column("P99 MS", Some(6), 66),
    Column("", Some(1), 0),
];

/// The columns that are figures: they stand to the right, so that they can be compared.
const FIGURES: std::ops::RangeInclusive<usize> = 6..=9;

/// Before the selected row, and before the others.
const MARK: &str = "> ";

/// Draws as many agents as there is room for, the selected one among them.
pub(super) fn draw(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let shown = |(_, Column(_, _, from)): &(usize, &Column)| area.width >= *from;
    let columns: Vec<(usize, &Column)> = COLUMNS.iter().enumerate().filter(shown).collect();
    let heading = columns
        .iter()
        .map(|(index, Column(name, _, _))| aligned(*index, (*name).to_owned()));
    let widths = columns
        .iter()
        .map(|(_, Column(_, width, _))| width.map_or(Constraint::Fill(1), Constraint::Length));
    let indexes: Vec<usize> = columns.iter().map(|(index, _)| *index).collect();
    let rows = state.agents.iter().map(|agent| row(agent, &indexes, theme));
    let table = Table::new(rows, widths)
        .header(Row::new(heading).style(theme.tone(Tone::Faint)))
        .column_spacing(1)
        .highlight_symbol(MARK)
        .row_highlight_style(Theme::selected());
    let mut selection = TableState::new().with_selected(Some(state.index()));
    StatefulWidget::render(table, area, buffer, &mut selection);
}

fn aligned(column: usize, text: String) -> Line<'static> {
    let line = Line::from(text);
    if FIGURES.contains(&column) {
        line.right_aligned()
    } else {
        line
    }
}

fn row(agent: &Agent, columns: &[usize], theme: Theme) -> Row<'static> {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), phase::rate);
    let requests = phase::sum(&agent.live, |live| live.requests_per_second);
    let failures = phase::sum(&agent.live, |live| live.failures_per_second);
    let slowest = phase::slowest(&agent.live, |live| live.p99_ms);
    let phase_tone = agent
        .reload
        .as_ref()
        .map_or(Tone::Plain, |reload| status_tone(&reload.status));
    let failing = if failures.is_some_and(|failures| failures > 0.0) {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let cells = [
        (harmless(&agent.agent).into_owned(), Tone::Strong),
        (
            harmless(&agent.state).into_owned(),
            state_tone(&agent.state),
        ),
        (number(agent.serving), Tone::Plain),
        (next(agent), Tone::Plain),
        (narrow_phase(agent), phase_tone),
        (gate(agent), Tone::Busy),
        (agent.in_flight.to_string(), Tone::Plain),
        (figure(requests), Tone::Plain),
        (figure(failures), failing),
        (figure(slowest), Tone::Plain),
        (attention(agent), Tone::Bad),
    ];
    let cells = cells.into_iter().enumerate();
    let cells = cells.filter(|(column, _)| columns.contains(column));
    Row::new(
        cells.map(|(column, (text, tone))| {
            Cell::from(aligned(column, text)).style(theme.tone(tone))
        }),
    )
}

/// The version that is coming in, and its share.
fn next(agent: &Agent) -> String {
    match &agent.candidate {
        None => "-".to_owned(),
        Some(candidate) if phase::listens(agent) => format!("v{} hears", candidate.number),
        Some(candidate) => format!("v{} {} %", candidate.number, agent.split),
    }
}

fn narrow_phase(agent: &Agent) -> String {
    if agent.reload.is_none() && agent.diverged.is_some() {
        return "diverged".to_owned();
    }
    let phase = match phase::short(agent).as_str() {
        "rolling-back" => "returning".to_owned(),
        phase::HANDING_OVER => "hand-over".to_owned(),
        phase => phase.replace("stage ", "st. ").replace(" of ", "/"),
    };
    harmless(&phase).into_owned()
}

fn gate(agent: &Agent) -> String {
    match &agent.gate {
        None => "-".to_owned(),
        Some(gate) if gate.waiting > 0 => format!("{} wait", gate.waiting),
        Some(gate) if gate.closed => "closed".to_owned(),
        Some(_) => "open".to_owned(),
    }
}

/// A mark at the end of the row: the detail below says what it is.
fn attention(agent: &Agent) -> String {
    let waits = !agent.attention.is_empty();
    if waits { "!" } else { "" }.to_owned()
}
