//! What is known of one agent outside of the core, and which commands break a promise by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use caxton_rollout::{
    HandOverError, HandOverStep, HandedOver, HotReloadId, HotReloadResult, HotReloadStatus,
    Identity, Measure, Moment, Restored, StateSource, Ticket, Traffic, VersionNumber,
};

/// When the core has given up a hand-over whose answer is lost, after the hand-over's own time.
const GIVES_UP: Duration = Duration::from_secs(6);

/// What is known of one agent outside of the core.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Its file is there.
    pub present: bool,
    /// Where new requests go.
    pub traffic: Option<Traffic>,
    /// Contents that came and were not forgotten.
    pub contents: BTreeSet<Identity>,
    /// Versions that are up.
    pub ready: BTreeSet<VersionNumber>,
    pub(crate) preparing: BTreeMap<Ticket, VersionNumber>,
    pub(crate) identities: BTreeMap<VersionNumber, Identity>,
    pub(crate) quarantined: BTreeSet<Identity>,
    pub(crate) statuses: BTreeMap<HotReloadId, HotReloadStatus>,
    /// Results by reload.
    pub results: BTreeMap<HotReloadId, HotReloadResult>,
    /// Contents whose versions keep state.
    pub(crate) stateful: BTreeSet<Identity>,
    /// Versions that were given state and were not routed to since.
    pub(crate) given: BTreeSet<VersionNumber>,
    /// Versions whose instance has served, and is there.
    pub(crate) lived: BTreeSet<VersionNumber>,
    /// State on its way.
    pub(crate) handing: Option<Handing>,
    /// New requests wait.
    pub(crate) gate_closed: bool,
    /// For versions that were saved: calls that others have answered since.
    pub(crate) missed: BTreeMap<VersionNumber, u64>,
    /// Rounds of judging.
    pub(crate) rounds: crate::rounds::Rounds,
    /// Versions whose instance ended when they were saved.
    pub(crate) cut_off: BTreeSet<VersionNumber>,
    /// The host was started, and nothing was routed to since.
    pub(crate) comes_back: bool,
    /// After a start: what was permanent comes up as it was saved last, however often that is tried.
    pub(crate) as_saved: Option<VersionNumber>,
    /// Versions that reloads began with since the host was started.
    pub(crate) begun: BTreeSet<VersionNumber>,
    /// Versions that had all traffic since the host was started.
    pub(crate) has_served: BTreeSet<VersionNumber>,
    /// Calls that were ended for a hand-over, until the core says so.
    pub(crate) cut: Option<(VersionNumber, u64)>,
}

/// A hand-over that nobody has answered.
#[derive(Debug, Clone)]
pub(crate) struct Handing {
    pub(crate) ticket: Ticket,
    pub(crate) to: VersionNumber,
    pub(crate) source: StateSource,
    /// How long its answer is waited for at least.
    pub(crate) until: Moment,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

pub(crate) type Checked = Result<(), Broken>;

pub(crate) fn broken(what: impl Into<String>) -> Checked {
    Err(Broken(what.into()))
}

impl Books {
    /// Who gets whatever no share takes away.
    #[must_use]
    pub fn serving(&self) -> Option<VersionNumber> {
        self.traffic.map(|traffic| traffic.serving)
    }

    /// Everyone who gets requests or copies of them.
    pub fn routed(&self) -> impl Iterator<Item = VersionNumber> {
        let others = self.traffic.map(|traffic| {
            let candidate = traffic.split.map(|split| split.candidate);
            candidate.into_iter().chain(traffic.listener)
        });
        self.serving()
            .into_iter()
            .chain(others.into_iter().flatten())
    }

