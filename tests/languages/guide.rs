//! The guide, followed in an empty directory: `docs/policies.md` says what to run, and all of it works.
//!
//! Run are the blocks that are marked `sh`, in order, each in the directory in which the one before it ended. What a reader waits
//! for is a block marked `sh again`: it is repeated until it succeeds.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use caxton_test_artifacts as artifacts;
use tempfile::TempDir;

use crate::caxton::{BINARY, root};

/// How long a block may be repeated: a version is compiled, warms up and bakes in it.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where the part of the page about Python begins, and where it ends.
const PYTHON: [&str; 2] = ["## In Python", "## In JavaScript"];

struct Block {
    line: usize,
    again: bool,
    commands: String,
}

/// The blocks to run, and the line that each begins in.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(page.lines()) {
        match (&mut open, text) {
            (None, "```sh" | "```sh again") => {
                open = Some(Block {
                    line,
                    again: text.ends_with("again"),
                    commands: String::new(),
                });
            }
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => block.commands.extend([text, "\n"]),
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Someone who follows the page.
struct Reader {
    folder: TempDir,
    /// Where the last block ended.
    here: PathBuf,
}

impl Reader {
    /// In an empty directory, with `caxton` on the path. A host that it starts listens where there is room.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (bin, here) = (folder.path().join("bin"), folder.path().join("here"));
        fs::create_dir(&bin).unwrap();
        fs::create_dir(&here).unwrap();
        let caxton = bin.join("caxton");
        let script = format!(
            "#!/bin/sh\n\
             if [ \"$1\" = run ]; then\n\
             echo $$ > {pid}\n\
             exec {BINARY} \"$@\" --listen 127.0.0.1:0 --admin 127.0.0.1:0\n\
             fi\n\
             exec {BINARY} \"$@\"\n",
            pid = folder.path().join("pid").display(),
        );
        fs::write(&caxton, script).unwrap();
        fs::set_permissions(&caxton, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, here }
    }

    fn follow(&mut self, blocks: &[Block]) {
        assert!(!blocks.is_empty(), "the page has no such commands");
        for block in blocks {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let (status, output) = self.run(block);
                if status.success() {
                    break;
                }
                assert!(
                    block.again && Instant::now() < deadline,
                    "docs/policies.md, line {}: {status}\n{}\n{output}\n{}",
                    block.line,
                    block.commands,
                    self.host_said()
                );
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }

    /// Output goes into a file: a host in the background would hold a pipe open.
    fn run(&mut self, block: &Block) -> (ExitStatus, String) {
        let at = |name: &str| self.folder.path().join(name);
        let script = format!(
            "set -euo pipefail\ncd {}\n{}pwd > {}\n",
            self.here.display(),
            block.commands,
            at("pwd").display()
        );
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        let output = File::create(at("output")).unwrap();
        let status = Command::new("bash")
            .args(["-c", &script])
            .env("PATH", path)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .status()
            .unwrap();
        if status.success() {
            self.here = PathBuf::from(fs::read_to_string(at("pwd")).unwrap().trim_end());
        }
        (status, fs::read_to_string(at("output")).unwrap_or_default())
    }

    /// What there is to see of the agents, where something did not work.
    fn host_said(&self) -> String {
        let mut said = String::new();
        for args in [&["ls"][..], &["explain", "hello"], &["events"]] {
            let output = Command::new(BINARY)
                .args(args)
                .current_dir(&self.here)
                .output()
                .unwrap();
            said.push_str(&format!(
                "caxton {args:?}:\n{}\n",
                crate::caxton::said(&output)
            ));
        }
        said
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.folder.path().join("pid")) {
            // Asked to stop, it takes its directories' lock with it; it may be gone already.
            let _ = Command::new("kill").arg(pid.trim_end()).status();
        }
    }
}

fn page() -> String {
    fs::read_to_string(root().join("docs/policies.md")).unwrap()
}

fn line_of(page: &str, heading: &str) -> usize {
    let at = page.lines().position(|line| line == heading);
    at.unwrap_or_else(|| panic!("the page has no {heading}")) + 1
}

#[test]
fn in_rust_up_to_a_policy_in_charge() {
    let page = page();
    let until = line_of(&page, PYTHON[0]);
    let mut blocks = blocks(&page);
    blocks.retain(|block| block.line < until);
    let mut reader = Reader::new();
    // The agent that the reader has.
    write(&reader.here, "hello.wasm", artifacts::WEB);
    let next = artifacts::with_section(artifacts::WEB, "version", b"2");
    write(&reader.here, "hello-2.wasm", &next);
    reader.follow(&blocks);
    let agent = fs::read_to_string(reader.here.join("agents/hello.toml")).unwrap();
    assert!(agent.contains("mode = \"enforce\""), "{agent}");
}

#[test]
fn in_python() {
    let page = page();
    let [from, until] = PYTHON.map(|heading| line_of(&page, heading));
    let mut blocks = blocks(&page);
    blocks.retain(|block| (from..until).contains(&block.line));
    Reader::new().follow(&blocks);
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
}
