//! When a version is asked for its health: one check at a time, and the next an interval after the answer.

use std::time::Duration;

use crate::mint::Cx;
use crate::{Command, HealthSettings, Moment, Ticket, VersionNumber};

/// How much longer than its own time limit a health check may take until it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckTurn {
    asked: Option<(Ticket, Moment)>,
    next_at: Moment,
}

impl CheckTurn {
    pub(crate) fn beginning_at(next_at: Moment) -> Self {
        Self {
            asked: None,
            next_at,
        }
    }

    /// When the next check is to be made, or the present one counts as lost.
    pub(crate) fn due(&self) -> Moment {
        self.asked.map_or(self.next_at, |(_, until)| until)
    }

    /// A check is made, and not answered yet.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks the version where it is time for that.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        number: VersionNumber,
        settings: &HealthSettings,
    ) {
        if self.due() > cx.now {
            return;
        }
        let ticket = cx.ticket();
        let wait = settings.timeout.saturating_add(PATIENCE);
        self.asked = Some((ticket, cx.now.after(wait)));
        cx.command(Command::CheckHealth {
            agent: cx.agent.clone(),
            ticket,
            number,
        });
    }

    /// Takes the answer to the check that is waited for; false for any other.
    pub(crate) fn answered(&mut self, now: Moment, ticket: Ticket, interval: Duration) -> bool {
        let is_it = self.asked.is_some_and(|(waits, _)| waits == ticket);
        if is_it {
            *self = Self::beginning_at(now.after(interval));
        }
        is_it
    }
}
