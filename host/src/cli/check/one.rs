//! One agent's files, through all stages.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caxton_rollout::{AgentName, VersionNumber};
use caxton_runtime::policy::Policy;
use caxton_runtime::{Inspection, MAX_COMPONENT_SIZE, PrepareError, Refusal};
use caxton_watch::{Content, MAX_CONFIG};
use serde::Serialize;

use super::Checker;
use super::facts::Version;
use crate::cli::failure::Failure;
use crate::cli::policy::find::{Found, embedded};
use crate::cli::policy::kit::slowly;
use crate::cli::policy::settings::beside;
use crate::config::{AgentConfig, RouteConfig};
use crate::controller::agent::Material;
use crate::controller::files::{Looked, Terms, asked};
use crate::folders::{Folders, Granted};
use crate::policies::{self, Settings};

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Read,
    Size,
    Format,
    Validation,
    Contract,
    Imports,
    Configuration,
    Policies,
    Compile,
    Link,
    Instance,
}

impl Stage {
    pub(super) const ALL: [Self; 11] = [
        Self::Read,
        Self::Size,
        Self::Format,
        Self::Validation,
        Self::Contract,
        Self::Imports,
        Self::Configuration,
        Self::Policies,
        Self::Compile,
        Self::Link,
        Self::Instance,
    ];

    fn of(refusal: &Refusal) -> Self {
        match refusal.code() {
            "too-large" => Self::Size,
            "empty" | "incomplete" | "not-wasm" | "core-module" => Self::Format,
            "invalid" => Self::Validation,
            "missing-import" => Self::Imports,
            _ => Self::Contract,
        }
    }

    fn of_preparing(error: &PrepareError) -> Self {
        match error {
            PrepareError::Refused(refusal) => Self::of(refusal),
            PrepareError::Compile(_) => Self::Compile,
            PrepareError::Link(_) => Self::Link,
            PrepareError::Spec(_) | PrepareError::NoState { .. } => Self::Configuration,
            _ => Self::Instance,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Size => "size",
            Self::Format => "format",
            Self::Validation => "validation",
            Self::Contract => "contract",
            Self::Imports => "imports",
            Self::Configuration => "configuration",
            Self::Policies => "policies",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Instance => "instance",
        })
    }
}

/// What became of it.
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) config_file: Option<PathBuf>,
    /// Stages that were looked at, each with what was wrong.
    pub(super) stages: BTreeMap<Stage, Result<(), String>>,
    pub(super) inspection: Option<Inspection>,
    pub(super) version: Option<Version>,
    pub(super) route: RouteConfig,
    /// Its configuration turns it off.
    pub(super) is_off: bool,
    pub(super) notes: Vec<String>,
}

impl Checked {
    pub(super) fn is_accepted(&self) -> bool {
        self.stages.values().all(Result::is_ok)
    }

    fn passed(&mut self, stages: impl IntoIterator<Item = Stage>) {
        self.stages
            .extend(stages.into_iter().map(|stage| (stage, Ok(()))));
    }

    fn failed(&mut self, at: Stage, why: impl ToString) {
        self.stages.insert(at, Err(why.to_string()));
    }

    /// What the component is, for itself.
    fn component(&mut self, looked: Result<Inspection, Refusal>) {
        let end = match looked {
            Ok(inspection) => {
                self.inspection = Some(inspection);
                Stage::Configuration
            }
            Err(refusal) => {
                let stage = Stage::of(&refusal);
                self.failed(stage, refusal);
                stage
            }
        };
        self.passed(Stage::ALL.into_iter().filter(|stage| *stage < end));
    }
}

/// The name under which files are looked at whose own cannot be an agent's.
const UNNAMED: &str = "agent";

