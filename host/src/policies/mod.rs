//! Where policies come from: those in the binary, and files in the policies directory, which is watched.
//!
//! A policy is looked up when a reload begins and is then held for its length, with the settings that it had then; a file
//! that is replaced meanwhile counts from the next reload. A file that is refused changes nothing: the one before it stays.
//! Which policies an agent asks, and what becomes of the answers, is not known here.

mod again;
mod embedded;
mod looking;
mod settings;
mod shelf;
#[cfg(test)]
mod tests;
mod validate;
mod view;
mod watching;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use caxton_rollout::{AgentName, Attention, Digest, Fault, FaultKind};
use caxton_runtime::policy::{Policy, PolicyKind, PolicyRuntime};
use caxton_store::{BlobKind, Blobs, Pin};
use serde_json::Value;
use tokio::sync::watch;

use caxton_runtime::nearest;

use self::embedded::Embedded;
use self::shelf::Shelf;

pub use self::embedded::embedded;
pub use self::settings::{Settings, as_json, laid_over};
pub use self::validate::{Refused, validate};
pub use self::view::{Origin, PolicyState, PolicyView};
pub use self::watching::{PolicyNews, Watching};
pub use caxton_runtime::policy::Stage;

/// How long a reload waits for a file that is there and not looked into yet, before it says so and asks again.
const ARRIVAL: Duration = Duration::from_secs(20);

/// A policy as one reload holds it, for its whole length.
#[derive(Clone)]
pub struct PinnedPolicy {
    /// The component.
    pub policy: Policy,
    /// A JSON object: the agent's settings over those of the policy's own file.
    pub settings: String,
}

/// Why a policy cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is none of that name now; one may come.
    Absent(Fault),
    /// It is there, and time ran out before it had said whether it takes the settings. It may have more the next time:
    /// nothing is known to be wrong with the configuration.
    OutOfTime(Fault),
    /// What the configuration says cannot be: it is of the other kind, or does not take the settings.
    Misconfigured(Fault),
}

impl Unusable {
    /// The same as a fault of the policy.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Absent(fault) | Self::OutOfTime(fault) | Self::Misconfigured(fault) => fault,
        }
    }
}

/// All policies that there are. What is slow runs beside those who ask.
pub struct Policies {
    runtime: PolicyRuntime,
    folder: PathBuf,
    blobs: Blobs,
    embedded: Vec<Embedded>,
    shelf: Mutex<Shelf>,
    /// Told when a file was taken or refused.
    changed: watch::Sender<()>,
}

