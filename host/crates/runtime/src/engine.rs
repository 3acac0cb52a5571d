//! One engine for all agents: machine code, linear memories from a pool, and a clock that makes guests yield. Metering costs all code
//! of an engine some of its speed, so agents with a fuel limit have another one, made with the first of them.

use crate::cache::{AGENTS, Cache, Kind, METERED};
use crate::compile::{CodeCounts, CodeSource, Compiler, Digest};
use crate::inspect::{Inspection, Refusal, inspect};
use crate::instance::{make_in, room};
use crate::logs::{LogQueue, LogSink, TracingSink};
use crate::prepare::PrepareError;
use crate::serving::Serving;
use crate::spec::AgentSpec;
use crate::store::{AgentStore, link};
use crate::version::Version;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::{Notify, OnceCell, Semaphore};
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often a guest that computes gives way to others. A loop delays its neighbours by this much, and a deadline comes by this
/// much too late.
const TICK: Duration = Duration::from_millis(10);
/// Component instances that live at once unless told otherwise.
const DEFAULT_INSTANCES: u32 = 1_000;
/// Components that compile at once unless told otherwise: each takes several times its size in memory.
const DEFAULT_COMPILES: usize = 2;
/// Core instances of one component from Rust with its adapters; larger ones use the shares of smaller ones, up to a bound.
const CORE_INSTANCES_PER_COMPONENT: u32 = 4;
/// Linear memories and fiber stacks per component: one, and one more for compositions and for host calls in flight.
const MEMORIES_PER_COMPONENT: u32 = 2;
/// Core instances, and tables, that one component may have: with the default number of calls at once, a composition of that
/// size leaves a quarter of the pool to others.
const MOST_CORE_INSTANCES: u32 = 30;
/// Linear memories that one component may have, by the same reckoning.
const MOST_MEMORIES: u32 = 15;
/// Of a memory that goes back to the pool, the part that is cleared by hand instead of being given back to the system.
const KEEP_RESIDENT: usize = 2 << 20;
/// The same for tables.
const KEEP_TABLE_RESIDENT: usize = 64 << 10;
/// How many elements one table of the pool can grow to; language runtimes need more than wasmtime's default.
const TABLE_ELEMENTS: usize = 100_000;

/// What the host decides once.
#[derive(Clone)]
pub struct RuntimeOptions {
    /// Component instances that live at once, over all agents. Further calls wait a moment and are then shed.
    pub instances: u32,
    /// Components that compile at once.
    pub compiles: usize,
    /// Guests that compute for longer than a tick at once, over all agents; the others wait their turn, a tick each. Keep it
    /// below the number of tokio's workers, so that one of them always is there for sockets and for quick calls.
    pub computing: usize,
    /// Addresses that no agent reaches by HTTP, whatever it was granted: the host's own.
    pub forbidden: Vec<SocketAddr>,
    /// The folder in which compiled code is kept over restarts, this user's alone. Where it cannot be used a warning is logged, and
    /// each start compiles.
    pub compiled: Option<PathBuf>,
    /// Who gets what guests print.
    pub log_sink: Arc<dyn LogSink>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            instances: DEFAULT_INSTANCES,
            compiles: DEFAULT_COMPILES,
            computing: default_computing(),
            forbidden: Vec::new(),
            compiled: None,
            log_sink: Arc::new(TracingSink),
        }
    }
}

impl std::fmt::Debug for RuntimeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeOptions")
            .field("instances", &self.instances)
            .field("compiles", &self.compiles)
            .field("computing", &self.computing)
            .field("forbidden", &self.forbidden)
            .field("compiled", &self.compiled)
            .finish_non_exhaustive()
    }
}

/// One worker of tokio's default number remains free.
fn default_computing() -> usize {
    std::thread::available_parallelism().map_or(1, |workers| workers.get().saturating_sub(1).max(1))
}

/// What a runtime holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Component instances that live.
    pub instances: usize,
    /// Components whose code is in memory.
    pub components: usize,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Wasmtime refused.
    #[error("wasmtime cannot be set up on this machine: {0}")]
    Engine(String),
    /// No thread could be started.
    #[error("the thread {name} could not be started: {error}")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why.
        error: String,
    },
}

/// Everything that agents share. It lives as long as any [`Version`] of it.
pub struct Runtime {
    compiler: Compiler,
    /// For agents with a fuel limit.
    metered: OnceCell<Compiler>,
    limit: u32,
    compiled: Option<PathBuf>,
    pub(crate) instances: Arc<Semaphore>,
    pub(crate) computing: Arc<Semaphore>,
    /// Calls that wait for an instance's place. While there are any, no instance stays idle.
    pub(crate) waiting: AtomicUsize,
    /// Asks one idle instance, of whatever agent, to make room.
    pub(crate) make_room: Notify,
    pub(crate) forbidden: Arc<[SocketAddr]>,
    pub(crate) logs: LogQueue,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("free_instances", &self.instances.available_permits())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Sets up the engine, its clock and the threads for compiling and for log lines.
    pub fn new(options: RuntimeOptions) -> Result<Arc<Self>, RuntimeError> {
        let limit = options.instances.max(1);
        let linker = linker(limit, false)?;
        let cache = cache(&AGENTS, options.compiled.as_deref(), &linker);
        let compiler = Compiler::new(linker, options.compiles, cache).map_err(|error| {
            RuntimeError::Thread {
                name: "caxton-compile",
                error,
            }
        })?;
        let logs = LogQueue::start(options.log_sink).map_err(|error| RuntimeError::Thread {
            name: "caxton-logs",
            error: error.to_string(),
        })?;
        Ok(Arc::new(Self {
            compiler,
            metered: OnceCell::new(),
            limit,
            compiled: options.compiled,
            instances: Arc::new(Semaphore::new(limit as usize)),
            computing: Arc::new(Semaphore::new(options.computing.max(1))),
            waiting: AtomicUsize::new(0),
            make_room: Notify::new(),
            forbidden: options.forbidden.into(),
            logs,
        }))
    }

