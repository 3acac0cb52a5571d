//! The files of a project for an agent: the templates under `agent/`, in which `{{name}}` and the like stand for what differs.

use std::path::PathBuf;

use super::{Embedded, File, Lang};

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("agent/", $path))
    };
}

/// What every project has.
const README: &str = template!("README.md");
const SETTINGS: &str = template!("agent.toml");

const RUST: [Embedded; 3] = [
    ("Cargo.toml", template!("rust/Cargo.toml.in")),
    ("src/lib.rs", template!("rust/lib.rs")),
    (".gitignore", template!("rust/gitignore")),
];

const RUST_HTTP: [Embedded; 3] = [
    ("Cargo.toml", template!("rust-http/Cargo.toml.in")),
    ("src/lib.rs", template!("rust-http/lib.rs")),
    (".gitignore", template!("rust/gitignore")),
];

const PYTHON: [Embedded; 4] = [
    ("Makefile", template!("python/Makefile")),
    ("agent.py", template!("python/agent.py")),
    ("requirements.txt", PYTHON_TOOLS),
    (".gitignore", template!("python/gitignore")),
];

const PYTHON_HTTP: [Embedded; 4] = [
    ("Makefile", template!("python-http/Makefile")),
    ("agent.py", template!("python-http/agent.py")),
    ("requirements.txt", PYTHON_TOOLS),
    (".gitignore", template!("python/gitignore")),
];

const JS: [Embedded; 4] = [
    ("package.json", template!("javascript/package.json")),
    ("package-lock.json", JS_TOOLS),
    ("agent.js", template!("javascript/agent.js")),
    (".gitignore", template!("javascript/gitignore")),
];

const JS_HTTP: [Embedded; 4] = [
    ("package.json", template!("javascript-http/package.json")),
    ("package-lock.json", JS_TOOLS),
    ("agent.js", template!("javascript-http/agent.js")),
    (".gitignore", template!("javascript/gitignore")),
];

/// The tools are those that policies are built with.
const PYTHON_TOOLS: &str = include_str!("../../../policies/examples/python/requirements.txt");
const JS_TOOLS: &str = include_str!("../../../policies/examples/javascript/package-lock.json");

/// What the lock of the tools calls the package.
const LOCKED: &str = "policy-budget";

/// The contract, where the sources are built against it.
const CONTRACT: [Embedded; 1] = [("wit/agent.wit", crate::wit::AGENT)];

/// The same for HTTP. Rust has it in the crate `wasip2`.
const HTTP_CONTRACT: [Embedded; 4] = [
    ("wit/world.wit", template!("wit/world.wit")),
    ("wit/deps/http.wit", template!("wit/http.wit")),
    ("wit/deps/io.wit", template!("wit/io.wit")),
    ("wit/deps/clocks.wit", template!("wit/clocks.wit")),
];

/// The files of a project for the agent `name`.
pub(super) fn of(lang: Lang, name: &str, http: bool) -> Vec<File> {
    let (own, contract): (&[Embedded], &[Embedded]) = match (lang, http) {
        (Lang::Rust, false) => (&RUST, &CONTRACT),
        (Lang::Rust, true) => (&RUST_HTTP, &[]),
        (Lang::Python, false) => (&PYTHON, &CONTRACT),
        (Lang::Python, true) => (&PYTHON_HTTP, &HTTP_CONTRACT),
        (Lang::Js, false) => (&JS, &CONTRACT),
        (Lang::Js, true) => (&JS_HTTP, &HTTP_CONTRACT),
    };
    let settings = format!("{name}.toml");
    let common = [("README.md", README), (settings.as_str(), SETTINGS)];
    let blanks = blanks(lang, name, http);
    let files = own.iter().chain(contract).copied().chain(common);
    files
        .map(|(path, text)| File {
            path: PathBuf::from(path),
            text: filled(&text.replace(LOCKED, name), &blanks),
        })
        .collect()
}

/// What to run in the project: build it, or have it built and served.
pub(super) fn commands(lang: Lang, name: &str) -> Vec<String> {
    vec![
        build(lang).to_owned(),
        format!("cp {} AGENTS/{name}.wasm", component(lang, name)),
    ]
}

fn build(lang: Lang) -> &'static str {
    match lang {
        Lang::Rust => "cargo build --release --target wasm32-wasip2",
        Lang::Python => "make",
        Lang::Js => "npm install && npm run build",
    }
}

/// Where the build puts it.
fn component(lang: Lang, name: &str) -> String {
    match lang {
        Lang::Rust => format!(
            "target/wasm32-wasip2/release/{}.wasm",
            name.replace('-', "_")
        ),
        Lang::Python | Lang::Js => format!("{name}.wasm"),
    }
}

/// What stands in the templates, and what it is in this project.
fn blanks(lang: Lang, name: &str, http: bool) -> Vec<(&'static str, String)> {
    let (language, source, needs) = match lang {
        Lang::Rust => (
            "Rust",
            "src/lib.rs",
            "It needs Rust 1.95 or newer, and once `rustup target add\nwasm32-wasip2`.",
        ),
        Lang::Python => (
            "Python",
            "agent.py",
            "It needs Python 3.10 or newer with `venv`\n(on Debian and Ubuntu the package `python3-venv`) and `make`.",
        ),
        Lang::Js => ("JavaScript", "agent.js", "It needs Node.js 20 or newer."),
    };
    let (what, ask) = match http {
        true => ("HTTP requests", format!("curl localhost:8080/{name}/")),
        false => ("messages", format!("curl --data Ada localhost:8080/{name}")),
    };
    vec![
        ("{{name}}", name.to_owned()),
        ("{{language}}", language.to_owned()),
        ("{{source}}", source.to_owned()),
        ("{{needs}}", needs.to_owned()),
        ("{{what}}", what.to_owned()),
        ("{{ask}}", ask),
        ("{{build}}", build(lang).to_owned()),
        ("{{component}}", component(lang, name)),
    ]
}

/// The text with its blanks filled in. No value has a blank in it.
fn filled(text: &str, blanks: &[(&str, String)]) -> String {
    blanks.iter().fold(text.to_owned(), |text, (blank, value)| {
        text.replace(blank, value)
    })
}
