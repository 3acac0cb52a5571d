//! What becomes of contents whose reload ended badly: which do not come in again, until when, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Aside, EndingMemory, Identity, Moment};

/// How many contents an agent remembers: far beyond what a person drops and looks at again.
const MAX_ENDINGS: usize = 256;

/// A content put aside without blame comes back by itself after these many minutes, then not.
const AGAIN_AFTER_MINUTES: [u64; 3] = [5, 10, 20];

/// The first wait after a failure that was the host's; it doubles each time up to [`HOST_WAIT_MAX`] and has no end,
/// because nothing speaks against the content.
const HOST_WAIT: Duration = Duration::from_secs(15);

/// The longest wait after a failure that was the host's.
const HOST_WAIT_MAX: Duration = Duration::from_secs(600);

/// By content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endings(BTreeMap<Identity, EndingMemory>);

/// How long after so many failures of the host's it tries again.
pub(crate) fn hosts_wait(failures: u32) -> Duration {
    let doubled = 1u32.checked_shl(failures);
    let wait = doubled.map_or(HOST_WAIT_MAX, |times| HOST_WAIT.saturating_mul(times));
    wait.min(HOST_WAIT_MAX)
}

impl Endings {
    pub(crate) fn put(&mut self, now: Moment, identity: Identity, aside: Aside, reason: String) {
        let tries = self.0.get(&identity).map_or(0, |before| before.tries);
        let wait = match aside {
            Aside::Quarantined | Aside::Ended => None,
            Aside::Blameless => AGAIN_AFTER_MINUTES
                .get(usize::try_from(tries).unwrap_or(usize::MAX))
                .map(|minutes| Duration::from_secs(minutes * 60)),
            Aside::HostsFault => Some(hosts_wait(tries)),
        };
        let again_at = wait.map(|wait| now.after(wait));
        let ending = EndingMemory {
            identity,
            aside,
            reason,
            since: now,
            again_at,
            blocks: true,
            tries: tries.saturating_add(1),
        };
        self.0.insert(identity, ending);
        while self.0.len() > MAX_ENDINGS {
            self.drop_least();
        }
    }

    /// The oldest goes, and of those without blame first: a quarantine is the last thing to be lost.
    fn drop_least(&mut self) {
        let blamed = |ending: &EndingMemory| ending.aside == Aside::Quarantined;
        let least = self
            .0
            .iter()
            .min_by_key(|(_, ending)| (blamed(ending), ending.since));
        if let Some(identity) = least.map(|(identity, _)| *identity) {
            self.0.remove(&identity);
        }
    }

    /// Why this content does not come in now.
    pub(crate) fn blocking(&self, now: Moment, identity: &Identity) -> Option<&EndingMemory> {
        let due = |ending: &EndingMemory| ending.again_at.is_some_and(|again| again <= now);
        self.0
            .get(identity)
            .filter(|ending| ending.blocks && !due(ending))
    }

    /// It is tried again; how often it was is kept.
    pub(crate) fn release(&mut self, identity: &Identity) {
        if let Some(ending) = self.0.get_mut(identity) {
            ending.blocks = false;
            ending.again_at = None;
        }
    }

    /// Nothing stands against it any more: an operator says so, or it has completed.
    pub(crate) fn clear(&mut self, identity: &Identity) {
        self.0.remove(identity);
    }

    /// The agent is long gone: a quarantine outlasts even that.
    pub(crate) fn forget_blameless(&mut self) {
        self.0
            .retain(|_, ending| ending.aside == Aside::Quarantined);
    }

    pub(crate) fn again_at(&self, identity: &Identity) -> Option<Moment> {
        self.0
            .get(identity)
            .filter(|ending| ending.blocks)?
            .again_at
    }

    /// All of them, in the order of their identities.
    pub(crate) fn memories(&self) -> impl Iterator<Item = EndingMemory> {
        self.0.values().cloned()
    }

    /// Whether these are all of them.
    pub(crate) fn are(&self, memories: &[EndingMemory]) -> bool {
        self.0.values().eq(memories)
    }

    /// Those that are remembered. A clock that was set back since makes no wait longer than it was.
    pub(crate) fn restored(now: Moment, memories: Vec<EndingMemory>) -> Self {
        let one = |memory: EndingMemory| {
            let wait = memory.again_at.map(|again| again.since(memory.since));
            let since = memory.since.min(now);
            let ending = EndingMemory {
                since,
                again_at: wait.map(|wait| since.after(wait)),
                ..memory
            };
            (ending.identity, ending)
        };
        Self(memories.into_iter().map(one).collect())
    }

    /// Those that block, in the order of their identities.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EndingMemory> {
        self.0.values().filter(|ending| ending.blocks)
    }
}
