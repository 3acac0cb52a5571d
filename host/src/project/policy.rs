//! The files of a project for a policy: those of `policies/examples`, under another name.

use std::path::PathBuf;

use super::{Embedded, File, Lang};

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../../policies/examples/", $path))
    };
}

/// What every project has: the contract, and what the policy must say.
const COMMON: [Embedded; 2] = [
    ("wit/policy.wit", crate::wit::POLICY),
    ("scenarios.json", example!("scenarios.json")),
];

const RUST: [Embedded; 4] = [
    ("Cargo.toml", include_str!("policy/rust/Cargo.toml.in")),
    ("README.md", include_str!("policy/rust/README.md")),
    (".gitignore", include_str!("policy/rust/gitignore")),
    ("src/lib.rs", example!("rust/src/lib.rs")),
];

const PYTHON: [Embedded; 5] = [
    ("Makefile", example!("python/Makefile")),
    ("README.md", example!("python/README.md")),
    (".gitignore", example!("python/.gitignore")),
    ("requirements.txt", example!("python/requirements.txt")),
    ("policy.py", example!("python/policy.py")),
];

const JS: [Embedded; 5] = [
    ("package.json", example!("javascript/package.json")),
    (
        "package-lock.json",
        example!("javascript/package-lock.json"),
    ),
    ("README.md", example!("javascript/README.md")),
    (".gitignore", example!("javascript/.gitignore")),
    ("policy.js", example!("javascript/policy.js")),
];

/// The files of a project for the policy `name`.
pub(super) fn of(lang: Lang, name: &str) -> Vec<File> {
    let (own, sdk): (&[Embedded], &[Embedded]) = match lang {
        Lang::Rust => (&RUST, SDK),
        Lang::Python => (&PYTHON, &[]),
        Lang::Js => (&JS, &[]),
    };
    let own = own.iter().chain(&COMMON).map(|(path, text)| File {
        path: PathBuf::from(path),
        text: named(text, name),
    });
    let sdk = sdk.iter().map(|(path, text)| File {
        path: PathBuf::from("caxton-policy").join(path),
        text: (*text).to_owned(),
    });
    own.chain(sdk).collect()
}

/// What to run in the project: build, check, test.
pub(super) fn commands(lang: Lang, name: &str) -> Vec<String> {
    let (build, component) = match lang {
        Lang::Rust => (
            "cargo build --release --target wasm32-wasip2",
            format!(
                "target/wasm32-wasip2/release/policy_{}.wasm",
                name.replace('-', "_")
            ),
        ),
        Lang::Python => ("make", format!("{name}.wasm")),
        Lang::Js => ("npm install && npm run build", format!("{name}.wasm")),
    };
    vec![
        build.to_owned(),
        format!("caxton policy check {component}"),
        format!("caxton policy test {component} scenarios.json"),
    ]
}

/// The example's text under another name. The word itself stays: a budget is what the policy has, whatever it is called.
fn named(text: &str, name: &str) -> String {
    let places = [
        ("policy-budget", format!("policy-{name}")),
        (
            "policy_budget",
            format!("policy_{}", name.replace('-', "_")),
        ),
        ("budget.wasm", format!("{name}.wasm")),
        ("`budget`", format!("`{name}`")),
        ("\"budget\"", format!("\"{name}\"")),
        ("'budget'", format!("'{name}'")),
    ];
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    // In one pass: what was written is not looked at again, whatever the name is.
    while let Some((at, (place, instead))) = places
        .iter()
        .filter_map(|place| Some((rest.find(place.0)?, place)))
        .min_by_key(|(at, _)| *at)
    {
        let (before, after) = rest.split_at(at);
        written.push_str(before);
        written.push_str(instead);
        rest = after.strip_prefix(place).unwrap_or_default();
    }
    written + rest
}
