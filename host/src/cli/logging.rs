//! The log: lines on the standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::text::Paint;

/// Starts the log with what `RUST_LOG` asks for, or with `default`.
///
/// # Errors
/// `RUST_LOG` asks for something that cannot be understood.
pub(crate) fn start(default: &str) -> Result<(), Failure> {
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
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(Paint::stderr().colour())
        // A log whose reader went away is no reason to panic.
        .log_internal_errors(false);
    // A second start keeps the first one's log.
    let _ = log.try_init();
    Ok(())
}
