//! The host's one clock: wall time that never goes back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use caxton_rollout::Moment;

/// When that was; none before the epoch.
#[must_use]
pub fn moment(at: SystemTime) -> Option<Moment> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Moment::default().after(since))
}

/// Reads the wall clock once, at start, and counts on from there: someone who sets the clock does not move it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::default().after(self.started_at + self.started.elapsed())
    }

    /// When `moment` is, for a timer; a moment in the past is now.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        let since_start = moment.since(Moment::default().after(self.started_at));
        self.started + since_start
    }
}
