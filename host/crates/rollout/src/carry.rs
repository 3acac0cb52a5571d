//! A way back that brings the state along: an operator's, or that of an old file copied back. First the target gets its
//! state, and only then anything else changes; where it refuses, nothing does.

use crate::agent::Agent;
use crate::handover::HandOver;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{Back, By};
use crate::versions::Saved;
use crate::{
    Happened, Identity, Moment, Restored, StateChoice, StateReport, StateSource, VersionNumber,
};

/// State on its way back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Carry {
    pub(crate) target: VersionNumber,
    pub(crate) then: After,
    pub(crate) choice: StateChoice,
    /// Until when the target may take to come up.
    until: Moment,
    /// Why it does not.
    pub(crate) failed: Option<String>,
    /// None until the target is up.
    pub(crate) hand: Option<HandOver>,
}

/// What follows once the target has its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum After {
    /// The reload is rolled back.
    Back(Back),
    /// The reload is cancelled, for this reason.
    Cancel(String),
    /// The permanent version serves again, in place of one that no reload is about.
    Home,
}

impl After {
    fn order(&self) -> &'static str {
        match self {
            Self::Cancel(_) => "abort",
            Self::Back(_) | Self::Home => "rollback",
        }
    }
}

/// A way back that was refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refused {
    pub(crate) since: Moment,
    pub(crate) text: String,
    pub(crate) command: String,
    /// The content that asked for it by being in the directory again: it is not tried twice.
    pub(crate) file: Option<Identity>,
}

impl Carry {
    pub(crate) fn due(&self) -> Option<Moment> {
        match &self.hand {
            Some(hand) => hand.due(),
            None => Some(self.until),
        }
    }
}

impl Agent {
    /// Whether something has to be put into this version before it serves again.
    pub(crate) fn needs_state(&self, target: VersionNumber, choice: StateChoice) -> bool {
        let Some(serving) = self.serving.filter(|serving| *serving != target) else {
            return false;
        };
        let from = choice != StateChoice::Carry || self.keeps_state(serving);
        self.keeps_state(target) && from
    }

    /// The way back: with the state where there is any.
    pub(crate) fn way_back(&self, target: VersionNumber, why: Back, choice: StateChoice) -> Move {
        if self.needs_state(target, choice) {
            let then = After::Back(why);
            Move::Carry {
                target,
                then,
                choice,
            }
        } else {
            Move::GoBack { target, why }
        }
    }

    pub(crate) fn begin_carry(
        &mut self,
        cx: &mut Cx<'_>,
        target: VersionNumber,
        then: After,
        choice: StateChoice,
    ) {
        if !self.versions.is_ready(target) {
            self.versions.prepare(cx, target);
        }
        let wanted = self.wanted.as_ref().map(|wanted| &wanted.settings);
        let wait = wanted.map(|settings| settings.rollback.timeout);
        if let Some(reload) = self.reload.as_mut() {
            reload.judging = None;
        }
        if matches!(then, After::Back(_)) && self.onward.is_some_and(|(to, _)| to == target) {
            self.onward = None;
        }
        self.refused = None;
        self.carry = Some(Carry {
            target,
            then,
            choice,
            until: cx.now.after(wait.unwrap_or_default()),
            failed: None,
            hand: None,
        });
    }

    pub(crate) fn decide_carry(&self, now: Moment, carry: &Carry) -> Option<Move> {
        let target = carry.target;
        let refuse = |error| Some(Move::Refuse { error });
        let Some(hand) = &carry.hand else {
            if let Some(error) = &carry.failed {
                return refuse(error.clone());
            }
            // Without a file nothing is carried any more.
            if self.wanted.is_none() {
                return refuse(self.unwanted.to_owned());
            }
            if self.versions.is_ready(target) {
                return Some(Move::Give);
            }
            let late = || format!("version {target} was not ready in time");
            return (carry.until <= now).then(late).and_then(refuse);
        };
        match (hand.outcome(now)?, &carry.then) {
            (Err(error), _) => refuse(error),
            (Ok(_), _) if self.wanted.is_none() => refuse(self.unwanted.to_owned()),
            (Ok(_), After::Back(why)) => {
                let why = why.clone();
                Some(Move::GoBack { target, why })
            }
            (Ok(_), After::Cancel(reason)) => Some(Move::Cancel {
                why: Ended::Operator,
                reason: reason.clone(),
            }),
            (Ok(_), After::Home) => Some(Move::Home),
        }
    }

