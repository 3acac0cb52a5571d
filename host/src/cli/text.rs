//! Text on a terminal: what others wrote made harmless, and what we write made readable.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// The text with every character written out that could move the cursor, change colours, or change the order in which
/// other characters are shown.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if acts(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// The same for text of several lines, whose line ends and tabs stay.
#[must_use]
pub fn harmless_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| acts(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            c if acts(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// The same for what a compiler prints: its colours stay where they are wanted, and are left out where not.
#[must_use]
pub fn coloured_lines(text: &str, colour: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(at);
        safe.push_str(&harmless_lines(&before.replace("\r\n", "\n")));
        let length = colour_length(from).unwrap_or(0);
        let (code, after) = from.split_at(length.max(1));
        match length {
            0 => safe.push_str(&harmless_lines(code)),
            _ if colour => safe.push_str(code),
            _ => {}
        }
        rest = after;
    }
    safe.push_str(&harmless_lines(&rest.replace("\r\n", "\n")));
    if colour && safe.contains('\u{1b}') {
        // Whatever was cut off does not colour what follows.
        safe.push_str("\u{1b}[0m");
    }
    safe
}

/// How many bytes the colour at the beginning takes: ESC [, numbers, m.
fn colour_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    numbers.get(end..)?.starts_with('m').then_some(end + 3)
}

/// JSON that means the same and holds none of these characters. They can only stand inside strings, where an escape may
/// take their place; the first 32 never come out of a JSON writer, except as line ends between values.
#[must_use]
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    if !json.contains(|c| acts(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts(c) && c != '\n' {
            // All of them lie within 16 bits, so one escape does.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether colours help: on a terminal, unless its owner wants none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
    terminal: bool,
}

/// What a colour says. Nothing is said by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// On its way, or worth a look.
    Busy,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

impl Paint {
    /// For plain text, whatever is on the other side.
    #[cfg(test)]
    pub const PLAIN: Self = Self {
        colour: false,
        terminal: false,
    };

    /// For a terminal without colours.
    #[cfg(test)]
    pub const MONOCHROME: Self = Self {
        colour: false,
        terminal: true,
    };

    /// What the standard output can show.
    #[must_use]
    pub fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// What the standard error can show.
    #[must_use]
    pub fn stderr() -> Self {
        Self::of(std::io::stderr().is_terminal())
    }

    fn of(terminal: bool) -> Self {
        // https://no-color.org: any value but the empty one.
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !set("NO_COLOR") && !dumb,
            terminal,
        }
    }

    /// Whether there are colours.
    #[must_use]
    pub fn colour(self) -> bool {
        self.colour
    }

    /// Whether a person looks at it.
    #[must_use]
    pub fn terminal(self) -> bool {
        self.terminal
    }

    /// The text in its tone.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The line on which the cursor stands, written anew.
pub(crate) fn draw(line: &str) {
    use std::io::Write;

    let mut err = std::io::stderr().lock();
    let _ = write!(err, "\r\u{1b}[2K{line}");
    let _ = err.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        assert_eq!(harmless("plain Grüße ✓"), "plain Grüße ✓");
        assert_eq!(
            harmless("\u{1b}[2J\u{7}\r\nx\u{9b}31m"),
            "\\u{1b}[2J\\u{7}\\r\\nx\\u{9b}31m"
        );
        assert_eq!(harmless("a\u{202e}b\u{feff}"), "a\\u{202e}b\\u{feff}");
        assert_eq!(harmless_lines("a\n\tb\u{1b}c"), "a\n\tb\\u{1b}c");
    }

    #[test]
    fn of_a_compilers_text_only_the_colours_act() {
        let text = "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x\r\n\u{1b}[2J\u{1b}";
        assert_eq!(
            coloured_lines(text, true),
            "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x\n\\u{1b}[2J\\u{1b}\u{1b}[0m"
        );
        assert_eq!(coloured_lines(text, false), "error: x\n\\u{1b}[2J\\u{1b}");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"text": "\u{1b}]0;title\u{7} \u{7f}\u{9b}\u{202e} end"});
        let written = serde_json::to_string_pretty(&value).unwrap();
        let safe = harmless_json(&written);
        assert!(!safe.contains(|c| acts(c) && c != '\n'), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    #[test]
    fn colour_is_left_out_where_it_is_not_wanted() {
        let colour = Paint {
            colour: true,
            terminal: true,
        };
        assert_eq!(
            colour.tone(Tone::Good, "serving"),
            "\u{1b}[32mserving\u{1b}[0m"
        );
        assert_eq!(Paint::PLAIN.tone(Tone::Bad, "failed"), "failed");
    }
}
