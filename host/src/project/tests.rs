//! What is written, without building it: `tests/languages` builds.

use std::collections::BTreeSet;

use super::*;

const LANGS: [Lang; 3] = [Lang::Rust, Lang::Python, Lang::Js];

fn read(created: &Created, path: &str) -> String {
    fs::read_to_string(created.directory.join(path)).unwrap()
}

/// Every file below a directory, relative to it.
fn listing(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn a_project_has_its_files_and_nothing_else_is_left() {
    for lang in LANGS {
        let parent = tempfile::tempdir().unwrap();
        let created = create(parent.path(), "careful", lang, Kind::Policy).unwrap();
        let told: BTreeSet<PathBuf> = created.files.iter().cloned().collect();
        assert_eq!(listing(&created.directory), told, "{lang:?}");
        for file in [
            "README.md",
            ".gitignore",
            "scenarios.json",
            "wit/policy.wit",
        ] {
            assert!(told.contains(Path::new(file)), "{lang:?}: {file}");
        }
        let beside: Vec<_> = fs::read_dir(parent.path()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{lang:?}: {beside:?}");
    }
}

#[test]
fn the_name_stands_wherever_the_examples_stood() {
    for lang in LANGS {
        // A name that has the example's in it must not be taken for it a second time.
        for name in ["careful", "my-budget", "budget", "9-lives_"] {
            let parent = tempfile::tempdir().unwrap();
            let created = create(parent.path(), name, lang, Kind::Policy).unwrap();
            let readme = read(&created, "README.md");
            assert!(
                readme.starts_with(&format!("# The policy `{name}`")),
                "{readme}"
            );
            for command in &created.commands {
                assert!(
                    readme.contains(&format!("    {command}\n")),
                    "{command:?} in {readme}"
                );
            }
            let manifest = match lang {
                Lang::Rust => read(&created, "Cargo.toml"),
                Lang::Python => read(&created, "Makefile"),
                Lang::Js => read(&created, "package.json"),
            };
            let expected = match lang {
                Lang::Rust => format!("name = \"policy-{name}\"\n"),
                Lang::Python => format!("\n{name}.wasm: policy.py"),
                Lang::Js => format!("--out {name}.wasm\""),
            };
            assert!(manifest.contains(&expected), "{expected:?} in {manifest}");
        }
    }
}

#[test]
fn the_codes_of_the_scenarios_stay_those_of_the_policy() {
    for lang in LANGS {
        let parent = tempfile::tempdir().unwrap();
        let created = create(parent.path(), "careful", lang, Kind::Policy).unwrap();
        let policy = match lang {
            Lang::Rust => read(&created, "src/lib.rs"),
            Lang::Python => read(&created, "policy.py"),
            Lang::Js => read(&created, "policy.js"),
        };
        for code in ["budget-spent", "too-few-requests", "within-budget"] {
            assert!(policy.contains(code), "{lang:?}: {code}");
            assert!(read(&created, "scenarios.json").contains(code), "{code}");
        }
        assert!(!policy.contains("`budget`"), "{policy}");
    }
}

#[test]
fn what_is_there_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    for (name, directory) in [("empty", true), ("file", false)] {
        let path = parent.path().join(name);
        if directory {
            fs::create_dir(&path).unwrap();
        } else {
            fs::write(&path, "mine").unwrap();
        }
        let error = create(parent.path(), name, Lang::Js, Kind::Policy).unwrap_err();
        assert!(matches!(error, NewError::Exists(_)), "{error}");
        assert!(error.to_string().contains("is there already"), "{error}");
    }
    assert_eq!(
        fs::read_to_string(parent.path().join("file")).unwrap(),
        "mine"
    );
    assert_eq!(listing(parent.path()).len(), 1);
}

#[test]
fn names_that_cannot_be_a_policys_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    for name in [
        "",
        "Careful",
        "../careful",
        "a/b",
        "-x",
        "a.wasm",
        &"x".repeat(65),
    ] {
        let error = create(parent.path(), name, Lang::Rust, Kind::Policy).unwrap_err();
        assert!(matches!(error, NewError::Name { .. }), "{name:?}: {error}");
    }
    let error = create(parent.path(), "evidence", Lang::Rust, Kind::Policy).unwrap_err();
    assert!(matches!(error, NewError::Taken(_)), "{error}");
    let error = create(
        &parent.path().join("none"),
        "careful",
        Lang::Rust,
        Kind::Policy,
    )
    .unwrap_err();
    assert!(error.to_string().contains("mkdir -p"), "{error}");
    assert_eq!(listing(parent.path()).len(), 0);
}

