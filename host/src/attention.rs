//! Tells a program of the operator's what waits for a person: `[host] on_attention`.
//!
//! What the controller published is looked at once a second. Each item that is new since the last look, and each that is gone,
//! is one run of the program, one after the other, with the item as JSON on its standard input. What comes and goes between two
//! looks is not told. A host that starts knows of nothing that was told before it and tells everything again.
//!
//! What must hold: no shell, no variable of the host's but `PATH`, one run at a time, each with an end, and nothing that the
//! program does or leaves undone reaches the host.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use caxton_rollout::{Attention, Moment};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::handle::ControllerHandle;
use crate::published::Published;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long one run may take; then it is killed.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// Items that wait for a run. Where more come, the oldest are left out, and that is logged.
const MAX_WAITING: usize = 256;

/// Bytes of what a run prints that are logged.
const MAX_OUTPUT: u64 = 4 * 1024;

/// Whether an item has come or has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    New,
    Gone,
}

/// What the program reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Item {
    agent: Option<String>,
    state: Change,
    #[serde(flatten)]
    attention: Attention,
}

/// What makes an item the same as another.
type Key = (Option<String>, &'static str, Moment);

/// What there was at the last look, and what is still to be told of.
#[derive(Debug, Default)]
struct Told {
    known: BTreeMap<Key, Attention>,
    waiting: VecDeque<Item>,
}

impl Told {
    /// Compares with the last look. How many items had to be left out.
    fn look(&mut self, published: &Published) -> usize {
        let of_host = published.attention.iter().map(|item| (None, item));
        let of_agents = published.agents.iter().flat_map(|(name, status)| {
            let items = status.view.attention.iter();
            items.map(move |item| (Some(name.to_string()), item))
        });
        let mut now: BTreeMap<Key, Attention> = BTreeMap::new();
        for (agent, item) in of_host.chain(of_agents) {
            now.entry((agent, item.kind, item.since))
                .or_insert_with(|| item.clone());
        }
        let change = |(key, attention): (&Key, &Attention), state| Item {
            agent: key.0.clone(),
            state,
            attention: attention.clone(),
        };
        let gone = self.known.iter().filter(|(key, _)| !now.contains_key(*key));
        let gone = gone.map(|item| change(item, Change::Gone));
        let new = now.iter().filter(|(key, _)| !self.known.contains_key(*key));
        let new = new.map(|item| change(item, Change::New));
        self.waiting.extend(gone.chain(new));
        self.known = now;
        let too_many = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..too_many);
        too_many
    }
}

/// The program and its arguments, which is there and may be run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    words: Vec<String>,
    data_dir: PathBuf,
}

