//! A story as text, for a person. Everything that policies, agents or files said is made harmless.

use caxton_rollout::{Action, Blame, Evidence, Moment, Phase, PolicyMode, Stage};
use serde_json::Value;

use super::figures::{finding, seen};
use super::story::{Entry, Planning, Rounds, Said, Story, strategy_word};
use crate::cli::sentences::{sentence, status_tone};
use crate::cli::show::short;
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::time::{date_time, span};
use crate::records::{Answered, Standing};
use crate::replay::Change;

/// Before what belongs to the line above.
const INDENT: &str = "            ";

/// What would have changed a policy's answer, or why nobody knows.
pub(super) enum WhatIf {
    /// It was asked.
    Known(Change),
    /// It could not be.
    Unknown { policy: String, why: String },
}

/// The whole story.
pub(super) fn story(story: &Story, what_if: &[WhatIf], paint: Paint) -> String {
    let mut page = Page {
        text: String::new(),
        began: story.began.at,
        paint,
    };
    page.head(story);
    for entry in &story.entries {
        page.entry(entry);
    }
    if story.left_out > 0 {
        page.line(&format!(
            "  {} more changes are left out here",
            story.left_out
        ));
    }
    page.end(story);
    page.what_if(story, what_if);
    page.text
}

struct Page {
    text: String,
    began: Moment,
    paint: Paint,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A line with the time since the reload began before it.
    fn at(&mut self, at: Moment, text: &str) {
        let since = format!("+{}", seconds(at.0.saturating_sub(self.began.0)));
        let since = self.paint.tone(Tone::Faint, &format!("{since:>10}"));
        self.line(&format!("{since}  {text}"));
    }

    fn under(&mut self, text: &str) {
        self.line(&format!("{INDENT}{text}"));
    }

    fn head(&mut self, story: &Story) {
        let began = &story.began;
        let title = format!("{}  reload {}", began.agent, began.reload);
        let title = self.paint.tone(Tone::Strong, &title);
        self.line(&title);
        self.line(&format!("began {} UTC", date_time(began.at.0)));
        for asked in &began.policies {
            let role = match (asked.kind, asked.mode) {
                (caxton_runtime::policy::PolicyKind::Strategy, _) => "says how it comes in",
                (_, PolicyMode::Enforce) => "judges",
                (_, PolicyMode::Off) => "is off",
                (_, PolicyMode::Monitor) => "monitors, without a say",
            };
            let digest = short(&asked.digest.to_string());
            let settings = asked.settings.to_string();
            let settings = match settings.as_str() {
                "{}" | "null" => String::new(),
                other => format!("  {}", harmless(other)),
            };
            self.line(&format!(
                "  {} {role}  {}{settings}",
                harmless(&asked.policy),
                self.paint.tone(Tone::Faint, &digest)
            ));
        }
        self.line("");
    }

    fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Plan(planning) => self.plan(planning),
            Entry::Rounds(rounds) => self.rounds(rounds),
            Entry::Monitors { tick, at, said } => {
                self.at(*at, &format!("round {tick}, those that monitor"));
                for said in said {
                    self.said(said, " (monitors)");
                }
            }
            Entry::Told { event } => {
                let at = event
                    .get("at")
                    .and_then(Value::as_u64)
                    .map_or(self.began, Moment);
                let kind = event.get("kind").and_then(Value::as_str).unwrap_or("event");
                let mut fields = event.as_object().cloned().unwrap_or_default();
                for key in ["seq", "at", "agent", "reload", "kind"] {
                    fields.remove(key);
                }
                let (text, tone) = sentence(kind, &fields);
                let text = self.paint.tone(tone, &text);
                self.at(at, &text);
            }
            Entry::Full { at } => {
                let text = "from here on nothing more was kept of this reload but its end";
                let text = self.paint.tone(Tone::Busy, text);
                self.at(*at, &text);
            }
        }
    }

    fn plan(&mut self, planning: &Planning) {
        let policy = harmless(&planning.policy);
        match &planning.answer {
            Answered::Ok(plan) => {
                let how = if planning.as_configured {
                    "as configured"
                } else {
                    "not as configured"
                };
                let text = format!(
                    "{policy} plans {} ({how}): {}",
                    strategy_word(plan.strategy),
                    harmless(&plan.why.summary)
                );
                self.at(planning.at, &text);
                let stages: Vec<String> = plan.stages.iter().map(stage).collect();
                if !stages.is_empty() {
                    self.under(&format!("stages {}", stages.join(", then ")));
                }
            }
            Answered::Fault(fault) => {
                let text = format!("{policy} has no plan: {}", harmless(&fault.message));
                let text = self.paint.tone(Tone::Bad, &text);
                self.at(planning.at, &text);
                self.last_words(&planning.last_words);
            }
        }
        self.notes(&planning.notes);
    }

    fn rounds(&mut self, rounds: &Rounds) {
        let place = place(&rounds.standing);
        self.at(rounds.at, &format!("round {}: {place}", rounds.from));
        self.under(&format!("seen: {}", seen(&rounds.seen)));
        for said in &rounds.said {
            self.said(said, "");
        }
        if let Some(said) = &rounds.strategy {
            self.said(said, "");
        }
        for said in &rounds.monitors {
            self.said(said, " (monitors)");
        }
        self.done(rounds);
        let Some(after) = &rounds.seen_after else {
            return;
        };
        let until = if rounds.to == rounds.from.saturating_add(1) {
            format!("round {}: the same", rounds.to)
        } else {
            format!(
                "rounds {} to {}: the same",
                rounds.from.saturating_add(1),
                rounds.to
            )
        };
        self.at(rounds.until, &until);
        self.under(&format!("seen: {}", seen(after)));
        for said in &rounds.said_last {
            let text = format!("{} last: {}", said.policy, said.why.summary);
            self.under(&harmless(&text));
        }
    }

    fn said(&mut self, said: &Said, role: &str) {
        let tone = match said.word.as_str() {
            "rollback" | "fault" => Tone::Bad,
            "proceed" | "advance" | "promote" => Tone::Good,
            word if word.starts_with("hold") => Tone::Busy,
            _ => Tone::Plain,
        };
        let blame = match &said.blame {
            Some(blame) => format!(", blame {blame}"),
            None => String::new(),
        };
        let word = self.paint.tone(tone, &harmless(&said.word));
        let why = harmless(&said.why.summary).into_owned();
        let code = harmless(&said.why.code).into_owned();
        self.under(&format!(
            "{}{role}: {word}{blame} ({code}): {why}",
            harmless(&said.policy)
        ));
        for figure in &said.why.findings {
            let tone = if figure.breached {
                Tone::Bad
            } else {
                Tone::Faint
            };
            let text = self.paint.tone(tone, &finding(figure));
            self.under(&format!("  {text}"));
        }
        self.notes(&said.notes);
        self.last_words(&said.last_words);
    }

    fn notes(&mut self, notes: &[String]) {
        for note in notes {
            self.under(&format!("  corrected: {}", harmless(note)));
        }
    }

    fn last_words(&mut self, lines: &[String]) {
        for line in lines {
            self.under(&format!("  it wrote: {}", harmless(line)));
        }
    }

    fn done(&mut self, rounds: &Rounds) {
        let (text, tone) = match &rounds.action {
            None => (
                "nothing: the answers came too late to count".to_owned(),
                Tone::Busy,
            ),
            Some(action) => done(action),
        };
        let text = self.paint.tone(tone, &harmless(&text));
        self.under(&format!("done: {text}"));
        for clamp in &rounds.clamps {
            self.under(&format!("  clamped: {}", harmless(clamp)));
        }
    }

    fn end(&mut self, story: &Story) {
        self.line("");
        let Some(result) = &story.result else {
            self.line("it has not ended, as far as these records go");
            return;
        };
        let text = |key: &str| result.get(key).and_then(Value::as_str);
        let number = |key: &str| result.get(key).and_then(Value::as_u64);
        let status = text("status").unwrap_or("ended");
        let took = match (number("started_at"), number("completed_at")) {
            (Some(from), Some(to)) => format!(" after {}", span(to.saturating_sub(from))),
            _ => String::new(),
        };
        let versions = match (number("from"), number("to")) {
            (Some(from), Some(to)) => format!(", v{from} -> v{to}"),
            (None, Some(to)) => format!(", v{to}"),
            _ => String::new(),
        };
        let why = text("rollback_reason")
            .or_else(|| text("error"))
            .map(|why| format!(": {why}"))
            .or_else(|| text("evidence").map(|evidence| format!(", evidence {evidence}")))
            .unwrap_or_default();
        let lost = match number("lost_requests") {
            Some(lost) if lost > 0 => format!("; {lost} requests were lost"),
            _ => String::new(),
        };
        let word = self.paint.tone(status_tone(status), &harmless(status));
        let rest = format!("{took}{versions}{why}{lost}");
        self.line(&format!("{word}{}", harmless(&rest)));
    }

    fn what_if(&mut self, story: &Story, all: &[WhatIf]) {
        let Some(decisive) = &story.decisive else {
            return;
        };
        if all.is_empty() {
            return;
        }
        self.line("");
        self.line(&format!(
            "what would have changed round {}:",
            decisive.question.tick
        ));
        for one in all {
            match one {
                WhatIf::Known(change) => {
                    for sentence in &change.sentences {
                        self.line(&format!("  {}: {sentence}", harmless(&change.policy)));
                    }
                }
                WhatIf::Unknown { policy, why } => {
                    let text = format!("  {policy}: not known: {why}");
                    let text = self.paint.tone(Tone::Faint, &harmless(&text));
                    self.line(&text);
                }
            }
        }
    }
}

