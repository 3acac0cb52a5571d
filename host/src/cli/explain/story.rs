//! A reload as a list of what happened in it, with rounds in which nothing changed taken together.

use std::sync::Arc;

use caxton_rollout::{
    Action, Decided, Explanation, Fault, Moment, Plan, PolicyMode, RollbackAnswer, Step, Strategy,
    StrategyAnswer, Verdict,
};
use caxton_runtime::policy::PolicyLog;
use serde::Serialize;
use serde_json::Value;

use super::seen::{Seen, Totals};
use crate::records::read::{Happening, Question, Round, Turn};
use crate::records::{Answered, Began, Called, Standing};

/// Entries that are kept: beyond so many changes nobody reads on, and what happened last is told in any case.
const ENTRIES_MAX: usize = 2_000;

/// Events that say what the rounds say.
const TOLD_BY_ROUNDS: [&str; 2] = ["verdict", "fault"];

/// The last lines of a policy that failed: a panic takes three, the end of a traceback as many.
const LAST_WORDS: usize = 3;

/// One reload.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    /// The first line of its records.
    pub(super) began: Began,
    /// In order.
    pub(super) entries: Vec<Entry>,
    /// How many entries there was no room for.
    pub(super) left_out: u64,
    /// How it ended, as `history` shows it.
    pub(super) result: Option<Value>,
    /// The round that decided it, or else the last one.
    #[serde(skip)]
    pub(super) decisive: Option<Decisive>,
    #[serde(skip)]
    totals: Totals,
    #[serde(skip)]
    monitors: Vec<Said>,
}

/// What would be asked about when it is asked what would have changed it.
#[derive(Debug, Clone)]
pub(super) struct Decisive {
    pub(super) question: Arc<Question>,
    pub(super) rollback: Vec<Turn<RollbackAnswer>>,
    went_back: bool,
}

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub(super) enum Entry {
    /// The strategy policy was asked how the version is to come in.
    Plan(Box<Planning>),
    /// One round, or several that were alike.
    Rounds(Box<Rounds>),
    /// The policies that monitor changed their minds.
    Monitors {
        /// The round that it is about.
        tick: u64,
        /// When.
        at: Moment,
        /// What they said.
        said: Vec<Said>,
    },
    /// An event.
    Told {
        /// With its own `kind`.
        event: Value,
    },
    /// From here on nothing was kept.
    Full {
        /// When.
        at: Moment,
    },
}

/// A plan, or the fault that came instead.
#[derive(Debug, Serialize)]
pub(super) struct Planning {
    /// When.
    pub(super) at: Moment,
    /// Who.
    pub(super) policy: String,
    /// What came of it.
    pub(super) answer: Answered<Plan>,
    /// Whether it is what the configuration says.
    pub(super) as_configured: bool,
    /// What was corrected in it.
    pub(super) notes: Vec<String>,
    /// What a policy that failed said last.
    pub(super) last_words: Vec<String>,
}

/// Rounds that were alike.
#[derive(Debug, Serialize)]
pub(super) struct Rounds {
    /// The first.
    pub(super) from: u64,
    /// The last.
    pub(super) to: u64,
    /// When the first was answered.
    pub(super) at: Moment,
    /// When the last was answered.
    pub(super) until: Moment,
    /// Where the reload stood in the first.
    pub(super) standing: Standing,
    /// What was new in the first.
    pub(super) seen: Seen,
    /// What was new in the others.
    pub(super) seen_after: Option<Seen>,
    /// What the policies that enforce said in the first.
    pub(super) said: Vec<Said>,
    /// What they said in the last, where the words differ.
    pub(super) said_last: Vec<Said>,
    /// What the strategy policy said.
    pub(super) strategy: Option<Said>,
    /// What the policies that monitor said.
    pub(super) monitors: Vec<Said>,
    /// What was done; none where the answers came too late.
    pub(super) action: Option<Action>,
    /// What was not done as it was proposed.
    pub(super) clamps: Vec<String>,
}

/// What one policy said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Said {
    /// Which.
    pub(super) policy: String,
    /// Verdict, step, or `fault`.
    pub(super) word: String,
    /// Who is to blame, for a rollback.
    pub(super) blame: Option<String>,
    /// Why.
    pub(super) why: Explanation,
    /// What was corrected in its answer.
    pub(super) notes: Vec<String>,
    /// What a policy that failed said last.
    pub(super) last_words: Vec<String>,
}