impl Program {
    /// None where nothing is configured.
    ///
    /// # Errors
    /// The first word is no file that can be run: what is wrong, with the key and what to do.
    pub(crate) fn of(words: &[String], data_dir: &Path) -> Result<Option<Self>, String> {
        let Some(program) = words.first() else {
            return Ok(None);
        };
        let path = Path::new(program);
        let told = |what: &str| {
            format!(
                "`host.on_attention` begins with {program:?}, {what}: write the whole path of a program that this user may run, \
                 or take the key out"
            )
        };
        if !path.is_absolute() {
            return Err(told("which is no absolute path"));
        }
        match std::fs::metadata(path) {
            Err(error) => Err(told(&format!("which cannot be looked at: {error}"))),
            Ok(found) if !found.is_file() => Err(told("which is no file")),
            Ok(found) if !is_executable(&found) => Err(told("which is not executable")),
            Ok(_) => Ok(Some(Self {
                words: words.to_vec(),
                data_dir: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()),
            })),
        }
    }

    /// Runs the program for each change until `stop`.
    pub(crate) async fn tell(self, handle: ControllerHandle, stop: CancellationToken) {
        let mut told = Told::default();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let left_out = told.look(&handle.published());
            if left_out > 0 {
                tracing::warn!(
                    "on_attention: {left_out} items came faster than they could be told and are left out"
                );
            }
            if let Some(item) = told.waiting.pop_front() {
                tokio::select! {
                    () = self.run(&item) => {}
                    () = stop.cancelled() => return,
                }
                // The next one follows at once; the look before it costs little.
                if !told.waiting.is_empty() {
                    looks.reset_immediately();
                }
            }
        }
    }

    async fn run(&self, item: &Item) {
        let (kind, program) = (item.attention.kind, self.words.first());
        match tokio::time::timeout(RUN_TIMEOUT, self.run_to_its_end(item)).await {
            // What is dropped with the future is killed.
            Err(_) => tracing::warn!(
                ?program,
                kind,
                "on_attention: it did not end within {} s and was killed",
                RUN_TIMEOUT.as_secs()
            ),
            Ok(Err(problem)) => tracing::warn!(?program, kind, "on_attention: {problem}"),
            Ok(Ok(printed)) => tracing::info!(?program, kind, printed, "on_attention: told"),
        }
    }

    async fn run_to_its_end(&self, item: &Item) -> Result<String, String> {
        let mut child = self.spawn().map_err(|e| format!("it cannot be run: {e}"))?;
        // Strings and numbers: writing them cannot fail.
        let json = serde_json::to_vec(item).unwrap_or_default();
        let input = child.stdin.take();
        let write = async move {
            if let Some(mut input) = input {
                // Who does not read it is told in vain, and need not be.
                let _ = input.write_all(&json).await;
            }
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ((), out, err, ended) = tokio::join!(write, read(out), read(err), child.wait());
        let printed = format!("{out}{err}");
        let ended = ended.map_err(|error| error.to_string())?;
        if ended.success() {
            return Ok(printed);
        }
        Err(format!("it ended with {ended}: {}", printed.trim_end()))
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or(std::io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("CAXTON_DATA_DIR", &self.data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn()
    }
}

/// The beginning of what it prints; the rest is read and thrown away, so that it can go on.
async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let mut kept = Vec::new();
    let _ = (&mut from).take(MAX_OUTPUT).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(unix)]
fn is_executable(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::published::AgentStatus;

    fn item(kind: &'static str, since: u64) -> Attention {
        Attention {
            kind,
            since: Moment(since),
            text: format!("{kind} of {since}"),
            command: String::new(),
        }
    }

    fn published(host: Vec<Attention>, agent: Vec<Attention>) -> Published {
        let name: caxton_rollout::AgentName = "hello".parse().unwrap();
        let status = AgentStatus::refused(name.clone(), String::new(), agent);
        Published {
            agents: [(name, Arc::new(status))].into(),
            attention: host,
        }
    }

    fn waiting(told: &mut Told) -> Vec<String> {
        let line = |item: Item| {
            let agent = item.agent.unwrap_or_else(|| "host".to_owned());
            format!("{agent} {} {:?}", item.attention.text, item.state)
        };
        told.waiting.drain(..).map(line).collect()
    }

    #[test]
    fn each_item_is_told_once_when_it_comes_and_once_when_it_is_gone() {
        let mut told = Told::default();
        told.look(&published(
            vec![item("polling", 1)],
            vec![item("paused", 2)],
        ));
        assert_eq!(
            waiting(&mut told),
            ["host polling of 1 New", "hello paused of 2 New"]
        );
        let mut same = published(vec![item("polling", 1)], vec![item("paused", 2)]);
        told.look(&same);
        assert!(waiting(&mut told).is_empty());
        same.attention.clear();
        told.look(&same);
        assert_eq!(waiting(&mut told), ["host polling of 1 Gone"]);
        told.look(&published(Vec::new(), vec![item("paused", 9)]));
        assert_eq!(
            waiting(&mut told),
            ["hello paused of 2 Gone", "hello paused of 9 New"]
        );
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_stay() {
        let mut told = Told::default();
        let many = (0..1_000).map(|since| item("held", since)).collect();
        let left_out = told.look(&published(many, Vec::new()));
        assert_eq!((left_out, told.waiting.len()), (744, MAX_WAITING));
        assert_eq!(waiting(&mut told).last().unwrap(), "host held of 999 New");
    }

    #[test]
    fn a_program_that_cannot_be_run_is_refused_with_the_key() {
        let refused = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            Program::of(&words, Path::new("data")).unwrap_err()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("text"), "no program").unwrap();
        for (words, told) in [
            ([path("nowhere")], "cannot be looked at"),
            ([path("")], "is no file"),
            ([path("text")], "is not executable"),
            (["notify".to_owned()], "is no absolute path"),
        ] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let error = refused(&words);
            assert!(
                error.contains("`host.on_attention`") && error.contains(told),
                "{error}"
            );
        }
        assert!(Program::of(&[], Path::new("data")).unwrap().is_none());
    }
}
