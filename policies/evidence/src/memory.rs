//! Memory: told in any case, and where it is to be judged, a rise that would reach the limit before the bake ends.

use caxton_policy::{Arm, Context, Finding, Phase, words};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Parts of the bake, each a twentieth.
const PARTS: u64 = 20;

/// The first parts are left out: caches fill.
const LEFT_OUT: u64 = 2;

/// So many parts are looked at, each against the one before it.
const LOOKED_AT: usize = 10;

/// In so many of them it must have risen.
const RISES: usize = 8;

/// One part to compare the first with, those that are looked at, and the one in progress.
const KEPT: usize = LOOKED_AT + 2;

/// The largest memory of an instance in each part of the bake.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Number of the part in progress, from 0.
    part: u64,
    /// The latest parts, the one in progress last.
    peaks: Vec<u64>,
    limit: u64,
}

impl Memory {
    /// Adds a tick that ended so long after the candidate's first traffic.
    pub(crate) fn add(&mut self, arm: &Arm, after_ms: u64, settings: &Settings) {
        if arm.memory_peak == 0 {
            return;
        }
        self.limit = arm.memory_limit;
        let part = after_ms.saturating_sub(1) / part_ms(settings);
        let begun = part.saturating_sub(self.part);
        let last = self.peaks.pop().unwrap_or(arm.memory_peak);
        if begun > 0 {
            // In parts in which there was no instance, nothing rose.
            let over = usize::try_from(begun).map_or(KEPT, |begun| begun.min(KEPT));
            self.peaks.extend(std::iter::repeat_n(last, over));
            self.part = part;
            self.peaks.push(arm.memory_peak);
        } else {
            self.peaks.push(arm.memory_peak.max(last));
        }
        let surplus = self.peaks.len().saturating_sub(KEPT);
        self.peaks.drain(..surplus);
    }

    /// How often it rose in the parts that are looked at, and what it comes to at the end of the bake; none before there are enough.
    fn projection(&self, context: &Context, settings: &Settings) -> Option<(usize, f64)> {
        let (_, over) = self.peaks.split_last()?;
        if self.part < LEFT_OUT + LOOKED_AT as u64 || over.len() <= LOOKED_AT {
            return None;
        }
        let rises = over
            .windows(2)
            .filter(|pair| matches!(pair, [a, b] if b > a))
            .count();
        let (first, last) = (*over.first()? as f64, *over.last()? as f64);
        let left_ms = match context.phase {
            Phase::Baking => bake_ms(settings).saturating_sub(context.stage_elapsed_ms),
            _ => bake_ms(settings),
        };
        let parts_left = left_ms as f64 / part_ms(settings) as f64;
        Some((rises, last + (last - first) / LOOKED_AT as f64 * parts_left))
    }

    fn rises_to_the_limit(&self, context: &Context, settings: &Settings) -> Option<f64> {
        self.projection(context, settings)
            .filter(|(rises, projected)| *rises >= RISES && *projected >= self.limit as f64)
            .map(|(_, projected)| projected)
    }

    /// Why it fires, in a sentence; none where it does not.
    pub(crate) fn told(&self, context: &Context, settings: &Settings) -> Option<String> {
        let projected = self.rises_to_the_limit(context, settings)?;
        Some(format!(
            "memory rose in at least {RISES} of {LOOKED_AT} parts of the bake and would be at {} at its end; the limit is {}",
            words::bytes(projected as u64),
            words::bytes(self.limit)
        ))
    }

    pub(crate) fn finding(&self, context: &Context, settings: &Settings) -> Option<Finding> {
        let latest = *self.peaks.last()?;
        let sample = self.part.saturating_add(1);
        let limit = self.limit as f64;
        Some(match self.projection(context, settings) {
            Some((rises, projected)) => Finding::new("memory", projected, limit, sample)
                .by("rising-windows", rises as f64)
                .breached(self.rises_to_the_limit(context, settings).is_some()),
            None => Finding::new("memory", latest as f64, limit, sample),
        })
    }
}

fn bake_ms(settings: &Settings) -> u64 {
    settings.bake_seconds.saturating_mul(1_000)
}

fn part_ms(settings: &Settings) -> u64 {
    (bake_ms(settings) / PARTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tick for each part of the default bake.
    fn after(peaks_mib: &[u64]) -> Memory {
        let settings = Settings::default();
        let mut memory = Memory::default();
        for (index, mib) in peaks_mib.iter().enumerate() {
            let arm = Arm {
                memory_peak: mib << 20,
                ..Arm::default()
            };
            memory.add(&arm, (index as u64 + 1) * 15_000, &settings);
        }
        memory
    }

    fn fires(memory: &Memory) -> bool {
        memory
            .told(&Context::default(), &Settings::default())
            .is_some()
    }

    #[test]
    fn a_steady_rise_to_the_limit_fires_and_not_before_it_is_known() {
        let rising: Vec<u64> = (0..14).map(|part| 20 + 2 * part).collect();
        assert!(!fires(&after(&rising[..12])));
        assert!(fires(&after(&rising[..13])));
        assert!(fires(&after(&rising)));
    }

    #[test]
    fn a_slow_rise_a_level_and_a_saw_do_not() {
        let slow: Vec<u64> = (0..14).map(|part| 10 + part).collect();
        assert!(!fires(&after(&slow)), "31 MiB at the end");
        assert!(!fires(&after(&[60; 14])));
        let saw: Vec<u64> = (0..14).map(|part| 40 + 4 * (part % 4) + part).collect();
        assert!(!fires(&after(&saw)));
        assert!(!fires(&after(&[
            30, 34, 40, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50
        ])));
    }

    #[test]
    fn a_long_silence_is_no_trouble() {
        let mut memory = after(&[20, 30]);
        let arm = Arm {
            memory_peak: 31 << 20,
            ..Arm::default()
        };
        memory.add(&arm, u64::MAX, &Settings::default());
        assert!(!fires(&memory));
        assert!(memory.peaks.len() <= KEPT);
    }
}
