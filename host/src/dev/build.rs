//! A build as a process group: what it prints is kept, and it ends whole.

use std::collections::BTreeSet;
use std::io::{self, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Of what a build prints, the end is kept: that is where it says why it failed.
const OUTPUT_MAX: usize = 256 << 10;

/// Of what cargo says it made: some hundred bytes for each crate.
const MESSAGES_MAX: usize = 16 << 20;

/// How long a build may take to end when it is asked to.
const ASKED: Duration = Duration::from_millis(500);

/// How long after its end something that it started may hold its output.
const OUTPUT_WAIT: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    program: &'static str,
    arguments: Vec<String>,
    /// The standard output is cargo's, for programs.
    messages: bool,
}

impl Job {
    pub(super) fn cargo() -> Self {
        let arguments = [
            "build",
            "--release",
            "--target",
            "wasm32-wasip2",
            "--message-format",
            "json-render-diagnostics",
        ];
        Self {
            program: "cargo",
            arguments: arguments.map(str::to_owned).to_vec(),
            messages: true,
        }
    }

    pub(super) fn shell(command: &str) -> Self {
        Self {
            program: "sh",
            arguments: vec!["-c".to_owned(), command.to_owned()],
            messages: false,
        }
    }

    /// As a person would type it.
    pub(super) fn shown(&self) -> String {
        match self.arguments.as_slice() {
            [_, command] if !self.messages => command.clone(),
            arguments => {
                let typed = arguments
                    .iter()
                    .take_while(|word| *word != "--message-format");
                let words: Vec<&str> = std::iter::once(self.program)
                    .chain(typed.map(String::as_str))
                    .collect();
                words.join(" ")
            }
        }
    }
}

/// A build that runs.
#[derive(Debug)]
pub(super) struct Build {
    child: Child,
    group: Option<u32>,
    began: Instant,
    output: Collected,
    messages: Option<Collected>,
}

/// How a build ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub status: ExitStatus,
    pub took: Duration,
    /// What it printed, or the end of that.
    pub output: String,
    /// Components that cargo says it made.
    pub made: Vec<PathBuf>,
}

impl Build {
    /// Starts it, with nothing to read and all of its output into our hands.
    pub(super) fn start(job: &Job, root: &Path, colour: bool) -> io::Result<Self> {
        let mut command = Command::new(job.program);
        command
            .args(&job.arguments)
            .current_dir(root)
            .stdin(Stdio::null());
        let (reader, writer) = io::pipe()?;
        let messages = match job.messages {
            true => {
                let (reader, writer) = io::pipe()?;
                command.stdout(writer);
                Some(Collected::of(reader, MESSAGES_MAX))
            }
            false => {
                command.stdout(writer.try_clone()?);
                None
            }
        };
        command.stderr(writer);
        if colour {
            for (name, value) in [
                ("CARGO_TERM_COLOR", "always"),
                ("CLICOLOR_FORCE", "1"),
                ("FORCE_COLOR", "1"),
            ] {
                command.env(name, value);
            }
        }
        #[cfg(unix)]
        command.process_group(0);
        command.kill_on_drop(true);
        let child = command.spawn()?;
        // The command holds our ends of the pipes, which would never end then.
        drop(command);
        Ok(Self {
            group: child.id(),
            child,
            began: Instant::now(),
            output: Collected::of(reader, OUTPUT_MAX),
            messages,
        })
    }

    /// Waits for its end. Safe to cancel.
    pub(super) async fn ended(&mut self) -> io::Result<Ended> {
        let status = self.child.wait().await?;
        let took = self.began.elapsed();
        let output = self.output.text().await;
        let made = match &mut self.messages {
            Some(messages) => made(&messages.text().await),
            None => Vec::new(),
        };
        // Its number may be another's from now on.
        self.group = None;
        Ok(Ended {
            status,
            took,
            output,
            made,
        })
    }

    /// Ends it and all that it started.
    pub(super) async fn end(mut self) {
        self.signal(false);
        let _ = tokio::time::timeout(ASKED, self.child.wait()).await;
        self.signal(true);
        let _ = self.child.kill().await;
        self.group = None;
    }

