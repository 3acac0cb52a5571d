//! What a scenario expects of a policy, and where what it said differs.

use std::fmt;

use caxton_rollout::{Blame, RollbackAnswer, Step, StrategyAnswer, Verdict};
use serde::{Deserialize, Serialize};

/// What a policy decides, in one word. The first five are for rollback policies, the rest and `hold` for strategy policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Enough speaks for the version.
    Proceed,
    /// Not enough either way.
    Undecided,
    /// Stay, and tell the operator.
    Hold,
    /// Go back.
    Rollback,
    /// In expectations only: proceed or undecided.
    Continue,
    /// Stay and ask again.
    Wait,
    /// The next stage.
    Advance,
    /// Another share.
    SetSplit,
    /// All traffic.
    Promote,
}

impl Decision {
    fn includes(self, said: Self) -> bool {
        match self {
            Self::Continue => matches!(said, Self::Proceed | Self::Undecided),
            other => other == said,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proceed => "proceed",
            Self::Undecided => "undecided",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
            Self::Continue => "continue",
            Self::Wait => "wait",
            Self::Advance => "advance",
            Self::SetSplit => "set-split",
            Self::Promote => "promote",
        })
    }
}

/// What is expected over the whole scenario.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// A decision that may not come at any tick.
    pub never: Option<Decision>,
    /// The last answer.
    #[serde(rename = "final")]
    pub last: Option<Wanted>,
    /// The first and the last tick at which a rollback may come; it must come.
    pub rollback_between_ticks: Option<(u64, u64)>,
}

/// What one answer is expected to be. What is left out may be anything.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The decision.
    pub decision: Option<Decision>,
    /// The machine-readable reason.
    pub code: Option<String>,
    /// Of a rollback.
    pub blame: Option<Blame>,
    /// Of `set-split`, in per cent.
    pub split: Option<u8>,
}

/// What a policy said at one tick.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// From 1.
    pub tick: u64,
    /// What it decided.
    pub decision: Decision,
    /// Of a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    /// Of `set-split`, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<u8>,
    /// Its reason for machines.
    pub code: String,
    /// Its reason for people.
    pub summary: String,
}

/// Where what was said is not what was expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// From 1.
    pub tick: u64,
    /// In words.
    pub expected: String,
    /// None where the policy was not asked any more, because it had rolled back before.
    pub got: Option<Said>,
}

impl Wanted {
    fn is_met(&self, said: &Said) -> bool {
        self.decision
            .is_none_or(|wanted| wanted.includes(said.decision))
            && self.code.as_ref().is_none_or(|code| *code == said.code)
            && self.blame.is_none_or(|blame| said.blame == Some(blame))
            && self.split.is_none_or(|split| said.split == Some(split))
    }

    /// Whether anything is expected.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Some(decision) => write!(f, "{decision}")?,
            None => f.write_str("any decision")?,
        }
        if let Some(split) = self.split {
            write!(f, " {split} %")?;
        }
        if let Some(blame) = self.blame {
            write!(f, " blaming {}", blame_word(blame))?;
        }
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        if let Some(split) = self.split {
            write!(f, " {split} %")?;
        }
        if let Some(blame) = self.blame {
            write!(f, " blaming {}", blame_word(blame))?;
        }
        write!(f, " ({}): {}", self.code, self.summary)
    }
}

impl Said {
    /// A rollback policy's answer.
    #[must_use]
    pub fn verdict(tick: u64, answer: &RollbackAnswer) -> Self {
        let (decision, blame) = match answer.verdict {
            Verdict::Proceed => (Decision::Proceed, None),
            Verdict::Undecided => (Decision::Undecided, None),
            Verdict::Hold => (Decision::Hold, None),
            Verdict::Rollback(blame) => (Decision::Rollback, Some(blame)),
        };
        Self {
            tick,
            decision,
            blame,
            split: None,
            code: answer.why.code.clone(),
            summary: answer.why.summary.clone(),
        }
    }

    /// A strategy policy's answer.
    #[must_use]
    pub fn step(tick: u64, answer: &StrategyAnswer) -> Self {
        let (decision, split) = match answer.step {
            Step::Wait => (Decision::Wait, None),
            Step::Advance => (Decision::Advance, None),
            Step::SetSplit(split) => (Decision::SetSplit, Some(split)),
            Step::Promote => (Decision::Promote, None),
            Step::Hold(_) => (Decision::Hold, None),
        };
        Self {
            tick,
            decision,
            blame: None,
            split,
            code: answer.why.code.clone(),
            summary: answer.why.summary.clone(),
        }
    }
}

/// The differences between `said` and what is expected of the whole and of each tick, in the order of ticks.
/// `ticks` holds what is expected at each tick.
#[must_use]
pub fn differences(expect: &Expect, ticks: &[Option<&Wanted>], said: &[Said]) -> Vec<Difference> {
    let mut found = Vec::new();
    let ended = said.last().map_or(0, |last| last.tick);
    if let Some(never) = expect.never
        && let Some(got) = said.iter().find(|said| never.includes(said.decision))
    {
        found.push(difference(got.tick, format!("never {never}"), Some(got)));
    }
    if let Some((from, to)) = expect.rollback_between_ticks {
        let rollback = said.iter().find(|said| said.decision == Decision::Rollback);
        if rollback.is_none_or(|said| said.tick < from || said.tick > to) {
            let expected = if from == to {
                format!("rollback at tick {from}")
            } else {
                format!("rollback between ticks {from} and {to}")
            };
            let got = rollback
                .or_else(|| said.iter().find(|said| said.tick == to))
                .or(said.last());
            found.push(difference(got.map_or(to, |got| got.tick), expected, got));
        }
    }
    for (tick, wanted) in (1_u64..).zip(ticks) {
        let Some(wanted) = wanted else { continue };
        let got = said.iter().find(|said| said.tick == tick);
        if !got.is_some_and(|said| wanted.is_met(said)) {
            found.push(difference(tick, wanted.to_string(), got));
        }
    }
    if let Some(last) = &expect.last {
        let got = said.last();
        if !got.is_some_and(|said| last.is_met(said)) {
            found.push(difference(ended, format!("{last} at the end"), got));
        }
    }
    found.sort_by_key(|difference| difference.tick);
    found
}

fn difference(tick: u64, expected: String, got: Option<&Said>) -> Difference {
    Difference {
        tick,
        expected,
        got: got.cloned(),
    }
}

fn blame_word(blame: Blame) -> &'static str {
    match blame {
        Blame::Environment => "environment",
        Blame::Unknown => "unknown",
        Blame::Candidate => "candidate",
    }
}
