//! One reload: where it stands and everything that was learnt about it. What follows from that is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::checks::CheckTurn;
use crate::figures::Figures;
use crate::series::Series;
use crate::steps::Swings;
use crate::{
    AgentName, Content, Evidence, Explanation, HotReloadId, Judgement, Moment, Plan, PolicyCall,
    PolicyMode, ReloadMetrics, Settings, StateReport, Strategy, Ticket, Verdict, VersionNumber,
    Window,
};

pub(crate) use crate::progress::{Asking, Back, By, Progress, Return};

/// How long an answer to `Pin`, `Plan` or `Judge` is waited for before it is asked for again: well beyond the deadline
/// that policies run under.
pub(crate) const ASK_PATIENCE: Duration = Duration::from_secs(60);

/// How long after a fault of a policy it is asked again while a reload waits for it.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long an unproven version is watched after it completed, at most.
pub(crate) const ARMED: Duration = Duration::from_secs(24 * 60 * 60);

/// A candidate whose health failed this often in a row is given up before it gets traffic.
pub(crate) const HEALTH_FAILURES: u32 = 3;

/// A candidate whose health failed this often before its checks passed for long enough is given up, too: one that is
/// well now and then would start for ever.
pub(crate) const HEALTH_FAILURES_IN_ALL: u32 = 6;

/// The step forward that the strategy policy wants; it is taken once what the plan promises is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To the next stage.
    Advance,
    /// To all traffic, or to the end of the bake.
    Promote,
}

/// How far an operator has pushed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pushed {
    No,
    /// To all traffic.
    Traffic,
    /// To the end.
    Through,
}

/// A policy within one reload.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    pub(crate) mode: PolicyMode,
    pub(crate) settings: String,
    pub(crate) state: Arc<[u8]>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) why: Explanation,
    pub(crate) faults: u32,
    /// When the first of them was.
    pub(crate) faulty_since: Moment,
    /// How often there was something new to tell of it.
    pub(crate) news: u32,
    pub(crate) at: Moment,
}

impl Judge {
    pub(crate) fn new(mode: PolicyMode, settings: String) -> Self {
        Self {
            mode,
            settings,
            state: Arc::default(),
            verdict: None,
            why: Explanation::default(),
            faults: 0,
            faulty_since: Moment::default(),
            news: 0,
            at: Moment::default(),
        }
    }

    pub(crate) fn call(&self, name: &str) -> PolicyCall {
        PolicyCall {
            name: name.to_owned(),
            mode: self.mode,
            settings: self.settings.clone(),
            state: self.state.clone(),
        }
    }
}

/// What the last complete round of judging gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Round {
    pub(crate) at: Moment,
    /// Since when rounds give this kind of judgement.
    pub(crate) since: Moment,
    pub(crate) judgement: Judgement,
    /// False where nobody answered and that was taken for a fault.
    pub(crate) answered: bool,
    pub(crate) strategy_faulty: bool,
    /// What the plan promises of the present stage was kept then.
    pub(crate) lasted: bool,
}

/// Health checks of the candidate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    pub(crate) turn: CheckTurn,
    pub(crate) passing_since: Option<Moment>,
    pub(crate) failures_in_a_row: u32,
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<String>,
    /// Since the last window.
    pub(crate) passed: u32,
    pub(crate) total: u32,
}

/// Calls and failures of the candidate as the built-in guard sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streak {
    /// Calls that all failed, up to now.
    pub(crate) failed: u64,
}

/// One reload.
#[derive(Debug, Clone)]
pub(crate) struct Reload {
    pub(crate) agent: AgentName,
    pub(crate) id: HotReloadId,
    pub(crate) number: VersionNumber,
    pub(crate) content: Content,
    /// The permanent version when it began: target, baseline and comparison.
    pub(crate) stable: Option<VersionNumber>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) seed: u64,
    /// The reload that the end of the host interrupted and that this one begins again.
    pub(crate) continues: Option<HotReloadId>,
    pub(crate) started: Moment,
    pub(crate) since: Moment,
    /// Since when nothing has moved, times of standing still taken out.
    pub(crate) progress_at: Moment,
    pub(crate) progress: Progress,
    pub(crate) has_slot: bool,
    pub(crate) has_pins: bool,
    pub(crate) told_waiting: bool,
    /// It has all traffic since before this reload began: its successor came to nothing.
    pub(crate) serves_already: bool,
    pub(crate) paused: bool,
    pub(crate) pushed: Pushed,
    pub(crate) plan: Option<Plan>,
    pub(crate) plan_faults: u32,
    /// Stays until an operator acts, for this reason.
    pub(crate) held: Option<(String, Moment)>,
    pub(crate) wish: Option<Wish>,
    pub(crate) swings: Swings,
    pub(crate) strategy: Judge,
    pub(crate) strategy_again_at: Moment,
    pub(crate) judges: BTreeMap<String, Judge>,
    pub(crate) judging: Option<(Ticket, Moment)>,
    /// It has moved on since that was asked: the next step was meant for where it stood before.
    pub(crate) moved_on: bool,
    /// The one question to those that monitor that is not answered, and until when its answer is waited for. Until then
    /// they are asked nothing else: however slow one is, what runs for it stays one round.
    pub(crate) monitoring: Option<(Ticket, Moment)>,
    pub(crate) round: Option<Round>,
    pub(crate) checks: Checks,
    pub(crate) streak: Streak,
    pub(crate) series: Series,
    pub(crate) figures: Figures,
    pub(crate) baseline: Option<Window>,
    /// The figures of a reload that had completed and is taken up again to be rolled back.
    pub(crate) earlier: Option<ReloadMetrics>,
    /// The candidate has answered something, a request or a copy.
    pub(crate) has_figures: bool,
    pub(crate) evidence: Evidence,
    pub(crate) lost: u64,
    /// What the candidate began with.
    pub(crate) state: Option<StateReport>,
}

