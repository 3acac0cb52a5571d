//! A scenario tick by tick: what a policy is asked, computed as the core computes it.

use caxton_rollout::{
    Context, Figures, Phase, Plan, ReloadMetrics, Series, Step, Strategy, Window,
};

use super::error::Problem;
use super::file::{Scenario, Tick};
use super::lay;

/// What a policy is asked at one tick, beside the windows, which [`Play::windows`] has.
#[derive(Debug, Clone)]
pub struct Question {
    /// From 1.
    pub tick: u64,
    /// Where the reload stands.
    pub context: Context,
    /// The whole in a few figures.
    pub metrics: ReloadMetrics,
    /// For a strategy policy: whether the rollback policies all said to proceed.
    pub fit: bool,
}

/// Walks through a scenario.
#[derive(Debug)]
pub struct Play<'a> {
    ticks: std::iter::Zip<std::ops::RangeFrom<u64>, std::slice::Iter<'a, Tick>>,
    series: Series,
    figures: Figures,
    callers: (u64, u64),
    share: Option<(Phase, u32, u8)>,
    course: Option<Course>,
}

/// Where a strategy policy has brought the reload.
#[derive(Debug, Clone)]
struct Course {
    plan: Plan,
    phase: Phase,
    stage: u32,
    split: u8,
    /// When the stage began, and what the candidate had answered by then.
    since_ms: u64,
    requests_then: u64,
    now_ms: u64,
    requests: u64,
    ended: bool,
}

impl<'a> Play<'a> {
    /// At the beginning.
    #[must_use]
    pub fn of(scenario: &'a Scenario) -> Self {
        Self {
            ticks: (1..).zip(&scenario.ticks),
            series: Series::default(),
            figures: Figures::default(),
            callers: (0, 0),
            share: None,
            course: None,
        }
    }

    /// The next tick; none at the end.
    pub fn tick(&mut self) -> Option<Question> {
        if self.course.as_ref().is_some_and(|course| course.ended) {
            return None;
        }
        let (number, tick) = self.ticks.next()?;
        let mut context = tick.context.clone();
        let mut window = tick.window.clone();
        if let Some(course) = &mut self.course {
            course.now_ms = window.end_ms;
            (context.phase, context.stage, context.split) =
                (course.phase, course.stage, course.split);
            context.stages = u32::try_from(course.plan.stages.len()).unwrap_or(u32::MAX);
            context.stage_elapsed_ms = window.end_ms.saturating_sub(course.since_ms);
            if !tick.split_written {
                window.split_wanted = course.split;
            }
        }
        let share = (context.phase, context.stage, context.split);
        if self.share.replace(share) != Some(share) {
            self.figures.begin_share();
        }
        self.measure(window);
        Some(Question {
            tick: number,
            context,
            metrics: self.figures.metrics(),
            fit: tick.fit,
        })
    }

    /// What was measured up to the last tick.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        self.series.windows()
    }

    fn measure(&mut self, window: Window) {
        if let Some(candidate) = &window.candidate {
            self.figures
                .add(window.stable.as_ref(), candidate, window.split_wanted);
            // Callers do not add up over windows: the largest is what is surely there.
            let (all, failing) = self.callers;
            self.callers = (
                all.max(candidate.callers),
                failing.max(candidate.failing_callers),
            );
            self.figures.set_callers(self.callers.0, self.callers.1);
            if let Some(course) = &mut self.course {
                course.requests = course.requests.saturating_add(candidate.requests);
            }
        }
        self.series.push(window);
    }

    /// The reload goes as this plan says from now on, and as [`Self::step`] is told.
    pub fn begin(&mut self, plan: Plan) {
        let (phase, split) = match plan.strategy {
            Strategy::TrafficSplitting => {
                let first = plan.stages.first().map_or(100, |stage| stage.split);
                (Phase::InProgress, first)
            }
            Strategy::Parallel => (Phase::InProgress, 0),
            Strategy::Graceful | Strategy::Immediate => (Phase::Baking, 100),
        };
        self.course = Some(Course {
            plan,
            phase,
            stage: 0,
            split,
            since_ms: 0,
            requests_then: 0,
            now_ms: 0,
            requests: 0,
            ended: false,
        });
    }

    /// Takes a strategy policy's step as far as the host would.
    pub fn step(&mut self, step: &Step, fit: bool) {
        if let Some(course) = &mut self.course {
            course.step(step, fit);
        }
    }
}

impl Course {
    fn step(&mut self, step: &Step, fit: bool) {
        match step {
            Step::Wait | Step::Hold(_) => {}
            Step::SetSplit(split) => {
                if self.phase == Phase::InProgress && (*split < self.split || fit) {
                    self.split = *split;
                }
            }
            Step::Advance if fit && self.has_lasted() => self.advance(),
            Step::Promote if fit => self.promote(),
            Step::Advance | Step::Promote => {}
        }
    }

    fn has_lasted(&self) -> bool {
        let stage = usize::try_from(self.stage)
            .ok()
            .and_then(|stage| self.plan.stages.get(stage));
        stage.is_none_or(|stage| {
            let lasted = u128::from(self.now_ms.saturating_sub(self.since_ms));
            let answered = self.requests.saturating_sub(self.requests_then);
            lasted >= stage.at_least.as_millis()
                && answered >= stage.at_least_requests
                && !stage.needs_operator
        })
    }

    fn advance(&mut self) {
        let next = self.stage.saturating_add(1);
        let stage = usize::try_from(next)
            .ok()
            .and_then(|next| self.plan.stages.get(next));
        match stage.map(|stage| stage.split) {
            Some(split) if self.phase == Phase::InProgress => {
                (self.stage, self.split) = (next, split);
                self.begin_stage();
            }
            _ => self.promote(),
        }
    }

    fn promote(&mut self) {
        if self.phase == Phase::Baking {
            self.ended = true;
        } else {
            (self.phase, self.split) = (Phase::Baking, 100);
            self.begin_stage();
        }
    }

    fn begin_stage(&mut self) {
        (self.since_ms, self.requests_then) = (self.now_ms, self.requests);
    }
}

/// What a strategy policy is handed as configured: the host's defaults, with what the scenario writes laid over them.
pub(super) fn configured(scenario: &Scenario, default: &Plan) -> Result<Plan, Problem> {
    lay::over(default, &scenario.plan, "plan")
}
