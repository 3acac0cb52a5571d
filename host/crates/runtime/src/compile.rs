//! Compiling, on a few threads of low priority, and sharing the result while anybody uses it.
//!
//! Code is found again by the digest of the component's bytes. The map holds it weakly: with the last version of these bytes
//! the code goes. Compiling cannot be interrupted, so one that nobody waits for any more runs to its end and is thrown away.

use crate::bindings::{handler, health, state};
use crate::inspect::{Contract, Inspection};
use crate::prepare::PrepareError;
use crate::store::AgentStore;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore, oneshot};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

/// SHA-256 of a component's bytes.
pub(crate) type Digest = [u8; 32];

/// How far the compiling threads stand behind those that serve. A tenth of a busy processor remains for them: at the end of the
/// scale a reload under full load would take minutes.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// A component's machine code, linked, with the places of its exports.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<AgentStore>,
    pub(crate) entry: EntryIndices,
    pub(crate) health: Option<health::GuestIndices>,
    pub(crate) state: Option<state::GuestIndices>,
    /// How long it took.
    pub(crate) took: Duration,
}

pub(crate) enum EntryIndices {
    Http(ProxyIndices),
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
    threads: rayon::ThreadPool,
    gate: Arc<Semaphore>,
    linker: Linker<AgentStore>,
    shared: Mutex<HashMap<Digest, Weak<Slot>>>,
}

impl Compiler {
    pub(crate) fn new(linker: Linker<AgentStore>, at_once: usize) -> Result<Self, String> {
        Ok(Self {
            threads: threads("caxton-compile")?,
            gate: Arc::new(Semaphore::new(at_once.max(1))),
            linker,
            shared: Mutex::default(),
        })
    }

    /// The code for these bytes, and whether it was there already.
    pub(crate) async fn code(
        &self,
        digest: Digest,
        bytes: Arc<[u8]>,
        inspection: &Inspection,
    ) -> Result<(Arc<Slot>, bool), PrepareError> {
        let slot = self.slot(digest);
        let was_there = slot.code.initialized();
        slot.code
            .get_or_try_init(|| self.compile(bytes, inspection.clone()))
            .await?;
        Ok((slot, was_there))
    }

    /// Components whose code is in memory.
    pub(crate) fn in_use(&self) -> usize {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared
            .values()
            .filter(|slot| slot.strong_count() > 0)
            .count()
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

    async fn compile(
        &self,
        bytes: Arc<[u8]>,
        inspection: Inspection,
    ) -> Result<Code, PrepareError> {
        let permit = Arc::clone(&self.gate)
            .acquire_owned()
            .await
            .map_err(|error| PrepareError::Host(error.to_string()))?;
        let linker = self.linker.clone();
        let (done, result) = oneshot::channel();
        self.threads.spawn(move || {
            let code = compile(&linker, &bytes, &inspection);
            drop((permit, linker));
            // Nobody may be waiting any more.
            let _ = done.send(code);
        });
        result
            .await
            .map_err(|_| PrepareError::Host("the compiling thread panicked".into()))?
    }
}

fn compile(
    linker: &Linker<AgentStore>,
    bytes: &[u8],
    inspection: &Inspection,
) -> Result<Code, PrepareError> {
    let started = Instant::now();
    let component = Component::from_binary(linker.engine(), bytes)
        .map_err(|error| PrepareError::Compile(format!("{error:#}")))?;
    let link = |error: wasmtime::Error| PrepareError::Link(format!("{error:#}"));
    let pre = linker.instantiate_pre(&component).map_err(link)?;
    let entry = match inspection.contract {
        Contract::Http => EntryIndices::Http(ProxyIndices::new(&pre).map_err(link)?),
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
        took: started.elapsed(),
    })
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
