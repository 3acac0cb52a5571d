//! What one store holds, and everything that a guest finds linked.
//!
//! All of WASI is linked so that language runtimes start. What is not granted answers with WASI's own error, and
//! [`crate::refusals`] tells it: no directories, no sockets, no name look-ups, no outbound HTTP, an empty standard input.

use crate::bindings::{metrics, types};
use crate::call::CallError;
use crate::limits::StoreLimiter;
use crate::logs::{GuestStream, LogSource, LogStream};
use crate::metrics::CustomMetrics;
use crate::outbound::Hooks;
use crate::refusals::{self, Refusals};
use crate::requests;
use crate::serving::Serving;
use crate::spec::DirGrant;
use crate::turn::Turn;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{
    HostFutureTrailers, HostIncomingBody, HostOutgoingBody, StreamContext,
};
use wasmtime_wasi_http::p2::types::{
    HostIncomingRequest, HostOutgoingRequest, HostOutgoingResponse,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView, p3};

/// Resources that one store may hold: streams, bodies, headers, timers. A leaking guest traps here instead of growing the host.
/// With the bounds below, all of them together hold about as much of the host's memory as a store's linear memory may be.
const MAX_RESOURCES: usize = 1_000;
/// Resources that an instance may keep from one call to the next, so that the next has room.
pub(crate) const MAX_KEPT: usize = MAX_RESOURCES / 2;
/// Handles of all resources, those that a guest makes of its own among them. Some bytes each.
const MAX_HANDLES: usize = 10_000;
/// Bytes that one call for randomness may ask for.
const MAX_RANDOM: u64 = 64 << 10;
/// Bytes that the host copies out of an HTTP agent in one call: a chunk or a list of headers. Its bodies never pass by value.
const HTTP_HOSTCALL: usize = 256 << 10;
/// Bytes that the host copies out of a handler in one call, beyond the largest body that may pass by value.
const HOSTCALL_ALLOWANCE: usize = 16 << 20;
/// Bytes of the names and values of one list of headers. Servers refuse more than 8 to 64 KiB.
const MAX_FIELDS: usize = 64 << 10;
/// What a guest's call left in its store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leftovers {
    /// A body that it began to write and neither ended nor dropped.
    pub(crate) open_body: bool,
    /// Anything that belongs to the call. The caller's connection waits until its request is let go of, so that such a
    /// store must go with the call.
    pub(crate) of_the_call: bool,
}

/// The data of an agent's store.
pub(crate) struct AgentStore {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) limiter: StoreLimiter,
    /// What each call has, where it is metered.
    pub(crate) fuel: Option<u64>,
    metrics: Arc<CustomMetrics>,
    log: Arc<LogSource>,
    pub(crate) refusals: Arc<Refusals>,
}

impl AgentStore {
    /// A store that yields at every tick and holds nothing of an earlier call. One of a version that only listens reaches no
    /// further than its own memory: what it would change is not its to change.
    pub(crate) fn create(
        engine: &Engine,
        serving: &Serving,
        listening: bool,
        turn: Arc<Turn>,
    ) -> Result<Store<Self>, CallError> {
        let spec = &serving.spec;
        let counts = serving.counts_while(listening);
        let restricted = listening && !serving.spec.grants_to_listener;
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(GuestStream::new(&serving.log, LogStream::Stdout))
            .stderr(GuestStream::new(&serving.log, LogStream::Stderr))
            .envs(&spec.env)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM);
        for dir in &spec.dirs {
            open_dir(&mut wasi, dir, restricted)?;
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        let data = Self {
            table,
            wasi: wasi.build(),
            http,
            hooks: Hooks::new(serving, restricted),
            limiter: StoreLimiter::new(spec.limits.memory, Arc::clone(&counts.memory)),
            fuel: spec.limits.fuel,
            metrics: Arc::clone(&counts.custom),
            log: Arc::clone(&serving.log),
            refusals: Arc::clone(&serving.refusals),
        };
        let mut store = Store::new(engine, data);
        store.limiter(|data| &mut data.limiter);
        if let Some(fuel) = spec.limits.fuel {
            let unmetered = |error: wasmtime::Error| CallError::Host(format!("{error:#}"));
            store.set_fuel(fuel).map_err(unmetered)?;
        }
        store.set_hostcall_fuel(if serving.inspection.contract.is_http() {
            HTTP_HOSTCALL
        } else {
            usize::try_from(spec.limits.reply_body)
                .unwrap_or(usize::MAX)
                .saturating_add(HOSTCALL_ALLOWANCE)
        });
        store.set_max_component_handles(MAX_HANDLES);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(MAX_RESOURCES);
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| Ok(turn.at_tick()));
        Ok(store)
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self) {
        self.hooks.begin();
    }

    /// Marks every body that the guest left open as aborted, so that its reader gets an error and never a clean end.
    pub(crate) fn abort_open_bodies(&mut self) -> Leftovers {
        let mut left = Leftovers::default();
        let mut held = 0;
        for entry in self.table.iter_mut() {
            held += 1;
            if let Some(body) = entry.downcast_mut::<HostOutgoingBody>() {
                left.open_body = true;
                let (placeholder, _) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
                std::mem::replace(body, placeholder).abort();
            }
            // The streams of a body are its children: while there is one, the body is there too.
            left.of_the_call |= entry.is::<HostIncomingRequest>()
                || entry.is::<HostIncomingBody>()
                || entry.is::<HostFutureTrailers>()
                || entry.is::<HostOutgoingResponse>()
                || entry.is::<HostOutgoingRequest>()
                || entry.is::<p3::Request>()
                || entry.is::<p3::Response>();
        }
        left.of_the_call |= left.open_body || held > MAX_KEPT;
        left
    }

    fn dropped_report(&self, told_or_taken: bool, name: &str) {
        if told_or_taken {
            return;
        }
        let name: String = name.chars().take(80).collect();
        self.log.line(
            LogStream::Stderr,
            format!(
                "caxton: a report under the metric name `{}` was dropped, and later ones may be: a name is 1 to 64 of \
                 a-z 0-9 _ . - beginning with a letter, keeps its kind, a version has at most 64 of them, a gauge is \
                 finite, and a ratio has no more bad than total",
                name.escape_debug()
            ),
        );
    }
}