impl Policies {
    /// Policies from the binary and from `folder`, which need not exist; components that a reload holds are kept in `blobs`.
    #[must_use]
    pub fn new(runtime: PolicyRuntime, folder: PathBuf, blobs: Blobs) -> Self {
        Self {
            runtime,
            folder,
            blobs,
            embedded: Embedded::all(),
            shelf: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// The policy as it is now, checked to be of this kind and to take these settings, a JSON object, over its own.
    ///
    /// # Errors
    /// There is none of that name, it is no policy of that kind, it does not take the settings, or has no time to say so.
    pub async fn find(
        &self,
        name: &str,
        kind: PolicyKind,
        settings: &str,
    ) -> Result<PinnedPolicy, Unusable> {
        let (policy, below) = self.present(name).await.map_err(Unusable::Absent)?;
        let settings = taken(&policy, name, kind, below, settings).await?;
        Ok(PinnedPolicy { policy, settings })
    }

    /// The same for a reload that begins: a file that has just come is waited for, and the component is kept for as long as
    /// anybody may ask for it.
    ///
    /// # Errors
    /// As for [`Policies::find`].
    pub async fn pin(
        &self,
        name: &str,
        kind: PolicyKind,
        settings: &str,
    ) -> Result<PinnedPolicy, Fault> {
        // Whether it came or not is seen right after.
        let _ = tokio::time::timeout(ARRIVAL, self.arrival(name)).await;
        let pinned = self.find(name, kind, settings).await;
        let pinned = pinned.map_err(Unusable::fault)?;
        self.keep(name, pinned.policy.digest()).await?;
        Ok(pinned)
    }

    /// The policy that an earlier reload held, whatever stands under its name now.
    ///
    /// # Errors
    /// Its component cannot be had any more, or is not taken by this host.
    pub async fn pin_again(&self, pin: &Pin) -> Result<PinnedPolicy, Fault> {
        let name = pin.policy.as_str();
        let settings = pin.settings.clone();
        let present = self.lock().same(name, pin.digest);
        if let Some((policy, _)) = present {
            return Ok(PinnedPolicy { policy, settings });
        }
        let missing = |message: String| fault(name, FaultKind::Missing, message);
        let Some(bytes) = self.bytes(pin.digest).await else {
            return Err(missing(format!(
                "the component that the reload began with, sha256:{}, is not kept any more: `caxton abort` the reload, \
                 then `caxton retry` begins one with the present policies",
                pin.digest
            )));
        };
        let policy = match self.embedded.iter().find(|own| own.digest() == pin.digest) {
            Some(embedded) => embedded
                .load(&self.runtime)
                .await
                .map_err(|e| e.to_string()),
            None => {
                let loaded = self.runtime.load(name, Arc::<[u8]>::from(&bytes[..])).await;
                loaded.map_err(|e| e.to_string())
            }
        };
        Ok(PinnedPolicy {
            policy: policy.map_err(missing)?,
            settings,
        })
    }

    /// Waits while there is a file of this name that was not looked into.
    async fn arrival(&self, name: &str) {
        let mut changed = self.changed.subscribe();
        while self.lock().is_unknown(name) && self.is_there(name).await {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn is_there(&self, name: &str) -> bool {
        let path = self.folder.join(format!("{name}.wasm"));
        let is_own = self.embedded.iter().all(|policy| policy.name != name);
        is_own && caxton_watch::is_name(name) && tokio::fs::try_exists(path).await.unwrap_or(false)
    }

    async fn present(&self, name: &str) -> Result<(Policy, Settings), Fault> {
        if let Some(embedded) = self.embedded.iter().find(|policy| policy.name == name) {
            let policy = embedded.load(&self.runtime).await;
            return policy
                .map(|policy| (policy, Settings::new()))
                .map_err(|refusal| fault(name, FaultKind::Missing, refusal.to_string()));
        }
        let found = self.lock().present(name);
        found.ok_or_else(|| self.absent(name))
    }

    /// Why there is no policy of this name, and what would help.
    fn absent(&self, name: &str) -> Fault {
        let folder = self.folder.display();
        let shelf = self.lock();
        let message = if let Some(refusal) = shelf.refusal(name) {
            format!("its file is refused: {refusal}")
        } else if shelf.is_compiling(name) {
            format!("{folder}/{name}.wasm is being looked into")
        } else {
            let known: Vec<&str> = self
                .embedded
                .iter()
                .map(|policy| policy.name)
                .chain(shelf.names())
                .collect();
            let near = nearest(name, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            format!(
                "there is no policy of this name{near}; put {folder}/{name}.wasm there, or use one of: {}",
                known.join(", ")
            )
        };
        fault(name, FaultKind::Missing, message)
    }

    /// The component with this digest: of a policy in the binary, of one that is present, or of one that a reload held.
    pub async fn bytes(&self, digest: Digest) -> Option<Bytes> {
        let embedded = self
            .embedded
            .iter()
            .find(|policy| policy.digest() == digest);
        if let Some(embedded) = embedded {
            return Some(Bytes::from_static(embedded.bytes));
        }
        if let Some(bytes) = self.lock().held(digest) {
            return Some(bytes);
        }
        let blobs = self.blobs.clone();
        let read = tokio::task::spawn_blocking(move || blobs.get(BlobKind::Policy, digest));
        let bytes = read.await.ok()?.ok()?;
        Some(Bytes::from_owner(bytes))
    }

    /// Every policy, by name.
    #[must_use]
    pub fn list(&self) -> Vec<PolicyView> {
        let shelf = self.lock();
        let embedded = self.embedded.iter().map(|policy| {
            let loaded = policy.loaded();
            PolicyView {
                name: policy.name.to_owned(),
                kind: policy.kind(&self.runtime),
                origin: Origin::Embedded,
                digest: Some(policy.digest()),
                size: u64::try_from(policy.bytes.len()).ok(),
                version: loaded.map(|policy| policy.info().version.clone()),
                about: loaded.map(|policy| policy.info().about.clone()),
                state: PolicyState::Ready,
                error: None,
                stage: None,
                since: None,
                used_by: shelf.users(policy.name, Some(policy.digest())),
            }
        });
        let mut views: Vec<PolicyView> = embedded.chain(shelf.views()).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// Notes whom an agent's configuration names, and what its reloads hold.
    pub fn used(&self, agent: &AgentName, names: BTreeSet<String>, held: BTreeSet<Digest>) {
        self.lock().used(agent, names, held);
    }

    /// What waits for a person.
    #[must_use]
    pub fn attention(&self) -> Vec<Attention> {
        self.lock().attention(&self.folder)
    }

    /// Compiles the policies in the binary, so that no reload waits for that.
    pub async fn load_embedded(&self) {
        for policy in &self.embedded {
            if let Err(refusal) = policy.load(&self.runtime).await {
                tracing::error!("{refusal}");
            }
        }
    }

    /// Keeps the component of a policy that is there, for as long as anything names it.
    async fn keep(&self, name: &str, digest: Digest) -> Result<(), Fault> {
        let Some(bytes) = self.bytes(digest).await else {
            let message = "its file was replaced at this moment; it is asked for again".to_owned();
            return Err(fault(name, FaultKind::Missing, message));
        };
        let blobs = self.blobs.clone();
        let put = tokio::task::spawn_blocking(move || blobs.put(BlobKind::Policy, &bytes));
        let put = put.await.map_err(|error| error.to_string());
        match put.and_then(|put| put.map_err(|error| error.to_string())) {
            Ok(_) => Ok(()),
            Err(error) => {
                let message =
                    format!("its component cannot be kept, so the reload does not begin: {error}");
                Err(fault(name, FaultKind::Missing, message))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The settings with which `policy` stands where one of `kind` belongs: `own`, a JSON object, over those of its file.
///
/// # Errors
/// It is of the other kind, does not take them, or has no time to say so.
pub(crate) async fn taken(
    policy: &Policy,
    name: &str,
    kind: PolicyKind,
    below: Settings,
    own: &str,
) -> Result<String, Unusable> {
    let wrong =
        |fault_kind, message| Err(Unusable::Misconfigured(fault(name, fault_kind, message)));
    if policy.kind() != kind {
        let message = format!(
            "it is a {} and stands where a {kind} belongs",
            policy.kind()
        );
        return wrong(FaultKind::Missing, message);
    }
    let own = match serde_json::from_str(own) {
        Ok(Value::Object(own)) => own,
        _ => return wrong(FaultKind::Settings, "its settings are no object".to_owned()),
    };
    let settings = Value::Object(laid_over(below, own)).to_string();
    match policy.check_settings(&settings).await {
        Ok(()) => Ok(settings),
        Err(refused) if refused.is_out_of_time() => Err(Unusable::OutOfTime(refused.to_fault())),
        Err(refused) => Err(Unusable::Misconfigured(refused.to_fault())),
    }
}

fn fault(policy: &str, kind: FaultKind, message: String) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind,
        message,
    }
}
