//! The policies in the binary: ordinary components without any privilege beside their names.

use std::sync::{Arc, OnceLock};

use caxton_rollout::Digest;
use caxton_runtime::policy::{Policy, PolicyKind, PolicyRefusal, PolicyRuntime};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::artifacts;

/// Name and component of each.
const COMPONENTS: [(&str, &[u8]); 4] = [
    ("standard", artifacts::POLICY_STANDARD),
    ("evidence", artifacts::POLICY_EVIDENCE),
    ("thresholds", artifacts::POLICY_THRESHOLDS),
    ("manual", artifacts::POLICY_MANUAL),
];

/// Name and component of each policy in the binary.
pub fn embedded() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    COMPONENTS.into_iter()
}

/// One of them, hashed and compiled at most once.
pub(super) struct Embedded {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    digest: OnceLock<Digest>,
    kind: OnceLock<Option<PolicyKind>>,
    policy: OnceCell<Policy>,
}

impl Embedded {
    pub(super) fn all() -> Vec<Self> {
        let new = |(name, bytes)| Self {
            name,
            bytes,
            digest: OnceLock::new(),
            kind: OnceLock::new(),
            policy: OnceCell::new(),
        };
        embedded().map(new).collect()
    }

    pub(super) fn digest(&self) -> Digest {
        let hash = || Digest::new(Sha256::digest(self.bytes).into());
        *self.digest.get_or_init(hash)
    }

    /// What it decides, which is seen without compiling it.
    pub(super) fn kind(&self, runtime: &PolicyRuntime) -> Option<PolicyKind> {
        let look = || runtime.inspect(self.bytes).ok().map(|facts| facts.kind);
        *self.kind.get_or_init(look)
    }

    /// The policy, compiled now if it was not before.
    pub(super) async fn load(&self, runtime: &PolicyRuntime) -> Result<Policy, PolicyRefusal> {
        let load = || runtime.load(self.name, Arc::<[u8]>::from(self.bytes));
        self.policy.get_or_try_init(load).await.cloned()
    }

    /// The policy, if it was compiled.
    pub(super) fn loaded(&self) -> Option<&Policy> {
        self.policy.get()
    }
}
