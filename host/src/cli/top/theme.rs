//! Tones as styles. Nothing is told by a style alone.

use ratatui::style::{Color, Modifier, Style};

use crate::cli::text::Tone;

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub(super) colour: bool,
}

impl Theme {
    pub(super) fn tone(self, tone: Tone) -> Style {
        let plain = Style::new();
        if !self.colour {
            return match tone {
                Tone::Strong => plain.add_modifier(Modifier::BOLD),
                _ => plain,
            };
        }
        match tone {
            Tone::Plain => plain,
            Tone::Good => plain.fg(Color::Green),
            Tone::Busy => plain.fg(Color::Yellow),
            Tone::Bad => plain.fg(Color::Red),
            Tone::Faint => plain.add_modifier(Modifier::DIM),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
        }
    }

    /// The selected row; a mark stands before it as well.
    pub(super) fn selected() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
