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

/// One content that does not come in now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ending {
    pub(crate) aside: Aside,
    pub(crate) reason: String,
    pub(crate) since: Moment,
    /// When it is tried again by itself.
    pub(crate) again_at: Option<Moment>,
    /// False while it is being tried again: what remains is how often it was.
    blocks: bool,
    tries: u32,
}

/// By content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endings(BTreeMap<Identity, Ending>);

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
        let ending = Ending {
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
        let blamed = |ending: &Ending| ending.aside == Aside::Quarantined;
        let least = self
            .0
            .iter()
            .min_by_key(|(_, ending)| (blamed(ending), ending.since));
        if let Some(identity) = least.map(|(identity, _)| *identity) {
            self.0.remove(&identity);
        }
    }

    /// Why this content does not come in now.
    pub(crate) fn blocking(&self, now: Moment, identity: &Identity) -> Option<&Ending> {
        let due = |ending: &Ending| ending.again_at.is_some_and(|again| again <= now);
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
        self.0.iter().map(|(identity, ending)| EndingMemory {
            identity: *identity,
            aside: ending.aside,
            reason: ending.reason.clone(),
            since: ending.since,
            again_at: ending.again_at,
            blocks: ending.blocks,
            tries: ending.tries,
        })
    }

    /// Whether these are all of them.
    pub(crate) fn are(&self, memories: &[EndingMemory]) -> bool {
        let same = |((identity, ending), memory): ((&Identity, &Ending), &EndingMemory)| {
            *identity == memory.identity
                && ending.aside == memory.aside
                && ending.reason == memory.reason
                && ending.since == memory.since
                && ending.again_at == memory.again_at
                && ending.blocks == memory.blocks
                && ending.tries == memory.tries
        };
        self.0.len() == memories.len() && self.0.iter().zip(memories).all(same)
    }

    /// Those that are remembered. A clock that was set back since makes no wait longer than it was.
    pub(crate) fn restored(now: Moment, memories: Vec<EndingMemory>) -> Self {
        let one = |memory: EndingMemory| {
            let wait = memory.again_at.map(|again| again.since(memory.since));
            let since = memory.since.min(now);
            let ending = Ending {
                aside: memory.aside,
                reason: memory.reason,
                since,
                again_at: wait.map(|wait| since.after(wait)),
                blocks: memory.blocks,
                tries: memory.tries,
            };
            (memory.identity, ending)
        };
        Self(memories.into_iter().map(one).collect())
    }

    /// Those that block, in the order of their identities.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Identity, &Ending)> {
        self.0.iter().filter(|(_, ending)| ending.blocks)
    }
}
