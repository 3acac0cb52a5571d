//! How a project is built, what its sources are, and where its component is: by what is there, or as the command line says.

use std::fs;
use std::path::{Path, PathBuf};

use super::build::Job;
use super::sources::Watched;

/// What the command line says; what it leaves out is found.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub build: Option<String>,
    pub out: Option<PathBuf>,
    pub watch: Vec<PathBuf>,
    pub name: Option<String>,
}

/// A project that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    /// Its directory.
    pub root: PathBuf,
    /// The agent's name.
    pub name: String,
    how: How,
    out: Option<PathBuf>,
    parts: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    Cargo,
    Npm,
    Make,
    Shell(String),
}

/// What is wrong with the project or the command line, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProjectError {
    #[error("{path} is no directory: name the one of a project, such as `caxton new agent` makes", path = .0.display())]
    NoFolder(PathBuf),
    #[error(
        "{path} has no Cargo.toml, no package.json with a script `build`, and no Makefile: say how it is built with --build CMD",
        path = .0.display()
    )]
    Unknown(PathBuf),
    #[error("{file} cannot be used: {problem}", file = file.display())]
    Manifest { file: PathBuf, problem: String },
    #[error(
        "{0:?} cannot be an agent's name: say with --name NAME which name it is to have, 1 to 64 of a-z 0-9 - _, and the first of them a letter or a digit"
    )]
    Name(String),
    #[error("--watch {path}: it is not inside of the project {root}", path = path.display(), root = root.display())]
    Outside { path: PathBuf, root: PathBuf },
    #[error(
        "--watch {path}: it is not there: name a file or a folder of sources, relative to the project {root}",
        path = path.display(), root = root.display()
    )]
    NotThere { path: PathBuf, root: PathBuf },
}

/// Where the component of a build is not.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoComponent {
    #[error("the build made no {path}, which --out names", path = .0.display())]
    NotThere(PathBuf),
    #[error("the build made no component: no file NAME.wasm is in {where_}; say with --out FILE where it is", where_ = .0)]
    None(String),
    #[error("several files may be the component: {0}; say with --out FILE which one it is")]
    Several(String),
}

impl Project {
    /// Finds out about the project in `path`.
    pub(super) fn find(path: &Path, said: Said) -> Result<Self, ProjectError> {
        let root = path.canonicalize().ok().filter(|root| root.is_dir());
        let root = root.ok_or_else(|| ProjectError::NoFolder(path.to_owned()))?;
        let cargo = root.join("Cargo.toml").is_file();
        // Where another language has the project, package.json may be anything.
        let script = match said.build.is_some() || cargo {
            true => None,
            false => npm_package(&root)?,
        };
        let how = match said.build {
            Some(command) => How::Shell(command),
            None if cargo => How::Cargo,
            None if script.as_ref().is_some_and(|npm| npm.builds) => How::Npm,
            None if root.join("Makefile").is_file() => How::Make,
            None => return Err(ProjectError::Unknown(path.to_owned())),
        };
        let name = match said.name {
            Some(name) => name,
            None => named(&root, &how, script)?,
        };
        if !caxton_watch::is_name(&name) {
            return Err(ProjectError::Name(name));
        }
        let parts = match (said.watch.is_empty(), &how) {
            (false, _) => inside(&root, &said.watch)?,
            (true, How::Cargo) => ["src", "wit", "Cargo.toml", "build.rs"]
                .map(PathBuf::from)
                .to_vec(),
            (true, _) => vec![PathBuf::new()],
        };
        Ok(Self {
            out: said.out.map(|out| root.join(out)),
            root,
            name,
            how,
            parts,
        })
    }

    /// Its sources, and the agent's configuration with them.
    pub(super) fn watched(&self) -> Watched {
        let mut parts = self.parts.clone();
        if !parts.contains(&PathBuf::new()) {
            parts.push(self.settings());
        }
        Watched {
            root: self.root.clone(),
            parts,
        }
    }

