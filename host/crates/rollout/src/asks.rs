//! The questions that are due: which policies to hold, what the plan is, how the candidate's health is.

use std::time::Duration;

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::{LONGEST_WAIT, LONGEST_WATCH};
use crate::reload::{ASK_AGAIN, ASK_PATIENCE, Asking, Progress, Pushed, Reload};
use crate::stages::count;
use crate::versions::described;
use crate::{
    Attempt, Command, Context, Explanation, Fault, Moment, Phase, Plan, PolicyCall, Strategy,
};

/// How long health must pass before any traffic where nothing was written and there is a check to make.
const WARM_UP: Duration = Duration::from_secs(10);

/// How many earlier reloads a policy sees, as the contract says.
const MAX_ATTEMPTS: usize = 16;

impl Agent {
    /// Sends what is due. It changes nothing but what is waited for.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>) {
        let due = self.reload.as_ref().map(|reload| &reload.progress);
        match due {
            Some(Progress::Pending { pinned }) if pinned.is_due(cx.now) => self.ask_pin(cx),
            Some(Progress::Starting { planned }) if planned.is_due(cx.now) => self.ask_plan(cx),
            _ => {}
        }
        self.watch_health(cx);
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.checks_health()) {
            let turn = &mut reload.checks.turn;
            turn.ask(cx, reload.number, &reload.settings.health);
        }
    }

    fn ask_pin(&mut self, cx: &mut Cx<'_>) {
        let Some(reload) = self.reload.as_mut() else {
            return;
        };
        let ticket = cx.ticket();
        reload.has_pins = true;
        reload.await_answer(cx.now, ticket);
        let (agent, id, continues) = (self.name.clone(), reload.id, reload.continues);
        let (strategy, rollback) = (reload.strategy_call(), reload.rollback_calls());
        cx.command(Command::Pin {
            agent,
            ticket,
            reload: id,
            strategy,
            rollback,
            continues,
        });
    }

    fn ask_plan(&mut self, cx: &mut Cx<'_>) {
        let Some(context) = self.context(cx.now) else {
            return;
        };
        let Some(reload) = self.reload.as_mut() else {
            return;
        };
        let ticket = cx.ticket();
        reload.await_answer(cx.now, ticket);
        cx.command(Command::Plan {
            agent: self.name.clone(),
            ticket,
            reload: reload.id,
            context: Box::new(context),
            configured: reload.configured(),
            policy: reload.strategy_call(),
        });
    }

    /// What a policy is told about the reload that goes on; none where none does.
    pub(crate) fn context(&self, now: Moment) -> Option<Context> {
        let reload = self.reload.as_ref()?;
        let phase = match reload.progress {
            Progress::Pending { .. } | Progress::Preparing => Phase::Preparing,
            Progress::Starting { .. } => Phase::Starting,
            Progress::Splitting(_) | Progress::Listening(_) | Progress::HandingOver(_) => {
                Phase::InProgress
            }
            _ => Phase::Baking,
        };
        let millis = |earlier: Moment| now.0.saturating_sub(earlier.0);
        let stable = reload
            .stable
            .and_then(|n| Some(described(n, &self.versions.content(n)?)));
        let attempt = |past: &std::sync::Arc<crate::Past>| Attempt {
            version: past.version.clone(),
            outcome: past.outcome,
            reason: past.reason(),
            ended_ms_ago: millis(past.result.completed_at),
        };
        Some(Context {
            reload_id: reload.id.to_string(),
            deadline_ms: reload
                .deadline()
                .map(|deadline| deadline.0.saturating_sub(now.0)),
            paused: reload.paused,
            agent: self.name.to_string(),
            stable,
            candidate: described(reload.number, &reload.content),
            stateful: reload.content.stateful,
            phase,
            stage: reload.stage_index(),
            stages: count(reload.stages().len()),
            stage_elapsed_ms: millis(reload.since),
            elapsed_ms: millis(reload.started),
            split: reload.split(),
            baseline: reload.baseline.clone(),
            // One that has completed and is watched on stands in the history, too, and is no earlier one.
            history: self
                .history
                .iter()
                .filter(|past| past.result.id != reload.id)
                .take(MAX_ATTEMPTS)
                .map(attempt)
                .collect(),
            seed: reload.seed,
        })
    }
}

impl crate::Past {
    fn reason(&self) -> String {
        let said = self
            .result
            .rollback_reason
            .as_ref()
            .or(self.result.error.as_ref());
        said.cloned().unwrap_or_default()
    }
}

