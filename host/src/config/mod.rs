//! Configuration in two steps: what was written ([`written`]), then what it means ([`AgentConfig`], [`HostConfig`]).
//!
//! A value that cannot be is refused with the file, the line, the key and what would be right; nothing is guessed.

mod agent;
mod host;
mod units;
mod written;

#[cfg(test)]
mod tests;

pub use agent::{AgentConfig, RouteConfig};
pub use host::HostConfig;
pub use written::Mode;

/// What is wrong with a configuration, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct ConfigError {
    /// The file as the person named it.
    pub file: String,
    /// Line, key and problem.
    pub message: String,
}

impl ConfigError {
    fn new(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            message: message.into(),
        }
    }

    /// A parser's error, with the nearest key where the key is unknown.
    fn parsing(file: &str, error: &toml::de::Error) -> Self {
        let hint = nearest_key(error.message())
            .map(|near| format!("\ndid you mean `{near}`?"))
            .unwrap_or_default();
        Self::new(file, format!("{}{hint}", error.to_string().trim_end()))
    }
}

/// The known key that is most like the unknown one in serde's message, if any is.
fn nearest_key(message: &str) -> Option<&str> {
    /// Below this two words have little in common (Jaro-Winkler, from 0 to 1).
    const ALIKE: f64 = 0.75;
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|key| (strsim::jaro_winkler(unknown, key), key))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}
