//! Compiling, on a few threads of low priority, and sharing the result while anybody uses it.
//!
//! Code is found again by the digest of the component's bytes: in memory while anybody uses it, and on disk after that. The map
//! holds it weakly: with the last version of these bytes the code goes. Compiling cannot be interrupted, so one that nobody waits
//! for any more runs to its end; its code is kept on disk all the same.
//!
//! What is on disk is taken from there without a turn among those that compile: it takes milliseconds, and a compilation seconds.

use crate::bindings::{handler, health, state};
use crate::cache::Cache;
use crate::inspect::{Contract, Inspection};
use crate::prepare::PrepareError;
use crate::store::AgentStore;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore, oneshot};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

/// SHA-256 of a component's bytes.
pub(crate) type Digest = [u8; 32];

/// How far the compiling threads stand behind those that serve. A tenth of a busy processor remains for them: at the end of the
/// scale a reload under full load would take minutes.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Where the code of a version came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeSource {
    /// Another version of the same bytes had it in memory.
    Memory,
    /// An earlier compilation had left it on disk.
    Disk,
    /// It was compiled.
    Compiled,
}

impl CodeSource {
    /// A stable word for logs and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Compiled => "compiled",
        }
    }
}

/// How often code was made, and found on disk, since the runtime began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CodeCounts {
    /// Compilations that ended well.
    pub compiled: u64,
    /// Code that was taken from disk.
    pub from_disk: u64,
    /// Code that was written to disk.
    pub written: u64,
}

/// A component's machine code, linked, with the places of its exports.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<AgentStore>,
    pub(crate) entry: EntryIndices,
    pub(crate) health: Option<health::GuestIndices>,
    pub(crate) state: Option<state::GuestIndices>,
    /// How long compiling took; zero where it was on disk.
    pub(crate) took: Duration,
    pub(crate) source: CodeSource,
}

pub(crate) enum EntryIndices {
    HttpP3(ServiceIndices),
    HttpP2(ProxyIndices),
    Handler(handler::GuestIndices),
}

/// Code that is being made or is there.
#[derive(Default)]
pub(crate) struct Slot {
    code: OnceCell<Code>,
}

impl Slot {
    /// The code, which every slot that leaves this module has.
    pub(crate) fn code(&self) -> Option<&Code> {
        self.code.get()
    }
}

pub(crate) struct Compiler {
    threads: Arc<rayon::ThreadPool>,
    gate: Arc<Semaphore>,
    linker: Linker<AgentStore>,
    shared: Shared,
    cache: Option<Arc<Cache>>,
    /// Whoever looks at components and takes code from disk: a start with a thousand agents needs no thousand threads.
    reading: Arc<Semaphore>,
    /// Whoever writes to disk: one file after the other, since each is copied in memory first.
    writing: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// Code by the digest of its component, for as long as anybody uses it.
type Shared = Arc<Mutex<HashMap<Digest, Weak<Slot>>>>;

#[derive(Default)]
struct Counts {
    compiled: AtomicU64,
    from_disk: AtomicU64,
    written: AtomicU64,
}

impl Compiler {
    pub(crate) fn new(
        linker: Linker<AgentStore>,
        at_once: usize,
        cache: Option<Cache>,
    ) -> Result<Self, String> {
        Ok(Self {
            threads: Arc::new(threads("caxton-compile")?),
            gate: Arc::new(Semaphore::new(at_once.max(1))),
            linker,
            shared: Shared::default(),
            cache: cache.map(Arc::new),
            reading: Arc::new(Semaphore::new(processors())),
            writing: Arc::new(Semaphore::new(1)),
            counts: Arc::default(),
        })
    }

    /// The same for another engine. Threads, turns and counts are those of both.
    pub(crate) fn beside(&self, linker: Linker<AgentStore>, cache: Option<Cache>) -> Self {
        Self {
            threads: Arc::clone(&self.threads),
            gate: Arc::clone(&self.gate),
            linker,
            shared: Shared::default(),
            cache: cache.map(Arc::new),
            reading: Arc::clone(&self.reading),
            writing: Arc::clone(&self.writing),
            counts: Arc::clone(&self.counts),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.linker.engine()
    }

    /// The code for these bytes, and where it came from.
    pub(crate) async fn code(
        &self,
        digest: Digest,
        bytes: Arc<[u8]>,
        inspection: &Inspection,
    ) -> Result<(Arc<Slot>, CodeSource), PrepareError> {
        let slot = self.slot(digest);
        let mut source = CodeSource::Memory;
        let make = async {
            let code = match self.restore(digest, inspection).await? {
                Some(code) => code,
                None => self.compile(digest, bytes, inspection.clone()).await?,
            };
            source = code.source;
            Ok::<_, PrepareError>(code)
        };
        slot.code.get_or_try_init(|| make).await?;
        Ok((slot, source))
    }

    /// What was done since the runtime began.
    pub(crate) fn counts(&self) -> CodeCounts {
        CodeCounts {
            compiled: self.counts.compiled.load(Relaxed),
            from_disk: self.counts.from_disk.load(Relaxed),
            written: self.counts.written.load(Relaxed),
        }
    }

    /// Components whose code is in memory.
    pub(crate) fn in_use(&self) -> usize {
        in_use(&self.shared).len()
    }

    fn slot(&self, digest: Digest) -> Arc<Slot> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shared.get(&digest).and_then(Weak::upgrade) {
            return slot;
        }
        shared.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::default());
        shared.insert(digest, Arc::downgrade(&slot));
        slot
    }

