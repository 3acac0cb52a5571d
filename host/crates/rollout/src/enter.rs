//! The one function that changes where a reload stands, and what each move does.

use crate::Aside;
use crate::agent::Agent;
use crate::checks::CheckTurn;
use crate::handover::HandOver;
use crate::mint::Cx;
use crate::moves::{Ended, Move};
use crate::reload::{ARMED, Asking, Progress, Reload};
use crate::usage::Used;
use crate::versions::{Life, Record};
use crate::{
    Command, ErrorKind, Evidence, Happened, HotReloadId, HotReloadStatus, Identity, Outcome,
    StateFrom, StateReport, Strategy, Traffic, VersionNumber,
};

/// Where a move leads.
pub(crate) enum Next {
    /// The reload stands here now.
    At(Progress),
    /// There is no reload any more.
    Over,
    /// The move was not about a reload.
    Same,
}

impl Agent {
    /// Carries out one move. Nothing else changes where a reload stands.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>, due: Move) {
        if matches!(due, Move::GoBack { .. }) && self.reload.is_none() {
            self.reload = self.reopened(cx);
        }
        cx.deeds.extend(self.deed(&due));
        let id = self.reload.as_ref().map(|reload| reload.id);
        let before = self.reload.as_ref().map(|reload| reload.progress.status());
        let (after, reason) = (due.status(), due.reason());
        let next = match due {
            Move::Begin { existing } => self.begin(cx, existing),
            Move::Prepare => self.prepare(cx),
            Move::Start => self.start(cx),
            Move::Stage(stage) => self.enter_stage(cx, stage).map_or(Next::Same, Next::At),
            Move::Share { percent, ordered } => {
                self.set_share(cx, percent, ordered);
                Next::Same
            }
            Move::Listen => self.listen(cx).map_or(Next::Same, Next::At),
            Move::HandOver(then) => self.hand_over(cx, then).map_or(Next::Same, Next::At),
            Move::Swap => self.swap(cx),
            Move::Complete(evidence) => self.complete(cx, evidence),
            Move::Disarm { evidence, reason } => self.disarm(cx, evidence, reason),
            Move::Fail { error, kind } => self.fail(cx, error, kind),
            Move::Cancel { why, reason } => self.cancel(cx, why, reason),
            Move::GoBack { target, why } => self.go_back(cx, target, why),
            Move::Arrive => self.arrive(cx),
            Move::Home => self.home(cx),
            Move::Revive => {
                self.revive(cx);
                Next::Same
            }
            Move::Stop { drain } => self.stop(cx, drain),
            Move::Carry {
                target,
                then,
                choice,
            } => {
                self.begin_carry(cx, target, then, choice);
                Next::Same
            }
            Move::Give => {
                self.give(cx);
                Next::Same
            }
            Move::Refuse { error } => {
                self.refuse(cx, &error);
                Next::Same
            }
        };
        // Told after the fact: traffic goes first.
        if let (Some(from), Some(to)) = (before, after)
            && from != to
        {
            debug_assert!(from.may_become(to), "{}: {from:?} to {to:?}", self.name);
            cx.tell(id, Happened::StatusChanged { from, to, reason });
        }
        match (next, self.reload.as_mut()) {
            (Next::At(progress), Some(reload)) => {
                reload.progress = progress;
                reload.since = cx.now;
                reload.progress_at = cx.now;
            }
            (Next::Over, Some(reload)) => {
                let pinned = reload.has_pins.then_some(reload.id);
                let held = pinned.into_iter().chain(reload.continues);
                self.reload = None;
                self.refused = None;
                for reload in held {
                    let agent = self.name.clone();
                    cx.command(Command::Unpin { agent, reload });
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, cx: &mut Cx<'_>, existing: Option<VersionNumber>) -> Next {
        let Some(wanted) = self.wanted.clone() else {
            return Next::Same;
        };
        let id = cx.reload_id();
        let again = self.take_interrupted(cx, &wanted.content, existing.is_some());
        let known = match again {
            Some(again) => Some((again.number, wanted.content)),
            None => existing.and_then(|n| Some((n, self.versions.content(n)?))),
        };
        let (number, content) = match known {
            Some(known) => known,
            None => {
                let content = wanted.content;
                let Some(number) = self.next else {
                    let reason = "the agent has used up its version numbers".to_owned();
                    self.endings
                        .put(cx.now, content.identity, Aside::Ended, reason);
                    return Next::Same;
                };
                self.next = number.next();
                self.versions.records.insert(
                    number,
                    Record {
                        content,
                        life: Life::Cold,
                        reload: id,
                        created_at: cx.now,
                        used: Used::default(),
                        usage: None,
                        saved: None,
                    },
                );
                (number, content)
            }
        };
        if let Some(record) = self.versions.records.get_mut(&number) {
            record.reload = id;
            record.content = content;
        }
        self.endings.release(&content.identity);
        self.refused = None;
        self.tail = None;
        let mut reload = Reload::new(cx, id, number, content, wanted.settings);
        reload.stable = self.permanent;
        reload.serves_already = existing.is_some();
        reload.continues = again.map(|again| again.id);
        reload.baseline = self.recent.baseline();
        reload.take_policies();
        let identity = content.identity;
        cx.tell(
            Some(id),
            Happened::ReloadStarted {
                from: self.permanent,
                to: number,
                identity,
            },
        );
        if let Some(continues) = reload.continues {
            cx.tell(Some(id), Happened::BegunAgain { continues, number });
        }
        if reload.is_first() {
            reload.progress = Progress::Pending {
                pinned: Asking::Done,
            };
        }
        let progress = reload.progress.clone();
        self.reload = Some(reload);
        Next::At(progress)
    }

    fn prepare(&mut self, cx: &mut Cx<'_>) -> Next {
        let number = self.reload.as_ref().map(|reload| reload.number);
        if let Some(number) = number.filter(|number| !self.versions.is_ready(*number)) {
            self.versions.prepare(cx, number);
        }
        Next::At(Progress::Preparing)
    }

    fn start(&mut self, cx: &mut Cx<'_>) -> Next {
        let Some(reload) = self.reload.as_mut() else {
            return Next::Same;
        };
        reload.checks.turn = CheckTurn::beginning_at(cx.now);
        let planned = if reload.is_first() {
            Asking::Done
        } else {
            Asking::Due
        };
        if reload.is_first() {
            reload.plan = Some(reload.configured());
        }
        Next::At(Progress::Starting { planned })
    }

    fn swap(&mut self, cx: &mut Cx<'_>) -> Next {
        let Some(reload) = self.reload.as_mut() else {
            return Next::Same;
        };
        if reload.plan.is_none() {
            // An operator pushed it past a strategy policy that does not answer.
            reload.plan = Some(reload.configured());
        }
        reload.has_slot = false;
        reload.move_on();
        // What was said of a share or of copies proves nothing of all traffic.
        reload.round = None;
        let (number, strategy, drain) = (reload.number, reload.strategy(), reload.drain());
        let cut = strategy == Strategy::Immediate;
        let cause = Some(reload.id);
        let hand = match &reload.progress {
            Progress::HandingOver(moving) => Some(&moving.hand),
            _ => None,
        };
        let drained = hand.is_some_and(HandOver::has_drained);
        let given = hand.and_then(HandOver::done).map(|done| done.state_from);
        // Where nothing serves after a start there is nobody to get the state from.
        let alone = self.serving.is_none() && reload.content.stateful && !reload.is_first();
        let begins = given.or(alone.then_some(StateFrom::None));
        reload.state = begins.map(|state_from| StateReport {
            state_from: Some(state_from),
            ..StateReport::default()
        });
        for old in self.route(cx, Some(Traffic::all_to(number)), cause) {
            // Its calls have ended, and its instance stays as it is: whoever goes back finds it so.
            if drained {
                continue;
            }
            if cut {
                self.versions.cut(cx, old, cause);
            } else {
                self.versions.drain(cx, old, drain, cause);
            }
        }
        Next::At(Progress::Baking)
    }

    fn complete(&mut self, cx: &mut Cx<'_>, evidence: Evidence) -> Next {
        let Some(reload) = self.reload.as_mut() else {
            return Next::Same;
        };
        reload.evidence = evidence;
        let (id, number, identity) = (reload.id, reload.number, reload.content.identity);
        let preserve = usize::from(reload.settings.rollback.preserve_versions);
        let keep = reload
            .plan
            .as_ref()
            .map(|plan| cx.now.after(plan.keep_previous));
        let old = self.permanent.replace(number).filter(|old| *old != number);
        if let Some(old) = old {
            self.kept.insert(0, old);
            self.warm = keep.map(|until| (old, until));
        }
        self.keep_none_of(&identity);
        self.kept.truncate(preserve);
        self.recent.clear();
        self.endings.clear(&identity);
        self.last_error = None;
        cx.tell(Some(id), Happened::Completed { number, evidence });
        self.finish(cx, HotReloadStatus::Completed, Outcome::Completed, None);
        match evidence {
            Evidence::Insufficient => Next::At(Progress::Unproven {
                until: cx.now.after(ARMED),
            }),
            _ => Next::Over,
        }
    }

    fn disarm(&mut self, cx: &mut Cx<'_>, evidence: Option<Evidence>, reason: String) -> Next {
        let Some(reload) = self.reload.as_ref() else {
            return Next::Same;
        };
        let (id, number) = (reload.id, reload.number);
        cx.tell(Some(id), Happened::Disarmed { number, reason });
        if let Some(evidence) = evidence {
            self.amend(cx, id, |result| result.evidence = evidence);
        }
        Next::Over
    }

    fn fail(&mut self, cx: &mut Cx<'_>, error: String, kind: ErrorKind) -> Next {
        let Some(reload) = self.reload.as_ref() else {
            return Next::Same;
        };
        self.last_error = Some(error.clone());
        if reload.progress.is_before_swap() {
            let aside = if kind == ErrorKind::InsufficientResources {
                Aside::HostsFault
            } else {
                Aside::Ended
            };
            self.put_aside(cx, aside, error.clone());
            if self.reload.as_ref().map(|reload| reload.number) == self.serving {
                self.home(cx);
            } else {
                self.take_share_back(cx);
            }
        }
        let reason = Some((error, Some(kind)));
        self.finish(cx, HotReloadStatus::Failed, Outcome::Failed, reason);
        Next::Over
    }

    fn cancel(&mut self, cx: &mut Cx<'_>, why: Ended, reason: String) -> Next {
        let aside = match why {
            Ended::Superseded | Ended::FileBack | Ended::Removed => None,
            Ended::Operator => Some(Aside::Ended),
            Ended::Deadline => Some(Aside::Blameless),
        };
        let carried = self.carried(cx.now);
        if let (Some(reload), Some(_)) = (self.reload.as_mut(), carried) {
            reload.state = carried;
        }
        if let Some(aside) = aside {
            self.put_aside(cx, aside, reason.clone());
            self.home(cx);
        } else if why != Ended::Removed {
            self.take_share_back(cx);
        }
        let outcome = match why {
            Ended::Superseded => Outcome::Superseded,
            _ => Outcome::Cancelled,
        };
        let kind = (why == Ended::Deadline).then_some(ErrorKind::Timeout);
        let reason = Some((reason, kind));
        self.finish(cx, HotReloadStatus::Cancelled, outcome, reason);
        Next::Over
    }

    /// What serves, or is quarantined, is nothing to go back to under an older number either.
    fn keep_none_of(&mut self, identity: &Identity) {
        let versions = &self.versions;
        let is = |number: &VersionNumber| versions.content(*number).map(|c| c.identity);
        self.kept.retain(|kept| is(kept) != Some(*identity));
    }

    pub(crate) fn put_aside(&mut self, cx: &mut Cx<'_>, aside: Aside, reason: String) {
        let Some(reload) = self.reload.as_ref() else {
            return;
        };
        let (id, identity) = (reload.id, reload.content.identity);
        self.set_aside(cx, id, identity, aside, reason);
    }

    pub(crate) fn set_aside(
        &mut self,
        cx: &mut Cx<'_>,
        id: HotReloadId,
        identity: Identity,
        aside: Aside,
        reason: String,
    ) {
        self.endings.put(cx.now, identity, aside, reason.clone());
        let again = self.endings.again_at(&identity);
        let again_in_ms = again.map(|again| again.0.saturating_sub(cx.now.0));
        if aside == Aside::Quarantined {
            self.keep_none_of(&identity);
        }
        let told = match aside {
            Aside::Quarantined => Happened::Quarantined { identity, reason },
            _ => Happened::SetAside {
                identity,
                reason,
                again_in_ms,
            },
        };
        cx.tell(Some(id), told);
    }
}
