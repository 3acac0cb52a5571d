//! What came of it, in the end.

use serde_json::Value;

use super::super::clients::Counted;
use super::{Story, cuts_calls};
use crate::cli::{Failure, Tone};
use crate::events::Event;

/// How the reload of a version ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    /// And why.
    RolledBack(String),
    /// It did not end in the time there was.
    Undecided,
}

impl Ending {
    pub(super) fn of(event: &Event) -> Self {
        if event.kind == "completed" {
            return Self::Completed;
        }
        let reason = event.fields.get("reason").and_then(Value::as_str);
        Self::RolledBack(reason.unwrap_or("no reason was given").to_owned())
    }
}

impl Story<'_> {
    /// What a policy of one's own made of both versions, plainly.
    fn own_words(&self, good: &Ending, bad: &Ending, failed: u64) -> Result<(), Failure> {
        let Some(own) = self.own else { return Ok(()) };
        let (text, tone) = match bad {
            Ending::RolledBack(_) => (format!("{own} took the bad version back"), Tone::Good),
            Ending::Completed => (
                format!(
                    "{own} let the bad version through: it completed, and {failed} requests failed"
                ),
                Tone::Bad,
            ),
            Ending::Undecided => (
                format!(
                    "{own} did not decide about the bad version; so far {failed} requests failed"
                ),
                Tone::Bad,
            ),
        };
        self.timeline.line("policy", tone, &text)?;
        match good {
            Ending::Completed => Ok(()),
            Ending::RolledBack(reason) => {
                let text = format!("it also took the good version back, because {reason}");
                self.timeline.line("", Tone::Bad, &text)
            }
            Ending::Undecided => {
                let text = "it did not decide about the good version either way";
                self.timeline.line("", Tone::Bad, text)
            }
        }
    }

    pub(super) fn conclude(
        &self,
        counted: &Counted,
        good: &Ending,
        bad: &Ending,
    ) -> Result<(), Failure> {
        self.timeline.chapter("What came of it")?;
        let [one, two, three] = counted.answered;
        let failed: u64 = counted.failed.iter().sum();
        self.own_words(good, bad, failed)?;
        if let Ending::RolledBack(reason) = bad {
            let text = format!("version 3, because {reason}");
            self.timeline.line("rolled back", Tone::Plain, &text)?;
        }
        self.timeline.line(
            "answers",
            Tone::Plain,
            &format!(
                "version 1: {one}, version 2: {two}, version 3: {three} ({failed} of them failures)"
            ),
        )?;
        let tone = if counted.lost == 0 {
            Tone::Good
        } else {
            Tone::Bad
        };
        let requests = format!(
            "{} sent over {} connections, {} answered, {} lost",
            counted.sent,
            counted.connections,
            counted.all_answered(),
            counted.lost
        );
        self.timeline.line("requests", tone, &requests)?;
        let unanswered = counted.sent.saturating_sub(counted.all_answered());
        if unanswered != counted.lost {
            return Err(Failure::No(format!(
                "{unanswered} requests have no answer, and {} count as lost",
                counted.lost
            )));
        }
        match (cuts_calls(self.strategy), counted.lost) {
            (false, 1..) => Err(Failure::No(format!(
                "{} requests were lost, and this strategy promises that none is: please report this",
                counted.lost
            ))),
            (true, 0) => Err(Failure::No(
                "nothing was lost, because no call was in flight at the swaps: run it again on a busier machine".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}