    /// The agent's configuration, relative to the project.
    pub(super) fn settings(&self) -> PathBuf {
        PathBuf::from(format!("{}.toml", self.name))
    }

    /// What to run now.
    pub(super) fn job(&self) -> Job {
        match &self.how {
            How::Cargo => Job::cargo(),
            How::Npm if self.is_installed() => Job::shell("npm run build"),
            How::Npm => Job::shell("npm install && npm run build"),
            How::Make => Job::shell("make"),
            How::Shell(command) => Job::shell(command),
        }
    }

    /// Whether npm has installed what package.json names; it leaves a file behind each time.
    fn is_installed(&self) -> bool {
        let date = |file: &str| {
            fs::metadata(self.root.join(file))
                .and_then(|meta| meta.modified())
                .ok()
        };
        date("node_modules/.package-lock.json") >= date("package.json")
            && self.root.join("node_modules").is_dir()
    }

    /// The component, after a build that went well; `made` are the files that cargo says it made.
    pub(super) fn component(&self, made: &[PathBuf]) -> Result<PathBuf, NoComponent> {
        if let Some(out) = &self.out {
            let there = out.is_file().then(|| out.clone());
            return there.ok_or_else(|| NoComponent::NotThere(out.clone()));
        }
        if self.how == How::Cargo {
            return only(
                made.to_vec(),
                "what cargo built: Cargo.toml wants [lib] crate-type = [\"cdylib\"]",
            );
        }
        let own = self.root.join(format!("{}.wasm", self.name));
        if own.is_file() {
            return Ok(own);
        }
        let folders = ["", "dist", "build"].map(|folder| self.root.join(folder));
        let found = folders
            .iter()
            .flat_map(|folder| components(folder))
            .collect();
        only(found, "the project, its dist/ or its build/")
    }
}

fn only(found: Vec<PathBuf>, where_: &str) -> Result<PathBuf, NoComponent> {
    match found.as_slice() {
        [] => Err(NoComponent::None(where_.to_owned())),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Err(NoComponent::Several(names.join(", ")))
        }
    }
}

fn components(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm") && path.is_file())
        .collect();
    found.sort();
    found
}

/// What package.json says.
struct Npm {
    name: Option<String>,
    /// It has a script `build`.
    builds: bool,
}

fn npm_package(root: &Path) -> Result<Option<Npm>, ProjectError> {
    let file = root.join("package.json");
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(None);
    };
    let package: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| ProjectError::Manifest {
            file,
            problem: error.to_string(),
        })?;
    Ok(Some(Npm {
        name: package
            .get("name")
            .and_then(|name| name.as_str())
            .map(str::to_owned),
        builds: package.pointer("/scripts/build").is_some(),
    }))
}

