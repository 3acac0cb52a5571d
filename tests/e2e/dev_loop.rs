//! The local loop: each save is one line, and what a person who works on an agent has to know is there.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use caxton_test_artifacts::{Manner, TOOL, build_named, name_in};
use tempfile::TempDir;

use crate::harness::{Ask, Turn, binary, once, put, wait_for};

/// A component that ends before its first call.
const TRAPS_AT_START: &str = r#"(component
    (core module $guest
        (func $boom unreachable)
        (start $boom)
        (func (export "handle")))
    (core instance $guest (instantiate $guest))
    (func $handle (canon lift (core func $guest "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "caxton:agent/handler@0.1.0" (instance $handler)))"#;

/// A command of the local loop that runs, and what it has printed.
struct Loop {
    folder: TempDir,
    child: Child,
    _turn: Turn,
}

impl Loop {
    async fn start(folder: TempDir, set: impl FnOnce(&mut Command, &Path)) -> Self {
        let turn = Turn::shared().await;
        let output = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = binary();
        command.current_dir(folder.path()).stdin(Stdio::null());
        set(&mut command, folder.path());
        command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        let child = command.spawn().unwrap();
        Self {
            folder,
            child,
            _turn: turn,
        }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("stdout")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for the `count`th line that has all of these in it.
    async fn line(&self, parts: &[&str], count: usize) -> String {
        wait_for(&format!("line {count} with {parts:?}"), async || {
            let fits = |line: &String| parts.iter().all(|part| line.contains(part));
            self.lines().into_iter().filter(fits).nth(count - 1)
        })
        .await
    }

    /// What the line of `parts` says at its end is where requests go.
    async fn gateway(&self, begin: &str) -> SocketAddr {
        let line = self.line(&[begin, "http://"], 1).await;
        let address = line.split("http://").nth(1).unwrap();
        address.split('/').next().unwrap().parse().unwrap()
    }

    fn save(&self, inside: &str, text: &str) {
        fs::write(self.path(inside), text).unwrap();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for name in ["stdout", "stderr"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                eprintln!("--- {name}\n{text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_dev_mode_each_save_is_a_line_and_the_same_bytes_come_in_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("caxton.toml"),
        "[host]\nsettle = \"5s\"\n[defaults.reload]\nwarm_up = \"10m\"\nbake = \"10m\"\n",
    )
    .unwrap();
    let host = Loop::start(folder, |command, _| {
        command.args(["run", "--dev"]);
    })
    .await;
    let gateway = host.gateway("gateway").await;
    let not_used = "dev: warm_up, bake and rollback of configurations are not used";
    host.line(&[not_used], 1).await;
    // It was made.
    let agents = host.path("agents");
    put(
        &agents,
        "hello.toml",
        b"[reload]\nstrategy = \"parallel\"\n",
    );
    put(&agents, "hello.wasm", TOOL);
    let first = host
        .line(&["hello v1 serves, ", " after the write (compile "], 1)
        .await;
    assert!(first.ends_with(')'), "{first}");
    let asked = once(gateway, Ask::post("/hello", "print \u{1b}[2Jhere")).await;
    assert_eq!(asked.unwrap().status, 200);
    host.line(&["hello v1 | \\u{1b}[2Jhere"], 1).await;

    put(&agents, "hello.wasm", TOOL);
    host.line(&["hello: nothing changed; v1 serves on"], 1)
        .await;

    put(&agents, "hello.toml", b"[limits]\nmemmory = \"1MiB\"\n");
    let refused = host
        .line(&["hello is refused: hello.toml: line 2"], 1)
        .await;
    assert!(
        refused.contains("did you mean `memory`?") && refused.ends_with("; v1 serves on"),
        "{refused}"
    );
    put(&agents, "hello.toml", b"");

    // What failed can be dropped again, as often as one likes.
    let bad = wat::parse_str(TRAPS_AT_START).unwrap();
    for count in [1, 2] {
        put(&agents, "hello.wasm", &bad);
        let failed = host
            .line(&["does not come in: hello.wasm: ", "trap"], count)
            .await;
        assert!(failed.ends_with("; v1 serves on"), "{failed}");
    }
    let named = build_named("two", Manner::Good).unwrap();
    put(&agents, "hello.wasm", &named);
    host.line(&["hello v", " serves, "], 2).await;
    let reply = once(gateway, Ask::get("/hello/")).await.unwrap();
    assert_eq!(name_in(&reply.text()), "two");
    // Back to what served before: no rollback, and no quarantine.
    put(&agents, "hello.wasm", TOOL);
    host.line(&["hello v", " serves, "], 3).await;
    put(&agents, "hello.wasm", &named);
    host.line(&["hello v", " serves, "], 4).await;
    assert_eq!(
        host.lines().iter().filter(|line| *line == not_used).count(),
        1
    );
}

/// Builds by copying the component that the source names; what is written outside of the project tells what was run.
const BUILD: &str = r#"name=$(cat source)
echo "$name" >> ../built
if [ "$name" = slow ]; then
    echo $$ > ../slow
    sleep 600
fi
if [ "$name" = bad ]; then
    printf 'source:1: \033[31mthis is\033[2J wrong\033[0m\n' >&2
    exit 7
fi
cp "../prepared/$name.wasm" out.wasm
"#;

/// A project whose source is `one`, and components for these sources.
async fn project(more_of_the_build: &str) -> Loop {
    let folder = tempfile::tempdir().unwrap();
    for name in ["project", "prepared"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["one", "two", "three"] {
        let component = build_named(name, Manner::Good).unwrap();
        put(
            &folder.path().join("prepared"),
            &format!("{name}.wasm"),
            &component,
        );
    }
    fs::write(folder.path().join("project/source"), "one").unwrap();
    fs::write(
        folder.path().join("build.sh"),
        format!("{BUILD}{more_of_the_build}"),
    )
    .unwrap();
    Loop::start(folder, |command, _| {
        command.args([
            "dev",
            "project",
            "--name",
            "hello",
            "--build",
            "sh ../build.sh",
        ]);
    })
    .await
}

/// The sources that were built, in order.
fn built(project: &Loop) -> Vec<String> {
    let text = fs::read_to_string(project.path("built")).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn answers(gateway: SocketAddr) -> String {
    let reply = once(gateway, Ask::get("/hello/")).await.unwrap();
    assert!(reply.is_good(), "{} {}", reply.status, reply.text());
    name_in(&reply.text()).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_is_built_and_serves_and_a_build_that_fails_leaves_what_serves() {
    let project = project("").await;
    let gateway = project.gateway("hello ").await;
    project.line(&["building: sh ../build.sh"], 1).await;
    project
        .line(&["hello v1 serves, ", " after the start (build "], 1)
        .await;
    assert_eq!(answers(gateway).await, "one");

    project.save("project/source", "two");
    project
        .line(&["hello v2 serves, ", " after the save (build "], 1)
        .await;
    assert_eq!(answers(gateway).await, "two");

    project.save("project/source", "bad");
    let failed = project.line(&["`sh ../build.sh` failed after "], 1).await;
    assert!(
        failed.contains("exit status: 7") && failed.ends_with("; v2 serves on"),
        "{failed}"
    );
    // No terminal: no colours, and nothing that acts on one.
    let printed = project.line(&["source:1: this is"], 1).await;
    assert!(printed.contains("this is\\u{1b}[2J wrong"), "{printed:?}");
    assert_eq!(answers(gateway).await, "two");

    project.save("project/source", "two");
    project
        .line(&["hello: nothing changed (build ", "); v2 serves on"], 1)
        .await;

    // The configuration goes with it, without a build.
    project.save("project/hello.toml", "[limits]\nnothing = 1\n");
    project
        .line(
            &["hello is refused: hello.toml: line 2", "; v2 serves on"],
            1,
        )
        .await;
    project.save("project/hello.toml", "[limits]\nconcurrency = 7\n");
    project.line(&["hello v3 serves"], 1).await;
    assert_eq!(built(&project), ["one", "two", "bad", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_during_a_build_ends_it_whole_and_begins_another_and_so_does_a_signal() {
    let mut project = project("").await;
    let gateway = project.gateway("hello ").await;
    project.line(&["hello v1 serves, "], 1).await;
    says_that_another_has_the_project(&project);
    project.save("project/source", "slow");
    let slow = pid_of_the_slow_build(&project).await;
    project.save("project/source", "two");
    project
        .line(&["hello v2 serves, ", " after the save"], 1)
        .await;
    project.line(&["saved again: the build is ended"], 1).await;
    assert_eq!(answers(gateway).await, "two");
    assert!(!is_running(slow));
    assert_eq!(built(&project), ["one", "slow", "two"]);

    fs::remove_file(project.path("slow")).unwrap();
    project.save("project/source", "slow");
    let slow = pid_of_the_slow_build(&project).await;
    let pid = project.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = wait_for("its end", async || project.child.try_wait().unwrap()).await;
    assert!(ended.success(), "{ended}");
    assert!(!is_running(slow));
}

fn says_that_another_has_the_project(project: &Loop) {
    let mut command = binary();
    let second = command.args(["dev", "project", "--name", "hello", "--build", "true"]);
    let output = second.current_dir(project.folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("another `caxton dev` serves this project"),
        "{told}"
    );
    assert!(!told.contains("--data-dir"), "{told}");
}

async fn pid_of_the_slow_build(project: &Loop) -> u32 {
    wait_for("the slow build", async || {
        let text = fs::read_to_string(project.path("slow")).ok()?;
        text.trim().parse().ok()
    })
    .await
}

/// Whether anyone of the process's group is there.
fn is_running(group: u32) -> bool {
    let group = format!("-{group}");
    let asked = Command::new("kill")
        .args(["-0", "--", &group])
        .stderr(Stdio::null())
        .status();
    asked.unwrap().success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_writes_into_its_project_does_not_begin_itself_again() {
    // A new content each time, early and late.
    let project = project("date +%s%N > written\nsleep 0.2\ndate +%s%N > also-written\n").await;
    let gateway = project.gateway("hello ").await;
    project.line(&["hello v1 serves, "], 1).await;
    let taken = project
        .line(&["is taken for something that the build writes"], 1)
        .await;
    assert!(taken.contains("written"), "{taken}");
    project
        .line(&["saved during the build: it is not used"], 1)
        .await;
    let before = built(&project).len();
    assert!(before <= 8, "{before} builds");
    project.save("project/source", "two");
    project.line(&["hello v2 serves, "], 1).await;
    project.save("project/source", "three");
    project.line(&["hello v3 serves, "], 1).await;
    assert_eq!(answers(gateway).await, "three");
    assert_eq!(built(&project)[before..], ["two", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_built_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let dev = |arguments: &[&str]| {
        let output = binary()
            .arg("dev")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(dev(&[]).contains("say how it is built with --build CMD"));
    assert!(dev(&["nowhere"]).contains("nowhere is no directory"));
    assert!(dev(&["--build", "true", "--name", "A b"]).contains("say with --name NAME"));
    assert!(!folder.path().join(".caxton").exists());
}
