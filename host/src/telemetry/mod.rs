//! What the host measures of itself and of its agents, as OpenTelemetry metrics and spans.
//!
//! Metrics are always there to be read, at `/metrics` of the admin surface. They and spans are exported besides where the
//! standard `OTEL_*` variables ask for it ([`Exports`]). docs/telemetry.md lists every name.
//!
//! Counters are added to by the controller, once per tick, from what it counts for policies anyway; on the request path only
//! the time of each request is recorded. Gauges are read when somebody asks, so that what is gone is shown no more.

mod export;
mod gauges;
pub(crate) mod spans;

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{AgentName, Fault, HotReloadResult, LATENCY_BOUNDS_US, RollbackCause};
use caxton_runtime::{ArmCounts, CodeSource};
use http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Stream};
use prometheus::{Encoder, TextEncoder};
use serde::Serialize;

pub use self::export::{ExportError, Exports};
use crate::handle::ControllerHandle;

/// Series that one metric may have; what is beyond goes into one that is called an overflow. 1,000 agents with all outcomes
/// are 8,000, and each series takes some hundred bytes.
const MAX_SERIES: usize = 100_000;

/// Upper bounds of how long a version takes to be brought up, in seconds: from code at hand to a language runtime that is
/// compiled on a small machine.
const PREPARE_BOUNDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// Upper bounds of how long a policy takes to answer, in seconds.
const POLICY_BOUNDS: [f64; 10] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
];

/// The way to the metrics, for whoever has something to count.
#[derive(Clone)]
pub struct Telemetry(Arc<Instruments>);

struct Instruments {
    registry: prometheus::Registry,
    provider: SdkMeterProvider,
    meter: Meter,
    request_duration: Histogram<f64>,
    requests: Counter<u64>,
    memory_peak: Gauge<u64>,
    prepare_duration: Histogram<f64>,
    reloads: Counter<u64>,
    rollbacks: Counter<u64>,
    lost_requests: Counter<u64>,
    policy_duration: Histogram<f64>,
    policy_faults: Counter<u64>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Metrics that can be read under `/metrics`, and are sent with `export` where there is one.
    ///
    /// # Errors
    /// The libraries contradict each other.
    pub fn start(export: Option<PeriodicReader<MetricExporter>>) -> Result<Self, OTelSdkError> {
        let registry = prometheus::Registry::new();
        let readable = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            registry
                .register(Box::new(process))
                .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        }
        let mut provider = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_view(|_: &_| {
                Stream::builder()
                    .with_cardinality_limit(MAX_SERIES)
                    .build()
                    .ok()
            })
            .with_reader(readable);
        if let Some(export) = export {
            provider = provider.with_reader(export);
        }
        let provider = provider.build();
        Ok(Self(Arc::new(Instruments::of(registry, provider))))
    }

    /// From now on what the controller shows is shown as gauges, too.
    pub fn observe(&self, handle: &ControllerHandle) {
        gauges::register(&self.0.meter, handle);
    }

    /// All metrics in Prometheus' text form.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Sends what was not sent yet; blocks for as long as that takes, which the exporter's timeout bounds.
    pub fn stop(&self) {
        if let Err(error) = self.0.provider.shutdown() {
            tracing::warn!("the last metrics were not exported: {error}");
        }
    }

    /// The gateway has answered, up to the head of the reply.
    pub(crate) fn answered(&self, agent: Option<&str>, status: StatusCode, took: Duration) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let agent = agent.unwrap_or_default().to_owned();
        self.0.request_duration.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("agent", agent),
                KeyValue::new("status", class),
            ],
        );
    }

    /// What one version of an agent did since it was asked last.
    pub(crate) fn called(&self, agent: &AgentName, did: &ArmCounts) {
        let answered = did
            .requests
            .saturating_sub(did.failures)
            .saturating_sub(did.rejected)
            .saturating_sub(did.unavailable);
        let failed = did
            .failures
            .saturating_sub(did.traps)
            .saturating_sub(did.deadlines);
        let by_outcome = [
            ("answered", answered),
            ("rejected", did.rejected),
            ("unavailable", did.unavailable),
            ("failed", failed),
            ("trapped", did.traps),
            ("too-late", did.deadlines),
            ("cut", did.cut),
            ("not-counted", did.not_counted.saturating_sub(did.cut)),
        ];
        for (outcome, count) in by_outcome {
            if count > 0 {
                let labels = [of(agent), KeyValue::new("outcome", outcome)];
                self.0.requests.add(count, &labels);
            }
        }
    }

    /// The largest memory of any instance of the agent in the last interval, in bytes.
    pub(crate) fn memory(&self, agent: &AgentName, peak: u64) {
        self.0.memory_peak.record(peak, &[of(agent)]);
    }

    /// A version was brought up.
    pub(crate) fn prepared(&self, agent: &AgentName, code: CodeSource, took: Duration) {
        let labels = [of(agent), KeyValue::new("code", code.as_str())];
        self.0.prepare_duration.record(took.as_secs_f64(), &labels);
    }

    /// A reload has ended.
    pub(crate) fn ended(&self, agent: &AgentName, result: &HotReloadResult) {
        let labels = [
            of(agent),
            KeyValue::new("strategy", result.strategy.name()),
            KeyValue::new("status", word(result.status)),
        ];
        self.0.reloads.add(1, &labels);
        if result.lost_requests > 0 {
            self.0.lost_requests.add(result.lost_requests, &[of(agent)]);
        }
    }

    /// Traffic went back.
    pub(crate) fn rolled_back(&self, agent: &AgentName, cause: RollbackCause) {
        let labels = [of(agent), KeyValue::new("cause", word(cause))];
        self.0.rollbacks.add(1, &labels);
    }

    /// A policy was asked.
    pub(crate) fn asked(&self, policy: &str, took: Duration, fault: Option<&Fault>) {
        let name = KeyValue::new("policy", policy.to_owned());
        if let Some(fault) = fault {
            let labels = [name.clone(), KeyValue::new("fault", word(fault.kind))];
            self.0.policy_faults.add(1, &labels);
        }
        self.0.policy_duration.record(took.as_secs_f64(), &[name]);
    }
}

