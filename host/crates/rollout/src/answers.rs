//! Answers to commands become facts. What follows from them is decided in `moves`.

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Progress, Reload};
use crate::{ErrorKind, Event, Fault, Happened, HealthOutcome, Plan, Ticket, ValidationError};

/// Faults are told at the first, when they become the operator's concern, and then once in so many, so that a policy
/// that fails each second does not fill the event stream.
pub(crate) const TELL_EVERY: u32 = 60;

/// So many faults in a row are shown to the operator.
pub(crate) const FAULTS_TO_SHOW: u32 = 4;

impl Agent {
    /// Takes an answer in; hands back the moves that it alone decides.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, event: Event) -> Vec<Move> {
        match event {
            Event::Pinned { ticket, result, .. } => {
                self.pinned(cx, ticket, result);
                Vec::new()
            }
            Event::Planned { ticket, plan, .. } => self.planned(cx, ticket, plan),
            Event::Prepared { ticket, .. } => {
                self.versions.prepared(ticket, true);
                Vec::new()
            }
            Event::PrepareFailed {
                ticket,
                error,
                hosts_fault,
                ..
            } => self.prepare_failed(cx, ticket, error, hosts_fault),
            Event::Health {
                ticket, outcome, ..
            } => {
                self.watched_health(cx, ticket, &outcome);
                self.health(cx, ticket, outcome);
                Vec::new()
            }
            Event::Drained { ticket, .. } => {
                self.versions.drained(ticket);
                Vec::new()
            }
            Event::HandedOver { ticket, result, .. } => {
                self.handed_over(cx, ticket, result);
                Vec::new()
            }
            Event::Cut { ticket, calls, .. } => {
                self.was_cut(cx, ticket, calls);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn pinned(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: Result<(), Fault>) {
        let Some(reload) = self.reload.as_mut() else {
            return;
        };
        let fault = result.err();
        if reload.answered(cx.now, ticket, fault.clone()) {
            reload.plan_fault(cx, fault);
        }
    }

    fn planned(&mut self, cx: &mut Cx<'_>, ticket: Ticket, plan: Result<Plan, Fault>) -> Vec<Move> {
        let Some(reload) = self.reload.as_mut() else {
            return Vec::new();
        };
        let plan = plan.and_then(|plan| reload.possible(plan));
        let fault = plan.as_ref().err().cloned();
        if !reload.answered(cx.now, ticket, fault.clone()) {
            return Vec::new();
        }
        reload.plan_fault(cx, fault);
        let Ok(plan) = plan else { return Vec::new() };
        let refused = reload.refuses(plan.strategy);
        reload.plan = Some(reload.bounded(plan));
        let fail = |error: ValidationError| Move::Fail {
            error: error.to_string(),
            kind: match error {
                ValidationError::SplitsState { .. } => ErrorKind::TrafficSplittingFailed,
                _ => ErrorKind::ValidationFailed,
            },
        };
        refused.map(fail).into_iter().collect()
    }

    fn prepare_failed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        error: String,
        hosts_fault: bool,
    ) -> Vec<Move> {
        let Some(number) = self.versions.prepared(ticket, false) else {
            return Vec::new();
        };
        self.not_up(cx, number, &error);
        if let Some(carry) = self.carry.as_mut().filter(|carry| carry.target == number) {
            carry.failed = Some(error);
            return Vec::new();
        }
        let kind = match self
            .reload
            .as_ref()
            .map(|reload| (&reload.progress, reload.number))
        {
            Some((Progress::Returning(back), _)) if back.target == number => {
                ErrorKind::RollbackFailed
            }
            Some((progress, coming))
                if coming == number && !matches!(progress, Progress::Returning(_)) =>
            {
                if hosts_fault {
                    ErrorKind::InsufficientResources
                } else {
                    ErrorKind::ValidationFailed
                }
            }
            _ => return Vec::new(),
        };
        vec![Move::Fail { error, kind }]
    }

    fn health(&mut self, cx: &mut Cx<'_>, ticket: Ticket, outcome: HealthOutcome) {
        let Some(reload) = self.reload.as_mut() else {
            return;
        };
        let (id, number, interval) = (reload.id, reload.number, reload.settings.health.interval);
        let checks = &mut reload.checks;
        if !checks.turn.answered(cx.now, ticket, interval) {
            return;
        }
        match outcome {
            HealthOutcome::Passed => {
                checks.passing_since.get_or_insert(cx.now);
                checks.failures_in_a_row = 0;
                checks.passed = checks.passed.saturating_add(1);
                checks.total = checks.total.saturating_add(1);
            }
            HealthOutcome::Failed(reason) => {
                checks.passing_since = None;
                checks.failures_in_a_row = checks.failures_in_a_row.saturating_add(1);
                checks.failures = checks.failures.saturating_add(1);
                checks.total = checks.total.saturating_add(1);
                checks.last_failure = Some(reason.clone());
                cx.tell(Some(id), Happened::HealthFailed { number, reason });
            }
            HealthOutcome::Busy => {}
        }
    }

    fn was_cut(&mut self, cx: &mut Cx<'_>, ticket: Ticket, calls: u64) {
        let Some(cause) = self.versions.was_cut(cx, ticket, calls) else {
            return;
        };
        if calls == 0 {
            return;
        }
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.id == cause) {
            reload.lost = reload.lost.saturating_add(calls);
        }
        self.amend(cx, cause, |result| {
            result.lost_requests = result.lost_requests.saturating_add(calls);
        });
    }
}

impl Reload {
    /// Counts what the strategy policy, or the lack of any policy, keeps the reload from.
    fn plan_fault(&mut self, cx: &mut Cx<'_>, fault: Option<Fault>) {
        let Some(fault) = fault else {
            self.plan_faults = 0;
            return;
        };
        self.plan_faults = self.plan_faults.saturating_add(1);
        if is_told(self.plan_faults) {
            tell_fault(cx, self.id, fault, true, self.plan_faults);
        }
    }
}

/// Whether this fault, counted in a row, is one that is told.
pub(crate) fn is_told(in_a_row: u32) -> bool {
    in_a_row == 1 || in_a_row == FAULTS_TO_SHOW || in_a_row.is_multiple_of(TELL_EVERY)
}

pub(crate) fn tell_fault(
    cx: &mut Cx<'_>,
    reload: crate::HotReloadId,
    fault: Fault,
    enforcing: bool,
    in_a_row: u32,
) {
    cx.tell(
        Some(reload),
        Happened::Fault {
            enforcing,
            fault,
            in_a_row,
        },
    );
}