    pub(crate) fn prepare(
        &mut self,
        ticket: Ticket,
        number: VersionNumber,
        identity: Identity,
    ) -> Checked {
        if !self.contents.contains(&identity) {
            return broken(format!(
                "{number} is to be prepared from what was forgotten"
            ));
        }
        if self.ready.contains(&number) || self.preparing.values().any(|other| *other == number) {
            return broken(format!("{number} is prepared twice"));
        }
        let known = *self.identities.entry(number).or_insert(identity);
        if known != identity {
            return broken(format!("{number} has two contents"));
        }
        let comes_in = self.quarantined.contains(&identity);
        if comes_in {
            return broken(format!("{number} was quarantined and is prepared"));
        }
        self.preparing.insert(ticket, number);
        Ok(())
    }

    pub(crate) fn keeps_state(&self, number: VersionNumber) -> bool {
        self.identities
            .get(&number)
            .is_some_and(|identity| self.stateful.contains(identity))
    }

    /// Everyone who answers requests.
    pub(crate) fn answering(&self) -> impl Iterator<Item = VersionNumber> {
        let split = self.traffic.and_then(|traffic| traffic.split);
        let candidate = split.map(|split| split.candidate);
        self.serving().into_iter().chain(candidate)
    }

    fn is_waited_for(&self, now: Moment) -> bool {
        self.handing.as_ref().is_some_and(|hand| now < hand.until)
    }

    pub(crate) fn route(&mut self, now: Moment, traffic: Option<Traffic>) -> Checked {
        if self.is_waited_for(now) {
            return broken("the gate opens while state is on its way");
        }
        if let Some(traffic) = traffic {
            self.may_route(traffic)?;
            self.has_its_state(traffic.serving)?;
        } else if self.present {
            return broken("nothing serves any more, and the file is there");
        }
        if self.comes_back
            && let Some(traffic) = traffic
        {
            // It goes on with its state from here on.
            self.missed.remove(&traffic.serving);
            self.comes_back = false;
        }
        self.has_served
            .extend(traffic.map(|traffic| traffic.serving));
        self.traffic = traffic;
        self.gate_closed = false;
        self.handing = None;
        let answering: Vec<_> = self.answering().collect();
        for number in answering {
            self.given.remove(&number);
            self.lived.insert(number);
        }
        Ok(())
    }

    fn may_route(&self, traffic: Traffic) -> Checked {
        let candidate = traffic.split.map(|split| split.candidate);
        let others = candidate.into_iter().chain(traffic.listener);
        for number in others.clone().chain([traffic.serving]) {
            if !self.ready.contains(&number) {
                return broken(format!("{number} is routed to and is not ready"));
            }
        }
        for number in others {
            if number == traffic.serving {
                return broken(format!("{number} gets its own requests twice"));
            }
        }
        let Some(split) = traffic.split else {
            return Ok(());
        };
        if !(1..=99).contains(&split.percent) {
            return broken(format!("a share of {} per cent", split.percent));
        }
        if self.keeps_state(split.candidate) {
            return broken(format!("{} keeps state and gets a share", split.candidate));
        }
        Ok(())
    }

    /// A version that takes over from another has the other's state, or its own instance from before.
    fn has_its_state(&self, next: VersionNumber) -> Checked {
        let Some(before) = self.serving().filter(|before| *before != next) else {
            return Ok(());
        };
        let known = self.given.contains(&next) || self.lived.contains(&next);
        let known = known || self.as_saved == Some(next);
        if self.keeps_state(before) && self.keeps_state(next) && !known {
            return broken(format!("{next} takes over from {before} without its state"));
        }
        Ok(())
    }

    pub(crate) fn hand_over(&mut self, now: Moment, hand: Handing) -> Checked {
        let to = hand.to;
        if self.is_waited_for(now) {
            return broken("state is on its way twice");
        }
        if !self.ready.contains(&to) || !self.keeps_state(to) {
            return broken(format!("{to} is given state and cannot take it"));
        }
        if self.answering().any(|answering| answering == to) {
            return broken(format!("{to} is given state while it is routed to"));
        }
        if let StateSource::Live { from, wait, .. } = hand.source {
            if Some(from) != self.serving() || !self.keeps_state(from) {
                return broken(format!(
                    "{from} is saved and does not serve, or has no state"
                ));
            }
            if now.after(wait) > hand.until {
                return broken("a drain may last longer than the whole hand-over");
            }
            self.gate_closed = true;
        }
        self.handing = Some(hand);
        Ok(())
    }

