//! State on its way from the version that serves to another. While it is, new requests wait at the agent's gate, and the
//! reload takes no other move: the next `Route` comes with the answer, or when it is waited for no longer.

use std::time::Duration;

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{Progress, Reload};
use crate::{
    Command, ErrorKind, HandOverError, HandOverStep, HandedOver, Happened, Moment, Order, Restored,
    StateFrom, StateSource, Strategy, Ticket, VersionNumber,
};

/// How much longer than its own time limit a hand-over may take until its answer counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A hand-over that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HandOver {
    pub(crate) to: VersionNumber,
    pub(crate) source: StateSource,
    ticket: Ticket,
    until: Moment,
    answer: Option<Result<HandedOver, HandOverError>>,
}

impl HandOver {
    /// What came of it; none while that is waited for.
    pub(crate) fn outcome(&self, now: Moment) -> Option<Result<HandedOver, String>> {
        let late = || "no answer came in time".to_owned();
        match &self.answer {
            Some(Ok(done)) => Some(Ok(*done)),
            Some(Err(error)) => Some(Err(error.to_string())),
            None => (self.until <= now).then(|| Err(late())),
        }
    }

    pub(crate) fn due(&self) -> Option<Moment> {
        self.answer.is_none().then_some(self.until)
    }

    /// Whether the version that served has ended its calls and was saved.
    pub(crate) fn has_drained(&self) -> bool {
        matches!(
            (&self.answer, self.source),
            (Some(Ok(_)), StateSource::Live { .. })
        )
    }

    pub(crate) fn done(&self) -> Option<HandedOver> {
        self.answer.as_ref()?.as_ref().ok().copied()
    }
}

/// What follows once a candidate has its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It gets all traffic.
    Swap,
    /// It hears copies.
    Listen,
}

/// The state goes to the candidate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HandingOver {
    pub(crate) hand: HandOver,
    pub(crate) then: Then,
    /// An operator has ended it meanwhile.
    pub(crate) ended_by: Option<Order>,
}

impl Agent {
    /// The move that gives the candidate all traffic.
    pub(crate) fn all_traffic(&self, reload: &Reload) -> Move {
        if self.takes_state(reload) {
            Move::HandOver(Then::Swap)
        } else {
            Move::Swap
        }
    }

    /// Whether the candidate begins with something that has to be put into it. A first version begins as it comes up.
    pub(crate) fn takes_state(&self, reload: &Reload) -> bool {
        let other = self.serving.is_some_and(|serving| serving != reload.number);
        reload.content.stateful && other
    }

    pub(crate) fn keeps_state(&self, number: VersionNumber) -> bool {
        self.versions
            .content(number)
            .is_some_and(|content| content.stateful)
    }

    /// Asks for it. With a live source the gate is closed from now on.
    pub(crate) fn ask_hand_over(
        &mut self,
        cx: &mut Cx<'_>,
        to: VersionNumber,
        source: StateSource,
    ) -> HandOver {
        let (ticket, timeout) = (cx.ticket(), self.gate_timeout());
        self.gate_closed |= matches!(source, StateSource::Live { .. });
        cx.command(Command::HandOver {
            agent: self.name.clone(),
            ticket,
            to,
            source,
            timeout,
        });
        HandOver {
            to,
            source,
            ticket,
            until: cx.now.after(timeout.saturating_add(PATIENCE)),
            answer: None,
        }
    }

    fn gate_timeout(&self) -> Duration {
        let going = self.reload.as_ref().map(|reload| &reload.settings);
        let wanted = self.wanted.as_ref().map(|wanted| &wanted.settings);
        let settings = going
            .or(wanted)
            .map(|settings| settings.reload.gate_timeout);
        settings.unwrap_or_else(|| crate::ReloadSettings::default().gate_timeout)
    }

    /// The state of whoever serves; its calls are waited for, and never cut.
    pub(crate) fn live_source(&self, from: VersionNumber) -> StateSource {
        StateSource::Live {
            from,
            wait: self.drain_timeout().min(self.gate_timeout()),
            cut: false,
        }
    }