    /// The code as an earlier compilation left it on disk, if it did.
    async fn restore(
        &self,
        digest: Digest,
        inspection: &Inspection,
    ) -> Result<Option<Code>, PrepareError> {
        let Some(cache) = self.cache.clone() else {
            return Ok(None);
        };
        let (linker, inspection) = (self.linker.clone(), inspection.clone());
        let restored = self
            .blocking(move || {
                let component = cache.get(linker.engine(), caxton_rollout::Digest::new(digest))?;
                let code = linked(&linker, &component, &inspection);
                // Whatever is wrong with it, the compilation says it again.
                code.inspect_err(|error| tracing::warn!("compiled anew: {error}"))
                    .ok()
            })
            .await?;
        self.counts
            .from_disk
            .fetch_add(u64::from(restored.is_some()), Relaxed);
        Ok(restored)
    }

    /// Runs what takes milliseconds on a thread for that, as many at once as there are processors.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PrepareError> {
        let host = |error: String| PrepareError::Host(error);
        let turn = Arc::clone(&self.reading).acquire_owned().await;
        let turn = turn.map_err(|error| host(error.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| host(error.to_string()))
    }

    async fn compile(
        &self,
        digest: Digest,
        bytes: Arc<[u8]>,
        inspection: Inspection,
    ) -> Result<Code, PrepareError> {
        let permit = Arc::clone(&self.gate)
            .acquire_owned()
            .await
            .map_err(|error| PrepareError::Host(error.to_string()))?;
        let linker = self.linker.clone();
        let counts = Arc::clone(&self.counts);
        let keep = self.keeper(digest);
        let (done, result) = oneshot::channel();
        self.threads.spawn(move || {
            let compiled = compile(&linker, &bytes, &inspection);
            drop((permit, linker));
            let code = compiled.map(|(component, code)| {
                counts.compiled.fetch_add(1, Relaxed);
                keep(component);
                code
            });
            // Nobody may be waiting any more.
            let _ = done.send(code);
        });
        result
            .await
            .map_err(|_| PrepareError::Host("the compiling thread panicked".into()))?
    }

    /// What writes the code of a component to disk, beside everything else.
    fn keeper(&self, digest: Digest) -> impl FnOnce(Component) + Send + use<> {
        let cache = self.cache.clone();
        let (writing, shared) = (Arc::clone(&self.writing), Arc::clone(&self.shared));
        let counts = Arc::clone(&self.counts);
        let tasks = tokio::runtime::Handle::current();
        move |component| {
            let Some(cache) = cache else {
                return;
            };
            tasks.spawn(async move {
                let Ok(_turn) = writing.acquire().await else {
                    return;
                };
                let write = move || {
                    let used = in_use(&shared);
                    let kept = cache.put(caxton_rollout::Digest::new(digest), &component, &used);
                    counts.written.fetch_add(u64::from(kept), Relaxed);
                };
                // A panic is told by its hook, and costs no more than a file.
                let _ = tokio::task::spawn_blocking(write).await;
            });
        }
    }
}

/// Components whose code is in memory.
fn in_use(shared: &Shared) -> Vec<caxton_rollout::Digest> {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let living = shared.iter().filter(|(_, slot)| slot.strong_count() > 0);
    living
        .map(|(digest, _)| caxton_rollout::Digest::new(*digest))
        .collect()
}

fn compile(
    linker: &Linker<AgentStore>,
    bytes: &[u8],
    inspection: &Inspection,
) -> Result<(Component, Code), PrepareError> {
    let started = Instant::now();
    let component = Component::from_binary(linker.engine(), bytes)
        .map_err(|error| PrepareError::Compile(format!("{error:#}")))?;
    let code = Code {
        took: started.elapsed(),
        source: CodeSource::Compiled,
        ..linked(linker, &component, inspection)?
    };
    Ok((component, code))
}

/// A component from disk with the places of its exports.
fn linked(
    linker: &Linker<AgentStore>,
    component: &Component,
    inspection: &Inspection,
) -> Result<Code, PrepareError> {
    let link = |error: wasmtime::Error| PrepareError::Link(format!("{error:#}"));
    let pre = linker.instantiate_pre(component).map_err(link)?;
    let entry = match inspection.contract {
        Contract::HttpP3 => EntryIndices::HttpP3(ServiceIndices::new(&pre).map_err(link)?),
        Contract::HttpP2 => EntryIndices::HttpP2(ProxyIndices::new(&pre).map_err(link)?),
        Contract::Handler => EntryIndices::Handler(handler::GuestIndices::new(&pre).map_err(link)?),
    };
    let health = if inspection.health {
        Some(health::GuestIndices::new(&pre).map_err(link)?)
    } else {
        None
    };
    let state = if inspection.state {
        Some(state::GuestIndices::new(&pre).map_err(link)?)
    } else {
        None
    };
    Ok(Code {
        pre,
        entry,
        health,
        state,
        took: Duration::ZERO,
        source: CodeSource::Disk,
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Threads to compile on, one per core, all of them behind those that serve.
pub(crate) fn threads(name: &'static str) -> Result<rayon::ThreadPool, String> {
    rayon::ThreadPoolBuilder::new()
        .thread_name(move |n| format!("{name}-{n}"))
        .start_handler(|_| lower_priority())
        // Without a handler a panic inside the compiler aborts the process. Whoever waits for the code is told.
        .panic_handler(|_| tracing::error!("the compiler panicked"))
        .build()
        .map_err(|error| error.to_string())
}

/// On Linux a thread's priority is its own; elsewhere it may be the whole process's, and stays as it is.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "compiling threads keep their priority");
    }
}