pub(super) async fn check(checker: &Checker, file: &Path, config: Option<&Path>) -> Checked {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let mut checked = Checked {
        name: stem.unwrap_or_default(),
        file: file.to_owned(),
        config_file: config.map(Path::to_owned),
        stages: BTreeMap::new(),
        inspection: None,
        version: None,
        route: RouteConfig::default(),
        is_off: false,
        notes: Vec::new(),
    };
    let name = match caxton_watch::is_name(&checked.name) {
        true => checked.name.clone(),
        false => {
            checked.notes.push(format!(
                "an agents directory takes files named with 1 to 64 of a-z 0-9 - _: rename it, {:?} cannot be an agent's name",
                checked.name
            ));
            UNNAMED.to_owned()
        }
    };
    let component = match component(file) {
        Ok(bytes) => {
            let looked = checker.runtime.inspect(&bytes);
            checked.component(looked);
            Some(Content::new(bytes))
        }
        Err((stage, why)) => {
            checked.failed(stage, why);
            None
        }
    };
    if let Some(material) = configuration(checker, &mut checked, &name, component.as_ref())
        && let Some(component) = component
    {
        fits(checker, &mut checked, &name, &material, component).await;
    }
    checked
}

fn component(file: &Path) -> Result<Arc<[u8]>, (Stage, String)> {
    let unreadable = |error: std::io::Error| (Stage::Read, format!("cannot be read: {error}"));
    let meta = std::fs::metadata(file).map_err(unreadable)?;
    if !meta.is_file() {
        return Err((
            Stage::Read,
            "this is no regular file; remove or rename it".to_owned(),
        ));
    }
    if meta.len() > MAX_COMPONENT_SIZE {
        let (size, limit) = (meta.len(), MAX_COMPONENT_SIZE);
        return Err((Stage::Size, Refusal::TooLarge { size, limit }.to_string()));
    }
    std::fs::read(file).map(Arc::from).map_err(unreadable)
}