    /// The candidate is to begin with the state of whoever serves.
    pub(crate) fn hand_over(&mut self, cx: &mut Cx<'_>, then: Then) -> Option<Progress> {
        let from = self.serving?;
        let reload = self.reload.as_mut()?;
        reload.move_on();
        reload.judging = None;
        reload.has_slot = false;
        if reload.plan.is_none() {
            // An operator pushed it past a strategy policy that does not answer.
            reload.plan = Some(reload.configured());
        }
        let preserve = reload.plan.as_ref().is_none_or(|plan| plan.preserve_state);
        let immediate = reload.strategy() == Strategy::Immediate;
        let (number, grace) = (reload.number, reload.settings.reload.immediate_grace);
        let source = if !preserve || !self.keeps_state(from) {
            StateSource::Fresh
        } else if immediate {
            StateSource::Live {
                from,
                wait: grace.min(self.gate_timeout()),
                cut: true,
            }
        } else {
            self.live_source(from)
        };
        Some(Progress::HandingOver(HandingOver {
            hand: self.ask_hand_over(cx, number, source),
            then,
            ended_by: None,
        }))
    }

    pub(crate) fn decide_handing_over(&self, now: Moment, moving: &HandingOver) -> Option<Move> {
        let outcome = moving.hand.outcome(now)?;
        if let Some(order) = moving.ended_by {
            return Some(crate::orders::cancelled(order));
        }
        if self.wanted.is_none() {
            return Some(Move::Cancel {
                why: Ended::Removed,
                reason: self.unwanted.to_owned(),
            });
        }
        Some(match (outcome, moving.then) {
            (Ok(_), Then::Swap) => Move::Swap,
            (Ok(_), Then::Listen) => Move::Listen,
            (Err(error), _) => Move::Fail {
                error: format!("its state could not be handed over: {error}"),
                kind: ErrorKind::StatePreservationFailed,
            },
        })
    }

    /// Takes the answer in. What it means is decided where the hand-over belongs.
    pub(crate) fn handed_over(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<HandedOver, HandOverError>,
    ) {
        let Some(hand) = self.waiting_hand(ticket) else {
            return;
        };
        let (to, source) = (hand.to, hand.source);
        hand.answer = Some(result.clone());
        let cause = self.reload.as_ref().map(|reload| reload.id);
        let (cut, leaves) = match &result {
            Ok(done) => (done.cut, Some(left_by(done.state_from))),
            Err(error) if error.step != HandOverStep::Load => (error.cut, None),
            Err(error) if error.cut > 0 => (error.cut, Some(Restored::Checkpoint)),
            Err(error) => (error.cut, Some(Restored::Live)),
        };
        if let StateSource::Live { from, .. } = source {
            if let Some(leaves) = leaves {
                self.versions.save(from, cx.now, leaves);
            }
            if cut > 0 {
                let (number, calls) = (from, cut);
                cx.tell(cause, Happened::CallsCut { number, calls });
            }
        }
        if let Some(reload) = self.reload.as_mut() {
            reload.lost = reload.lost.saturating_add(cut);
        }
        if let Ok(HandedOver { state_from, .. }) = result {
            cx.tell(cause, Happened::HandedOver { to, state_from });
        }
    }

    /// The hand-over that this answer is about, if it is waited for.
    fn waiting_hand(&mut self, ticket: Ticket) -> Option<&mut HandOver> {
        let carried = self.carry.as_mut().and_then(|carry| carry.hand.as_mut());
        let moving = self
            .reload
            .as_mut()
            .and_then(|reload| match &mut reload.progress {
                Progress::HandingOver(moving) => Some(&mut moving.hand),
                _ => None,
            });
        let waits = |hand: &&mut HandOver| hand.ticket == ticket && hand.answer.is_none();
        carried.filter(waits).or(moving.filter(waits))
    }
}

/// What a version has when it is routed to again after its state went to another like this: its instance, unless that was cut.
fn left_by(state_from: StateFrom) -> Restored {
    match state_from {
        StateFrom::Live | StateFrom::Snapshot => Restored::Live,
        StateFrom::Checkpoint => Restored::Checkpoint,
        StateFrom::None => Restored::None,
    }
}
