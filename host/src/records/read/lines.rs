//! Lines of one or several files, one record each.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::records::Record;

/// Bytes of one line that are read: a round of sixteen policies that all say as much as they may takes less.
pub const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What `record` may say in the format that this host writes.
const KINDS: [&str; 9] = [
    "began",
    "facts",
    "planned",
    "window",
    "tick",
    "monitored",
    "told",
    "ended",
    "full",
];

/// How the first line of a reload begins. It can stand nowhere inside a line: quotes in a JSON text are escaped.
const FIRST_LINE: &str = r#"{"record":"began""#;

/// Kinds that are told as unknown; whatever comes after so many is one more of the same.
const UNKNOWN_MAX: usize = 16;

/// Records cannot be used from here on.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {problem}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct Unreadable {
    /// Which file.
    pub file: String,
    /// Which of its lines, from 1; none where it is about the file.
    pub line: Option<u64>,
    /// What is wrong there.
    pub problem: String,
}

/// Something that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which file.
    pub file: String,
    /// Which of its lines, from 1.
    pub line: u64,
    /// What, and what was done about it.
    pub text: String,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}: {}", self.file, self.line, self.text)
    }
}

/// Where lines come from.
enum Source {
    File(PathBuf),
    Given(String, Box<dyn Read + Send>),
}

/// A source that is being read.
struct Open {
    name: String,
    from: BufReader<Box<dyn Read + Send>>,
    line: u64,
}

/// The lines of all sources, in order.
pub(super) struct Lines {
    sources: VecDeque<Source>,
    open: Option<Open>,
    /// What follows the end of a cut line on the same line.
    left: Option<Record>,
    unknown: BTreeSet<String>,
    notices: Vec<Notice>,
}

impl Lines {
    /// The files at `paths`, in this order; `-` is the standard input.
    pub(super) fn of_files(paths: &[PathBuf]) -> Self {
        let source = |path: &PathBuf| {
            if path.as_os_str() == "-" {
                Source::Given("standard input".to_owned(), Box::new(io::stdin()))
            } else {
                Source::File(path.clone())
            }
        };
        Self::of(paths.iter().map(source).collect())
    }

    /// What `from` gives, under a name for messages.
    pub(super) fn given(name: &str, from: Box<dyn Read + Send>) -> Self {
        Self::of(VecDeque::from([Source::Given(name.to_owned(), from)]))
    }

    fn of(sources: VecDeque<Source>) -> Self {
        Self {
            sources,
            open: None,
            left: None,
            unknown: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// What was passed over since the last time this was asked.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The error at the line that was read last.
    pub(super) fn error(&self, problem: impl Into<String>) -> Unreadable {
        let problem = problem.into();
        match &self.open {
            Some(open) => Unreadable {
                file: open.name.clone(),
                line: Some(open.line),
                problem,
            },
            None => Unreadable {
                file: "records".to_owned(),
                line: None,
                problem,
            },
        }
    }

    pub(super) fn notice(&mut self, text: impl Into<String>) {
        if let Some(open) = &self.open {
            self.notices.push(Notice {
                file: open.name.clone(),
                line: open.line,
                text: text.into(),
            });
        }
    }

    /// The next record; none at the end of the last source.
    pub(super) fn read(&mut self) -> Result<Option<Record>, Unreadable> {
        loop {
            if let Some(record) = self.left.take() {
                return Ok(Some(record));
            }
            let Some(open) = &mut self.open else {
                match self.sources.pop_front() {
                    Some(source) => self.open = Some(source.open()?),
                    None => return Ok(None),
                }
                continue;
            };
            match open.line()? {
                None => self.open = None,
                Some(line) => {
                    if let Some(record) = self.record(&line)? {
                        return Ok(Some(record));
                    }
                }
            }
        }
    }

    /// The record of one line; none where it is passed over.
    fn record(&mut self, line: &[u8]) -> Result<Option<Record>, Unreadable> {
        let (text, whole) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let error = match serde_json::from_slice::<Record>(text) {
            Ok(record) => return Ok(Some(record)),
            Err(error) => error,
        };
        if let Some(kind) = self.unknown_kind(text) {
            if self.unknown.len() < UNKNOWN_MAX && self.unknown.insert(kind.clone()) {
                self.notice(format!(
                    "there is no record of the kind {kind:?} for this host; a newer one may know it. Lines of this \
                     kind are passed over"
                ));
            }
            return Ok(None);
        }
        if let Some(record) = begins_inside(text) {
            self.notice(
                "it is cut off, and another reload begins in it; the records before it end here",
            );
            self.left = Some(record);
            return Ok(None);
        }
        if !whole && (error.is_eof() || error.is_syntax()) {
            self.notice("the file is cut off in this line; it is used up to the line before");
            return Ok(None);
        }
        Err(self.error(problem(text, &error)))
    }

    fn unknown_kind(&self, text: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Kind {
            record: String,
        }
        let Kind { record } = serde_json::from_slice(text).ok()?;
        (!KINDS.contains(&record.as_str())).then(|| record.chars().take(64).collect())
    }
}

/// What is wrong with a line, for whoever has it before them.
fn problem(text: &[u8], error: &serde_json::Error) -> String {
    let is_object = text.trim_ascii_start().starts_with(b"{");
    if error.is_data() && is_object {
        // The place inside the line is the column; the line that serde counts is always the first.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        return format!("it is no decision record: {reason}");
    }
    if is_object {
        return format!(
            "it is not JSON, at column {}; was the file changed or put together from pieces?",
            error.column()
        );
    }
    "it is no decision record: every line is a JSON object with a field \"record\", as `caxton records` writes it".to_owned()
}

/// The first record of a reload whose beginning stands inside a line that ends another one.
fn begins_inside(text: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(text).ok()?;
    let at = text.rfind(FIRST_LINE).filter(|at| *at > 0)?;
    serde_json::from_str(text.get(at..)?).ok()
}

impl Source {
    fn open(self) -> Result<Open, Unreadable> {
        let (name, from): (String, Box<dyn Read + Send>) = match self {
            Self::File(path) => (path.display().to_string(), Box::new(file(&path)?)),
            Self::Given(name, from) => (name, from),
        };
        Ok(Open {
            name,
            from: BufReader::new(from),
            line: 0,
        })
    }
}

fn file(path: &Path) -> Result<File, Unreadable> {
    let unreadable = |problem: String| Unreadable {
        file: path.display().to_string(),
        line: None,
        problem,
    };
    let file = File::open(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(unreadable(
            "is a directory; name the files in it, oldest first".to_owned(),
        ));
    }
    Ok(file)
}

impl Open {
    /// The next line with its end, which only the last one may lack.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        self.line += 1;
        let mut line = Vec::new();
        let unreadable = |problem: String| Unreadable {
            file: self.name.clone(),
            line: Some(self.line),
            problem,
        };
        let read = self
            .from
            .by_ref()
            .take(LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > LINE_BYTES_MAX {
            return Err(unreadable(format!(
                "it is longer than {LINE_BYTES_MAX} bytes; no decision record is"
            )));
        }
        Ok((read > 0).then_some(line))
    }
}