/// The name of the package; else that of the directory.
fn named(root: &Path, how: &How, npm: Option<Npm>) -> Result<String, ProjectError> {
    let package = match how {
        How::Cargo => {
            let file = root.join("Cargo.toml");
            let manifest = fs::read_to_string(&file)
                .map_err(|error| error.to_string())
                .and_then(|text| {
                    text.parse::<toml::Table>()
                        .map_err(|error| error.to_string())
                })
                .map_err(|problem| ProjectError::Manifest { file, problem })?;
            let name = manifest
                .get("package")
                .and_then(|package| package.get("name"));
            name.and_then(|name| name.as_str()).map(str::to_owned)
        }
        How::Npm => npm.and_then(|npm| npm.name),
        How::Make | How::Shell(_) => None,
    };
    let folder = || {
        root.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    Ok(package.or_else(folder).unwrap_or_default())
}

/// What `--watch` names, which is relative to the project.
fn inside(root: &Path, watch: &[PathBuf]) -> Result<Vec<PathBuf>, ProjectError> {
    let part = |path: &PathBuf| {
        let (path, root) = (path.clone(), root.to_owned());
        let Ok(real) = root.join(&path).canonicalize() else {
            return Err(ProjectError::NotThere { path, root });
        };
        let inside = real.strip_prefix(&root).map(Path::to_owned);
        inside.map_err(|_| ProjectError::Outside { path, root })
    };
    watch.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("proj").tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir) -> Project {
        let name = Some("hello".to_owned());
        Project::find(
            folder.path(),
            Said {
                name,
                ..Said::default()
            },
        )
        .unwrap()
    }

    #[test]
    fn how_it_is_built_is_seen_by_what_is_there() {
        let cargo = ("Cargo.toml", "[package]\nname = \"my-agent\"\n");
        let npm = (
            "package.json",
            r#"{"name": "js", "scripts": {"build": "x"}}"#,
        );
        let rust = project(&[cargo, npm, ("Makefile", "")]);
        let by_name = Project::find(rust.path(), Said::default()).unwrap();
        assert_eq!(
            (by_name.how.clone(), by_name.name.as_str()),
            (How::Cargo, "my-agent")
        );
        assert_eq!(by_name.watched().parts.len(), 5);
        let broken = ("package.json", "{");
        let rust = project(&[cargo, broken]);
        let by_name = Project::find(rust.path(), Said::default()).unwrap();
        assert_eq!(by_name.how, How::Cargo);
        let error = Project::find(project(&[broken]).path(), Said::default()).unwrap_err();
        assert!(error.to_string().contains("package.json"), "{error}");
        let js = project(&[npm, ("Makefile", "")]);
        let by_name = Project::find(js.path(), Said::default()).unwrap();
        assert_eq!((by_name.how, by_name.name.as_str()), (How::Npm, "js"));
        let without = project(&[("package.json", "{}"), ("Makefile", "")]);
        assert_eq!(found(&without).how, How::Make);
        let error = Project::find(project(&[("a", "")]).path(), Said::default()).unwrap_err();
        assert!(error.to_string().contains("--build CMD"), "{error}");
        let said = Said {
            build: Some("true".to_owned()),
            name: Some("A b".to_owned()),
            ..Said::default()
        };
        let error = Project::find(without.path(), said).unwrap_err();
        assert!(error.to_string().contains("--name NAME"), "{error}");
    }

    #[test]
    fn the_component_is_the_only_one_or_the_one_that_is_named() {
        let folder = project(&[("Makefile", "")]);
        let project = found(&folder);
        let error = project.component(&[]).unwrap_err();
        assert!(error.to_string().contains("--out FILE"), "{error}");
        fs::create_dir(folder.path().join("dist")).unwrap();
        fs::write(folder.path().join("dist/a.wasm"), "").unwrap();
        assert!(project.component(&[]).unwrap().ends_with("dist/a.wasm"));
        fs::write(folder.path().join("b.wasm"), "").unwrap();
        let error = project.component(&[]).unwrap_err();
        assert!(
            error.to_string().contains("a.wasm") && error.to_string().contains("b.wasm"),
            "{error}"
        );
        fs::write(folder.path().join("hello.wasm"), "").unwrap();
        assert!(project.component(&[]).unwrap().ends_with("hello.wasm"));
    }

    #[test]
    fn what_is_watched_lies_in_the_project() {
        let folder = project(&[("Makefile", ""), ("lib/a", "")]);
        let said = |path: &str| Said {
            watch: vec![path.into()],
            name: Some("a".to_owned()),
            ..Said::default()
        };
        let project = Project::find(folder.path(), said("lib")).unwrap();
        assert_eq!(
            project.watched().parts,
            [PathBuf::from("lib"), PathBuf::from("a.toml")]
        );
        let error = Project::find(folder.path(), said("/etc")).unwrap_err();
        assert!(error.to_string().contains("/etc"), "{error}");
        let error = Project::find(folder.path(), said("libb")).unwrap_err();
        let told = "--watch libb: it is not there";
        assert!(error.to_string().starts_with(told), "{error}");
    }
}
