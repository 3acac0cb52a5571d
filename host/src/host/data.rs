//! Folders of a host as it starts: that they do not lie inside each other, and that no second host uses its own.

use std::fs::File;
use std::path::{Path, PathBuf};

use caxton_store::make_private;

use super::StartError;
use crate::config::HostConfig;

pub(super) fn check_folders(config: &HostConfig) -> Result<(), StartError> {
    let agents = absolute(&config.agents).map_err(|problem| data_error(&config.agents, problem))?;
    let data =
        absolute(&config.data_dir).map_err(|problem| data_error(&config.data_dir, problem))?;
    if data.starts_with(&agents) {
        return Err(StartError::DataInside {
            data: config.data_dir.display().to_string(),
            agents: config.agents.display().to_string(),
        });
    }
    let policies =
        absolute(&config.policies).map_err(|problem| data_error(&config.policies, problem))?;
    if policies.starts_with(data.join("policies")) {
        return Err(StartError::PoliciesInside {
            policies: config.policies.display().to_string(),
            data: config.data_dir.display().to_string(),
        });
    }
    Ok(())
}

pub(super) fn check_agents(config: &HostConfig) -> Result<(), StartError> {
    if config.agents.is_dir() {
        return Ok(());
    }
    if config.dev {
        let made = std::fs::create_dir_all(&config.agents);
        return made.map_err(|problem| StartError::MakeAgents {
            folder: config.agents.display().to_string(),
            problem,
        });
    }
    Err(StartError::NoAgents(config.agents.display().to_string()))
}

/// The path without links, also where its last parts are not there yet.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    for above in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            return Ok(real.join(rest));
        }
    }
    Ok(whole)
}

pub(super) fn lock(data_dir: &Path) -> Result<File, StartError> {
    let failed = |problem| data_error(data_dir, problem);
    // The admin token will stand in it. A folder that is there keeps the mode that it was given; whether it can be trusted with
    // compiled code is looked at where that is kept.
    make_private(data_dir).map_err(failed)?;
    let file = File::create(data_dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StartError::Locked(data_dir.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(problem)) => Err(failed(problem)),
    }
}

pub(super) fn data_error(folder: &Path, problem: std::io::Error) -> StartError {
    StartError::Data {
        folder: folder.display().to_string(),
        problem,
    }
}
