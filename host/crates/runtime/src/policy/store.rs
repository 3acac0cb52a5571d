//! What surrounds one call: a store with its limits, and the engine that all calls share.

use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::caxton::policy::log as log_import;
use super::inert;
use super::log::{LogLevel, Recorder};

/// What one call of a policy may use. Each call has all of it, for the instantiation and the call itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Bytes of linear memories and tables together.
    pub memory: u64,
    /// Units of fuel; most instructions take one.
    pub fuel: u64,
    /// Time on the wall.
    pub deadline: Duration,
}

impl Default for PolicyLimits {
    /// 64 MiB, three thousand million units, five seconds.
    ///
    /// The hungriest that was measured, a policy in JavaScript, takes 1,723 million units and 18 MiB for the most that it can
    /// be told: 120 windows with three arms of 64 metrics each. The fuel is spent well before the deadline, so that a loop is found by what it does and not by how busy the
    /// host is; the deadline is for what fuel cannot see.
    fn default() -> Self {
        Self {
            memory: 64 * 1024 * 1024,
            fuel: 3_000_000_000,
            deadline: Duration::from_secs(5),
        }
    }
}

/// Units of fuel after which a call lets others have the thread: well below a millisecond of it.
const FUEL_BETWEEN_YIELDS: u64 = 1_000_000;

/// How often a call lets others have the thread whatever it does: a loop of calls to the host burns little fuel.
const TICK: Duration = Duration::from_millis(10);

/// Bytes that a policy may hand to the host at once: enough to be told how far beyond a bound an answer is, and not enough to
/// hurt. The longest answer that is not refused takes a hundredth of it.
const HANDED_OVER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Streams and pollables that a policy may have open at once; a language runtime opens a handful.
const RESOURCES_MAX: usize = 1_000;

/// Core instances, memories and tables of a policy. A Python component, the largest that is known, has some thirty.
const INSTANCES_MAX: usize = 1_000;

/// The engine for policies: the same input gives the same output on it, and what it runs can be stopped.
pub(super) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_threads(false)
        .concurrency_support(false);
    let engine = Engine::new(&config)?;
    tick(&engine)?;
    Ok(engine)
}

/// Starts the thread that drives the engine's epoch. It ends by itself once the engine is gone.
fn tick(engine: &Engine) -> Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("policy-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
    Ok(())
}

/// Everything that a policy may import.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    inert::link(&mut linker)?;
    log_import::add_to_linker::<Guest, wasmtime::component::HasSelf<Guest>>(
        &mut linker,
        |guest| guest,
    )?;
    Ok(linker)
}

/// The host's side of one call.
pub(super) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    recorder: Recorder,
    pub(super) memory: Memory,
}

/// A store for one call.
pub(super) fn store(
    engine: &Engine,
    limits: &PolicyLimits,
    seed: u64,
    recorder: &Recorder,
) -> Result<Store<Guest>> {
    let mut resources = ResourceTable::new();
    resources.set_max_capacity(RESOURCES_MAX);
    let guest = Guest {
        wasi: inert::wasi(seed, recorder),
        resources,
        recorder: recorder.clone(),
        memory: Memory {
            limit: limits.memory,
            used: 0,
            refused: false,
        },
    };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(HANDED_OVER_BYTES_MAX);
    store.set_fuel(limits.fuel)?;
    store.fuel_async_yield_interval(Some(FUEL_BETWEEN_YIELDS))?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    Ok(store)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}

impl log_import::Host for Guest {
    fn write(&mut self, level: log_import::Level, message: String) {
        let level = match level {
            log_import::Level::Debug => LogLevel::Debug,
            log_import::Level::Info => LogLevel::Info,
            log_import::Level::Warn => LogLevel::Warn,
        };
        self.recorder.line(level, &message);
    }
}

/// Counts the bytes of a call's memories and tables together.
pub(super) struct Memory {
    limit: u64,
    /// Memories and tables only grow, so this is also the most that there was.
    pub(super) used: u64,
    /// Whether the guest asked for more than there is. It is told so and may cope; what it does next may be a trap.
    pub(super) refused: bool,
}

impl Memory {
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.refused = true;
            return false;
        }
        self.used = used;
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut memory = Memory {
            limit: 1_000,
            used: 0,
            refused: false,
        };
        assert!(memory.memory_growing(0, 600, None).unwrap());
        assert!(memory.table_growing(0, 40, None).unwrap());
        assert!(memory.memory_growing(600, 680, None).unwrap());
        assert!(!memory.refused);
        assert!(!memory.memory_growing(0, 1, None).unwrap());
        assert!(memory.refused);
    }

    #[tokio::test]
    async fn the_epoch_thread_ends_with_its_engine() {
        let engine = engine().unwrap();
        let weak = engine.weak();
        drop(engine);
        let gone = async {
            while weak.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .expect("the engine is still there");
    }
}
