//! What one store holds, and everything that a guest finds linked.
//!
//! All of WASI is linked so that language runtimes start. What is not granted answers with WASI's own error: no directories,
//! no sockets, no name look-ups, no outbound HTTP, an empty standard input.

use crate::bindings::{metrics, types};
use crate::limits::StoreLimiter;
use crate::logs::{GuestStream, LogSource, LogStream};
use crate::metrics::CustomMetrics;
use crate::spec::{AgentSpec, Outbound};
use crate::turn::Turn;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

/// Resources that one store may hold: streams, bodies, headers, timers. A leaking guest traps here instead of growing the host.
const MAX_RESOURCES: usize = 10_000;
/// Bytes that one call for randomness may ask for.
const MAX_RANDOM: u64 = 64 << 10;
/// Bytes that the host copies out of a guest in one call, beyond the largest body that may pass by value.
const HOSTCALL_ALLOWANCE: usize = 16 << 20;
/// Chunks of a reply that wait for the caller. With the chunk size this bounds what a slow caller makes the host hold.
const REPLY_CHUNKS: usize = 8;
/// Bytes of one chunk of a reply.
const REPLY_CHUNK: usize = 128 << 10;

/// The data of an agent's store.
pub(crate) struct AgentStore {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) limiter: StoreLimiter,
    metrics: Arc<CustomMetrics>,
    log: Arc<LogSource>,
}

impl AgentStore {
    /// A store that yields at every tick and holds nothing of an earlier call.
    pub(crate) fn create(
        engine: &Engine,
        spec: &AgentSpec,
        limiter: StoreLimiter,
        metrics: Arc<CustomMetrics>,
        log: Arc<LogSource>,
        turn: Arc<Turn>,
    ) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let wasi = WasiCtx::builder()
            .stdout(GuestStream::new(&log, LogStream::Stdout))
            .stderr(GuestStream::new(&log, LogStream::Stderr))
            .envs(&spec.env)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM)
            .build();
        let data = Self {
            table,
            wasi,
            http: WasiHttpCtx::new(),
            hooks: Hooks {
                outbound: spec.outbound,
            },
            limiter,
            metrics,
            log,
        };
        let mut store = Store::new(engine, data);
        store.limiter(|data| &mut data.limiter);
        store.set_hostcall_fuel(
            usize::try_from(spec.limits.reply_body)
                .unwrap_or(usize::MAX)
                .saturating_add(HOSTCALL_ALLOWANCE),
        );
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| Ok(turn.at_tick()));
        store
    }

    /// Marks every body that the guest left open as aborted, so that its reader gets an error and never a clean end.
    /// True when there was one.
    pub(crate) fn abort_open_bodies(&mut self) -> bool {
        let mut found = false;
        for entry in self.table.iter_mut() {
            if let Some(body) = entry.downcast_mut::<HostOutgoingBody>() {
                found = true;
                let (placeholder, _) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
                std::mem::replace(body, placeholder).abort();
            }
        }
        found
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

/// Decides what a guest's own HTTP requests may reach.
struct Hooks {
    outbound: Outbound,
}

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
)>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        match self.outbound {
            Outbound::Deny => Box::new(async { Err(HttpError::HttpRequestDenied) }),
        }
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        REPLY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        REPLY_CHUNK
    }
}

/// Interfaces that [`link`] provides: package, version, names; those of value types only need no provider and are left out. [`crate::inspect`] answers from this list without compiling, and
/// a test compares it with the linker.
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
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    types::add_to_linker::<_, HasSelf<AgentStore>>(&mut linker, |data| data)?;
    metrics::add_to_linker::<_, HasSelf<AgentStore>>(&mut linker, |data| data)?;
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