impl Said {
    /// The same answer for the same reason; its figures move all the time.
    fn is_like(&self, other: &Self) -> bool {
        (&self.policy, &self.word, &self.blame, &self.why.code)
            == (&other.policy, &other.word, &other.blame, &other.why.code)
            && self.notes == other.notes
    }
}

impl Story {
    /// A reload of which nothing is known yet.
    pub(super) fn new(began: Began) -> Self {
        Self {
            began,
            entries: Vec::new(),
            left_out: 0,
            result: None,
            decisive: None,
            totals: Totals::default(),
            monitors: Vec::new(),
        }
    }

    /// Takes in what happened next.
    pub(super) fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Began(_) => {}
            Happening::Planned {
                at,
                configured,
                call,
                ..
            } => self.push(Entry::Plan(Box::new(planning(at, &configured, *call)))),
            Happening::Round(round) => self.round(*round),
            Happening::Monitored { question, rollback } => self.monitored(&question, &rollback),
            Happening::Told(event) => {
                let kind = event.get("kind").and_then(Value::as_str);
                if !kind.is_some_and(|kind| TOLD_BY_ROUNDS.contains(&kind)) {
                    self.push(Entry::Told { event });
                }
            }
            Happening::Ended(result) => self.result = Some(result),
            Happening::Full(at) => self.push(Entry::Full { at }),
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn round(&mut self, round: Round) {
        let totals = Totals::of(&round.question);
        let seen = totals.since(&self.totals);
        self.totals = totals;
        let went_back = goes_back(round.decided.as_ref());
        let said = said_by(&round.rollback);
        let strategy = round.strategy.as_ref().map(|turn| step_said(&turn.call));
        let question = Arc::clone(&round.question);
        if !self
            .decisive
            .as_ref()
            .is_some_and(|decisive| decisive.went_back)
        {
            self.decisive = Some(Decisive {
                question: Arc::clone(&question),
                rollback: round.rollback,
                went_back,
            });
        }
        let (action, clamps) = round.decided.map_or((None, Vec::new()), |decided| {
            (Some(decided.action), decided.clamps)
        });
        let rounds = Rounds {
            from: question.tick,
            to: question.tick,
            at: question.at,
            until: question.at,
            standing: Standing::of(&question.context),
            seen,
            seen_after: None,
            said,
            said_last: Vec::new(),
            strategy,
            monitors: Vec::new(),
            action,
            clamps,
        };
        match self.entries.last_mut() {
            Some(Entry::Rounds(last)) if last.is_like(&rounds) => last.extend(rounds),
            _ => self.push(Entry::Rounds(Box::new(rounds))),
        }
    }

    fn monitored(&mut self, question: &Question, turns: &[Turn<RollbackAnswer>]) {
        let said = said_by(turns);
        let alike = said.len() == self.monitors.len()
            && said.iter().zip(&self.monitors).all(|(a, b)| a.is_like(b));
        if alike {
            return;
        }
        self.monitors.clone_from(&said);
        match self.entries.last_mut() {
            Some(Entry::Rounds(last)) if (last.from, last.to) == (question.tick, question.tick) => {
                last.monitors = said;
            }
            _ => self.push(Entry::Monitors {
                tick: question.tick,
                at: question.at,
                said,
            }),
        }
    }

    /// How a policy is asked in this reload.
    pub(super) fn mode(&self, policy: &str) -> Option<PolicyMode> {
        let mut asked = self.began.policies.iter();
        asked
            .find(|asked| asked.policy == policy)
            .map(|asked| asked.mode)
    }
}

impl Rounds {
    /// Whether nothing changed from this to the next.
    fn is_like(&self, next: &Self) -> bool {
        let place = |standing: &Standing| {
            (
                standing.phase,
                standing.stage,
                standing.stages,
                standing.split,
                standing.paused,
            )
        };
        place(&self.standing) == place(&next.standing)
            && self.said.len() == next.said.len()
            && self.said.iter().zip(&next.said).all(|(a, b)| a.is_like(b))
            && match (&self.strategy, &next.strategy) {
                (Some(a), Some(b)) => a.is_like(b),
                (a, b) => a.is_none() && b.is_none(),
            }
            && self.action == next.action
            && without_figures(&self.clamps) == without_figures(&next.clamps)
    }

