//! Configuration in two steps: what was written ([`written`]), then what it means ([`AgentConfig`], [`HostConfig`]).
//!
//! A value that cannot be is refused with the file, the line, the key and what would be right; nothing is guessed.

mod agent;
mod dev;
mod host;
pub(crate) mod kept;
mod reload;
mod units;
mod written;

#[cfg(test)]
mod fuzz;
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
        let mut place = match error.span() {
            Some(span) => line_of(text, span.start),
            None => line_that_fails(text, error.message()).map(|number| (number, "")),
        };
        let start = error.span().map_or(0, |span| span.start);
        if let Some((number, line)) = place
            && may_be_secret(text, start, line)
        {
            // serde quotes values in backticks, texts in quotation marks.
            let told = message
                .split(['`', '"'])
                .next()
                .unwrap_or_default()
                .trim_end();
            message = format!("line {number}, in what is granted (not shown here): {told}");
            place = None;
        }
        // Where no key of that name is, or what is written is no TOML, a variable may have lost its table: of the line only what
        // stands before a value is shown.
        let is_readable = || text.parse::<toml::Table>().is_ok();
        if message.starts_with("unknown field") || !is_readable() {
            place = place.map(|(at, line)| (at, before_value(line)));
        }
        Self::new(
            file,
            match place {
                Some((number, "")) => format!("line {number}: {message}{hint}"),
                Some((number, line)) => format!("line {number}, `{line}`: {message}{hint}"),
                None => format!("{message}{hint}"),
            },
        )
    }
}

/// Whether the line may grant something: the values of variables are shown to nobody. The text is not TOML, or else there were
/// no error, so this errs towards not showing.
fn may_be_secret(text: &str, offset: usize, line: &str) -> bool {
    let grants = |part: &str| part.contains("grants") || part.contains("env");
    // A text of several lines can hold anything, also what looks like the head of another table.
    let is_winding = text.contains("\"\"\"") || text.contains("'''");
    let before = text.get(..offset).unwrap_or_default();
    let mut table = 0;
    let mut at = 0;
    for line in before.split_inclusive('\n') {
        let name = line.trim();
        if name.starts_with('[') && name.ends_with(']') && !name.contains(['=', '"', '\'']) {
            table = at;
        }
        at += line.len();
    }
    let since = before.get(table..).unwrap_or_default();
    grants(since) || grants(line) || is_winding && grants(text)
}

/// What stands on a line before a value: a key, or the head of a table.
fn before_value(line: &str) -> &str {
    match line.split_once('=') {
        Some((key, _)) => key.split(['"', '\'']).next().unwrap_or(key).trim_end(),
        None if line.starts_with('[') => line,
        None => "",
    }
}

/// The line with which an error begins that has no place of its own: values that lie too deep in each other.
fn line_that_fails(text: &str, message: &str) -> Option<usize> {
    let fails = |end: &usize| {
        let part = text.get(..*end).unwrap_or(text).parse::<toml::Table>();
        part.is_err_and(|error| error.message() == message)
    };
    let line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = line_ends.chain([text.len()]).collect();
    let number = ends.partition_point(|end| !fails(end));
    (number < ends.len()).then_some(number + 1)
}

/// serde takes a list for a table, with its values in the order of our fields, which nobody is told.
fn is_table(file: &str, tables: &toml::Table, key: &str) -> Result<(), ConfigError> {
    let is_list = |value: &toml::Value| value.is_array();
    match tables.get(key).is_some_and(is_list) {
        true => Err(ConfigError::new(
            file,
            format!("`{key}` is a list, and must be a table: write [{key}]"),
        )),
        false => Ok(()),
    }
}

/// The same for a list of tables.
fn are_tables(file: &str, tables: &toml::Table, table: &str, key: &str) -> Result<(), ConfigError> {
    let list = tables
        .get(table)
        .and_then(|table| table.get(key)?.as_array());
    match list.into_iter().flatten().any(toml::Value::is_array) {
        true => Err(ConfigError::new(
            file,
            format!(
                "`{table}.{key}` holds a list, and must hold tables: write {key} = [{{ KEY = VALUE }}]"
            ),
        )),
        false => Ok(()),
    }
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