fn config_text(file: Option<&Path>) -> Result<Option<Content>, String> {
    let Some(file) = file else {
        return Ok(None);
    };
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_CONFIG {
        return Err(format!(
            "{size} bytes are more than the limit of {MAX_CONFIG} bytes"
        ));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    Ok(Some(Content::new(bytes.into())))
}

/// Whatever a variable of the host's own is set to there: here it need not be.
fn anything(_: &str) -> Option<OsString> {
    Some(OsString::new())
}

/// What the configuration says, also where the component is none.
fn configuration(
    checker: &Checker,
    checked: &mut Checked,
    name: &str,
    component: Option<&Content>,
) -> Option<Arc<Material>> {
    let defaults = &checker.host.defaults;
    let text = match config_text(checked.config_file.as_deref()) {
        Ok(text) => text,
        Err(why) => {
            checked.failed(Stage::Configuration, why);
            return None;
        }
    };
    let own = format!("{name}.toml: ");
    let plain = |error: String| {
        error
            .strip_prefix(&own)
            .map_or(error.clone(), str::to_owned)
    };
    let inspected = checked.inspection.clone().zip(component);
    let Some((inspection, component)) = inspected else {
        let text = text.map(|content| String::from_utf8_lossy(&content.bytes).into_owned());
        let read = AgentConfig::read(&format!("{name}.toml"), &text.unwrap_or_default(), defaults);
        let read = read.map(|_| ()).map_err(|error| plain(error.to_string()));
        checked.stages.insert(Stage::Configuration, read);
        return None;
    };
    let beside = checked.config_file.as_deref().unwrap_or(&checked.file);
    let folders = Folders {
        agents: absolute(beside.parent().unwrap_or(Path::new("."))),
        policies: absolute(&checker.host.policies),
        data: absolute(&checker.host.data_dir),
        granted: Granted::default(),
    };
    let terms = Terms {
        runtime: &checker.runtime,
        defaults,
        folders: &folders,
        environment: &anything,
        dev: false,
    };
    let looked = terms.look(name, component, text.as_ref());
    match looked {
        Err(wrong) => {
            checked.failed(Stage::Configuration, plain(wrong.error));
            None
        }
        Ok(Looked::Off) => {
            checked.passed([Stage::Configuration]);
            checked.is_off = true;
            None
        }
        Ok(Looked::On(identity, material)) => {
            checked.passed([Stage::Configuration]);
            let config = &material.config;
            checked.version = Some(Version::of(
                identity,
                &inspection,
                config,
                material.stateful,
            ));
            checked.route = config.route.clone();
            for (key, from) in config.env.of_the_host() {
                checked.notes.push(format!(
                    "{key} is taken from {from}, which the host's environment must have"
                ));
            }
            Some(material)
        }
    }
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// What policies say, and whether the component comes up.
async fn fits(
    checker: &Checker,
    checked: &mut Checked,
    name: &str,
    material: &Material,
    component: Content,
) {
    let told = policies_fit(checker, &material.config).await;
    checked.stages.insert(Stage::Policies, told);
    let beside = checked.config_file.as_deref().unwrap_or(&checked.file);
    let folder = absolute(beside.parent().unwrap_or(Path::new(".")));
    let Ok(agent) = AgentName::try_from(name.to_owned()) else {
        return;
    };
    let spec = match material.spec(&agent, VersionNumber::FIRST, &folder, anything) {
        Ok(spec) => spec,
        Err(why) => return checked.failed(Stage::Configuration, why),
    };
    let what = format!("compiling {}", checked.file.display());
    match slowly(&what, checker.runtime.prepare(component.bytes, spec)).await {
        Ok(version) => {
            version.retire();
            checked.passed([Stage::Compile, Stage::Link, Stage::Instance]);
        }
        Err(error) => {
            let stage = Stage::of_preparing(&error);
            let before = [Stage::Compile, Stage::Link, Stage::Instance];
            checked.passed(before.into_iter().filter(|passed| *passed < stage));
            checked.failed(stage, error);
        }
    }
}

/// Whether each policy is there, is what it stands for, and takes its settings.
async fn policies_fit(checker: &Checker, config: &AgentConfig) -> Result<(), String> {
    for (kind, name, settings) in asked(config) {
        let (policy, below) = compiled(checker, name).await?;
        let taken = policies::taken(&policy, name, kind, below, settings).await;
        taken.map_err(|unusable| format!("{name}: {}", unusable.fault().message))?;
    }
    Ok(())
}

/// The policy and the settings of its file, compiled for the first agent that names it.
async fn compiled(checker: &Checker, name: &str) -> Result<(Policy, Settings), String> {
    let mut compiled = checker.policies.lock().await;
    if let Some(known) = compiled.get(name) {
        return Ok(known.clone());
    }
    let found = policy(checker, name)?;
    let below = match beside(&found) {
        Ok(below) => below,
        Err(Failure::Usage(why) | Failure::No(why)) => return Err(why),
        Err(other) => return Err(other.to_string()),
    };
    let loaded = checker.policy_runtime.load(name, Arc::clone(&found.bytes));
    let policy = slowly(&format!("compiling {name}"), loaded).await;
    let policy = policy.map_err(|refused| format!("{name}: {}", refused.reason))?;
    compiled.insert(name.to_owned(), (policy.clone(), below.clone()));
    Ok((policy, below))
}

fn policy(checker: &Checker, name: &str) -> Result<Found, String> {
    if let Some(found) = embedded(name) {
        return Ok(found);
    }
    let file = checker.host.policies.join(format!("{name}.wasm"));
    let bytes = std::fs::read(&file).map_err(|error| {
        let known: Vec<&str> = policies::embedded().map(|(name, _)| name).collect();
        let near = caxton_runtime::nearest(name, known.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!(
            "there is no policy {name} in the binary, and {} cannot be read ({error}){near}; until it is there a reload waits",
            file.display()
        )
    })?;
    Ok(Found {
        name: name.to_owned(),
        bytes: bytes.into(),
        file: Some(file),
    })
}