    #[cfg(unix)]
    fn signal(&self, now: bool) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = self.group.and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(Pid::from_raw) {
            // Nobody may be left.
            let _ = kill_process_group(group, if now { Signal::KILL } else { Signal::TERM });
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _: bool) {}
}

impl Drop for Build {
    fn drop(&mut self) {
        self.signal(true);
    }
}

/// What comes out of a pipe, up to a size; of more, the end.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(mut pipe: PipeReader, max: usize) -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let into = Arc::clone(&bytes);
        let reader = tokio::task::spawn_blocking(move || {
            let mut piece = [0; 16 << 10];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                let mut bytes = into.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
                let beyond = bytes.len().saturating_sub(max);
                bytes.drain(..beyond);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    /// All of it once the pipe has ended, or what there is.
    async fn text(&mut self) -> String {
        if let Some(reader) = &mut self.reader
            && tokio::time::timeout(OUTPUT_WAIT, reader).await.is_ok()
        {
            self.reader = None;
        }
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The components among the files that cargo names. A target can be named twice.
fn made(messages: &str) -> Vec<PathBuf> {
    let mut made = BTreeSet::new();
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let kinds = message.pointer("/target/kind").and_then(Value::as_array);
        let is_library = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"));
        let is_artifact = message
            .get("reason")
            .is_some_and(|reason| reason == "compiler-artifact");
        let files = message.get("filenames").and_then(Value::as_array);
        for file in files.into_iter().flatten().filter_map(Value::as_str) {
            if is_artifact && is_library && file.ends_with(".wasm") {
                made.insert(PathBuf::from(file));
            }
        }
    }
    made.into_iter().collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_shown_as_it_would_be_typed() {
        assert_eq!(
            Job::cargo().shown(),
            "cargo build --release --target wasm32-wasip2"
        );
        assert_eq!(Job::shell("a && b").shown(), "a && b");
    }

    #[tokio::test]
    async fn what_it_prints_is_kept_in_order_up_to_its_end() {
        let here = tempfile::tempdir().unwrap();
        let job = Job::shell("echo one; echo two >&2; echo three; exit 3");
        let ended = Build::start(&job, here.path(), false)
            .unwrap()
            .ended()
            .await
            .unwrap();
        assert_eq!(
            (ended.status.code(), ended.output.as_str()),
            (Some(3), "one\ntwo\nthree\n")
        );
        let job = Job::shell("head -c 1000000 /dev/zero | tr '\\0' x; echo end");
        let ended = Build::start(&job, here.path(), false)
            .unwrap()
            .ended()
            .await
            .unwrap();
        assert_eq!(ended.output.len(), OUTPUT_MAX);
        assert!(ended.output.ends_with("xend\n"));
    }

    /// The grandchild would write a second later, and ignores being asked.
    #[tokio::test]
    async fn all_of_it_is_ended() {
        let here = tempfile::tempdir().unwrap();
        let job = Job::shell("(trap '' TERM; echo > began; sleep 1; echo > late) & wait");
        let build = Build::start(&job, here.path(), false).unwrap();
        let group = build.group.unwrap();
        let began = async {
            while !here.path().join("began").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), began)
            .await
            .unwrap();
        build.end().await;
        let gone = async {
            let group = rustix::process::Pid::from_raw(i32::try_from(group).unwrap()).unwrap();
            while rustix::process::test_kill_process_group(group).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone)
            .await
            .unwrap();
        assert!(!here.path().join("late").exists());
    }

    #[test]
    fn components_are_what_cargo_says_it_made() {
        let line = |reason: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"{reason}","target":{{"kind":["{kind}"]}},"filenames":["{file}"]}}"#
            )
        };
        let messages = [
            line("compiler-artifact", "lib", "/t/libdep.rlib"),
            line("compiler-artifact", "cdylib", "/t/a.wasm"),
            line("compiler-artifact", "cdylib", "/t/a.wasm"),
            line("build-script-executed", "cdylib", "/t/b.wasm"),
            "no json".to_owned(),
        ];
        assert_eq!(made(&messages.join("\n")), [PathBuf::from("/t/a.wasm")]);
    }
}
