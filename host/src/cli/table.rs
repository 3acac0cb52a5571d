//! Columns that line up.

use super::text::{Paint, Tone};

/// Between two columns.
const GAP: &str = "  ";

/// A cell: its text, already harmless, and its tone.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A heading and rows below it.
#[derive(Debug)]
pub struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns and no rows.
    #[must_use]
    pub fn new(heading: &[&'static str]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the heading are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows
            .push(cells.into_iter().take(self.heading.len()).collect());
    }

    /// The table as lines. No line has spaces at its end.
    #[must_use]
    pub fn draw(&self, paint: Paint) -> String {
        let heading: Vec<Cell> = self
            .heading
            .iter()
            .map(|text| Cell::new(*text, Tone::Faint))
            .collect();
        let rows: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width = |column: usize| {
            let widths = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        rows.iter()
            .map(|row| draw_row(row, &widths, paint))
            .collect()
    }
}

fn draw_row(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let last_filled = row
        .iter()
        .rposition(|cell| !cell.text.is_empty())
        .unwrap_or(0);
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate().take(last_filled + 1) {
        line.push_str(&paint.tone(cell.tone, &cell.text));
        if column < last_filled {
            let missing = width.saturating_sub(cell.text.chars().count());
            line.push_str(&" ".repeat(missing));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}
