//! `caxton status`: one agent, a line for each thing there is to know.
//!
//! What a host does not tell is left out: an older one knows no gate and no rates.

use super::phase;
use super::sentences::verdict_word;
use super::show::{agent_cells, attention_lines, number, short, version};
use super::text::{Paint, Tone, harmless};
use super::time::{ago, span};
use super::views::{Agent, Live, Quarantined, Reload, Verdict};

/// The width of the labels.
const LABEL: usize = 12;

/// Everything about one agent.
pub(super) fn status(agent: &Agent, now: u64, paint: Paint) -> String {
    let [name, state, ..] = agent_cells(agent);
    let mut page = Page {
        text: format!(
            "{}  {}\n",
            paint.tone(name.1, &name.0),
            paint.tone(state.1, &state.0)
        ),
        paint,
    };
    if agent.enabled == Some(false) {
        page.line(
            "turned off",
            "its configuration says `enabled = false`".to_owned(),
        );
    }
    page.line("serves", number(agent.serving));
    page.line("stable", version(agent.stable.as_ref()));
    if agent.candidate.is_some() {
        page.line("candidate", candidate(agent));
    }
    if let Some(reload) = &agent.reload {
        page.reload(reload, agent, now);
    }
    for said in &agent.verdicts {
        page.line("policy", policy_line(said));
    }
    page.traffic(agent);
    let kept: Vec<String> = agent.kept.iter().map(|kept| version(Some(kept))).collect();
    if !kept.is_empty() {
        page.line("kept", kept.join(", "));
    }
    if let Some(diverged) = &agent.diverged {
        page.line("diverged", diverged.clone());
    }
    for entry in &agent.quarantined {
        page.quarantined(entry, now);
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

    fn reload(&mut self, reload: &Reload, agent: &Agent, now: u64) {
        let mut what = reload.status.clone();
        if reload.paused {
            what.push_str(", paused");
        }
        what.push_str(&format!(", {}", reload.strategy));
        let stage = phase::stage(agent, reload);
        let is_staged = stage.is_some();
        if let Some(stage) = stage {
            what.push_str(&format!(", {stage}"));
        }
        what.push_str(&format!(", began {}", ago(reload.started_at, now)));
        self.line("reload", what);
        self.line("", format!("id {}", reload.id));
        if (is_staged || phase::listens(agent))
            && let Some(lasted) = phase::lasted(reload, now)
        {
            let what_for = if is_staged {
                "in the stage"
            } else {
                "listening"
            };
            self.line("", format!("{what_for}: {lasted}"));
        }
        for reason in phase::reasons(reload) {
            self.line("", reason.to_owned());
        }
    }

    fn traffic(&mut self, agent: &Agent) {
        if let Some(gate) = &agent.gate {
            self.line("gate", phase::gate_words(gate));
        }
        let mut in_flight = agent.in_flight.to_string();
        if agent.live.len() > 1 {
            let each: Vec<String> = agent
                .live
                .iter()
                .map(|live| format!("v{}: {}", live.number, live.in_flight))
                .collect();
            in_flight.push_str(&format!(" ({})", each.join(", ")));
        }
        self.line("in flight", in_flight);
        let mut label = "traffic";
        for live in &agent.live {
            if let Some(rates) = rates(live) {
                self.line(label, rates);
                label = "";
            }
        }
        for live in agent
            .live
            .iter()
            .filter(|live| !live.passed_over.is_empty())
        {
            let others = live.passed_over.join(" or ");
            self.line(
                "contract",
                format!("v{} {}, not {others}", live.number, live.contract),
            );
        }
        let serves = |live: &&Live| live.stateful && Some(live.number) == agent.serving;
        if let Some(live) = agent.live.iter().find(serves) {
            self.line("state", format!("in v{}, one call at a time", live.number));
        }
    }

    fn quarantined(&mut self, entry: &Quarantined, now: u64) {
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
        self.line(
            label,
            format!(
                "{digest} {}{again}: {}",
                ago(entry.since, now),
                entry.reason
            ),
        );
    }
}

fn candidate(agent: &Agent) -> String {
    let candidate = version(agent.candidate.as_ref());
    if phase::listens(agent) {
        return format!("{candidate}, listens");
    }
    let measured = agent
        .split_actual
        .map(|share| format!(", {share:.1} % measured"))
        .unwrap_or_default();
    format!("{candidate}, {} % of traffic{measured}", agent.split)
}

/// What a version answers, and how fast; none where the host does not tell.
pub(super) fn rates(live: &Live) -> Option<String> {
    let requests = live.requests_per_second?;
    let mut text = format!("v{} {} requests/s", live.number, phase::rate(requests));
    if let Some(failures) = live.failures_per_second {
        text.push_str(&format!(", {} failures/s", phase::rate(failures)));
    }
    let times = [("p50", live.p50_ms), ("p99", live.p99_ms)];
    for (name, time) in times {
        if let Some(ms) = time {
            text.push_str(&format!(", {name} {} ms", phase::rate(ms)));
        }
    }
    if live.listening {
        text.push_str(", copies only");
        if let (Some(copies), Some(mismatches)) = (live.copies, live.mismatches) {
            text.push_str(&format!(" ({mismatches} of {copies} answers differed"));
            match live.skipped {
                Some(skipped) if skipped > 0 => text.push_str(&format!(", {skipped} not copied)")),
                _ => text.push(')'),
            }
        }
    }
    Some(text)
}

/// What a policy said last.
pub(super) fn policy_line(said: &Verdict) -> String {
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

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