fn of(agent: &AgentName) -> KeyValue {
    KeyValue::new("agent", agent.to_string())
}

/// The word that stands for it in JSON, too.
fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Who it is that tells all this: the standard variables say more, and otherwise.
fn resource() -> Resource {
    let is_named = |variable: &str, part: &str| {
        std::env::var(variable).is_ok_and(|value| value.contains(part))
    };
    let mut resource = Resource::builder();
    if !is_named("OTEL_SERVICE_NAME", "") && !is_named("OTEL_RESOURCE_ATTRIBUTES", "service.name=")
    {
        resource = resource.with_service_name("caxton");
    }
    resource
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Instruments {
    fn of(registry: prometheus::Registry, provider: SdkMeterProvider) -> Self {
        let meter = provider.meter("caxton");
        let seconds = |bound: &u64| Duration::from_micros(*bound).as_secs_f64();
        // The last bound is none.
        let latency = LATENCY_BOUNDS_US.iter().filter(|bound| **bound < u64::MAX);
        let timed = |name: &'static str, about: &'static str, bounds: Vec<f64>| {
            let built = meter.f64_histogram(name).with_unit("s");
            built
                .with_description(about)
                .with_boundaries(bounds)
                .build()
        };
        let counted = |name: &'static str, about: &'static str| {
            meter.u64_counter(name).with_description(about).build()
        };
        Self {
            request_duration: timed(
                "caxton.request.duration",
                "From the head of a request to the head of its reply, at the gateway",
                latency.map(seconds).collect(),
            ),
            requests: counted(
                "caxton.requests",
                "Calls of an agent that have ended, by how",
            ),
            memory_peak: meter
                .u64_gauge("caxton.instance.memory.peak")
                .with_unit("By")
                .with_description(
                    "The largest memory of any instance of the agent in the last interval",
                )
                .build(),
            prepare_duration: timed(
                "caxton.prepare.duration",
                "Bringing a version up, by where its code came from",
                PREPARE_BOUNDS.to_vec(),
            ),
            reloads: counted("caxton.reloads", "Reloads that have ended, by how"),
            rollbacks: counted(
                "caxton.rollbacks",
                "Times that traffic went back, by who wanted it",
            ),
            lost_requests: counted("caxton.lost_requests", "Calls that reloads cut"),
            policy_duration: timed(
                "caxton.policy.call.duration",
                "Calls of a policy, those that failed among them",
                POLICY_BOUNDS.to_vec(),
            ),
            policy_faults: counted(
                "caxton.policy.faults",
                "Calls of a policy without a usable answer, by why",
            ),
            registry,
            provider,
            meter,
        }
    }
}

#[cfg(test)]
mod tests;