    fn extend(&mut self, next: Self) {
        self.to = next.to;
        self.until = next.until;
        self.seen_after = Some(match self.seen_after.take() {
            Some(seen) => seen.and(&next.seen),
            None => next.seen,
        });
        self.said_last = next
            .said
            .into_iter()
            .zip(&self.said)
            .filter(|(last, first)| last.why.summary != first.why.summary)
            .map(|(last, _)| last)
            .collect();
    }
}

/// Sentences that differ in how much is left of something say the same.
fn without_figures(sentences: &[String]) -> Vec<String> {
    let without = |text: &String| text.chars().filter(|c| !c.is_ascii_digit()).collect();
    sentences.iter().map(without).collect()
}

fn goes_back(decided: Option<&Decided>) -> bool {
    matches!(
        decided.map(|decided| &decided.action),
        Some(Action::RollBack { .. })
    )
}

fn planning(at: Moment, configured: &Plan, call: Called<Plan>) -> Planning {
    let as_configured = match &call.answer {
        Answered::Ok(plan) => {
            let why = plan.why.clone();
            *plan
                == Plan {
                    why,
                    ..configured.clone()
                }
        }
        Answered::Fault(_) => false,
    };
    Planning {
        at,
        as_configured,
        last_words: match &call.answer {
            Answered::Ok(_) => Vec::new(),
            Answered::Fault(fault) => last_words(fault, &call.log),
        },
        policy: call.policy,
        answer: call.answer,
        notes: call.notes,
    }
}

fn said_by(turns: &[Turn<RollbackAnswer>]) -> Vec<Said> {
    turns.iter().map(|turn| verdict_said(&turn.call)).collect()
}

fn verdict_said(call: &Called<RollbackAnswer>) -> Said {
    said(call, |answer| {
        let (word, blame) = match answer.verdict {
            Verdict::Proceed => ("proceed", None),
            Verdict::Undecided => ("undecided", None),
            Verdict::Hold => ("hold", None),
            Verdict::Rollback(blame) => ("rollback", Some(format!("{blame:?}").to_lowercase())),
        };
        (word.to_owned(), blame, answer.why.clone())
    })
}

fn step_said(call: &Called<StrategyAnswer>) -> Said {
    said(call, |answer| {
        let word = match &answer.step {
            Step::Wait => "wait".to_owned(),
            Step::Advance => "advance".to_owned(),
            Step::SetSplit(percent) => format!("set-split {percent} %"),
            Step::Promote => "promote".to_owned(),
            Step::Hold(reason) => format!("hold ({reason})"),
        };
        (word, None, answer.why.clone())
    })
}

fn said<T>(call: &Called<T>, words: impl Fn(&T) -> (String, Option<String>, Explanation)) -> Said {
    let (word, blame, why, last_words) = match &call.answer {
        Answered::Ok(answer) => {
            let (word, blame, why) = words(answer);
            (word, blame, why, Vec::new())
        }
        Answered::Fault(fault) => {
            let kind = serde_json::to_value(fault.kind).unwrap_or_default();
            let why = Explanation {
                code: kind.as_str().unwrap_or_default().to_owned(),
                summary: fault.message.clone(),
                findings: Vec::new(),
            };
            ("fault".to_owned(), None, why, last_words(fault, &call.log))
        }
    };
    Said {
        policy: call.policy.clone(),
        word,
        blame,
        why,
        notes: call.notes.clone(),
        last_words,
    }
}

/// What a policy wrote before it failed, unless the fault's message has it already.
fn last_words(fault: &Fault, log: &PolicyLog) -> Vec<String> {
    let new = |text: &&str| !text.is_empty() && !fault.message.contains(*text);
    let lines: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    let skipped = lines.len().saturating_sub(LAST_WORDS);
    lines
        .into_iter()
        .skip(skipped)
        .filter(new)
        .map(str::to_owned)
        .collect()
}

/// The contract's word for a strategy.
pub(super) fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Graceful => "graceful",
        Strategy::Immediate => "immediate",
        Strategy::Parallel => "parallel",
        Strategy::TrafficSplitting => "traffic-splitting",
    }
}
