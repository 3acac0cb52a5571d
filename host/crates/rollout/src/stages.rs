//! What comes between the first traffic and all of it: shares in stages, and copies that the candidate hears.

use std::time::Duration;

use crate::agent::Agent;
use crate::handover::Then;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{Progress, Pushed, Reload, Wish};
use crate::{Happened, Judgement, Moment, OnInconclusive, Split, Stage, Strategy, Traffic};

/// The candidate answers a share of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Splitting {
    /// Of the plan's stages, from 0.
    pub(crate) stage: usize,
    /// The share now, 0 to 99; other than the stage's own if somebody set it.
    pub(crate) percent: u8,
    /// An operator set the share: it stays until they say otherwise.
    pub(crate) ordered: bool,
    /// An operator lets the stage go on.
    pub(crate) let_on: bool,
    /// A larger share that it is to get within the stage.
    pub(crate) target: Option<Target>,
    /// Counted requests that the candidate has finished in this stage.
    pub(crate) requests: u64,
}

/// A share other than that of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) percent: u8,
    /// An operator said so, and not the strategy policy.
    pub(crate) ordered: bool,
}

/// The candidate hears copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Listening {
    /// Counted copies that the candidate has answered.
    pub(crate) requests: u64,
}

/// A step forward that is due.
enum Onward {
    Stage(usize),
    AllTraffic,
}

impl Agent {
    /// How the candidate gets its first traffic, now that it is ready.
    pub(crate) fn first_traffic(&self, reload: &Reload) -> Move {
        // Where nothing serves there is nothing to share with, or to listen to.
        let alone = reload.serves_already || self.serving.is_none();
        let at_once = alone || reload.pushed > Pushed::No;
        match reload.strategy() {
            Strategy::TrafficSplitting if !at_once => Move::Stage(0),
            Strategy::Parallel if !at_once && self.takes_state(reload) => {
                Move::HandOver(Then::Listen)
            }
            Strategy::Parallel if !at_once => Move::Listen,
            _ => self.all_traffic(reload),
        }
    }

    /// What follows for a candidate with a share or with copies.
    pub(crate) fn decide_on_trial(&self, now: Moment, reload: &Reload) -> Option<Move> {
        if let Some(Target { percent, ordered }) = reload.target() {
            return Some(Move::Share { percent, ordered });
        }
        if reload.paused || reload.held.is_some() {
            return None;
        }
        if reload.pushed > Pushed::No {
            return Some(self.all_traffic(reload));
        }
        match reload.onward() {
            Some(Onward::Stage(stage)) => return Some(Move::Stage(stage)),
            Some(Onward::AllTraffic) => return Some(self.all_traffic(reload)),
            None => {}
        }
        if reload.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        match reload.settings.reload.on_inconclusive {
            OnInconclusive::Hold => None,
            OnInconclusive::Promote if reload.checks.failures_in_a_row > 0 => {
                Some(inconclusive(reload))
            }
            // Something speaks against it: that is more than a lack of evidence, and waits for an operator.
            OnInconclusive::Promote if reload.is_held_by_policy() => None,
            OnInconclusive::Promote => Some(self.all_traffic(reload)),
            OnInconclusive::Abort => Some(inconclusive(reload)),
        }
    }

    /// The candidate gets the share of this stage.
    pub(crate) fn enter_stage(&mut self, cx: &mut Cx<'_>, stage: usize) -> Option<Progress> {
        let reload = self.reload.as_mut()?;
        let percent = reload.stages().get(stage)?.split;
        if let Progress::Splitting(before) = reload.progress {
            reload.swings.change(before.percent, percent);
        }
        reload.move_on();
        reload.has_slot = false;
        self.give_share(cx, stage, percent);
        Some(Progress::Splitting(Splitting {
            stage,
            percent,
            ordered: false,
            let_on: false,
            target: None,
            requests: 0,
        }))
    }