impl Reload {
    /// Per cent of new requests that are meant for the candidate.
    pub(crate) fn split(&self) -> u8 {
        match self.progress {
            Progress::Splitting(split) => split.percent,
            Progress::Baking | Progress::Unproven { .. } => 100,
            _ if self.serves_already => 100,
            _ => 0,
        }
    }

    /// The question to the outside that this reload waits with, if it does.
    fn asking(&mut self) -> Option<&mut Asking> {
        match &mut self.progress {
            Progress::Pending { pinned: asking } | Progress::Starting { planned: asking } => {
                Some(asking)
            }
            _ => None,
        }
    }

    fn await_answer(&mut self, now: Moment, ticket: crate::Ticket) {
        if let Some(asking) = self.asking() {
            *asking = Asking::Asked {
                ticket,
                until: now.after(ASK_PATIENCE),
            };
        }
    }

    /// Takes the answer to a question that is waited for; false for any other.
    pub(crate) fn answered(
        &mut self,
        now: Moment,
        ticket: crate::Ticket,
        fault: Option<Fault>,
    ) -> bool {
        let Some(asking) = self.asking().filter(|asking| asking.waits_for(ticket)) else {
            return false;
        };
        *asking = match fault {
            None => Asking::Done,
            Some(fault) => Asking::Faulty {
                fault,
                again_at: now.after(ASK_AGAIN),
            },
        };
        true
    }

    pub(crate) fn strategy_call(&self) -> PolicyCall {
        self.strategy.call(&self.settings.reload.policy)
    }

    pub(crate) fn rollback_calls(&self) -> Vec<PolicyCall> {
        self.judges
            .iter()
            .map(|(name, judge)| judge.call(name))
            .collect()
    }

    /// What the configuration says, before the strategy policy had its say.
    pub(crate) fn configured(&self) -> Plan {
        let configured = &self.settings.reload;
        let warm_up = if self.content.has_health {
            WARM_UP
        } else {
            Duration::ZERO
        };
        // With nothing that serves yet there is nothing to split with or to listen beside.
        let strategy = if self.is_first() {
            Strategy::Graceful
        } else {
            configured.strategy
        };
        self.bounded(Plan {
            strategy,
            warm_up: configured.warm_up.unwrap_or(warm_up),
            drain: configured.drain_timeout,
            stages: self.configured_stages(strategy),
            bake: configured.bake,
            keep_previous: configured.keep_previous,
            preserve_state: self.content.stateful,
            why: Explanation {
                code: "configured".to_owned(),
                summary: "as the agent's configuration says".to_owned(),
                findings: Vec::new(),
            },
        })
    }

    /// The plan within the bounds of the contract, and without a bake where nobody judges.
    pub(crate) fn bounded(&self, plan: Plan) -> Plan {
        Plan {
            warm_up: plan.warm_up.min(LONGEST_WAIT),
            drain: plan.drain.min(LONGEST_WAIT),
            bake: if self.is_judged() {
                plan.bake.min(LONGEST_WATCH)
            } else {
                Duration::ZERO
            },
            keep_previous: plan.keep_previous.min(LONGEST_WATCH),
            ..plan
        }
    }

    /// What it waits for that is not its own doing; none where it goes on.
    pub(crate) fn waits_for(&self, has_room: bool) -> Option<Waits> {
        let asking = match &self.progress {
            Progress::Pending { pinned: asking } | Progress::Starting { planned: asking } => asking,
            _ => return None,
        };
        if let Some(fault) = asking.fault().filter(|_| self.pushed == Pushed::No) {
            return Some(Waits::Policy(fault.to_string()));
        }
        let pending = matches!(self.progress, Progress::Pending { .. });
        if !pending || (*asking != Asking::Done && self.pushed == Pushed::No) {
            return None;
        }
        Some(if has_room { Waits::Slot } else { Waits::Older })
    }
}

/// What a reload waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Waits {
    Policy(String),
    Slot,
    Older,
}

impl Waits {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Policy(_) => "waiting-for-policy",
            Self::Slot => "waiting-for-slot",
            Self::Older => "waiting-for-older-versions",
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Policy(fault) => format!("the reload waits for a policy: {fault}"),
            Self::Slot => "the reload waits until fewer versions are prepared at once".to_owned(),
            Self::Older => {
                "the reload waits until older versions have ended their calls".to_owned()
            }
        }
    }
}