impl Reload {
    /// A first deployment has nothing to be compared with and nothing to go back to.
    pub(crate) fn is_first(&self) -> bool {
        self.stable.is_none()
    }

    pub(crate) fn metrics(&self) -> ReloadMetrics {
        self.earlier
            .clone()
            .unwrap_or_else(|| self.figures.metrics())
    }

    /// Whether policies have a say after the swap.
    pub(crate) fn is_judged(&self) -> bool {
        !self.is_first() && self.settings.rollback.enabled
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.plan
            .as_ref()
            .map_or(self.settings.reload.strategy, |plan| plan.strategy)
    }

    pub(crate) fn drain(&self) -> Duration {
        let configured = self.settings.reload.drain_timeout;
        self.plan.as_ref().map_or(configured, |plan| plan.drain)
    }

    pub(crate) fn enforcing(&self) -> impl Iterator<Item = (&String, &Judge)> {
        self.judges
            .iter()
            .filter(|(_, judge)| judge.mode == PolicyMode::Enforce)
    }

    pub(crate) fn at_fault(&self) -> bool {
        self.enforcing().any(|(_, judge)| judge.faults > 0)
    }

    pub(crate) fn bake_end(&self) -> Moment {
        self.since
            .after(self.plan.as_ref().map_or(Duration::ZERO, |plan| plan.bake))
    }

    /// Ready, and waiting for an operator or a policy: it does no work that a slot is for.
    pub(crate) fn waits_for_others(&self) -> bool {
        match &self.progress {
            Progress::Starting { planned } => {
                self.paused || self.held.is_some() || planned.fault().is_some()
            }
            _ => false,
        }
    }

    /// While it waits for others, the deadline waits too.
    pub(crate) fn stands_still(&self) -> bool {
        let waits = match &self.progress {
            Progress::Pending { .. } => true,
            Progress::Starting { planned } => !matches!(planned, Asking::Done),
            Progress::Splitting(split) => {
                split.ordered || self.waits_for_operator() || self.waits_for_policy()
            }
            Progress::Listening(_) => self.waits_for_policy(),
            _ => false,
        };
        waits || self.paused || self.held.is_some()
    }

    /// When `on_inconclusive` decides; none while nothing is waited for, or the wait is not the candidate's.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let runs = matches!(
            self.progress,
            Progress::Preparing
                | Progress::Starting { .. }
                | Progress::Splitting(_)
                | Progress::Listening(_)
        );
        (runs && !self.stands_still())
            .then(|| self.progress_at.after(self.settings.reload.deadline))
    }

    /// When its health has passed for long enough; none while it does not pass.
    pub(crate) fn warm_at(&self) -> Option<Moment> {
        if self.serves_already {
            return Some(self.since);
        }
        let warm_up = self
            .plan
            .as_ref()
            .map_or(Duration::ZERO, |plan| plan.warm_up);
        let warm_up = if self.pushed > Pushed::No {
            Duration::ZERO
        } else {
            warm_up
        };
        let since = if self.content.has_health {
            self.checks.passing_since?
        } else {
            self.since
        };
        Some(since.after(warm_up))
    }

    /// Why its health gives no hope; none while it does.
    pub(crate) fn hopeless(&self) -> Option<String> {
        let checks = &self.checks;
        let last = checks.last_failure.as_ref()?;
        if checks.failures_in_a_row >= HEALTH_FAILURES {
            let times = checks.failures_in_a_row;
            return Some(format!(
                "its health check failed {times} times in a row: {last}"
            ));
        }
        (checks.failures >= HEALTH_FAILURES_IN_ALL).then(|| {
            format!(
                "its health check failed {} times before it got traffic: {last}",
                checks.failures
            )
        })
    }

    pub(crate) fn checks_health(&self) -> bool {
        use Progress::{Baking, Starting, Unproven};
        let watched = matches!(self.progress, Starting { .. } | Baking | Unproven { .. });
        (watched || self.progress.is_on_trial()) && self.content.has_health
    }
}