    /// The candidate gets this share instead of the planned one, within the same stage.
    pub(crate) fn set_share(&mut self, cx: &mut Cx<'_>, percent: u8, ordered: bool) {
        let Some(reload) = self.reload.as_mut() else {
            return;
        };
        let Progress::Splitting(split) = &mut reload.progress else {
            return;
        };
        if percent > split.percent {
            reload.progress_at = cx.now;
        }
        if !ordered {
            reload.swings.change(split.percent, percent);
        }
        split.percent = percent;
        split.target = None;
        split.ordered |= ordered;
        let stage = split.stage;
        reload.move_on();
        self.give_share(cx, stage, percent);
    }

    fn give_share(&mut self, cx: &mut Cx<'_>, stage: usize, percent: u8) {
        let (Some(serving), Some(reload)) = (self.serving, self.reload.as_mut()) else {
            return;
        };
        let (id, number, drain) = (reload.id, reload.number, reload.drain());
        let stages = count(reload.stages().len());
        let split = (percent > 0).then_some(Split {
            candidate: number,
            percent,
        });
        let traffic = Traffic {
            serving,
            split,
            listener: None,
        };
        self.send(cx, traffic, drain, Some(id));
        cx.tell(
            Some(id),
            Happened::Share {
                number,
                percent,
                stage: count(stage),
                stages,
            },
        );
    }

    /// The candidate hears copies of what the serving version gets.
    pub(crate) fn listen(&mut self, cx: &mut Cx<'_>) -> Option<Progress> {
        let (serving, reload) = (self.serving?, self.reload.as_mut()?);
        reload.move_on();
        reload.has_slot = false;
        let (id, number, drain) = (reload.id, reload.number, reload.drain());
        let traffic = Traffic {
            serving,
            split: None,
            listener: Some(number),
        };
        self.send(cx, traffic, drain, Some(id));
        cx.tell(Some(id), Happened::Listening { number });
        Some(Progress::Listening(Listening::default()))
    }
}

impl Reload {
    pub(crate) fn stages(&self) -> &[Stage] {
        self.plan.as_ref().map_or(&[], |plan| &plan.stages)
    }

    /// The stage it stands in, with how far it is.
    pub(crate) fn stage(&self) -> Option<(&Stage, Splitting)> {
        let Progress::Splitting(split) = self.progress else {
            return None;
        };
        Some((self.stages().get(split.stage)?, split))
    }

    /// A larger share that is due now.
    fn target(&self) -> Option<Target> {
        let (_, split) = self.stage()?;
        let due = |target: &Target| target.ordered || self.may_rise();
        split.target.filter(due)
    }

    /// No other share is to be given any more.
    pub(crate) fn forget_target(&mut self) {
        if let Progress::Splitting(split) = &mut self.progress {
            split.target = None;
        }
    }

    /// The strategy policy wants no other share any more.
    pub(crate) fn forget_wished_share(&mut self) {
        if let Progress::Splitting(split) = &mut self.progress {
            split.target = split.target.filter(|target| target.ordered);
        }
    }

    /// What a stage, or listening, lasts at least: time, counted requests, and those there were.
    pub(crate) fn lasts(&self) -> Option<(Duration, u64, u64)> {
        match self.progress {
            Progress::Splitting(_) => {
                let (stage, split) = self.stage()?;
                Some((stage.at_least, stage.at_least_requests, split.requests))
            }
            Progress::Listening(heard) => {
                let mirror = &self.settings.reload.mirror;
                Some((mirror.at_least, mirror.at_least_requests, heard.requests))
            }
            _ => None,
        }
    }

    /// Whether what the plan promises is kept.
    pub(crate) fn has_lasted(&self, now: Moment) -> bool {
        self.lasts().is_some_and(|(at_least, needed, requests)| {
            now >= self.since.after(at_least) && requests >= needed
        })
    }

