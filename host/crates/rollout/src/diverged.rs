//! What the directory asks for and does not get: looked at after every step, and put into words only for who reads them.

use crate::agent::Agent;
use crate::mint::Cx;
use crate::{Aside, EndingMemory, Happened, Identity, Moment};

/// The directory asks for something that does not come in.
pub(crate) struct Diverged<'a> {
    identity: Identity,
    why: Why<'a>,
}

enum Why<'a> {
    /// It ended badly.
    Aside(&'a EndingMemory),
    /// Too much did, and nothing comes in by itself until then.
    Breaker { until: Moment },
}

impl Agent {
    /// What the directory asks for and why it does not come in; none where it does.
    pub(crate) fn diverged(&self, now: Moment) -> Option<Diverged<'_>> {
        let content = &self.wanted.as_ref()?.content;
        let identity = content.identity;
        let comes = |reload: &crate::reload::Reload| reload.content.identity == identity;
        if self.reload.as_ref().is_some_and(comes) {
            return None;
        }
        let why = match self.endings.blocking(now, &identity) {
            Some(ending) => Why::Aside(ending),
            None if self.versions.is(self.permanent, content) => return None,
            None => Why::Breaker {
                until: self.broken_until(now)?,
            },
        };
        Some(Diverged { identity, why })
    }

    pub(crate) fn tell_diverged(&mut self, cx: &mut Cx<'_>) {
        let diverged = self.diverged(cx.now);
        let identity = diverged.as_ref().map(|diverged| diverged.identity);
        if identity == self.told_diverged {
            return;
        }
        let told = diverged.map(|diverged| Happened::Diverged {
            identity: diverged.identity,
            reason: diverged.reason(self, cx.now),
        });
        self.told_diverged = identity;
        if let Some(told) = told {
            cx.tell(None, told);
        }
    }
}

impl Diverged<'_> {
    pub(crate) fn reason(&self, agent: &Agent, now: Moment) -> String {
        match &self.why {
            Why::Aside(ending) => {
                let aside = match ending.aside {
                    Aside::Quarantined => "quarantined",
                    _ => "set aside",
                };
                format!("the file is {aside} because {}", ending.reason)
            }
            Why::Breaker { until } => agent.stopped_by_breaker(now, *until),
        }
    }

    /// What `attention` calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.why {
            Why::Aside(ending) if ending.aside == Aside::Quarantined => "quarantined",
            Why::Aside(_) => "diverged",
            Why::Breaker { .. } => "breaker",
        }
    }

    /// Since when; none where nothing says so.
    pub(crate) fn since(&self, agent: &Agent) -> Option<Moment> {
        match &self.why {
            Why::Aside(ending) => Some(ending.since),
            Why::Breaker { .. } => agent.rollbacks.last().copied(),
        }
    }
}
