//! A place among the calls in flight of one version, before the call begins.
//!
//! Whether a version still takes calls is decided where the place is taken and nowhere else: whoever closes a version and then
//! finds nothing in flight knows that nothing is on its way in. Both sides are sequentially consistent: the taker counts itself
//! and then looks whether it is closed, the closer closes and then looks at the count, so that one of the two sees the other.

use crate::call::{Call, CallError, CallInfo};
use crate::serving::Serving;
use std::sync::Arc;

/// A place among the calls in flight. Dropping it unused gives the place back and counts nowhere.
pub struct Admission {
    serving: Option<Arc<Serving>>,
    info: CallInfo,
    cut_round: u64,
}

impl Admission {
    pub(crate) fn new(serving: Arc<Serving>, info: CallInfo, cut_round: u64) -> Self {
        Self {
            serving: Some(serving),
            info,
            cut_round,
        }
    }

    /// Makes a call of it, whose time begins now.
    pub(crate) fn begin(mut self, at: &Arc<Serving>) -> Result<Arc<Call>, CallError> {
        match self.serving.take() {
            Some(serving) if Arc::ptr_eq(&serving, at) => {
                Ok(Call::new(serving, self.info, self.cut_round))
            }
            elsewhere => {
                self.serving = elsewhere;
                Err(CallError::Host(
                    "the call was admitted to another version".into(),
                ))
            }
        }
    }

    /// Gives the place back and counts the call as one that never reached an instance.
    pub(crate) fn shed(self) {
        if let Some(serving) = &self.serving {
            serving.shed(self.info);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.leave(self.info);
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
