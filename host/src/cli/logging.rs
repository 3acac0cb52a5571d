//! The log: lines on the standard error.

use std::fmt::{Debug, Result as Written};
use std::io;

use opentelemetry_sdk::trace::SdkTracer;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::LogFormat;
use super::failure::Failure;
use super::text::{Paint, harmless};
use crate::telemetry::spans::TARGET;

/// Starts the log with what `RUST_LOG` asks for, or with `default`; spans go to `tracer`.
///
/// # Errors
/// `RUST_LOG` asks for something that cannot be understood.
pub(crate) fn start(
    default: &str,
    format: LogFormat,
    tracer: Option<SdkTracer>,
) -> Result<(), Failure> {
    let asked = std::env::var("RUST_LOG")
        .ok()
        .filter(|asked| !asked.is_empty());
    let filter = EnvFilter::builder()
        .parse(asked.as_deref().unwrap_or(default))
        .map_err(|error| {
            Failure::Usage(format!(
                "RUST_LOG: {error}; for example RUST_LOG=info or RUST_LOG=caxton=debug"
            ))
        })?;
    // A second start keeps the first one's log.
    let _ = log(filter, format, tracer).try_init();
    Ok(())
}

fn log(
    filter: EnvFilter,
    format: LogFormat,
    tracer: Option<SdkTracer>,
) -> impl Subscriber + Send + Sync {
    // Spans are for whoever they are exported to. Without a hint all levels would count as wanted, and what the compiler says of
    // each instruction would be written to be thrown away.
    let others = filter_fn(|about| about.target() != TARGET);
    let filter = filter.and(others.with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer()
        .with_writer(io::stderr)
        // A log whose reader went away is no reason to panic.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Human => lines
            .with_ansi(Paint::stderr().colour())
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    };
    let spans = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(
                filter_fn(|about| about.is_span() && about.target() == TARGET)
                    .with_max_level_hint(LevelFilter::INFO),
            )
    });
    tracing_subscriber::registry().with(lines).with(spans)
}

/// One field of a line. File names, error texts, and what agents and policies print come from others: none of them begins a
/// line of its own, and none acts on a terminal.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> Written {
    let text = format!("{value:?}");
    let text = harmless(&text);
    match field.name() {
        "message" => write!(out, "{text}"),
        name if out.has_ansi_escapes() => {
            write!(out, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}")
        }
        name => write!(out, "{name}={text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// What it says of each instruction would cost many times what compiling does.
    #[test]
    fn a_compiler_is_not_asked_for_more_than_the_log_wants_with_spans_and_without() {
        let tracer = || SdkTracerProvider::default().tracer("caxton");
        for (wanted, level) in [
            ("info", LevelFilter::INFO),
            ("warn,caxton=debug", LevelFilter::DEBUG),
        ] {
            for format in [LogFormat::Human, LogFormat::Json] {
                for tracer in [None, Some(tracer())] {
                    let log = log(EnvFilter::new(wanted), format, tracer);
                    assert_eq!(log.max_level_hint(), Some(level), "{wanted} {format:?}");
                }
            }
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_that_others_wrote_begins_a_line_or_acts_on_a_terminal() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .finish();
        let forged =
            "x\n2026-01-01T00:00:00Z  INFO caxton: all is well\r\u{1b}[2J\u{9b}31m\u{202e}";
        tracing::subscriber::with_default(log, || {
            tracing::warn!(file = %forged, agent = forged, "refused: {forged}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let (line, after) = text.split_once('\n').unwrap();
        assert_eq!(after, "", "one event is one line: {text:?}");
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
        assert_eq!(
            line.matches("all is well").count(),
            3,
            "nothing is lost: {line}"
        );
        assert!(
            line.contains("refused: x\\n") && line.contains("file=x\\n"),
            "{line}"
        );
    }
}
