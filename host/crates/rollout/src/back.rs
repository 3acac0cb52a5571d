//! Ways back and ends: to a version that served before, to the permanent one, to none.

use crate::agent::Agent;
use crate::carry::After;
use crate::endings::Aside;
use crate::enter::Next;
use crate::mint::Cx;
use crate::reload::{Back, By, Progress, Return};
use crate::{
    Blame, ErrorKind, Happened, HotReloadStatus, Outcome, StateChoice, Traffic, VersionNumber,
};

impl Agent {
    pub(crate) fn go_back(&mut self, cx: &mut Cx<'_>, target: VersionNumber, why: Back) -> Next {
        let Some(reload) = self.reload.as_mut() else {
            return Next::Same;
        };
        reload.judging = None;
        reload.has_slot = false;
        let id = reload.id;
        let (bad, wait) = (reload.number, reload.settings.rollback.timeout);
        let carried = self.carried(cx.now);
        let as_it_was = self.as_it_was(cx.now, target);
        let as_it_was = as_it_was.filter(|_| carried.is_none());
        self.tail = as_it_was.map(|_| (id, bad));
        let state = carried.or(as_it_was);
        self.carry = None;
        self.onward = self.onward.filter(|(onward, _)| *onward != target);
        if !self.versions.is_ready(target) {
            self.versions.prepare(cx, target);
        }
        let until = cx.now.after(wait);
        Next::At(Progress::Returning(Return {
            target,
            bad,
            why,
            until,
            state,
        }))
    }

    pub(crate) fn arrive(&mut self, cx: &mut Cx<'_>) -> Next {
        let Some(reload) = self.reload.as_ref() else {
            return Next::Same;
        };
        let Progress::Returning(back) = reload.progress.clone() else {
            return Next::Same;
        };
        let (drain, cause) = (reload.drain(), Some(reload.id));
        self.send(cx, Traffic::all_to(back.target), drain, cause);
        if self.permanent == Some(back.bad) {
            self.permanent = Some(back.target);
            self.kept
                .retain(|kept| *kept != back.target && *kept != back.bad);
            self.warm = None;
            self.recent.clear();
        }
        let blame = match back.why.by {
            By::Verdict(blame) => Some(blame),
            By::Guard => Some(Blame::Unknown),
            _ => None,
        };
        let (from, to, reason) = (back.bad, back.target, back.why.reason.clone());
        self.last_error = Some(reason.clone());
        cx.tell(
            cause,
            Happened::RolledBack {
                from,
                to,
                reason: reason.clone(),
                blame,
            },
        );
        match back.why.by {
            By::Verdict(Blame::Candidate | Blame::Unknown) | By::Guard | By::Operator => {
                self.put_aside(cx, Aside::Quarantined, reason.clone());
            }
            By::Verdict(Blame::Environment) | By::Unproven => {
                self.put_aside(cx, Aside::Blameless, reason.clone());
            }
            By::File => {}
        }
        let kind = match back.why.by {
            By::Verdict(_) | By::Guard | By::Unproven => Some(ErrorKind::AutomaticRollback),
            By::Operator | By::File => None,
        };
        self.finish(
            cx,
            HotReloadStatus::RolledBack,
            Outcome::RolledBack,
            Some((reason, kind)),
        );
        Next::Over
    }

    /// The permanent version serves again, with the state of whoever serves where there is any.
    pub(crate) fn home(&mut self, cx: &mut Cx<'_>) -> Next {
        let choice = StateChoice::Carry;
        match self.permanent {
            Some(target) if self.carry.is_none() && self.needs_state(target, choice) => {
                self.take_share_back(cx);
                self.begin_carry(cx, target, After::Home, choice);
            }
            _ => {
                self.carry = None;
                self.go_home(cx);
            }
        }
        Next::Same
    }

    /// The permanent version serves again, and alone.
    pub(crate) fn go_home(&mut self, cx: &mut Cx<'_>) {
        let cause = self.reload.as_ref().map(|reload| reload.id);
        let drain = self.drain_timeout();
        if let Some(permanent) = self.permanent {
            self.send(cx, Traffic::all_to(permanent), drain, cause);
        }
    }

    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>, drain: std::time::Duration) -> Next {
        for old in self.route(cx, None, None) {
            self.versions.drain(cx, old, drain, None);
        }
        if let Some(old) = self.permanent.take() {
            self.kept.insert(0, old);
        }
        self.warm = None;
        self.leaving = None;
        self.onward = None;
        self.refused = None;
        self.recent.clear();
        cx.tell(None, Happened::Stopped);
        Next::Same
    }
}
