//! When an instance that trapped may be replaced, and when traps are a crash loop: a state machine without a clock.
//!
//! The first replacement comes at once, since most traps are a single call's. While traps follow each other the next one waits
//! twice as long each time, up to a bound, and a little less by chance, so that versions that trap for a common reason do not all
//! come back in the same moment.

use std::collections::VecDeque;
use std::time::Duration;

/// The second replacement in a row waits this long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// No replacement waits longer: callers are shed meanwhile, and what was wrong outside may be right again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After so long without a trap the next one is the first again.
const CALM: Duration = Duration::from_secs(60);
/// So many traps ...
const LOOP_TRAPS: u32 = 5;
/// ... within this time are a crash loop.
const LOOP_WINDOW: Duration = Duration::from_secs(60);

/// A version that traps again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    /// How often it trapped.
    pub traps: u32,
    /// From the first of these traps to the last.
    pub within: Duration,
    /// The last trap, in a line.
    pub last: String,
}

impl std::fmt::Display for CrashLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            traps,
            within,
            last,
        } = self;
        // Less than a second is told as one.
        let seconds = within.as_secs_f64().ceil().max(1.0);
        write!(
            f,
            "its instances trapped {traps} times within {seconds} s, the last time: {last}"
        )
    }
}

/// The traps of one version. Moments are given as the time since any one moment in the past.
#[derive(Debug)]
pub(crate) struct Restarts {
    /// State of a generator of numbers that look random.
    random: u64,
    /// Replacements that were needed one after the other.
    in_a_row: u32,
    last: Option<Duration>,
    ready_at: Duration,
    /// Traps that are no part of a crash loop that was told, the oldest first.
    recent: VecDeque<Duration>,
}

impl Restarts {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            in_a_row: 0,
            last: None,
            ready_at: Duration::ZERO,
            recent: VecDeque::new(),
        }
    }

    /// An instance trapped. The answer is a crash loop, once for so many traps.
    pub(crate) fn trapped(&mut self, now: Duration, reason: &str) -> Option<CrashLoop> {
        let calm = self
            .last
            .is_none_or(|last| now.saturating_sub(last) >= CALM);
        // What traps before a replacement could be made was there before it, and says nothing of replacements.
        if calm || now >= self.ready_at {
            self.in_a_row = if calm {
                1
            } else {
                self.in_a_row.saturating_add(1)
            };
            self.ready_at = now + self.wait();
        }
        self.last = Some(now);
        self.count(now, reason)
    }

    /// From when on an instance may be made.
    pub(crate) fn ready_at(&self) -> Duration {
        self.ready_at
    }

    fn wait(&mut self) -> Duration {
        let Some(doublings) = self.in_a_row.checked_sub(2) else {
            return Duration::ZERO;
        };
        let whole = 2_u32
            .checked_pow(doublings)
            .map_or(LONGEST_WAIT, |times| FIRST_WAIT.saturating_mul(times))
            .min(LONGEST_WAIT);
        let half = whole / 2;
        // Between a half and all of it, in 1024 steps.
        let step = u32::try_from(self.next_random() % 1025).unwrap_or(1024);
        half + half.saturating_mul(step) / 1024
    }

    fn count(&mut self, now: Duration, reason: &str) -> Option<CrashLoop> {
        self.recent.push_back(now);
        while self
            .recent
            .front()
            .is_some_and(|trap| now.saturating_sub(*trap) > LOOP_WINDOW)
        {
            self.recent.pop_front();
        }
        let first = *self.recent.front()?;
        if self.recent.len() < LOOP_TRAPS as usize {
            return None;
        }
        self.recent.clear();
        Some(CrashLoop {
            traps: LOOP_TRAPS,
            within: now.saturating_sub(first),
            last: reason.to_owned(),
        })
    }

    /// SplitMix64: good enough to be late by, and the same for the same seed.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
