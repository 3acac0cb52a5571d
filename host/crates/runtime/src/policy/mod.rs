//! Policies: components that say how a version comes in and when to go back.
//!
//! [`PolicyRuntime::load`] takes bytes and gives a [`Policy`] or the reason why not; a [`Policy`] is asked with plain domain
//! values and gives a [`Call`]: the answer or the [`Fault`](caxton_rollout::Fault) that came instead, what it took, and what the
//! policy said. Which policies there are, when they are asked and what becomes of their answers is not known here.
//!
//! What must hold, whatever a policy does:
//! - a call gets a store of its own, with fuel, a memory limit and a deadline; nothing of it is left for the next call;
//! - the same question gets the same answer, except that a call may run out of time;
//! - a call lets other tasks of its thread run every few milliseconds, and never panics;
//! - an answer that the contract does not allow never reaches the domain, except one that asks for less exposure.

mod bindings;
mod call;
mod convert;
mod facts;
mod inert;
mod inspect;
mod log;
mod refusal;
mod store;
mod text;

use std::sync::Arc;

use caxton_rollout::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use self::bindings::exports::caxton::policy::{about, rollback, strategy};
use self::store::Guest;

pub use self::call::Call;
pub use self::log::{LINE_BYTES_MAX, LINES_MAX, LogLevel, LogLine, LogSource, PolicyLog};
pub use self::refusal::{
    EngineError, PolicyRefusal, RefusalReason, SettingsError, SettingsProblem,
};
pub use self::store::PolicyLimits;

/// What a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// How a version comes in.
    Strategy,
    /// When to go back.
    Rollback,
}

impl std::fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Strategy => "strategy policy",
            Self::Rollback => "rollback policy",
        })
    }
}

/// What a policy says about itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicyInfo {
    /// What it calls itself, at most 128 bytes. The name that counts is the one that it was loaded under.
    pub name: String,
    /// Its own version, for people, at most 128 bytes.
    pub version: String,
    /// What it does, at most 1 KiB on one line.
    pub about: String,
    /// JSON Schema of its settings, an object at its root; at most 256 KiB.
    pub settings_schema: String,
}

/// Loads policies; all of them share its engine. Clones are the same runtime.
#[derive(Clone)]
pub struct PolicyRuntime(Arc<Shared>);

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    limits: PolicyLimits,
}

/// A policy, compiled and linked. Clones are the same policy.
#[derive(Clone)]
pub struct Policy(Arc<Loaded>);

struct Loaded {
    name: String,
    digest: Digest,
    info: PolicyInfo,
    runnable: Runnable,
}

/// What a call needs.
struct Runnable {
    runtime: PolicyRuntime,
    instance: InstancePre<Guest>,
    about: about::GuestIndices,
    decides: Decides,
}

#[derive(Clone)]
enum Decides {
    Strategy(strategy::GuestIndices),
    Rollback(rollback::GuestIndices),
}

impl PolicyRuntime {
    /// A runtime whose policies get `limits` for each call.
    ///
    /// # Errors
    ///
    /// When the engine cannot be made on this platform, or its thread not be started.
    pub fn new(limits: PolicyLimits) -> Result<Self, EngineError> {
        let failed = |error: wasmtime::Error| EngineError(error.root_cause().to_string());
        let engine = store::engine().map_err(failed)?;
        let linker = store::linker(&engine).map_err(failed)?;
        Ok(Self(Arc::new(Shared {
            engine,
            linker,
            limits,
        })))
    }

    /// Takes `bytes` as the policy `name`: looks at them, compiles them on a thread for blocking work, and asks the result to
    /// describe itself. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the bytes are no policy that this host can run. Nothing is left behind then.
    pub async fn load(&self, name: &str, bytes: Vec<u8>) -> Result<Policy, PolicyRefusal> {
        self.load_or_reason(name, bytes)
            .await
            .map_err(|reason| PolicyRefusal {
                policy: name.to_owned(),
                reason,
            })
    }

    async fn load_or_reason(&self, name: &str, bytes: Vec<u8>) -> Result<Policy, RefusalReason> {
        let runtime = self.clone();
        let prepare = move || {
            let kind = inspect::inspect(&bytes)?;
            let digest = Digest::new(Sha256::digest(&bytes).into());
            Ok((digest, Runnable::compile(runtime, kind, &bytes)?))
        };
        let (digest, runnable) = tokio::task::spawn_blocking(prepare)
            .await
            .unwrap_or_else(|panic| Err(RefusalReason::Compile(panic.to_string())))?;
        let info = runnable
            .describe(name)
            .await
            .map_err(RefusalReason::Describe)?;
        Ok(Policy(Arc::new(Loaded {
            name: name.to_owned(),
            digest,
            info,
            runnable,
        })))
    }
}

impl Runnable {
    fn compile(
        runtime: PolicyRuntime,
        kind: PolicyKind,
        bytes: &[u8],
    ) -> Result<Self, RefusalReason> {
        let signature = |error: wasmtime::Error| RefusalReason::Signature(format!("{error:#}"));
        let component = Component::from_binary(&runtime.0.engine, bytes)
            .map_err(|error| RefusalReason::Compile(format!("{error:#}")))?;
        let instance = runtime
            .0
            .linker
            .instantiate_pre(&component)
            .map_err(signature)?;
        let about = about::GuestIndices::new(&instance).map_err(signature)?;
        let decides = match kind {
            PolicyKind::Strategy => strategy::GuestIndices::new(&instance).map(Decides::Strategy),
            PolicyKind::Rollback => rollback::GuestIndices::new(&instance).map(Decides::Rollback),
        };
        Ok(Self {
            runtime,
            about,
            decides: decides.map_err(signature)?,
            instance,
        })
    }
}

impl Policy {
    /// The name that it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What it decides.
    #[must_use]
    pub fn kind(&self) -> PolicyKind {
        match self.0.runnable.decides {
            Decides::Strategy(_) => PolicyKind::Strategy,
            Decides::Rollback(_) => PolicyKind::Rollback,
        }
    }

    /// What it says about itself.
    #[must_use]
    pub fn info(&self) -> &PolicyInfo {
        &self.0.info
    }
}
