//! What gives a version more than it has was written before, and nothing from before a start has traffic after it.

use caxton_rollout::{AgentView, HotReloadResult, HotReloadStatus, Memory, Traffic, VersionNumber};

use crate::books::{Books, Checked, broken};

impl Books {
    /// Whether what this gives to candidates was written, and the core was told so.
    pub(crate) fn was_granted(
        &self,
        granted: Option<&Memory>,
        traffic: Option<Traffic>,
    ) -> Checked {
        let Some(to) = traffic else { return Ok(()) };
        let reload = granted.and_then(|memory| memory.reload.as_ref());
        let moves = |number: VersionNumber| {
            let at = reload.filter(|reload| reload.number == number);
            at.is_some_and(|reload| reload.status == HotReloadStatus::InProgress)
        };
        let before = self.traffic.and_then(|traffic| traffic.split);
        if let Some(split) = to.split {
            let had = before.filter(|before| before.candidate == split.candidate);
            let more = had.is_none_or(|had| had.percent < split.percent);
            let written = reload.is_some_and(|reload| {
                reload.number == split.candidate && reload.split == split.percent
            });
            if more && !written {
                return broken(format!("{split:?} was never written: {granted:?}"));
            }
        }
        if let Some(listener) = to.listener
            && self.traffic.and_then(|traffic| traffic.listener) != Some(listener)
            && !moves(listener)
        {
            return broken(format!("{listener} listens, and nobody wrote that"));
        }
        let next = to.serving;
        // A version that served before is gone back to, and that never waits.
        if self.serving() == Some(next) || self.has_served.contains(&next) {
            return Ok(());
        }
        let serves = granted.is_some_and(|memory| memory.serving == Some(next));
        let with_state = self.given.contains(&next) && moves(next);
        let goes_back = !self.begun.contains(&next);
        if serves || with_state || goes_back {
            return Ok(());
        }
        broken(format!("{next} gets all traffic, and nobody wrote that"))
    }

    /// Whether that it is permanent was written.
    pub(crate) fn may_complete(
        &self,
        granted: Option<&Memory>,
        result: &HotReloadResult,
    ) -> Checked {
        let known = self.results.get(&result.id).map(|known| known.status);
        let completed = HotReloadStatus::Completed;
        if result.status != completed || known == Some(completed) {
            return Ok(());
        }
        let written = granted.is_some_and(|memory| {
            let same = |past: &&std::sync::Arc<caxton_rollout::Past>| past.result.id == result.id;
            let past = memory.history.iter().find(same);
            past.is_some_and(|past| past.result.status == completed)
        });
        if written {
            Ok(())
        } else {
            broken(format!("{} completed, and nobody wrote that", result.id))
        }
    }

    /// Only what is permanent, or came in since the host was started, has traffic; and what is permanent has it once it is up.
    pub(crate) fn is_no_older(&self, view: &AgentView) -> Checked {
        for number in self.routed() {
            if view.permanent != Some(number) && !self.begun.contains(&number) {
                return broken(format!(
                    "{number} has traffic from before the host was started"
                ));
            }
        }
        let up = view
            .permanent
            .is_some_and(|number| self.ready.contains(&number));
        let back = view.reload.as_ref().is_some_and(|reload| {
            matches!(
                reload.status,
                HotReloadStatus::RollingBack | HotReloadStatus::RolledBack
            )
        });
        if up && view.serving.is_none() && self.present && !back {
            return broken("what is permanent is up and does not serve");
        }
        Ok(())
    }
}