    /// The target is up: it gets its state.
    pub(crate) fn give(&mut self, cx: &mut Cx<'_>) {
        let (Some(from), Some(mut carry)) = (self.serving, self.carry.take()) else {
            return;
        };
        let source = match carry.choice {
            StateChoice::Carry => self.live_source(from),
            StateChoice::Snapshot => StateSource::Snapshot,
            StateChoice::Fresh => StateSource::Fresh,
        };
        carry.hand = Some(self.ask_hand_over(cx, carry.target, source));
        self.carry = Some(carry);
    }

    /// Nothing has changed: whoever served serves on, with its state.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, error: &str) {
        let Some(carry) = self.carry.take() else {
            return;
        };
        self.onward = None;
        if carry.then == After::Home {
            // Nobody ordered it, and what is permanent has to serve: its instance is as it was at its `save`.
            self.go_home(cx);
            return;
        }
        let cause = self.reload.as_ref().map(|reload| reload.id);
        let traffic = self.traffic;
        self.route(cx, traffic, cause);
        if self.wanted.is_none() {
            return;
        }
        let refused = self.refused_because(cx.now, &carry, error);
        if let (After::Back(Back { by: By::File, .. }), Some(reload)) =
            (&carry.then, self.reload.as_mut())
        {
            reload.held = Some((refused.text.clone(), cx.now));
        }
        self.last_error = Some(refused.text.clone());
        cx.tell(
            cause,
            Happened::OrderFailed {
                order: carry.then.order().to_owned(),
                reason: refused.text.clone(),
            },
        );
        self.refused = Some(refused);
    }

    fn refused_because(&self, now: Moment, carry: &Carry, error: &str) -> Refused {
        let (target, order, name) = (carry.target, carry.then.order(), &self.name);
        let saved = self.versions.saved(target);
        let to = if Some(target) == self.permanent || order == "abort" {
            String::new()
        } else {
            format!(" --to {target}")
        };
        let snapshot = saved.filter(|_| carry.choice == StateChoice::Carry);
        let (offer, state) = match snapshot.map(|saved| now.since(saved.at).as_secs()) {
            Some(age) => (
                format!(
                    "`--state snapshot` goes back with what it saved {age} s ago, and `--state fresh` with nothing"
                ),
                "snapshot",
            ),
            None => (
                "`--state fresh` goes back with an empty state".to_owned(),
                "fresh",
            ),
        };
        let by_file = matches!(&carry.then, After::Back(Back { by: By::File, .. }));
        let identity = self
            .versions
            .content(target)
            .map(|content| content.identity);
        Refused {
            since: now,
            text: format!(
                "{order} to version {target} did not happen, and nothing has changed: {error}; {offer}"
            ),
            command: format!("caxton {order} {name}{to} --state {state}"),
            file: identity.filter(|_| by_file),
        }
    }

    /// What became of the state on a way back by these means; none where nothing was given.
    pub(crate) fn carried(&self, now: Moment) -> Option<StateReport> {
        let carry = self.carry.as_ref()?;
        carry.hand.as_ref()?.done()?;
        let saved = self.versions.saved(carry.target);
        Some(match carry.choice {
            StateChoice::Carry => restored(Restored::Carried, None, now),
            StateChoice::Snapshot => restored(Restored::Snapshot, saved, now),
            StateChoice::Fresh => restored(Restored::None, None, now),
        })
    }

    /// What an automatic way back restores: the target's own instance as it was when it was saved, or what is left of it.
    pub(crate) fn as_it_was(&self, now: Moment, target: VersionNumber) -> Option<StateReport> {
        let reload = self.reload.as_ref()?;
        let replaced = self.serving == Some(reload.number) && reload.number != target;
        let stateful = reload.content.stateful && self.keeps_state(target);
        let saved = self.versions.saved(target);
        let left = saved.map_or(Restored::Live, |saved| saved.leaves);
        (replaced && stateful).then(|| restored(left, saved, now))
    }
}

fn restored(from: Restored, saved: Option<Saved>, now: Moment) -> StateReport {
    StateReport {
        restored_from: Some(from),
        calls_since: saved.map(|saved| saved.missed),
        seconds_since: saved.map(|saved| now.since(saved.at).as_secs()),
        ..StateReport::default()
    }
}
