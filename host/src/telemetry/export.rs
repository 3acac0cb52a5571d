//! Sends spans and metrics with OTLP over HTTP, where the standard variables of OpenTelemetry ask for it.
//!
//! What the libraries read by themselves (endpoints, headers, timeouts, samplers, intervals, resource attributes) is theirs;
//! here is decided only whether there is something to send at all.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::Telemetry;

/// What is exported; nothing by default.
#[derive(Debug, Default)]
pub struct Exports {
    traces: Option<SdkTracerProvider>,
    metrics: Option<PeriodicReader<MetricExporter>>,
}

/// Why nothing can be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A variable asks for what this host does not do.
    #[error("{variable} is `{value}`: {help}")]
    Variable {
        /// Its name.
        variable: String,
        /// What it says.
        value: String,
        /// What can stand there.
        help: &'static str,
    },
    /// The exporter cannot be made.
    #[error(
        "{signal} cannot be exported: {problem}; correct the OTEL_EXPORTER_OTLP_ variables, or set OTEL_SDK_DISABLED=true"
    )]
    Exporter {
        /// Traces or metrics.
        signal: &'static str,
        /// What the library said.
        problem: String,
    },
}

/// What the variables are called by.
#[derive(Clone, Copy)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }
}

impl Exports {
    /// What the environment asks for.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn from_env() -> Result<Self, ExportError> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut exports = Self::default();
        let (traces, metrics) = (
            is_wanted(Signal::Traces, env)?,
            is_wanted(Signal::Metrics, env)?,
        );
        if traces {
            let exporter = SpanExporter::builder().with_http().build();
            let exporter = exporter.map_err(|error| failed("traces", &error))?;
            let provider = SdkTracerProvider::builder()
                .with_resource(super::resource())
                .with_batch_exporter(exporter)
                .build();
            exports.traces = Some(provider);
        }
        if metrics {
            let exporter = MetricExporter::builder().with_http().build();
            let exporter = exporter.map_err(|error| failed("metrics", &error))?;
            exports.metrics = Some(PeriodicReader::builder(exporter).build());
        }
        Ok(exports)
    }

    /// Where spans go.
    #[must_use]
    pub fn tracer(&self) -> Option<SdkTracer> {
        self.traces
            .as_ref()
            .map(|provider| provider.tracer("caxton"))
    }

    /// Where metrics go; taken once.
    pub fn take_metrics(&mut self) -> Option<PeriodicReader<MetricExporter>> {
        self.metrics.take()
    }

    /// Sends what was not sent yet, of `telemetry` as well; takes as long as the exporters' timeouts at worst.
    pub async fn stop(self, telemetry: Telemetry) {
        // Both block until the collector has answered, or has not in time.
        let sent = tokio::task::spawn_blocking(move || {
            telemetry.stop();
            if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
                tracing::warn!("the last spans were not exported: {error}");
            }
        });
        let _ = sent.await;
    }
}

fn failed(signal: &'static str, error: &dyn std::error::Error) -> ExportError {
    ExportError::Exporter {
        signal,
        problem: error.to_string(),
    }
}

fn is_wanted(signal: Signal, env: impl Fn(&str) -> Option<String>) -> Result<bool, ExportError> {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let upper = signal.upper();
    let of_signal = format!("OTEL_EXPORTER_OTLP_{upper}_ENDPOINT");
    let has_endpoint = env("OTEL_EXPORTER_OTLP_ENDPOINT")
        .or_else(|| env(&of_signal))
        .is_some();
    let exporter = format!("OTEL_{upper}_EXPORTER");
    let wanted = match env(&exporter) {
        None => has_endpoint,
        Some(value) if value == "otlp" => true,
        Some(value) if value == "none" => false,
        Some(value) => {
            return Err(ExportError::Variable {
                variable: exporter,
                value,
                help: "this host exports with `otlp`, or not at all with `none`; metrics can be read at /metrics, too",
            });
        }
    };
    let protocols = [
        format!("OTEL_EXPORTER_OTLP_{upper}_PROTOCOL"),
        "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(),
    ];
    let said = protocols
        .into_iter()
        .find_map(|name| Some((env(&name)?, name)));
    match said {
        Some((value, variable)) if wanted && value != "http/protobuf" => {
            Err(ExportError::Variable {
                variable,
                value,
                help: "this host speaks `http/protobuf`, which collectors take on port 4318",
            })
        }
        _ => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(set: &[(&str, &str)]) -> [Result<bool, String>; 2] {
        let env = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        [Signal::Traces, Signal::Metrics]
            .map(|signal| is_wanted(signal, env).map_err(|error| error.to_string()))
    }

    #[test]
    fn nothing_is_exported_unless_it_is_asked_for() {
        assert_eq!(wanted(&[]), [Ok(false), Ok(false)]);
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert_eq!(wanted(&[all]), [Ok(true), Ok(true)]);
        assert_eq!(
            wanted(&[(
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://localhost:4318/v1/traces"
            )]),
            [Ok(true), Ok(false)]
        );
        assert_eq!(
            wanted(&[("OTEL_METRICS_EXPORTER", "otlp")]),
            [Ok(false), Ok(true)]
        );
        assert_eq!(
            wanted(&[all, ("OTEL_METRICS_EXPORTER", "none")]),
            [Ok(true), Ok(false)]
        );
        assert_eq!(
            wanted(&[all, ("OTEL_SDK_DISABLED", "TRUE")]),
            [Ok(false), Ok(false)]
        );
    }

    #[test]
    fn what_cannot_be_done_is_named_with_what_can() {
        let [traces, _] = wanted(&[("OTEL_TRACES_EXPORTER", "zipkin")]);
        assert_eq!(
            traces.unwrap_err(),
            "OTEL_TRACES_EXPORTER is `zipkin`: this host exports with `otlp`, or not at all with `none`; metrics can be read at \
             /metrics, too"
        );
        let [traces, metrics] = wanted(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ]);
        assert_eq!(
            traces.unwrap_err(),
            "OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`: this host speaks `http/protobuf`, which collectors take on port 4318"
        );
        assert_eq!(metrics, Ok(true));
        // A protocol for what is not exported is nobody's concern.
        assert_eq!(
            wanted(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
            [Ok(false), Ok(false)]
        );
    }
}