    /// Looks at bytes that want to be an agent: every stage before compiling. It computes only, up to a second for the largest
    /// components, and belongs on a blocking thread then.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Inspection, Refusal> {
        inspect(bytes, self.compiler.engine().get_wasm_features())
    }

    /// Makes a version ready to be called: inspects, compiles (unless a living version has the same bytes, or their code is on
    /// disk), and tries one instance under the version's limits.
    ///
    /// Nothing of it is left behind when it fails or when the future is dropped.
    pub async fn prepare(
        self: &Arc<Self>,
        bytes: Arc<[u8]>,
        spec: AgentSpec,
    ) -> Result<Arc<Version>, PrepareError> {
        if let Some(problem) = spec.problem() {
            return Err(PrepareError::Spec(problem));
        }
        let (digest, inspection) = self.look_at(Arc::clone(&bytes)).await?;
        if spec.state.is_some() && !inspection.state {
            return Err(PrepareError::NoState {
                exports: inspection.exports,
            });
        }
        let compiler = self.compiler_for(&spec).await?;
        let (slot, source) = compiler.code(digest, bytes, &inspection).await?;
        let compile_time = match slot.code() {
            Some(code) if source == CodeSource::Compiled => code.took,
            _ => Duration::ZERO,
        };
        let timeout = spec.limits.request_timeout;
        let serving = Serving::new(Arc::clone(self), slot, spec, inspection, digest);
        let room = room(&serving).await?;
        let trial = tokio::time::timeout(timeout, make_in(&serving, room)).await;
        match trial {
            Err(_) => Err(PrepareError::Deadline { limit: timeout }),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_instance)) => Ok(Arc::new(Version::new(serving, source, compile_time))),
        }
    }

    async fn compiler_for(self: &Arc<Self>, spec: &AgentSpec) -> Result<&Compiler, PrepareError> {
        if spec.limits.fuel.is_none() {
            return Ok(&self.compiler);
        }
        let make = async {
            let runtime = Arc::clone(self);
            let made = self.compiler.blocking(move || runtime.metered_compiler());
            let made = made.await?;
            made.map_err(|error| PrepareError::Host(error.to_string()))
        };
        self.metered.get_or_try_init(|| make).await
    }

    fn metered_compiler(&self) -> Result<Compiler, RuntimeError> {
        let linker = linker(self.limit, true)?;
        let cache = cache(&METERED, self.compiled.as_deref(), &linker);
        Ok(self.compiler.beside(linker, cache))
    }

    async fn look_at(
        self: &Arc<Self>,
        bytes: Arc<[u8]>,
    ) -> Result<(Digest, Inspection), PrepareError> {
        let runtime = Arc::clone(self);
        let look = move || {
            let inspection = runtime.inspect(&bytes)?;
            Ok((Sha256::digest(&bytes).into(), inspection))
        };
        self.compiler.blocking(look).await?
    }

    /// How often code was compiled, found on disk and written there.
    #[must_use]
    pub fn code_counts(&self) -> CodeCounts {
        self.compiler.counts()
    }

    /// What is held right now: nothing, once every version is gone and its last call has ended.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            instances: (self.limit as usize).saturating_sub(self.instances.available_permits()),
            components: self.compiler.in_use() + self.metered.get().map_or(0, Compiler::in_use),
        }
    }
}

/// An engine whose clock goes, and all that agents find linked in it.
fn linker(instances: u32, metered: bool) -> Result<Linker<AgentStore>, RuntimeError> {
    let engine = engine(instances, metered)?;
    start_ticker(&engine)?;
    link(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

fn cache(kind: &'static Kind, folder: Option<&Path>, linker: &Linker<AgentStore>) -> Option<Cache> {
    Cache::open(kind, folder?, linker.engine())
}

fn engine(instances: u32, metered: bool) -> Result<Engine, RuntimeError> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.consume_fuel(metered);
    config.wasm_component_model_async(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(
                %error,
                instances,
                "the pool of instances cannot be reserved; memory is taken on demand, and each new instance costs more. \
                 Lift the limit on virtual memory (ulimit -v), or allow fewer instances"
            );
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
        }
    }
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_stacks(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_gc_heaps(instances)
        .max_core_instances_per_component(MOST_CORE_INSTANCES)
        .max_tables_per_component(MOST_CORE_INSTANCES)
        .max_memories_per_component(MOST_MEMORIES)
        .table_elements(TABLE_ELEMENTS)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_TABLE_RESIDENT);
    pool
}

/// Ticks while the engine lives; it must not be what keeps it alive.
fn start_ticker(engine: &Engine) -> Result<(), RuntimeError> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("caxton-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map(drop)
        .map_err(|error| RuntimeError::Thread {
            name: "caxton-epoch",
            error: error.to_string(),
        })
}
