//! Health checks of the permanent version, for as long as it serves: that it is not well is told once, and shown until it is well
//! again. As many failed ones in a row as end a reload are no accident; nothing is decided by them. During a reload the candidate is checked for those who judge it, and the permanent version here.

use crate::agent::Agent;
use crate::checks::CheckTurn;
use crate::mint::Cx;
use crate::reload::HEALTH_FAILURES;
use crate::{Attention, Happened, HealthOutcome, HealthSettings, Moment, Ticket, VersionNumber};

/// What is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    number: VersionNumber,
    pub(crate) turn: CheckTurn,
    failures_in_a_row: u32,
    /// Since when, and what the last check said.
    unwell: Option<(Moment, String)>,
}

impl Watch {
    fn of(number: VersionNumber, next_at: Moment) -> Self {
        Self {
            number,
            turn: CheckTurn::beginning_at(next_at),
            failures_in_a_row: 0,
            unwell: None,
        }
    }
}

impl Agent {
    /// Asks the permanent version for its health when that is due.
    pub(crate) fn watch_health(&mut self, cx: &mut Cx<'_>) {
        let Some(number) = self.watched() else {
            self.watch = None;
            return;
        };
        let health = self.health_settings();
        let first = cx.now.after(health.interval);
        let before = self.watch.take().filter(|watch| watch.number == number);
        let watch = self
            .watch
            .insert(before.unwrap_or_else(|| Watch::of(number, first)));
        watch.turn.ask(cx, number, &health);
    }

    /// The permanent version, where it serves, has a check, and is not checked as a candidate.
    fn watched(&self) -> Option<VersionNumber> {
        let number = self.permanent.filter(|_| self.serving == self.permanent)?;
        let is_candidate = self
            .reload
            .as_ref()
            .is_some_and(|reload| reload.number == number && reload.checks_health());
        let content = self.versions.content(number)?;
        (content.has_health && !is_candidate).then_some(number)
    }

    fn health_settings(&self) -> HealthSettings {
        let wanted = self.wanted.as_ref();
        wanted.map_or_else(HealthSettings::default, |wanted| {
            wanted.settings.health.clone()
        })
    }

    /// Takes the answer to a check of the permanent version; any other is none of it.
    pub(crate) fn watched_health(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        outcome: &HealthOutcome,
    ) {
        let interval = self.health_settings().interval;
        let Some(watch) = self.watch.as_mut() else {
            return;
        };
        if !watch.turn.answered(cx.now, ticket, interval) {
            return;
        }
        match outcome {
            HealthOutcome::Passed => {
                watch.failures_in_a_row = 0;
                watch.unwell = None;
            }
            HealthOutcome::Failed(reason) => {
                watch.failures_in_a_row = watch.failures_in_a_row.saturating_add(1);
                if watch.failures_in_a_row < HEALTH_FAILURES {
                    return;
                }
                let number = watch.number;
                let since = match &watch.unwell {
                    Some((since, _)) => *since,
                    None => {
                        let reason = reason.clone();
                        cx.tell(None, Happened::HealthFailed { number, reason });
                        cx.now
                    }
                };
                watch.unwell = Some((since, reason.clone()));
            }
            HealthOutcome::Busy => {}
        }
    }

    pub(crate) fn unwell_attention(&self) -> Option<Attention> {
        let watch = self.watch.as_ref()?;
        let (since, reason) = watch.unwell.as_ref()?;
        let (name, number) = (&self.name, watch.number);
        let command = match self.kept_before(number) {
            Some(_) => format!("caxton rollback {name}"),
            None => format!("caxton logs {name}"),
        };
        Some(Attention {
            kind: "unhealthy",
            since: *since,
            text: format!("version {number} says that it is not well: {reason}; it serves on"),
            command,
        })
    }
}
