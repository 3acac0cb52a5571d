//! The nested cargo: which runs it takes, each run, and where its results lie.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::output::{Built, Component, sources_in_dep_info};
use crate::{Error, Guest, PROFILE, TARGET, environment};

/// Where a nested cargo works and what it works with.
pub(crate) struct Nested {
    pub(crate) cargo: OsString,
    pub(crate) rustc: OsString,
    pub(crate) workspace: PathBuf,
    /// Of the nested cargo; never the outer one's.
    pub(crate) target_dir: PathBuf,
    /// Where finished components are copied to.
    pub(crate) components_dir: PathBuf,
}

/// A guest whose manifest has been read.
struct Job {
    name: String,
    package: String,
    directory: PathBuf,
    features: Vec<String>,
}

impl Nested {
    pub(crate) fn build(&self, guests: &[Guest]) -> Result<Built, Error> {
        let jobs = self.jobs(guests)?;
        create_dir(&self.components_dir)?;
        let mut sources = BTreeSet::from([
            self.workspace.join("Cargo.toml"),
            self.workspace.join("Cargo.lock"),
            self.workspace.join("wit"),
        ]);
        for run in runs(&jobs) {
            self.run(&run)?;
            for job in run {
                self.collect(job, &mut sources)?;
            }
        }
        let components = jobs
            .into_iter()
            .map(|job| Component {
                path: self.component_path(&job.name),
                name: job.name,
            })
            .collect();
        Ok(Built::new(components, sources))
    }

    fn jobs(&self, guests: &[Guest]) -> Result<Vec<Job>, Error> {
        let mut names = BTreeSet::new();
        let mut jobs = Vec::new();
        for guest in guests {
            let directory = self.workspace.join(&guest.directory);
            let package = package_name(&directory.join("Cargo.toml"))?;
            let name = guest.name.clone().unwrap_or_else(|| package.clone());
            if !names.insert(name.clone()) {
                return Err(Error::SameName(name));
            }
            jobs.push(Job {
                name,
                package,
                directory,
                features: guest.features.clone(),
            });
        }
        Ok(jobs)
    }

    fn run(&self, jobs: &[&Job]) -> Result<(), Error> {
        let mut command = Command::new(&self.cargo);
        environment::clean(&mut command);
        command
            .current_dir(&self.workspace)
            .env("RUSTC", &self.rustc)
            .args([
                "build",
                "--lib",
                "--quiet",
                "--target",
                TARGET,
                "--profile",
                PROFILE,
            ])
            .arg("--target-dir")
            .arg(&self.target_dir);
        for job in jobs {
            command.args(["--package", &job.package]);
            for feature in &job.features {
                command
                    .arg("--features")
                    .arg(format!("{}/{feature}", job.package));
            }
        }
        let output = command.output().map_err(|source| Error::Start {
            program: self.cargo.to_string_lossy().into_owned(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        Err(Error::Build {
            guests: names.join(", "),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Takes what a run left for `job`: its component, and the names of the files that went into it.
    fn collect(&self, job: &Job, sources: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
        let left = self
            .target_dir
            .join(TARGET)
            .join(PROFILE)
            .join(job.package.replace('-', "_"))
            .with_extension("wasm");
        if !left.is_file() {
            return Err(Error::NoComponent {
                guest: job.name.clone(),
                path: left,
            });
        }
        let component = self.component_path(&job.name);
        std::fs::copy(&left, &component).map_err(|source| Error::File {
            what: "copy a component to",
            path: component,
            source,
        })?;
        sources.insert(job.directory.join("Cargo.toml"));
        let dep_info = left.with_extension("d");
        let text = read(&dep_info)?;
        for source in sources_in_dep_info(&text) {
            sources.extend(manifest_of(&source));
            sources.insert(source);
        }
        Ok(())
    }

    fn component_path(&self, name: &str) -> PathBuf {
        self.components_dir.join(name).with_added_extension("wasm")
    }
}

/// The fewest runs in which no package appears twice: a package's features are one set per run.
fn runs(jobs: &[Job]) -> Vec<Vec<&Job>> {
    let mut runs: Vec<Vec<&Job>> = Vec::new();
    for job in jobs {
        let free = runs
            .iter_mut()
            .find(|run| run.iter().all(|other| other.package != job.package));
        match free {
            Some(run) => run.push(job),
            None => runs.push(vec![job]),
        }
    }
    runs
}

/// The manifest of the crate that `source` belongs to: a guest's sources include those of crates beside it, and what their
/// manifests say goes into the guest, too.
fn manifest_of(source: &Path) -> Option<PathBuf> {
    source
        .ancestors()
        .skip(1)
        .map(|directory| directory.join("Cargo.toml"))
        .find(|manifest| manifest.is_file())
}

fn package_name(manifest: &Path) -> Result<String, Error> {
    let text = read(manifest)?;
    text.lines()
        .skip_while(|line| line.trim() != "[package]")
        .skip(1)
        .take_while(|line| !line.trim_start().starts_with('['))
        .find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "name").then(|| value.trim().trim_matches('"').to_owned())
        })
        .ok_or_else(|| Error::NoPackageName(manifest.to_path_buf()))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        what: "read",
        path: path.to_path_buf(),
        source,
    })
}

fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::File {
        what: "create",
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(package: &str, feature: &str) -> Job {
        Job {
            name: format!("{package}-{feature}"),
            package: package.to_owned(),
            directory: PathBuf::new(),
            features: vec![feature.to_owned()],
        }
    }

    #[test]
    fn a_package_in_several_feature_sets_takes_as_many_runs_and_others_join_the_first() {
        let jobs = [
            job("demo", "v1"),
            job("demo", "v2"),
            job("policy", "x"),
            job("demo", "v3"),
        ];
        let names: Vec<Vec<&str>> = runs(&jobs)
            .into_iter()
            .map(|run| run.into_iter().map(|job| job.name.as_str()).collect())
            .collect();
        assert_eq!(
            names,
            [
                vec!["demo-v1", "policy-x"],
                vec!["demo-v2"],
                vec!["demo-v3"]
            ]
        );
    }

    #[test]
    fn the_package_name_is_the_one_in_the_package_table() {
        let temporary = tempfile::tempdir().unwrap();
        let manifest = temporary.path().join("Cargo.toml");
        std::fs::write(
            &manifest,
            "[lib]\nname = \"other\"\n\n[package]\nversion = \"1\"\nname = \"guest-web\"\n",
        )
        .unwrap();
        assert_eq!(package_name(&manifest).unwrap(), "guest-web");
    }

    #[test]
    fn a_source_belongs_to_the_nearest_manifest_above_it() {
        let temporary = tempfile::tempdir().unwrap();
        let crate_directory = temporary.path().join("sdk");
        std::fs::create_dir_all(crate_directory.join("src")).unwrap();
        for directory in [temporary.path(), &crate_directory] {
            std::fs::write(directory.join("Cargo.toml"), "").unwrap();
        }
        let manifest = manifest_of(&crate_directory.join("src/lib.rs"));
        assert_eq!(manifest, Some(crate_directory.join("Cargo.toml")));
    }

    #[test]
    fn a_manifest_without_a_package_is_refused_by_its_path() {
        let temporary = tempfile::tempdir().unwrap();
        let manifest = temporary.path().join("Cargo.toml");
        std::fs::write(
            &manifest,
            "[package]\nedition = \"2024\"\n[lib]\nname = \"x\"\n",
        )
        .unwrap();
        assert!(
            matches!(package_name(&manifest), Err(Error::NoPackageName(path)) if path == manifest)
        );
    }
}