#[test]
fn nothing_is_left_of_a_project_that_cannot_be_written_whole() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("careful");
    let file = |path: &str| File {
        path: PathBuf::from(path),
        text: String::new(),
    };
    // The second file wants a directory where the first one is.
    let error = place(parent.path(), &directory, &[file("a"), file("a/b")]).unwrap_err();
    assert!(error.to_string().contains("careful/a/b"), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

/// What a project in Rust is built with is what the crate in it was tested with.
#[test]
fn versions_are_the_workspaces() {
    let workspace: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let workspace = workspace["workspace"]["dependencies"].as_table().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let created = create(parent.path(), "careful", Lang::Rust, Kind::Policy).unwrap();
    let version = |value: &toml::Value| {
        let table = value.get("version").unwrap_or(value);
        table.as_str().map(str::to_owned)
    };
    for manifest in ["Cargo.toml", "caxton-policy/Cargo.toml"] {
        let table: toml::Table = read(&created, manifest).parse().unwrap();
        for (name, value) in table["dependencies"].as_table().unwrap() {
            if name == "caxton-policy" {
                assert_eq!(value["path"].as_str(), Some("caxton-policy"));
                continue;
            }
            assert_eq!(
                version(value),
                version(&workspace[name.as_str()]),
                "{manifest}: {name}"
            );
        }
    }
}

const AGENTS: [Kind; 2] = [Kind::Agent, Kind::HttpAgent];

#[test]
fn an_agents_project_has_its_name_wherever_it_belongs_and_no_blank_is_left() {
    for (lang, kind) in LANGS
        .into_iter()
        .flat_map(|lang| AGENTS.map(|kind| (lang, kind)))
    {
        let parent = tempfile::tempdir().unwrap();
        let created = create(parent.path(), "my-agent", lang, kind).unwrap();
        let told: BTreeSet<PathBuf> = created.files.iter().cloned().collect();
        assert_eq!(listing(&created.directory), told, "{lang:?} {kind:?}");
        for file in &created.files {
            let text = read(&created, file.to_str().unwrap());
            let blank = text.find("{{").filter(|at| {
                text[*at..].starts_with("{{name")
                    || text[*at..].contains("}}") && file.ends_with("README.md")
            });
            assert_eq!(blank, None, "{file:?}: {text}");
            assert!(!text.contains("budget"), "{file:?}");
        }
        let readme = read(&created, "README.md");
        assert!(
            readme.starts_with("# The agent `my-agent`, in "),
            "{readme}"
        );
        for command in &created.commands {
            assert!(
                readme.contains(&format!("    {command}\n")),
                "{command:?} in {readme}"
            );
        }
        let settings = read(&created, "my-agent.toml");
        let as_it_is =
            crate::config::AgentConfig::read("my-agent.toml", &settings, &toml::Table::new());
        assert!(as_it_is.is_ok(), "{as_it_is:?}");
        let keys = settings
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")));
        let tables = settings.lines().map(|line| {
            line.strip_prefix("# ")
                .filter(|l| l.contains(" = "))
                .unwrap_or(line)
        });
        let written: Vec<&str> = tables.collect();
        assert!(keys.count() > 5);
        let all = crate::config::AgentConfig::read(
            "my-agent.toml",
            &written.join("\n"),
            &toml::Table::new(),
        );
        assert!(all.is_ok(), "every key that is shown is one: {all:?}");
    }
}

#[test]
fn an_agents_name_is_a_packages_in_rust() {
    let parent = tempfile::tempdir().unwrap();
    let error = create(parent.path(), "9-lives", Lang::Rust, Kind::Agent).unwrap_err();
    assert!(error.to_string().contains("begin with a letter"), "{error}");
    let error = create(parent.path(), "A", Lang::Js, Kind::Agent).unwrap_err();
    assert!(error.to_string().contains("an agent's name"), "{error}");
    assert!(create(parent.path(), "9-lives", Lang::Js, Kind::Agent).is_ok());
    // A policy of that name is no matter of an agent's.
    assert!(create(parent.path(), "evidence", Lang::Js, Kind::Agent).is_ok());
}

/// Agents are built with what policies are built and tested with.
#[test]
fn an_agents_tools_are_those_of_policies() {
    let parent = tempfile::tempdir().unwrap();
    let policy = create(parent.path(), "policy", Lang::Js, Kind::Policy).unwrap();
    let package = |created: &Created| -> serde_json::Value {
        serde_json::from_str(&read(created, "package.json")).unwrap()
    };
    let workspace: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let workspace = workspace["workspace"]["dependencies"].as_table().unwrap();
    for (at, kind) in AGENTS.into_iter().enumerate() {
        let js = create(parent.path(), &format!("js{at}"), Lang::Js, kind).unwrap();
        assert_eq!(
            package(&js)["devDependencies"],
            package(&policy)["devDependencies"]
        );
        let lock: serde_json::Value =
            serde_json::from_str(&read(&js, "package-lock.json")).unwrap();
        assert_eq!(lock["name"], package(&js)["name"]);
        let rust = create(parent.path(), &format!("rust{at}"), Lang::Rust, kind).unwrap();
        let manifest: toml::Table = read(&rust, "Cargo.toml").parse().unwrap();
        for (name, version) in manifest["dependencies"].as_table().unwrap() {
            assert_eq!(version, &workspace[name.as_str()], "{name}");
        }
    }
}
