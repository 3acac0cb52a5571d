//! The demo's output: who did what, and when, on lines that line up.

use std::time::Instant;

use crate::cli::{Failure, Paint, Tone, harmless, print};

/// Columns of text after the time and the actor; longer text goes on below itself.
const WIDTH: usize = 78;

/// Columns before the text: the time and the actor.
const INDENT: usize = 19;

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    /// The demo, in the place of the person who deploys.
    You,
    Host,
    Policy,
    Clients,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Self::You => "you",
            Self::Host => "host",
            Self::Policy => "policy",
            Self::Clients => "clients",
        }
    }
}

/// Prints what happens as it happens.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    paint: Paint,
}

impl Timeline {
    pub(super) fn begin(paint: Paint) -> Self {
        Self {
            began: Instant::now(),
            paint,
        }
    }

    /// A new part of the story.
    pub(super) fn chapter(&self, title: &str) -> Result<(), Failure> {
        print(&format!("\n{}\n", self.paint.tone(Tone::Strong, title)))
    }

    /// Something that happened now.
    pub(super) fn entry(&self, actor: Actor, tone: Tone, text: &str) -> Result<(), Failure> {
        let seconds = self.began.elapsed().as_secs_f64();
        print(&entry(seconds, actor, tone, text, self.paint))
    }

    /// A line of a summary: a label, and what there is to say.
    pub(super) fn line(&self, label: &str, tone: Tone, text: &str) -> Result<(), Failure> {
        let label = format!("  {label:<12}");
        let text = wrap(text, WIDTH, label.len());
        print(&format!(
            "{}{}\n",
            self.paint.tone(Tone::Faint, &label),
            self.paint.tone(tone, &text)
        ))
    }
}

fn entry(seconds: f64, actor: Actor, tone: Tone, text: &str, paint: Paint) -> String {
    let head = format!("{seconds:>7.1} s  {:<8}", actor.name());
    let text = paint.tone(tone, &wrap(text, WIDTH, INDENT));
    format!("{}{text}\n", paint.tone(Tone::Faint, &head))
}

/// Breaks at spaces, so that no line is longer than `width` unless a single word is; further lines are indented.
fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut used = 0;
    for word in harmless(text).split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn entries_line_up_and_long_ones_go_on_below_themselves() {
        let long = "policy thresholds says rollback: 131 of 438 requests failed, 29.9 %, and the limit is 5.00 % of at least 20";
        let told: String = [
            (0.04, Actor::You, "mv greeter-v1.wasm agents/greeter.wasm"),
            (12.345, Actor::Policy, long),
            (123.0, Actor::Clients, "\u{1b}[2J"),
        ]
        .into_iter()
        .map(|(at, actor, text)| entry(at, actor, Tone::Bad, text, Paint::PLAIN))
        .collect();
        // The first line is there because common indentation is taken off.
        expect![[r#"
            A chapter
                0.0 s  you     mv greeter-v1.wasm agents/greeter.wasm
               12.3 s  policy  policy thresholds says rollback: 131 of 438 requests failed, 29.9 %, and the
                               limit is 5.00 % of at least 20
              123.0 s  clients \u{1b}[2J
        "#]]
        .assert_eq(&format!("A chapter\n{told}"));
    }
}
