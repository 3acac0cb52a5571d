//! The nine statuses of a reload and which may follow which.

use serde::{Deserialize, Serialize};

/// Where a reload stands, as people and tools see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HotReloadStatus {
    /// It waits: for a policy, for a slot, for older versions to end.
    Pending,
    /// The candidate is compiled and brought up.
    Preparing,
    /// The candidate's health is watched; it has no traffic.
    Starting,
    /// The candidate has traffic and is not permanent.
    InProgress,
    /// The candidate is permanent.
    Completed,
    /// It came to nothing.
    Failed,
    /// It was ended: by an operator, by a newer file, by a removal, or for lack of progress.
    Cancelled,
    /// Traffic is on its way back.
    RollingBack,
    /// Traffic is back.
    RolledBack,
}

impl HotReloadStatus {
    /// All nine, in the order in which they are written.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Preparing,
        Self::Starting,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::RollingBack,
        Self::RolledBack,
    ];

    /// Whether nothing follows by itself.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::RolledBack
        )
    }

    /// Whether a reload that stands here may be rolled back.
    #[must_use]
    pub fn may_roll_back(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed | Self::Failed)
    }

    /// Whether `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Pending => false,
            Self::Preparing => self == Self::Pending,
            Self::Starting => self == Self::Preparing,
            Self::InProgress => self == Self::Starting,
            Self::Completed => self == Self::InProgress,
            Self::Failed => !self.is_terminal(),
            Self::Cancelled => !self.is_terminal() && self != Self::RollingBack,
            Self::RollingBack => self.may_roll_back(),
            Self::RolledBack => self == Self::RollingBack,
        }
    }
}
