//! Where policies come from: those in the binary, and files in the policies directory.
//!
//! A policy is looked up when a reload begins and is then held for its length, so a file that is replaced meanwhile
//! counts from the next reload. Policies in the binary get no privilege beside their name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use caxton_rollout::{Digest, Fault, FaultKind};
use caxton_runtime::policy::{Policy, PolicyKind, PolicyRuntime};
use sha2::{Digest as _, Sha256};

use crate::artifacts;

/// Largest file that is read as a policy: a Python one has 18 MB.
const MAX_POLICY: u64 = 100 * 1024 * 1024;

/// Name and component of each policy in the binary.
const EMBEDDED: [(&str, &[u8]); 2] = [
    ("standard", artifacts::POLICY_STANDARD),
    ("thresholds", artifacts::POLICY_THRESHOLDS),
];

/// Compiles policies when they are first asked for, and keeps the last one of each name.
pub struct Policies {
    runtime: PolicyRuntime,
    folder: PathBuf,
    compiled: Mutex<BTreeMap<String, (Digest, Policy)>>,
}

impl Policies {
    /// Policies from the binary and from `folder`, which need not exist.
    #[must_use]
    pub fn new(runtime: PolicyRuntime, folder: PathBuf) -> Self {
        Self {
            runtime,
            folder,
            compiled: Mutex::default(),
        }
    }

    /// The policy as it is now, checked to be of this kind and to take these settings.
    ///
    /// # Errors
    /// There is none of that name, it is no policy of that kind, or it refuses the settings.
    pub async fn find(
        &self,
        name: &str,
        kind: PolicyKind,
        settings: &str,
    ) -> Result<Policy, Fault> {
        let bytes = self.bytes(name).await?;
        let policy = self.compile(name, bytes).await?;
        if policy.kind() != kind {
            let message = format!(
                "it is a {} policy and stands where a {} policy belongs",
                word(policy.kind()),
                word(kind)
            );
            return Err(fault(name, FaultKind::Missing, message));
        }
        match policy.check_settings(settings).await {
            Ok(()) => Ok(policy),
            Err(refused) => Err(refused.to_fault()),
        }
    }

    async fn bytes(&self, name: &str) -> Result<Arc<[u8]>, Fault> {
        if let Some((_, bytes)) = EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
            return Ok(Arc::from(*bytes));
        }
        if !caxton_watch::is_name(name) {
            let message = format!("{name:?} cannot be a policy: a name is 1 to 64 of a-z 0-9 - _");
            return Err(fault(name, FaultKind::Missing, message));
        }
        let path = self.folder.join(format!("{name}.wasm"));
        let unreadable = |why: String| {
            let message = format!(
                "there is no policy of this name: {} {why}; put the file there, or use one of: {}",
                path.display(),
                EMBEDDED.map(|(name, _)| name).join(", ")
            );
            fault(name, FaultKind::Missing, message)
        };
        let size = tokio::fs::metadata(&path)
            .await
            .map_err(|e| unreadable(format!("cannot be read ({e})")))?
            .len();
        if size > MAX_POLICY {
            return Err(unreadable(format!(
                "has {size} bytes, more than {MAX_POLICY}"
            )));
        }
        let bytes = tokio::fs::read(&path).await;
        bytes
            .map(Arc::from)
            .map_err(|e| unreadable(format!("cannot be read ({e})")))
    }

    async fn compile(&self, name: &str, bytes: Arc<[u8]>) -> Result<Policy, Fault> {
        let digest = Digest::new(Sha256::digest(&bytes).into());
        if let Some((_, policy)) = self.lock().get(name).filter(|(known, _)| *known == digest) {
            return Ok(policy.clone());
        }
        let policy = self
            .runtime
            .load(name, bytes.to_vec())
            .await
            .map_err(|refusal| fault(name, FaultKind::Missing, refusal.to_string()))?;
        self.lock()
            .insert(name.to_owned(), (digest, policy.clone()));
        Ok(policy)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Digest, Policy)>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(policy: &str, kind: FaultKind, message: String) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind,
        message,
    }
}

fn word(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Strategy => "strategy",
        PolicyKind::Rollback => "rollback",
    }
}
