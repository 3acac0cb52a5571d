//! A reload as it begins: nothing is known of it yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mint::Cx;
use crate::reload::{Asking, Checks, Judge, Progress, Pushed, Reload, Streak};
use crate::{Content, Evidence, HotReloadId, Moment, PolicyMode, Settings, VersionNumber};

impl Reload {
    pub(crate) fn new(
        cx: &mut Cx<'_>,
        id: HotReloadId,
        number: VersionNumber,
        content: Content,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            agent: cx.agent.clone(),
            id,
            number,
            content,
            stable: None,
            seed: cx.seed(),
            continues: None,
            started: cx.now,
            since: cx.now,
            progress_at: cx.now,
            progress: Progress::Pending {
                pinned: Asking::Due,
            },
            has_slot: false,
            has_pins: false,
            told_waiting: false,
            serves_already: false,
            paused: false,
            pushed: Pushed::No,
            plan: None,
            plan_faults: 0,
            held: None,
            wish: None,
            swings: crate::steps::Swings::default(),
            strategy: Judge::new(PolicyMode::Enforce, settings.reload.policy_settings.clone()),
            strategy_again_at: Moment::default(),
            judges: BTreeMap::new(),
            judging: None,
            moved_on: false,
            monitoring: None,
            round: None,
            checks: Checks::default(),
            streak: Streak::default(),
            series: crate::series::Series::default(),
            figures: crate::figures::Figures::default(),
            baseline: None,
            earlier: None,
            has_figures: false,
            evidence: Evidence::None,
            lost: 0,
            state: None,
            settings,
        }
    }

    /// The rollback policies that are asked in this reload.
    pub(crate) fn take_policies(&mut self) {
        if !self.is_judged() {
            return;
        }
        for policy in &self.settings.rollback.policies {
            if policy.mode != PolicyMode::Off {
                let judge = Judge::new(policy.mode, policy.settings.clone());
                self.judges.entry(policy.name.clone()).or_insert(judge);
            }
        }
    }
}
