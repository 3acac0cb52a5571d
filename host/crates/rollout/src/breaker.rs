//! After several rollbacks by policies in a short time no further version comes in by itself.

use crate::agent::Agent;
use crate::{Breaker, Moment};

/// How many rollbacks are remembered at most, whatever is configured.
const MAX_ROLLBACKS: usize = 256;

impl Agent {
    fn breaker(&self) -> Breaker {
        let wanted = self.wanted.as_ref().map(|wanted| &wanted.settings.rollback);
        wanted.map_or_else(Breaker::default, |rollback| rollback.breaker)
    }

    /// A policy or the guard takes a version back.
    pub(crate) fn note_rollback(&mut self, now: Moment) {
        let window = self.breaker().window;
        self.rollbacks.retain(|at| at.after(window) > now);
        self.rollbacks.push(now);
        let beyond = self.rollbacks.len().saturating_sub(MAX_ROLLBACKS);
        self.rollbacks.drain(..beyond);
    }

    /// Until when nothing comes in by itself; none where it does. What has nothing to go back to is never stopped.
    pub(crate) fn broken_until(&self, now: Moment) -> Option<Moment> {
        self.permanent?;
        let Breaker { count, window } = self.breaker();
        let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
        let first = self.rollbacks.len().checked_sub(count)?;
        let until = self.rollbacks.get(first)?.after(window);
        (until > now).then_some(until)
    }

    /// Why what the directory asks for waits.
    pub(crate) fn stopped_by_breaker(&self, now: Moment, until: Moment) -> String {
        let window = self.breaker().window;
        let recent = self.rollbacks.iter().filter(|at| at.after(window) > now);
        format!(
            "{} versions were rolled back within {} s: the next one waits for an operator, or for {} s",
            recent.count(),
            window.as_secs(),
            until.since(now).as_millis().div_ceil(1_000)
        )
    }

    /// Whether what the directory asks for may come in now by itself.
    pub(crate) fn may_come_in(&self, now: Moment) -> bool {
        !self.is_blocked(now) && self.broken_until(now).is_none()
    }
}
