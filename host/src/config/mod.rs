//! Configuration in two steps: what was written ([`written`]), then what it means ([`AgentConfig`], [`HostConfig`]).
//!
//! A value that cannot be is refused with the file, the line, the key and what would be right; nothing is guessed.

mod agent;
mod host;
mod reload;
mod units;
mod written;

#[cfg(test)]
mod tests;

pub use agent::{AgentConfig, RouteConfig, StateConfig, TrafficConfig};
pub use host::HostConfig;
pub(crate) use units::unhex;
pub use written::{Dir, Mode};

use caxton_runtime::nearest;

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

    /// A parser's error on one line: where, what stands there, what is wrong, and the nearest key where it is unknown.
    pub(crate) fn parsing(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let hint = nearest_key(error.message())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let mut message = error.message().replace('\n', ", ");
        let mut place = error.span().and_then(|span| line_of(text, span.start));
        let start = error.span().map_or(0, |span| span.start);
        if let Some((number, line)) = place
            && may_be_secret(text, start, line)
        {
            // serde quotes values in backticks.
            let told = message.split('`').next().unwrap_or_default().trim_end();
            message = format!("line {number}, in what is granted (not shown here): {told}");
            place = None;
        }
        Self::new(
            file,
            match place {
                Some((number, line)) => format!("line {number}, `{line}`: {message}{hint}"),
                None => format!("{message}{hint}"),
            },
        )
    }
}

/// Whether the line grants something: the values of variables are shown to nobody.
fn may_be_secret(text: &str, offset: usize, line: &str) -> bool {
    let before = text.get(..offset).unwrap_or_default();
    let is_header = |line: &&str| line.trim_start().starts_with('[');
    let table = before.lines().rev().find(is_header).unwrap_or_default();
    table.contains("grants") || line.contains("grants") || line.contains("env")
}

/// The number, from 1, and the text of the line that the byte at this offset stands in.
fn line_of(text: &str, offset: usize) -> Option<(usize, &str)> {
    /// Longer lines say no more.
    const SHOWN: usize = 80;
    let number = text.get(..offset)?.lines().count().max(1);
    let before = text.get(..offset)?;
    let number = if before.ends_with('\n') {
        number + 1
    } else {
        number
    };
    let line = text.lines().nth(number - 1)?.trim();
    let end = line
        .char_indices()
        .nth(SHOWN)
        .map_or(line.len(), |(at, _)| at);
    Some((number, line.get(..end)?))
}

/// The known key that is most like the unknown one in serde's message, if any is.
fn nearest_key(message: &str) -> Option<&str> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    nearest(unknown, known.split('`').skip(1).step_by(2))
}
