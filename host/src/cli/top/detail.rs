//! The selected agent as lines: its reload and how far it is, what policies say, and what waits for a person.

use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::cli::phase;
use crate::cli::sentences::{status_tone, verdict_word};
use crate::cli::show::{number, version};
use crate::cli::status::{policy_line, rates};
use crate::cli::text::{Tone, harmless};
use crate::cli::time::ago;
use crate::cli::views::{Agent, Attention, Reload};

/// The width of the labels.
const LABEL: usize = 10;

/// Cells of the bar that shows a share.
const BAR: u8 = 20;

/// Lines that one sentence may take; `caxton status` shows it whole.
const SENTENCE_LINES: usize = 2;

/// What there is to say, the most important first, in lines of this width.
pub(super) fn lines(agent: &Agent, now: u64, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut page = Page {
        lines: Vec::new(),
        theme,
        width,
    };
    for attention in &agent.attention {
        page.attention(attention, now);
    }
    match &agent.reload {
        Some(reload) => page.reload(reload, agent, now),
        None => page.at_rest(agent),
    }
    for said in &agent.verdicts {
        let (_, tone) = verdict_word(&said.verdict);
        page.line("policy", tone, &policy_line(said));
    }
    if let Some(gate) = agent
        .gate
        .as_ref()
        .filter(|gate| gate.closed || gate.waiting > 0)
    {
        page.line("gate", Tone::Busy, &phase::gate_words(gate));
    }
    let mut label = "traffic";
    for rates in agent.live.iter().filter_map(rates) {
        page.line(label, Tone::Plain, &rates);
        label = "";
    }
    if let Some(error) = agent.last_error.as_deref()
        && agent.diverged.as_deref() != Some(error)
        && !attention_says(agent, error)
    {
        page.line("last error", Tone::Bad, error);
    }
    page.lines
}

fn attention_says(agent: &Agent, what: &str) -> bool {
    let mut texts = agent.attention.iter().map(|attention| &attention.text);
    texts.any(|text| text.contains(what))
}

struct Page {
    lines: Vec<Line<'static>>,
    theme: Theme,
    width: usize,
}

impl Page {
    /// A sentence under a label; what does not fit into its lines is cut, and that is shown.
    fn line(&mut self, label: &str, tone: Tone, text: &str) {
        let text = harmless(text);
        let mut label = format!("{label:LABEL$} ");
        for part in wrap(&text, self.width.saturating_sub(LABEL + 1), SENTENCE_LINES) {
            self.lines.push(Line::from(vec![
                Span::styled(label, self.theme.tone(Tone::Faint)),
                Span::styled(part, self.theme.tone(tone)),
            ]));
            label = " ".repeat(LABEL + 1);
        }
    }

    fn attention(&mut self, attention: &Attention, now: u64) {
        let since = ago(attention.since, now);
        let text = format!("{}: {} ({since})", attention.kind, attention.text);
        self.line("!", Tone::Bad, &text);
        if !attention.command.is_empty() {
            self.line("  try", Tone::Strong, &attention.command);
        }
    }

    fn at_rest(&mut self, agent: &Agent) {
        self.line("stable", Tone::Plain, &version(agent.stable.as_ref()));
        let kept: Vec<String> = agent
            .kept
            .iter()
            .map(|kept| number(Some(kept.number)))
            .collect();
        if !kept.is_empty() {
            self.line("kept", Tone::Plain, &kept.join(", "));
        }
        // What waits for a person mostly says why as well.
        if let Some(diverged) = agent.diverged.as_deref()
            && !attention_says(agent, diverged)
        {
            self.line("diverged", Tone::Bad, diverged);
        }
    }

    fn reload(&mut self, reload: &Reload, agent: &Agent, now: u64) {
        let paused = if reload.paused { ", paused" } else { "" };
        let from = agent
            .stable
            .as_ref()
            .map(|stable| format!("v{} -> ", stable.number))
            .unwrap_or_default();
        let to = number(agent.candidate.as_ref().map(|version| version.number));
        let text = format!(
            "{from}{to} {}{paused}, {}, began {}",
            reload.status,
            reload.strategy,
            ago(reload.started_at, now)
        );
        self.line("reload", status_tone(&reload.status), &text);
        self.line("", Tone::Plain, &progress(reload, agent, now));
        if reload.strategy == "traffic-splitting" && agent.candidate.is_some() {
            self.line("share", Tone::Plain, &share(agent));
        }
        let mut label = "because";
        for reason in phase::reasons(reload) {
            self.line(label, Tone::Plain, reason);
            label = "";
        }
    }
}

/// The steps of a reload, the present one in brackets.
fn progress(reload: &Reload, agent: &Agent, now: u64) -> String {
    let present = phase::step(agent);
    let steps = steps(reload, agent);
    if !steps.contains(&present) {
        return format!("[{present}]");
    }
    let shown = steps.into_iter().map(|step| {
        if step != present {
            return step;
        }
        let lasts = step == phase::LISTENING || phase::stage(agent, reload).as_ref() == Some(&step);
        match phase::lasted(reload, now).filter(|_| lasts) {
            Some(lasted) => format!("[{step}: {lasted}]"),
            None => format!("[{step}]"),
        }
    });
    shown.collect::<Vec<_>>().join(" > ")
}

/// What a reload of this kind goes through where nothing is wrong with it.
fn steps(reload: &Reload, agent: &Agent) -> Vec<String> {
    let trial = match reload.strategy.as_str() {
        "parallel" => Some(phase::LISTENING.to_owned()),
        "traffic-splitting" => phase::stage(agent, reload).or_else(|| Some("stages".to_owned())),
        _ => None,
    };
    // Only agents that keep state have a gate.
    let hand_over = agent.gate.as_ref().map(|_| phase::HANDING_OVER.to_owned());
    let before = ["preparing", "starting"].map(str::to_owned);
    let after = [phase::BAKING, "permanent"].map(str::to_owned);
    before
        .into_iter()
        .chain(trial)
        .chain(hand_over)
        .chain(after)
        .collect()
}

/// The share as a bar and in figures.
fn share(agent: &Agent) -> String {
    let filled = usize::from(agent.split.min(100).div_ceil(100 / BAR));
    let empty = usize::from(BAR).saturating_sub(filled);
    let measured = agent.split_actual.map_or_else(
        || "none measured yet".to_owned(),
        |share| format!("{share:.1} % measured"),
    );
    format!(
        "[{}{}] {} % wanted, {measured}",
        "#".repeat(filled),
        "-".repeat(empty),
        agent.split
    )
}

/// Breaks at spaces into at most `most` lines of `width` characters; the last one ends in dots if there is more.
pub(super) fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let is_last = lines.len() == most;
        let Some(line) = lines.last_mut() else { break };
        let (used, length) = (line.chars().count(), word.chars().count());
        if used > 0 && used + 1 + length > width {
            if is_last {
                line.push_str(" ...");
                break;
            }
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    for line in &mut lines {
        if line.chars().count() > width {
            *line = line.chars().take(width.saturating_sub(3)).collect();
            line.push_str("...");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_broken_and_what_is_too_long_is_cut_visibly() {
        assert_eq!(wrap("one two three", 20, 2), ["one two three"]);
        assert_eq!(wrap("one two three", 8, 2), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 8, 2), ["one two", "three..."]);
        assert_eq!(wrap("extraordinarily", 8, 2), ["extra..."]);
        assert_eq!(wrap("", 8, 2), [""]);
        assert_eq!(wrap("a b", 0, 2).len(), 2);
    }
}
