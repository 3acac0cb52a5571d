//! What `caxton new agent` writes, built and served as its README says: in each language, for messages and for HTTP.
//!
//! `caxton run --dev` serves what the commands of the project build. The project in Rust goes through `caxton dev`, with a save.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::caxton::{BINARY, built};

/// How long a fact may take: tools are installed and large components compiled in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A new project, as a user has it.
fn new_agent(name: &str, lang: &str, http: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["new", "agent", name, "--lang", lang]);
    command
        .args(http.then_some("--http"))
        .current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", crate::caxton::said(&output));
    folder
}

/// Runs the command of its README, with the tools that `policies/examples/build.sh` installed.
fn run(project: &Path, command: &str) -> Output {
    let node = built().join("node/bin");
    let path = std::env::var("PATH").unwrap();
    let path = match node.is_dir() {
        true => format!("{}:{path}", node.display()),
        false => path,
    };
    Command::new("sh")
        .args(["-c", command])
        .current_dir(project)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", built().join("agents"))
        .output()
        .unwrap()
}

fn build(project: &Path, command: &str) {
    let output = run(project, command);
    assert!(
        output.status.success(),
        "{command}: {}",
        crate::caxton::said(&output)
    );
}

/// The tools are there already: a second installation of the same would take a minute.
fn with_tools(project: &Path, lang: &str) {
    let (tools, place) = match lang {
        "python" => ("python/.venv", ".venv"),
        "js" => ("javascript/node_modules", "node_modules"),
        _ => return,
    };
    let tools = built().join(tools);
    assert!(
        tools.is_dir(),
        "{} is not there: run policies/examples/build.sh",
        tools.display()
    );
    std::os::unix::fs::symlink(tools, project.join(place)).unwrap();
    if lang == "python" {
        // `make` would install what is younger than the tools.
        let wanted = File::options()
            .append(true)
            .open(project.join("requirements.txt"));
        wanted.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
}

/// A command that runs, and what it prints.
struct Running {
    folder: PathBuf,
    child: Child,
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let output = |name: &str| File::create(folder.join(name)).unwrap();
        let child = Command::new(BINARY)
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", built().join("agents"))
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        Self {
            folder: folder.to_owned(),
            child,
        }
    }

    fn line(&mut self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.join("stdout")).unwrap();
            if let Some(line) = text.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            let errors = || fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "no line with {part:?} ({ended:?}):\n{text}\n{}",
                errors()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn gateway(&mut self) -> String {
        let line = self.line("http://");
        let after = line.split("http://").nth(1).unwrap();
        format!("http://{}", after.split('/').next().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // As a user ends it; its build goes with it.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(20)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `curl` of the README gets.
fn asked(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(arguments)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", crate::caxton::said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds both kinds, and serves both with one host.
fn serves(lang: &str, command: &str, component: &str) {
    let host = tempfile::tempdir().unwrap();
    let mut running = Running::start(host.path(), &["run", "--dev"]);
    let gateway = running.gateway();
    running.line("dev: ");
    for (name, http) in [("hello", false), ("web", true)] {
        let parent = new_agent(name, lang, http);
        let project = parent.path().join(name);
        with_tools(&project, lang);
        build(&project, command);
        let component = component.replace("NAME", name);
        let component = match lang {
            "rust" => built().join("agents").join(component),
            _ => project.join(component),
        };
        let place = host.path().join("agents").join(format!("{name}.wasm"));
        fs::copy(
            project.join(format!("{name}.toml")),
            place.with_extension("toml"),
        )
        .unwrap();
        fs::copy(component, place).unwrap();
        running.line(&format!("{name} v1 serves"));
    }
    let message = asked(&["--data", "Ada", &format!("{gateway}/hello")]);
    assert_eq!(message, "hello Ada, this is hello\n");
    assert_eq!(
        asked(&[&format!("{gateway}/web/a?b=c")]),
        "hello, this is web at /a?b=c\n"
    );
    // What an agent refuses is the caller's fault, and told so.
    let wrong = asked(&[
        "--data-binary",
        "@/bin/true",
        "--write-out",
        "%{http_code}",
        &format!("{gateway}/hello"),
    ]);
    assert!(
        wrong.contains("the body must be text") && wrong.ends_with("400"),
        "{wrong}"
    );
    running.line("hello v1 | a message of 3 ");
    running.line("web v1 | a request for /a?b=c");
}

#[test]
fn in_rust() {
    serves(
        "rust",
        "cargo build --release --target wasm32-wasip2",
        "wasm32-wasip2/release/NAME.wasm",
    );
}

#[test]
fn in_python() {
    serves("python", "make", "NAME.wasm");
}

#[test]
fn in_javascript() {
    serves("js", "npm run --silent build", "NAME.wasm");
}

/// componentize-js says that there is an error, and not where.
#[test]
fn a_syntax_error_in_javascript_is_told_with_its_line() {
    for http in [false, true] {
        let parent = new_agent("hello", "js", http);
        let project = parent.path().join("hello");
        let source = project.join("agent.js");
        let text = fs::read_to_string(&source).unwrap();
        let line = text.lines().count() + 1;
        fs::write(&source, format!("{text}const broken = (;\n")).unwrap();
        let output = run(&project, "npm run --silent build");
        let told = crate::caxton::said(&output);
        assert!(!output.status.success(), "{told}");
        assert!(told.contains(&format!("agent.js:{line}\n")), "{told}");
    }
}

#[test]
fn the_local_loop_of_a_project_in_rust() {
    let parent = new_agent("my-agent", "rust", true);
    let project = parent.path().join("my-agent");
    let mut running = Running::start(&project, &["dev"]);
    let gateway = running.gateway();
    running.line("my-agent v1 serves, ");
    let address = format!("{gateway}/my-agent/");
    assert_eq!(asked(&[&address]), "hello, this is my-agent at /\n");
    let source = project.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();

    fs::write(&source, text.replace("hello, this", "good day, this")).unwrap();
    let line = running.line("my-agent v2 serves, ");
    assert!(line.contains(" after the save (build "), "{line}");
    assert_eq!(asked(&[&address]), "good day, this is my-agent at /\n");

    fs::write(&source, text.replace("fn greeting", "fn greetings")).unwrap();
    let failed = running.line("`cargo build --release --target wasm32-wasip2` failed");
    assert!(failed.ends_with("; v2 serves on"), "{failed}");
    running.line("cannot find function `greeting`");
    assert_eq!(asked(&[&address]), "good day, this is my-agent at /\n");
}
