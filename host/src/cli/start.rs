//! What `run`, `dev` and `demo` begin with.

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::PeriodicReader;

use super::args::LogFormat;
use super::failure::Failure;
use super::logging;
use super::signals::Signals;
use crate::config::HostConfig;
use crate::host::{Host, StartError};
use crate::telemetry::{Exports, Telemetry};

/// A host that serves, and what goes with it.
pub(crate) struct Running {
    pub host: Host,
    pub signals: Signals,
    pub telemetry: Telemetry,
    pub exports: Exports,
}

/// Starts the log with `log` unless `RUST_LOG` says otherwise, what `OTEL_*` asks for, and the host. `not_started` says what helps
/// where there is none, with the options that the command has.
pub(crate) async fn start(
    config: HostConfig,
    log: &str,
    format: LogFormat,
    not_started: fn(StartError) -> Failure,
) -> Result<Running, Failure> {
    let mut exports = Exports::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
    logging::start(log, format, exports.tracer())?;
    let telemetry = telemetry(exports.take_metrics())?;
    let signals = signals()?;
    let host = Host::start(config, telemetry.clone());
    Ok(Running {
        host: host.await.map_err(not_started)?,
        signals,
        telemetry,
        exports,
    })
}

/// Metrics, which are sent with `export` where there is one.
pub(crate) fn telemetry(
    export: Option<PeriodicReader<MetricExporter>>,
) -> Result<Telemetry, Failure> {
    Telemetry::start(export)
        .map_err(|error| Failure::No(format!("metrics cannot be kept: {error}")))
}

/// What ends a host.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::listen().map_err(|error| {
        Failure::No(format!(
            "this system lets no one listen for signals: {error}"
        ))
    })
}

/// Why there is no host, with the exit code for it.
pub(crate) fn not_started(error: StartError) -> Failure {
    if error.is_usage() {
        Failure::Usage(error.to_string())
    } else {
        Failure::No(error.to_string())
    }
}
