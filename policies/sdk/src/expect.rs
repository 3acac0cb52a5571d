//! What a scenario expects of a policy.

use std::fmt;

use serde::Deserialize;

use crate::{Blame, Verdict};

/// What a rollback policy decides, in one word.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Decision {
    Proceed,
    Undecided,
    Hold,
    Rollback,
    /// In expectations only: proceed or undecided.
    Continue,
}

/// Whose fault a rollback is, in one word.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Blamed {
    Candidate,
    Unknown,
    Environment,
}

/// What is expected over the whole scenario.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    never: Option<Decision>,
    #[serde(rename = "final")]
    last: Option<Wanted>,
    rollback_between_ticks: Option<(u64, u64)>,
}

/// What one answer is expected to be. What is left out may be anything.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    decision: Option<Decision>,
    code: Option<String>,
    /// Of a rollback.
    blame: Option<Blamed>,
}

/// What a policy said at one tick.
#[derive(Debug)]
pub(super) struct Said {
    /// From 1.
    pub(super) tick: u64,
    pub(super) decision: Decision,
    pub(super) blame: Option<Blamed>,
    pub(super) code: String,
}

impl Decision {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Proceed => Self::Proceed,
            Verdict::Undecided => Self::Undecided,
            Verdict::Hold => Self::Hold,
            Verdict::Rollback(_) => Self::Rollback,
        }
    }

    fn includes(self, said: Self) -> bool {
        match self {
            Self::Continue => matches!(said, Self::Proceed | Self::Undecided),
            other => other == said,
        }
    }
}

impl Blamed {
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        let Verdict::Rollback(blame) = verdict else {
            return None;
        };
        Some(match blame {
            Blame::Candidate => Self::Candidate,
            Blame::Unknown => Self::Unknown,
            Blame::Environment => Self::Environment,
        })
    }
}

impl Expected {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be expected.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.last.as_ref().is_some_and(Wanted::is_empty) {
            return Err("final expects nothing: give a decision or a code".to_owned());
        }
        match self.rollback_between_ticks {
            Some((first, last)) if first == 0 || last < first => Err(format!(
                "rollback_between_ticks is [{first}, {last}], which is no span of ticks: they are numbered from 1"
            )),
            _ => Ok(()),
        }
    }

    /// What was expected of a tick and did not come.
    pub(super) fn unmet_at(&self, said: &Said) -> Option<String> {
        if self
            .never
            .is_some_and(|never| never.includes(said.decision))
        {
            return Some("never".to_owned());
        }
        let (first, last) = self.rollback_between_ticks?;
        let is_outside = said.is_over() && !(first..=last).contains(&said.tick);
        is_outside.then(|| format!("in ticks {first} to {last}"))
    }

    /// What was expected of the whole and did not come; `last` is what was said at its end.
    pub(super) fn unmet_at_the_end(&self, last: &Said) -> Option<String> {
        let (decision, code) = (last.decision, &last.code);
        if self.rollback_between_ticks.is_some() && !last.is_over() {
            return Some(format!("never went back; at the end: {decision} ({code})"));
        }
        let wanted = self.last.as_ref()?;
        let is_met = wanted.is_met(last);
        (!is_met).then(|| format!("at the end: {decision} ({code}), expected {wanted}"))
    }
}

impl Wanted {
    pub(super) fn is_met(&self, said: &Said) -> bool {
        self.decision
            .is_none_or(|wanted| wanted.includes(said.decision))
            && self.blame.is_none_or(|blame| said.blame == Some(blame))
            && self.code.as_ref().is_none_or(|code| *code == said.code)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Said {
    /// After a rollback nothing is asked any more.
    pub(super) fn is_over(&self) -> bool {
        self.decision == Decision::Rollback
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
        })
    }
}

impl fmt::Display for Blamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Candidate => "candidate",
            Self::Unknown => "unknown",
            Self::Environment => "environment",
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Some(decision) => write!(f, "{decision}")?,
            None => f.write_str("any decision")?,
        }
        if let Some(blame) = self.blame {
            write!(f, " blaming {blame}")?;
        }
        write!(f, " ({})", self.code.as_deref().unwrap_or("any code"))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tick {}: {} ({})", self.tick, self.decision, self.code)
    }
}
