//! What versions answer, tick by tick.

use caxton_rollout::{Arm, Event, Measure, Moment};

use crate::books::Broken;
use crate::chance::heard;
use crate::simulation::Simulation;

impl Simulation {
    /// One host tick of an agent: what its versions have answered, and now and then one that keeps crashing.
    pub(crate) fn tick(&mut self, agent: usize) -> Result<(), Broken> {
        let Some(agent) = self.agents.get(agent).cloned() else {
            return Ok(());
        };
        let live = self.world.fleet.live(&agent);
        if live.is_empty() {
            return Ok(());
        }
        let traffic = self.world.books.get(&agent).and_then(|books| books.traffic);
        let versions = live.into_iter().map(|number| {
            let split = traffic.and_then(|traffic| traffic.split);
            let split = split.filter(|split| split.candidate == number);
            let requests = if traffic.is_some_and(|traffic| traffic.serving == number) {
                self.rng.below(30)
            } else {
                split.map_or(0, |split| self.rng.below(1 + u64::from(split.percent) / 3))
            };
            let listens = traffic.is_some_and(|traffic| traffic.listener == Some(number));
            let failures = if self.rng.percent(15) {
                requests
            } else {
                self.rng.below(requests / 4 + 1)
            };
            let arm = Arm {
                requests,
                failures,
                latency_total_us: requests * 900,
                ..Arm::default()
            };
            Measure {
                number,
                arm,
                callers: requests,
                failing_callers: failures,
                mirrored: listens.then(|| heard(&mut self.rng)),
            }
        });
        let versions: Vec<Measure> = versions.collect();
        let crashes = versions.first().map(|measure| measure.number);
        let end = self.world.now;
        let start = Moment(end.0.saturating_sub(1_000));
        if let Some(number) = crashes.filter(|_| self.faults && self.rng.below(150) == 0) {
            let (agent, reason) = (agent.clone(), "5 traps in 60 s".to_owned());
            self.world.tell(Event::CrashLoop {
                agent,
                number,
                reason,
            })?;
        }
        self.world.tell(Event::Measured {
            agent,
            start,
            end,
            versions,
        })
    }
}
