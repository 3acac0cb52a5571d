//! What is shown is on the disk: status, events and answers wait until everything that they rest on is written.
//!
//! So whoever saw something before the host was killed finds it again afterwards. Where the journal cannot be written nothing
//! waits for it: the host serves on, and says what is wrong.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{AgentName, Attention, Moment, OrderError};
use caxton_store::{Position, Written};
use tokio::sync::oneshot;

use super::{Controller, Untold};
use crate::published::AgentStatus;

/// What one step changed, as it was then.
#[derive(Default)]
pub(super) struct Shown {
    /// None: nobody knows the agent any more.
    pub agents: Vec<(AgentName, Option<Arc<AgentStatus>>)>,
    pub untold: Vec<Untold>,
    pub answers: Vec<Answer>,
}

/// An operator's order that was taken or not, and who waits to hear it.
pub(super) struct Answer {
    pub to: oneshot::Sender<Result<(), OrderError>>,
    pub answer: Result<(), OrderError>,
}

impl Shown {
    fn join(&mut self, later: Self) {
        self.agents.extend(later.agents);
        self.untold.extend(later.untold);
        self.answers.extend(later.answers);
    }
}

/// Steps whose traces are on their way to the disk, in order. Its length is bounded by how much the journal takes in.
#[derive(Default)]
pub(super) struct Unshown {
    waiting: VecDeque<Waiting>,
    /// Since when the disk has not answered, and how far it has to come for that to be over.
    hangs: Option<(Moment, Position)>,
}

struct Waiting {
    after: Position,
    since: Moment,
    shown: Shown,
}

/// How long something waits for a disk that neither takes it nor says why: longer than a busy one takes.
const PATIENCE: Duration = Duration::from_secs(5);

impl Unshown {
    /// This may be shown once the journal has come so far.
    pub(super) fn push(&mut self, after: Position, since: Moment, shown: Shown) {
        match self.waiting.back_mut() {
            Some(last) if last.after == after => last.shown.join(shown),
            _ => self.waiting.push_back(Waiting {
                after,
                since,
                shown,
            }),
        }
    }

    /// What may be shown now.
    pub(super) fn take(&mut self, now: Moment, written: &Written) -> Option<Shown> {
        let is_written = |after: Position| after <= written.up_to;
        if self.hangs.is_some_and(|(_, after)| is_written(after)) {
            self.hangs = None;
        }
        let mut all: Option<Shown> = None;
        while let Some(first) = self.waiting.front() {
            let late = now.since(first.since) >= PATIENCE;
            if !(written.trouble.is_some() || is_written(first.after) || late) {
                break;
            }
            if !is_written(first.after) && written.trouble.is_none() {
                let since = self.hangs.map_or(first.since, |(since, _)| since);
                self.hangs = Some((since, first.after));
            }
            if let Some(Waiting { shown, .. }) = self.waiting.pop_front() {
                all.get_or_insert_default().join(shown);
            }
        }
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What an operator must know where the disk does not answer.
    pub(super) fn attention(&self, data: &Path) -> Option<Attention> {
        let (since, _) = self.hangs?;
        Some(Attention {
            kind: "journal",
            since,
            text: "the disk does not answer: what is shown is not written yet, and nothing new comes in until it is".to_owned(),
            command: format!("look at the disk under {}", data.display()),
        })
    }
}

impl Controller {
    /// Shows what changed, then tells of it: whoever hears of something finds it when they look. Neither before it is written.
    pub(super) fn show_and_tell(&mut self) {
        let shown = Shown {
            agents: self.changes(),
            untold: std::mem::take(&mut self.untold),
            answers: std::mem::take(&mut self.answers),
        };
        let (after, now) = (self.store.journal.position(), self.clock.now());
        self.unshown.push(after, now, shown);
        self.show_written();
    }

    /// Shows what has been written meanwhile.
    pub(super) fn show_written(&mut self) {
        let now = self.clock.now();
        let due = self.unshown.take(now, &self.written.borrow_and_update());
        let Shown {
            agents,
            untold,
            answers,
        } = due.unwrap_or_default();
        self.publish(agents);
        for Untold {
            at,
            agent,
            reload,
            kind,
            fields,
            notice,
        } in untold
        {
            if let Some(notice) = &notice {
                super::execute::log(notice);
            }
            self.events.push(at, agent, reload, &kind, fields);
        }
        for Answer { to, answer } in answers {
            // Whoever asked may have gone; the order stands.
            let _ = to.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caxton_store::Trouble;

    fn one(name: &str) -> Shown {
        let agent = AgentName::try_new(name).unwrap();
        Shown {
            agents: vec![(agent, None)],
            ..Shown::default()
        }
    }

    fn names(shown: Option<Shown>) -> Vec<String> {
        let agents = shown.map(|shown| shown.agents).unwrap_or_default();
        agents.iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn nothing_is_shown_before_it_is_written_and_all_of_it_in_order_then() {
        let mut unshown = Unshown::default();
        let mut written = Written::default();
        unshown.push(0, Moment(1), one("a"));
        assert_eq!(names(unshown.take(Moment(3), &written)), ["a"]);
        unshown.push(1, Moment(1), one("b"));
        unshown.push(3, Moment(1), one("c"));
        unshown.push(3, Moment(1), one("d"));
        unshown.push(4, Moment(2), one("e"));
        assert_eq!(names(unshown.take(Moment(3), &written)), [""; 0]);
        written.up_to = 3;
        assert_eq!(names(unshown.take(Moment(3), &written)), ["b", "c", "d"]);
        assert_eq!(names(unshown.take(Moment(3), &written)), [""; 0]);
        written.trouble = Some(Trouble {
            since: Moment(1),
            text: "no room".to_owned(),
            command: "make room".to_owned(),
        });
        assert_eq!(
            names(unshown.take(Moment(3), &written)),
            ["e"],
            "nothing waits for it"
        );
    }

    #[test]
    fn a_disk_that_does_not_answer_is_not_waited_for_and_that_is_said() {
        let (mut unshown, data) = (Unshown::default(), Path::new("data"));
        let mut written = Written::default();
        let late = Moment(1).after(PATIENCE);
        unshown.push(2, Moment(1), one("a"));
        assert!(unshown.take(Moment(late.0 - 1), &written).is_none());
        assert!(unshown.attention(data).is_none());
        assert_eq!(names(unshown.take(late, &written)), ["a"]);
        assert_eq!(unshown.attention(data).unwrap().since, Moment(1));
        written.up_to = 2;
        assert!(unshown.take(late, &written).is_none());
        assert!(unshown.attention(data).is_none(), "it has answered");
    }
}
