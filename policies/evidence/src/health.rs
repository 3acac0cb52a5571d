//! Health checks: a sum in which three failures in a row are enough, and one of three is not.

use caxton_policy::statistics::{cusum, log_ratio};
use caxton_policy::{Arm, Finding};
use serde::{Deserialize, Serialize};

/// A healthy version may fail so many of its checks.
const HEALTHY: f64 = 0.1;

/// An ill one fails so many.
const ILL: f64 = 0.5;

/// What the sum has to reach, as a number of checks between two false alarms.
const RUN_LENGTH: f64 = 95.0;

/// The sums so far.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Health {
    failed: u64,
    total: u64,
    sum: f64,
    stable_sum: f64,
}

impl Health {
    pub(crate) fn add<'a>(
        &mut self,
        candidate: impl IntoIterator<Item = &'a Arm>,
        stable: Option<&Arm>,
    ) {
        for arm in candidate {
            let (failed, total) = checks(arm);
            self.failed = self.failed.saturating_add(failed);
            self.total = self.total.saturating_add(total);
            self.sum = cusum(self.sum, log_ratio(failed, total, ILL, HEALTHY));
        }
        if let Some(arm) = stable {
            let (failed, total) = checks(arm);
            let step = log_ratio(failed, total, ILL, HEALTHY);
            self.stable_sum = cusum(self.stable_sum, step).min(2.0 * RUN_LENGTH.ln());
        }
    }

    /// There is no stable version beside the candidate any more.
    pub(crate) fn forget_common_cause(&mut self) {
        self.stable_sum = 0.0;
    }

    /// The candidate is ill and the stable version is not, as far as is known: the host checks the candidate only, and an arm of the
    /// stable version without checks is well.
    pub(crate) fn fires(&self) -> bool {
        self.is_ill() && self.stable_sum < RUN_LENGTH.ln()
    }

    /// Both are ill.
    pub(crate) fn common_cause(&self) -> bool {
        self.is_ill() && !self.fires()
    }

    fn is_ill(&self) -> bool {
        self.sum >= RUN_LENGTH.ln()
    }

    pub(crate) fn finding(&self) -> Option<Finding> {
        let rate = caxton_policy::windows::rate(self.failed, self.total)?;
        let finding = Finding::new("health-check-failures", rate, HEALTHY, self.total);
        Some(finding.by("cusum", self.sum).breached(self.fires()))
    }

    pub(crate) fn told(&self) -> String {
        format!(
            "{} of {} health checks failed, the latest of them in a row or nearly so (sum {:.1}, limit {:.1})",
            self.failed,
            self.total,
            self.sum,
            RUN_LENGTH.ln()
        )
    }
}

fn checks(arm: &Arm) -> (u64, u64) {
    let failed = arm.health_total.saturating_sub(arm.health_passed);
    (failed.into(), arm.health_total.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(checks: &[bool]) -> Health {
        let mut health = Health::default();
        for passed in checks {
            let arm = Arm {
                health_passed: (*passed).into(),
                health_total: 1,
                ..Arm::default()
            };
            health.add([&arm], None);
        }
        health
    }

    #[test]
    fn three_in_a_row_fire_and_one_of_three_does_not() {
        assert!(after(&[false, false, false]).fires());
        assert!(after(&[true, true, true, true, false, false, false]).fires());
        assert!(!after(&[false, false]).fires());
        assert!(!after(&[true, false, true]).fires());
        assert!(!after(&[false, true, true, false, true, true]).fires());
    }

    #[test]
    fn what_ails_both_is_not_the_candidates() {
        let ill = Arm {
            health_total: 5,
            ..Arm::default()
        };
        let mut health = Health::default();
        health.add([&ill], Some(&ill));
        assert!(!health.fires());
        assert!(health.common_cause());
    }
}