    /// What was wished or asked before is about where it stood before.
    pub(crate) fn move_on(&mut self) {
        self.wish = None;
        self.moved_on = self.judging.is_some();
        self.figures.begin_share();
    }

    /// Whether the policies find it fit, and the strategy wants it to go on.
    fn may_go_on(&self) -> bool {
        let fit = |round: &crate::reload::Round| round.judgement.fit() && !round.strategy_faulty;
        let kept = |round: &crate::reload::Round| match (&self.progress, self.wish) {
            (_, None) => false,
            (Progress::Splitting(_), Some(Wish::Promote)) => true,
            (_, Some(_)) => round.lasted,
        };
        self.round
            .as_ref()
            .is_some_and(|round| fit(round) && kept(round))
    }

    /// Whether its stage is one that an operator has to let go on, and none has.
    pub(crate) fn needs_operator(&self) -> bool {
        self.stage()
            .is_some_and(|(stage, split)| stage.needs_operator && !split.let_on)
    }

    /// Everything else speaks for going on.
    pub(crate) fn waits_for_operator(&self) -> bool {
        self.needs_operator() && self.may_go_on()
    }

    /// Whether a policy that has to decide gave no usable answer.
    pub(crate) fn waits_for_policy(&self) -> bool {
        let faulty = |round: &crate::reload::Round| {
            round.strategy_faulty || matches!(round.judgement, Judgement::Fault { .. })
        };
        self.round.as_ref().is_some_and(faulty)
    }

    /// Something that was measured speaks against going on; without any measure it is no more than a lack of evidence.
    pub(crate) fn is_held_by_policy(&self) -> bool {
        let holds =
            |round: &crate::reload::Round| matches!(round.judgement, Judgement::Hold { .. });
        self.has_figures && self.round.as_ref().is_some_and(holds)
    }

    /// Whether a policy may raise the share now.
    pub(crate) fn may_rise(&self) -> bool {
        let ordered = matches!(self.progress, Progress::Splitting(split) if split.ordered);
        !(self.paused || self.held.is_some() || ordered || self.needs_operator())
    }

    fn onward(&self) -> Option<Onward> {
        if !self.may_go_on() || self.needs_operator() {
            return None;
        }
        let Progress::Splitting(split) = self.progress else {
            return Some(Onward::AllTraffic);
        };
        if split.ordered {
            return None;
        }
        if self.wish == Some(Wish::Promote) {
            return Some(Onward::AllTraffic);
        }
        // The first that is above what it has: after a share that somebody set, not simply the one that follows.
        let next = self
            .stages()
            .iter()
            .position(|stage| stage.split > split.percent);
        Some(next.map_or(Onward::AllTraffic, Onward::Stage))
    }

    /// Counts what the candidate has finished in the stage, or heard.
    pub(crate) fn count_in_stage(&mut self, start: Moment, live: u64, heard: u64) {
        // An interval that began before the stage says nothing for sure about it.
        let inside = start >= self.since;
        match &mut self.progress {
            Progress::Splitting(split) if inside => {
                split.requests = split.requests.saturating_add(live);
            }
            Progress::Listening(listening) if inside => {
                listening.requests = listening.requests.saturating_add(heard);
            }
            _ => {}
        }
        self.has_figures |= live > 0 || heard > 0;
    }
}

fn inconclusive(reload: &Reload) -> Move {
    let waited = reload.settings.reload.deadline.as_secs();
    let stood = match reload.progress {
        Progress::Splitting(split) => format!("at {} per cent", split.percent),
        _ => "while it heard copies".to_owned(),
    };
    let reason =
        format!("it made no progress for {waited} s {stood}: there was not enough evidence for it");
    Move::Cancel {
        why: Ended::Deadline,
        reason,
    }
}

/// Stages are at most 32.
pub(crate) fn count(stages: usize) -> u32 {
    u32::try_from(stages).unwrap_or(u32::MAX)
}