/// `+12.3 s`, `+2 min 5 s`.
fn seconds(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

fn stage(stage: &Stage) -> String {
    let mut text = format!("{} %", stage.split);
    if !stage.at_least.is_zero() {
        let ms = u64::try_from(stage.at_least.as_millis()).unwrap_or(u64::MAX);
        text += &format!(" for {}", span(ms).replace(".0 ", " "));
    }
    if stage.at_least_requests > 0 {
        text += &format!(" and {} requests", stage.at_least_requests);
    }
    if stage.needs_operator {
        text += " until an operator acts";
    }
    text
}

fn place(standing: &Standing) -> String {
    let mut text = match standing.phase {
        Phase::Preparing => "preparing".to_owned(),
        Phase::Starting => "starting".to_owned(),
        Phase::InProgress if standing.stages > 0 => format!(
            "stage {} of {}, {} % of the traffic",
            standing.stage.saturating_add(1),
            standing.stages,
            standing.split
        ),
        Phase::InProgress => format!("in progress, {} % of the traffic", standing.split),
        Phase::Baking => "baking, all traffic".to_owned(),
    };
    if standing.paused {
        text += ", paused";
    }
    text
}

fn done(action: &Action) -> (String, Tone) {
    match action {
        Action::Stay => ("nothing, it stays where it is".to_owned(), Tone::Plain),
        Action::Hold { reason } => (format!("held until an operator acts: {reason}"), Tone::Busy),
        Action::Share { percent, stage } => (
            format!(
                "{percent} % of the traffic, stage {}",
                stage.saturating_add(1)
            ),
            Tone::Strong,
        ),
        Action::Promote => ("promoted: it gets all traffic".to_owned(), Tone::Strong),
        Action::Complete { evidence } => {
            let evidence = match evidence {
                Evidence::Sufficient => "proven",
                Evidence::Insufficient => "not proven, still watched",
                Evidence::Operator => "an operator wanted it so",
                Evidence::None => "not judged",
            };
            (format!("completed, {evidence}"), Tone::Good)
        }
        Action::Disarm => ("proven, watched no more".to_owned(), Tone::Good),
        Action::RollBack { to, blame, guard } => {
            let who = if *guard { " by the built-in guard" } else { "" };
            let blame = match blame {
                Some(Blame::Candidate) => "the candidate",
                Some(Blame::Environment) => "what is around it",
                Some(Blame::Unknown) => "unknown",
                None => "nobody, the evidence did not suffice",
            };
            (format!("back to v{to}{who}, blame: {blame}"), Tone::Bad)
        }
        Action::End { reason } => (format!("ended: {reason}"), Tone::Busy),
    }
}
