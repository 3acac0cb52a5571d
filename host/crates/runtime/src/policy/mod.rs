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
mod schema;
mod store;
mod text;
mod trial;

use std::path::Path;
use std::sync::Arc;

use caxton_rollout::Digest;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::cache::{Cache, POLICIES};

use self::bindings::exports::caxton::policy::{about, rollback, strategy};
use self::schema::{Schema, Turns};
use self::store::Guest;

pub use self::call::Call;
pub use self::inspect::PolicyFacts;
pub use self::log::{LINE_BYTES_MAX, LINES_MAX, LogLevel, LogLine, LogSource, PolicyLog};
pub use self::refusal::{
    EngineError, PolicyRefusal, RefusalReason, SettingsError, SettingsProblem, Stage,
};
pub use self::store::PolicyLimits;

/// Components of more bytes are compiled one at a time: a Python policy keeps every core busy for seconds and takes a gigabyte
/// meanwhile. Smaller ones take milliseconds and wait for none.
const LARGE: usize = 2 * 1024 * 1024;

/// What a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// JSON Schema of its settings, an object at its root, at most 256 KiB.
    pub settings_schema: String,
}

/// Loads policies; all of them share its engine. Clones are the same runtime.
#[derive(Clone)]
pub struct PolicyRuntime(Arc<Shared>);

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    limits: PolicyLimits,
    /// Compiles, behind those that serve.
    threads: rayon::ThreadPool,
    cache: Option<Cache>,
    /// Held while a large component is compiled.
    compiling: Semaphore,
    /// Who looks at schemas.
    turns: Turns,
}

/// A policy, compiled and linked. Clones are the same policy.
#[derive(Clone)]
pub struct Policy(Arc<Loaded>);

struct Loaded {
    name: String,
    digest: Digest,
    size: u64,
    info: PolicyInfo,
    schema: Schema,
    runnable: Runnable,
    came_from_cache: bool,
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
    /// A runtime whose policies get `limits` for each call. It keeps no compiled code.
    ///
    /// # Errors
    ///
    /// When the engine cannot be made on this platform, or its threads not be started.
    pub fn new(limits: PolicyLimits) -> Result<Self, EngineError> {
        Self::with_cache(limits, None)
    }

    /// The same with a folder in which compiled code is kept, this user's alone. Where it cannot be used a warning is logged,
    /// and policies are compiled each time.
    ///
    /// # Errors
    ///
    /// As for [`PolicyRuntime::new`].
    pub fn with_cache(limits: PolicyLimits, folder: Option<&Path>) -> Result<Self, EngineError> {
        let failed = |error: wasmtime::Error| EngineError(error.root_cause().to_string());
        let engine = store::engine().map_err(failed)?;
        let linker = store::linker(&engine).map_err(failed)?;
        let threads = crate::compile::threads("caxton-policy").map_err(EngineError)?;
        Ok(Self(Arc::new(Shared {
            cache: folder.and_then(|folder| Cache::open(&POLICIES, folder, &engine)),
            engine,
            linker,
            limits,
            threads,
            compiling: Semaphore::new(1),
            turns: Turns::default(),
        })))
    }

    /// What `bytes` are as a policy, without compiling them.
    ///
    /// # Errors
    ///
    /// When they are none that this host can run.
    pub fn inspect(&self, bytes: &[u8]) -> Result<PolicyFacts, RefusalReason> {
        inspect::inspect(bytes)
    }

    /// Takes `bytes` as the policy `name`: looks at them, compiles them on threads of low priority, and asks the result to
    /// describe itself. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the bytes are no policy that this host can run. Nothing is left behind then.
    pub async fn load(
        &self,
        name: &str,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Result<Policy, PolicyRefusal> {
        self.load_or_reason(name, bytes.into())
            .await
            .map_err(|reason| PolicyRefusal {
                policy: name.to_owned(),
                reason,
            })
    }

    async fn load_or_reason(&self, name: &str, bytes: Arc<[u8]>) -> Result<Policy, RefusalReason> {
        let inspected = Arc::clone(&bytes);
        let facts = blocking(move || inspect::inspect(&inspected)).await?;
        let found = self.clone();
        let digest = facts.digest;
        let cached = blocking(move || Ok(found.0.cached(digest))).await?;
        let came_from_cache = cached.is_some();
        let component = match cached {
            Some(component) => component,
            None => self.compile(digest, bytes).await?,
        };
        let runnable = Runnable::link(self.clone(), facts.kind, &component)?;
        let info = runnable
            .describe(name)
            .await
            .map_err(RefusalReason::Describe)?;
        let text = info.settings_schema.clone();
        let compile = move || Schema::compile(&text);
        let turns = &self.0.turns;
        let schema = turns.within(digest, schema::TIME_MAX, compile).await;
        let schema = schema
            .ok_or(RefusalReason::SchemaOutOfTime(schema::TIME_MAX))?
            .map_err(RefusalReason::Schema)?;
        Ok(Policy(Arc::new(Loaded {
            name: name.to_owned(),
            digest,
            size: facts.size,
            info,
            schema,
            runnable,
            came_from_cache,
        })))
    }

    async fn compile(&self, digest: Digest, bytes: Arc<[u8]>) -> Result<Component, RefusalReason> {
        let _turn: Option<SemaphorePermit<'_>> = if bytes.len() > LARGE {
            self.0.compiling.acquire().await.ok()
        } else {
            None
        };
        let shared = self.clone();
        blocking(move || {
            let Shared {
                engine,
                threads,
                cache,
                ..
            } = &*shared.0;
            let component = threads
                .install(|| Component::from_binary(engine, &bytes))
                .map_err(|error| RefusalReason::Compile(format!("{error:#}")))?;
            if let Some(cache) = cache {
                cache.put(digest, &component, &[]);
            }
            Ok(component)
        })
        .await
    }
}

impl Shared {
    fn cached(&self, component: Digest) -> Option<Component> {
        self.cache.as_ref()?.get(&self.engine, component)
    }
}

/// Runs what takes long on a thread for that; a panic of the compiler is a refusal.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RefusalReason> + Send + 'static,
) -> Result<T, RefusalReason> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(RefusalReason::Compile(panic.to_string())))
}

impl Runnable {
    fn link(
        runtime: PolicyRuntime,
        kind: PolicyKind,
        component: &Component,
    ) -> Result<Self, RefusalReason> {
        let signature = |error: wasmtime::Error| RefusalReason::Signature(format!("{error:#}"));
        let instance = runtime
            .0
            .linker
            .instantiate_pre(component)
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

    /// Bytes that it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Whether it did not have to be compiled.
    #[must_use]
    pub fn came_from_cache(&self) -> bool {
        self.0.came_from_cache
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
