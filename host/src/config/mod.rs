//! Configuration in two steps: what was written ([`written`]), then what it means ([`AgentConfig`], [`HostConfig`]).
//!
//! A value that cannot be is refused with the file, the line, the key and what would be right; nothing is guessed.

mod agent;
mod dev;
mod env;
mod host;
pub(crate) mod kept;
mod place;
mod reload;
mod schema;
mod units;
mod words;
mod written;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod tests;

pub use agent::{AgentConfig, RouteConfig, StateConfig, TrafficConfig};
pub use env::{Variable, Variables};
pub use host::HostConfig;
pub use schema::Kind as SchemaKind;
pub(crate) use schema::schema;
pub(crate) use units::unhex;
pub use written::{Dir, Mode};

/// What is wrong with a configuration, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct ConfigError {
    /// The file as the person named it.
    pub file: String,
    /// Line, key and problem.
    pub message: String,
    /// Where the key is, from the outside to the inside; empty where the message has its line already, or none.
    path: Vec<String>,
    /// So many of these names stand in the message, and must stand in a file for its line to be told.
    shown: usize,
}

impl ConfigError {
    fn new(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            message: message.into(),
            path: Vec::new(),
            shown: 0,
        }
    }

    /// What is wrong with the value of a key, which the message begins with: `what` goes on from there.
    fn of(file: &str, key: &str, what: impl std::fmt::Display) -> Self {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        Self {
            shown: path.len(),
            path,
            ..Self::new(file, format!("`{key}`{what}"))
        }
    }

    /// More closely: an entry of the table, or by its place from 0 of the list.
    fn at(mut self, entry: &str) -> Self {
        self.path.push(entry.to_owned());
        self
    }

    /// The key stands in this table of the file.
    fn below(mut self, table: &str) -> Self {
        if self.shown > 0 {
            self.path.insert(0, table.to_owned());
            self.shown += 1;
        }
        self
    }

    /// With the line of its key, where that stands in the file's text.
    fn placed(mut self, text: &str) -> Self {
        if let Some(line) = place::line_of_key(text, &self.path, self.shown) {
            self.message = format!("line {line}: {}", self.message);
            self.path.clear();
            self.shown = 0;
        }
        self
    }

    /// Where the key stands in neither file's text but in the tables below every agent's own, it says so.
    fn placed_over(self, text: &str, defaults: &toml::Table) -> Self {
        let mut placed = self.placed(text);
        let shown = placed.path.get(..placed.shown).unwrap_or_default();
        if value_at(defaults, shown.iter().map(String::as_str)).is_some() {
            placed
                .message
                .push_str("; it stands in [defaults] of the host's configuration");
        }
        placed
    }

    /// A parser's error on one line: where, what stands there, what is wrong, and the nearest key where it is unknown.
    pub(crate) fn parsing(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let hint = words::meant(error.message())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let mut message = words::plain(error.message());
        let mut place = match error.span() {
            Some(span) => line_of(text, span.start),
            None => line_that_fails(text, error.message()).map(|number| (number, "")),
        };
        let start = error.span().map_or(0, |span| span.start);
        if let Some((number, line)) = place
            && may_be_secret(text, start, line)
        {
            // Values are quoted in backticks, texts in quotation marks.
            let told = message
                .split(['`', '"'])
                .next()
                .unwrap_or_default()
                .trim_end();
            let granted = granted(text, start);
            message = format!("line {number}, in {granted} (not shown here): {told}");
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

/// Which of the grants it is, as far as that is certain: names of variables are not told, since what has lost its place may be a
/// value.
fn granted(text: &str, offset: usize) -> String {
    let path = place::key_at(text, offset);
    let known: &[&str] = &["defaults", "grants", "env", "dirs", "outbound"];
    let names: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .take_while(|name| known.contains(name))
        .collect();
    match names.as_slice() {
        ["grants", ..] | ["defaults", "grants", ..] => format!("`{}`", names.join(".")),
        _ => "what is granted".to_owned(),
    }
}

/// What stands under such a key in the tables.
fn value_at<'a>(
    tables: &'a toml::Table,
    path: impl IntoIterator<Item = &'a str>,
) -> Option<&'a toml::Value> {
    let mut path = path.into_iter();
    let first = tables.get(path.next()?)?;
    path.try_fold(first, |value, name| value.as_table()?.get(name))
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
    match value_at(tables, key.split('.')).is_some_and(toml::Value::is_array) {
        true => Err(ConfigError::of(
            file,
            key,
            format!(" is a list, and must be a table: write [{key}]"),
        )),
        false => Ok(()),
    }
}

/// The same for a list of tables.
fn are_tables(file: &str, tables: &toml::Table, table: &str, key: &str) -> Result<(), ConfigError> {
    let list = value_at(tables, [table, key]).and_then(toml::Value::as_array);
    match list.into_iter().flatten().any(toml::Value::is_array) {
        true => Err(ConfigError::of(
            file,
            &format!("{table}.{key}"),
            format!(" holds a list, and must hold tables: write {key} = [{{ KEY = VALUE }}]"),
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
