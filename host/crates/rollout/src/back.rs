//! Ways back and ends: to a version that served before, to the permanent one, to none.

use crate::agent::Agent;
use crate::carry::After;
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
        let judged = why.by.is_judged();
        let (bad, wait) = (reload.number, reload.settings.rollback.timeout);
        if judged {
            self.note_rollback(cx.now);
        }
        let carried = self.carried(cx.now);
        let as_it_was = self.as_it_was(cx.now, target);
        let as_it_was = as_it_was.filter(|_| carried.is_none());
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
            as_it_was: as_it_was.is_some(),
        }))
    }

    pub(crate) fn arrive(&mut self, cx: &mut Cx<'_>) -> Next {
        let now = self.reload.as_ref().and_then(|reload| {
            let Progress::Returning(back) = &reload.progress else {
                return None;
            };
            self.as_it_was(cx.now, back.target)
        });
        let Some(reload) = self.reload.as_mut() else {
            return Next::Same;
        };
        let Progress::Returning(back) = &mut reload.progress else {
            return Next::Same;
        };
        if back.as_it_was {
            back.state = now;
            self.tail = Some((reload.id, back.bad));
        }
        let back = back.clone();
        let (drain, cause) = (reload.drain(), Some(reload.id));
        self.send(cx, Traffic::all_to(back.target), drain, cause);
        if self.permanent == Some(back.bad) {
            self.arrive_at(back.target, back.bad);
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
                cause: back.why.by.cause(),
            },
        );
        if let Some(aside) = back.why.by.aside() {
            self.put_aside(cx, aside, reason.clone());
        }
        let kind = match back.why.by {
            By::Verdict(_) | By::Guard | By::Unproven | By::CrashLoop => {
                Some(ErrorKind::AutomaticRollback)
            }
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

    /// What was permanent is gone back from.
    pub(crate) fn arrive_at(&mut self, target: VersionNumber, bad: VersionNumber) {
        self.permanent = Some(target);
        self.kept.retain(|kept| *kept != target && *kept != bad);
        self.warm = None;
        self.recent.clear();
    }

    /// The permanent version serves again, with the state of whoever serves where there is any.
    pub(crate) fn home(&mut self, cx: &mut Cx<'_>) -> Next {
        if self.serving.is_none() {
            // After a start: from here on its instance has what it answers.
            self.versions.forget_saved(self.permanent);
        }
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
        // After a start it may not be up yet: it serves when it is.
        let ready = |number: &VersionNumber| self.versions.is_ready(*number);
        match self.permanent.filter(ready) {
            Some(permanent) => self.send(cx, Traffic::all_to(permanent), drain, cause),
            None => self.take_share_back(cx),
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
        self.revival = None;
        self.leaving = None;
        self.onward = None;
        self.refused = None;
        self.recent.clear();
        let reason = self.unwanted;
        cx.tell(None, Happened::Stopped { reason });
        Next::Same
    }
}