    pub(crate) fn handed_over(
        &mut self,
        ticket: Ticket,
        result: &Result<HandedOver, HandOverError>,
    ) {
        let Some(hand) = self.handing.take_if(|hand| hand.ticket == ticket) else {
            return;
        };
        let (cut, saved) = match result {
            Ok(done) => (done.cut, true),
            Err(error) => (error.cut, error.step == HandOverStep::Load),
        };
        if result.is_ok() {
            self.given.insert(hand.to);
        }
        // Where the core has given it up it has routed, and nothing is on its way any more.
        if let StateSource::Live { from, .. } = hand.source {
            self.cut = (cut > 0).then_some((from, cut));
            if saved {
                self.missed.insert(from, 0);
                if cut > 0 {
                    self.cut_off.insert(from);
                } else {
                    self.cut_off.remove(&from);
                }
            }
        }
    }

    pub(crate) fn answered(&mut self, versions: &[Measure]) {
        let serving = self.serving();
        let of = versions
            .iter()
            .find(|measure| Some(measure.number) == serving);
        let calls = of.map_or(0, |measure| measure.arm.requests);
        for (number, missed) in &mut self.missed {
            if Some(*number) != serving {
                *missed += calls;
            }
        }
    }

    pub(crate) fn finished(&self, result: &HotReloadResult) -> Checked {
        // Only a rolled-back result is turned round; an abort went back to whoever served before.
        let target = match result.status {
            HotReloadStatus::Cancelled => result.from,
            _ => result.to,
        };
        let (Some(state), Some(to)) = (result.state, target) else {
            return Ok(());
        };
        let ordered = result.rollback_reason.as_ref().is_some_and(|reason| {
            reason.contains("an operator") || reason.contains("is in the directory again")
        });
        if ordered && state.restored_from == Some(Restored::Live) {
            return broken(format!(
                "{to} was gone back to without what was answered since"
            ));
        }
        if state.restored_from == Some(Restored::Live) && self.cut_off.contains(&to) {
            return broken(format!("{to} was cut, and is said to be as it was"));
        }
        // What is only amended was true when it was said first.
        let known = self.results.get(&result.id);
        let first = known.is_none_or(|known| known.status != result.status);
        if let Some(calls) = state.calls_since.filter(|_| first)
            && Some(&calls) != self.missed.get(&to)
        {
            let missed = self.missed.get(&to);
            return broken(format!("{calls} calls since, and it misses {missed:?}"));
        }
        Ok(())
    }

    pub(crate) fn unload(&mut self, number: VersionNumber) -> Checked {
        if self.routed().any(|routed| routed == number) {
            return broken(format!("{number} is unloaded while it is routed to"));
        }
        let was_preparing = self
            .preparing
            .values()
            .any(|preparing| *preparing == number);
        self.preparing.retain(|_, preparing| *preparing != number);
        self.given.remove(&number);
        self.lived.remove(&number);
        if !self.ready.remove(&number) && !was_preparing {
            return broken(format!("{number} is unloaded and was not loaded"));
        }
        Ok(())
    }

    /// What must hold after every step.
    pub(crate) fn check(&self, now: Moment) -> Checked {
        let gives_up = |hand: &Handing| hand.until.after(GIVES_UP);
        let waits = |hand: &Handing| now < gives_up(hand);
        if self.gate_closed && !self.handing.as_ref().is_some_and(waits) {
            return broken("requests wait at the gate, and nothing is on its way");
        }
        match self.cut {
            Some((number, calls)) => broken(format!(
                "{calls} calls were ended on {number}, and nobody says so"
            )),
            None => Ok(()),
        }
    }
}