impl WasiView for AgentStore {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for AgentStore {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl types::Host for AgentStore {}

impl metrics::Host for AgentStore {
    fn add(&mut self, name: String, increase: u64) {
        let taken = self.metrics.add(&name, increase);
        self.dropped_report(taken, &name);
    }

    fn set(&mut self, name: String, value: f64) {
        let taken = self.metrics.set(&name, value);
        self.dropped_report(taken, &name);
    }

    fn ratio(&mut self, name: String, bad: u64, total: u64) {
        let taken = self.metrics.ratio(&name, bad, total);
        self.dropped_report(taken, &name);
    }
}

/// Grants a directory. To a version that only listens none is writable.
fn open_dir(wasi: &mut WasiCtxBuilder, dir: &DirGrant, restricted: bool) -> Result<(), CallError> {
    let perms = if dir.write && !restricted {
        FsPerms::ReadWrite
    } else {
        FsPerms::ReadOnly
    };
    let opened = wasi.preopened_dir(&dir.host, &dir.guest, perms);
    opened.map(drop).map_err(|error| {
        CallError::Instantiation(format!(
            "the directory {}, granted as {}, cannot be opened: {error:#}",
            dir.host.display(),
            dir.guest
        ))
    })
}

/// Interfaces that [`link`] provides: package, version, names; those of value types only need no provider and are left out.
/// [`crate::inspect`] answers from this list without compiling, and a test compares it with the linker.
pub(crate) const PROVIDED: [(&str, &str, &[&str]); 14] = [
    ("caxton:agent", "0.1.0", &["metrics", "types"]),
    (
        "wasi:cli",
        "0.2.12",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    ("wasi:clocks", "0.2.12", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", "0.2.12", &["preopens", "types"]),
    ("wasi:http", "0.2.12", &["outgoing-handler", "types"]),
    ("wasi:io", "0.2.12", &["error", "poll", "streams"]),
    (
        "wasi:random",
        "0.2.12",
        &["insecure", "insecure-seed", "random"],
    ),
    (
        "wasi:sockets",
        "0.2.12",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
    (
        "wasi:cli",
        "0.3.0",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    (
        "wasi:clocks",
        "0.3.0",
        &["monotonic-clock", "system-clock", "types"],
    ),
    ("wasi:filesystem", "0.3.0", &["preopens", "types"]),
    ("wasi:http", "0.3.0", &["client", "types"]),
    (
        "wasi:random",
        "0.3.0",
        &["insecure", "insecure-seed", "random"],
    ),
    ("wasi:sockets", "0.3.0", &["ip-name-lookup", "types"]),
];

/// Everything that agents may import.
pub(crate) fn link(engine: &Engine) -> wasmtime::Result<Linker<AgentStore>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    types::add_to_linker::<_, HasSelf<AgentStore>>(&mut linker, |data| data)?;
    metrics::add_to_linker::<_, HasSelf<AgentStore>>(&mut linker, |data| data)?;
    requests::bound(&mut linker)?;
    refusals::link(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::Component;

    /// A linker takes each name once: what is in the list is taken, and what is not is free.
    #[test]
    fn the_list_is_what_the_linker_has() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        config.wasm_component_model_async(true);
        let engine = Engine::new(&config).unwrap();
        let mut linker = link(&engine).unwrap();
        let module = wasmtime::Module::new(&engine, wat::parse_str("(module)").unwrap()).unwrap();
        let mut is_taken = |name: &str| linker.root().module(name, &module).is_err();
        let mut free = Vec::new();
        for (package, version, names) in PROVIDED {
            for name in names {
                let instance = format!("{package}/{name}@{version}");
                if !is_taken(&instance) {
                    free.push(instance);
                }
            }
        }
        assert!(free.is_empty(), "not linked: {free:?}");
        assert!(!is_taken("wasi:keyvalue/store@0.2.0"));
        let wat = r#"(component (import "wasi:io/poll@0.2.3" (instance (export "pollable" (type (sub resource))))))"#;
        let component = Component::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
        link(&engine).unwrap().instantiate_pre(&component).unwrap();
    }
}
