//! What was measured between one line and the next.

use caxton_rollout::Arm;
use serde::Serialize;

use crate::records::read::Question;

/// Bounds of latency that are told apart; more stand in no records of ours.
const BOUNDS_MAX: usize = 64;

/// Everything measured since the reload began.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    candidate: Sums,
    stable: Sums,
    copies: Sums,
    mismatches: u64,
}

#[derive(Debug, Clone, Default)]
struct Sums {
    requests: u64,
    failures: u64,
    rejected: u64,
    unavailable: u64,
    health_passed: u64,
    health_total: u64,
    /// Bounds and counts, as an arm has them.
    latency: Vec<(u64, u64)>,
}

/// What was new.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Seen {
    /// The version that is judged.
    pub(super) candidate: Figures,
    /// The version before it.
    pub(super) stable: Figures,
    /// Answers to copies.
    pub(super) copies: Figures,
    /// Of those, the ones that the stable version answered differently.
    pub(super) mismatches: u64,
}

/// One version.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Requests that it finished.
    pub(super) requests: u64,
    /// Of those, failed.
    pub(super) failures: u64,
    /// Of those, refused by the agent.
    pub(super) rejected: u64,
    /// Of those, put off by the agent.
    pub(super) unavailable: u64,
    /// Health checks that passed.
    pub(super) health_passed: u64,
    /// Health checks.
    pub(super) health_total: u64,
    /// The bound below which 95 of 100 requests ended; the largest u64 where it has none.
    pub(super) p95_us: Option<u64>,
    #[serde(skip)]
    latency: Vec<(u64, u64)>,
}

impl Totals {
    /// What the windows of a question come to.
    pub(super) fn of(question: &Question) -> Self {
        let mut totals = Self::default();
        for window in &question.windows {
            totals.candidate.add(window.candidate.as_ref());
            totals.stable.add(window.stable.as_ref());
            totals.copies.add(window.mirrored.as_ref());
            totals.mismatches = totals.mismatches.saturating_add(window.mirrored_mismatches);
        }
        totals
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Seen {
        Seen {
            candidate: self.candidate.since(&earlier.candidate),
            stable: self.stable.since(&earlier.stable),
            copies: self.copies.since(&earlier.copies),
            mismatches: self.mismatches.saturating_sub(earlier.mismatches),
        }
    }
}

impl Sums {
    fn add(&mut self, arm: Option<&Arm>) {
        let Some(arm) = arm else { return };
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, arm.requests);
        add(&mut self.failures, arm.failures);
        add(&mut self.rejected, arm.rejected);
        add(&mut self.unavailable, arm.unavailable);
        add(&mut self.health_passed, arm.health_passed.into());
        add(&mut self.health_total, arm.health_total.into());
        let buckets = arm
            .latency
            .iter()
            .map(|bucket| (bucket.up_to_us, bucket.count));
        add_latency(&mut self.latency, buckets);
    }

    fn since(&self, earlier: &Self) -> Figures {
        let mut latency = self.latency.clone();
        for (bound, count) in &mut latency {
            let before = earlier.latency.iter().find(|(known, _)| known == bound);
            *count = count.saturating_sub(before.map_or(0, |(_, count)| *count));
        }
        Figures {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            unavailable: self.unavailable.saturating_sub(earlier.unavailable),
            health_passed: self.health_passed.saturating_sub(earlier.health_passed),
            health_total: self.health_total.saturating_sub(earlier.health_total),
            p95_us: p95(&latency),
            latency,
        }
    }
}

impl Seen {
    /// Both together, `later` being what came after.
    pub(super) fn and(self, later: &Self) -> Self {
        Self {
            candidate: self.candidate.and(&later.candidate),
            stable: self.stable.and(&later.stable),
            copies: self.copies.and(&later.copies),
            mismatches: self.mismatches.saturating_add(later.mismatches),
        }
    }
}

impl Figures {
    fn and(mut self, later: &Self) -> Self {
        add_latency(&mut self.latency, later.latency.iter().copied());
        Self {
            requests: self.requests.saturating_add(later.requests),
            failures: self.failures.saturating_add(later.failures),
            rejected: self.rejected.saturating_add(later.rejected),
            unavailable: self.unavailable.saturating_add(later.unavailable),
            health_passed: self.health_passed.saturating_add(later.health_passed),
            health_total: self.health_total.saturating_add(later.health_total),
            p95_us: p95(&self.latency),
            latency: self.latency,
        }
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_nothing(&self) -> bool {
        self.requests == 0 && self.health_total == 0
    }
}

fn add_latency(sums: &mut Vec<(u64, u64)>, more: impl Iterator<Item = (u64, u64)>) {
    for (bound, count) in more {
        match sums.iter().position(|(known, _)| *known == bound) {
            Some(at) => {
                if let Some((_, sum)) = sums.get_mut(at) {
                    *sum = sum.saturating_add(count);
                }
            }
            // A list whose bounds nobody knows is told as far as it goes; ours has 25.
            None if sums.len() < BOUNDS_MAX => sums.push((bound, count)),
            None => {}
        }
    }
}

fn p95(latency: &[(u64, u64)]) -> Option<u64> {
    let all = latency.iter().map(|(_, count)| *count).max()?;
    let needed = (u128::from(all) * 95).div_ceil(100);
    let mut bounds = latency
        .iter()
        .filter(|(_, count)| u128::from(*count) >= needed);
    bounds.next().map(|(bound, _)| *bound).filter(|_| all > 0)
}
