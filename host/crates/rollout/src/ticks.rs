//! What was measured, and the question to the policies that follows from it.

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{ASK_PATIENCE, Progress, Reload};
use crate::series::share;
use crate::{Arm, Command, Measure, Moment, PolicyCall, PolicyMode, Window};

impl Agent {
    /// Adds one interval to what is known, and asks for judgement where it is time to.
    pub(crate) fn measure(
        &mut self,
        cx: &mut Cx<'_>,
        start: Moment,
        end: Moment,
        versions: &[Measure],
    ) -> Vec<Move> {
        if end <= start {
            return Vec::new();
        }
        let of = |number| {
            versions
                .iter()
                .find(|measure| Some(measure.number) == number)
        };
        if let Some(measure) = of(self.permanent).filter(|_| self.serving == self.permanent) {
            self.recent.push(start, end, &measure.arm);
        }
        if let Some((number, measure)) = self.serving.zip(of(self.serving)) {
            self.versions.answered(number, measure.arm.requests);
        }
        self.versions.measured(versions);
        self.measure_tail(cx, versions);
        if let Some(reload) = self.reload.as_mut() {
            // What it finishes after a swap began before it and is the slow rest: no figure to hold a candidate against.
            let routed = reload.stable.filter(|stable| self.serving == Some(*stable));
            let stable = routed.map(|stable| {
                of(Some(stable)).map_or_else(Arm::default, |measure| measure.arm.clone())
            });
            reload.measure(start, end, stable, of(Some(reload.number)));
        }
        self.ask_judgement(cx);
        Vec::new()
    }

    /// What a version answered before it was gone back from, and was counted only now.
    fn measure_tail(&mut self, cx: &mut Cx<'_>, versions: &[Measure]) {
        let Some((id, bad)) = self.tail else { return };
        let of = versions.iter().find(|measure| measure.number == bad);
        let more = of.map_or(0, |measure| measure.arm.requests);
        if more > 0 {
            self.amend(cx, id, |result| {
                if let Some(state) = &mut result.state {
                    state.calls_since = state.calls_since.map(|calls| calls.saturating_add(more));
                }
            });
        }
    }

    fn ask_judgement(&mut self, cx: &mut Cx<'_>) {
        if self.carry.is_some() {
            return;
        }
        let Some(context) = self.context(cx.now) else {
            return;
        };
        let Some(reload) = self.reload.as_mut().filter(|reload| reload.is_judged()) else {
            return;
        };
        let unproven = match reload.progress {
            Progress::Splitting(_) | Progress::Listening(_) | Progress::Baking => false,
            Progress::Unproven { .. } => true,
            _ => return,
        };
        if let Some((_, until)) = reload.judging {
            if until > cx.now {
                return;
            }
            reload.unanswered(cx);
        }
        let ticket = cx.ticket();
        let until = cx.now.after(ASK_PATIENCE);
        reload.judging = Some((ticket, until));
        reload.moved_on = false;
        let monitors = reload.may_ask_monitors(cx);
        if monitors {
            reload.monitoring = Some((ticket, until));
        }
        let asked = |call: &PolicyCall| monitors || call.mode == PolicyMode::Enforce;
        let rollback = reload.rollback_calls().into_iter().filter(asked);
        let asks_strategy = !unproven && reload.strategy_again_at <= cx.now;
        cx.command(Command::Judge {
            agent: self.name.clone(),
            ticket,
            reload: reload.id,
            context: Box::new(context),
            metrics: reload.figures.metrics(),
            windows: reload.series.windows().into(),
            rollback: rollback.collect(),
            strategy: asks_strategy.then(|| reload.strategy_call()),
        });
    }
}

impl Reload {
    fn measure(
        &mut self,
        start: Moment,
        end: Moment,
        stable: Option<Arm>,
        measure: Option<&Measure>,
    ) {
        if matches!(self.progress, Progress::Returning(_)) || end <= self.started {
            return;
        }
        let began = !matches!(
            self.progress,
            Progress::Pending { .. } | Progress::Preparing
        );
        let listens = matches!(self.progress, Progress::Listening(_));
        let heard = measure.and_then(|measure| measure.mirrored.clone());
        let heard = listens.then(|| heard.unwrap_or_default());
        let candidate = (began || measure.is_some()).then(|| {
            // What a listener does is no traffic, whatever it was counted as.
            let live = measure.filter(|_| !listens);
            let mut arm = live.map_or_else(Arm::default, |measure| measure.arm.clone());
            arm.health_passed = std::mem::take(&mut self.checks.passed);
            arm.health_total = std::mem::take(&mut self.checks.total);
            arm
        });
        let split = self.split();
        if let Some(candidate) = &candidate {
            self.figures.add(stable.as_ref(), candidate, split);
            self.watch(stable.as_ref(), candidate);
            let copies = heard.as_ref().map_or(0, |heard| heard.arm.requests);
            self.count_in_stage(start, candidate.requests, copies);
        }
        if let Some(measure) = measure {
            self.figures
                .set_callers(measure.callers, measure.failing_callers);
        }
        self.series.push(Window {
            start_ms: start.0.saturating_sub(self.started.0),
            end_ms: end.0.saturating_sub(self.started.0),
            split_wanted: split,
            split_actual: share(stable.as_ref(), candidate.as_ref()),
            warm_up: split == 0 && !self.progress.is_on_trial(),
            stable,
            candidate,
            mirrored_mismatches: heard.as_ref().map_or(0, |heard| heard.mismatches),
            mirrored: heard.map(|heard| heard.arm),
        });
    }

    /// Counts for the built-in guard. Counts do not tell the order inside an interval, so that only intervals in which
    /// every call failed count, and one answered call begins anew; so does a stable version that fails just the same.
    fn watch(&mut self, stable: Option<&Arm>, candidate: &Arm) {
        let all_failed = |arm: &Arm| arm.requests > 0 && arm.failures >= arm.requests;
        if candidate.requests == 0 {
            return;
        }
        self.streak.failed = if all_failed(candidate) && !stable.is_some_and(all_failed) {
            self.streak.failed.saturating_add(candidate.requests)
        } else {
            0
        };
    }
}
