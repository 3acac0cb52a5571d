//! Plans: what the configuration says, and what of a policy's plan is possible.

use crate::reload::Reload;
use crate::{Fault, FaultKind, Plan, Stage, Strategy, ValidationError};

/// How many stages a plan has at most, as the contract says.
pub const MAX_STAGES: usize = 32;

impl Reload {
    /// The stages of a strategy as they are configured; one that lasts until somebody ends it where shares do not progress.
    pub(crate) fn configured_stages(&self, strategy: Strategy) -> Vec<Stage> {
        let configured = &self.settings.reload;
        match strategy {
            Strategy::TrafficSplitting if configured.progressive => configured.stages.clone(),
            Strategy::TrafficSplitting => vec![Stage {
                needs_operator: true,
                ..Stage::of(configured.split)
            }],
            _ => Vec::new(),
        }
    }

    /// The plan with its stages; a fault where nothing can be done with it.
    pub(crate) fn possible(&self, mut plan: Plan) -> Result<Plan, Fault> {
        if plan.strategy != Strategy::TrafficSplitting {
            plan.stages.clear();
        } else if plan.stages.is_empty() {
            plan.stages = self.configured_stages(plan.strategy);
        }
        let wrong = wrong_stages(&plan)
            .map(str::to_owned)
            // What is configured and impossible fails the reload; what only the policy wants is the policy's fault.
            .or_else(|| {
                let own = plan.strategy != self.settings.reload.strategy;
                let refused = self.refuses(plan.strategy).filter(|_| own);
                refused.map(|refused| refused.to_string())
            });
        wrong.map_or(Ok(plan), |message| {
            Err(Fault {
                policy: self.settings.reload.policy.clone(),
                kind: FaultKind::Nonsense,
                message,
            })
        })
    }

    /// Why a version of this agent cannot come in like this.
    pub(crate) fn refuses(&self, strategy: Strategy) -> Option<ValidationError> {
        let agent = self.agent.clone();
        if strategy.is_multi_version() && !self.is_judged() {
            return Some(ValidationError::NoRollback { agent, strategy });
        }
        let splits = strategy == Strategy::TrafficSplitting;
        (splits && self.content.stateful).then_some(ValidationError::SplitsState { agent })
    }

    pub(crate) fn stage_index(&self) -> u32 {
        self.stage()
            .map_or(0, |(_, split)| crate::stages::count(split.stage))
    }
}

fn wrong_stages(plan: &Plan) -> Option<&'static str> {
    let splits = plan.strategy == Strategy::TrafficSplitting;
    let rise = |pair: &[Stage]| match pair {
        [before, after] => before.split < after.split,
        _ => true,
    };
    if splits && (plan.stages.is_empty() || plan.stages.len() > MAX_STAGES) {
        return Some("a plan for traffic-splitting has 1 to 32 stages");
    }
    if !plan
        .stages
        .iter()
        .all(|stage| (1..=99).contains(&stage.split))
    {
        return Some("the share of a stage is 1 to 99 per cent");
    }
    (!plan.stages.windows(2).all(rise)).then_some("shares rise from stage to stage")
}
