//! The host's own folders, and which of an agent's must not touch them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Dir;

/// Where deployments come from, and where the host keeps what is its own.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// The watched directory, where relative paths in configurations begin.
    pub(crate) agents: PathBuf,
    /// The other watched directory.
    pub(crate) policies: PathBuf,
    pub(crate) data: PathBuf,
    /// What was granted until now.
    pub(crate) granted: Granted,
}

/// Directories that agents were granted since the host started. Nothing of the host's own is written there, because agents may
/// show it to anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Granted(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Granted {
    fn add(&self, folder: PathBuf) {
        self.lock().insert(folder);
    }

    /// Whether the folder lies in one of them.
    pub(crate) fn holds(&self, folder: &Path) -> bool {
        self.lock()
            .iter()
            .any(|granted| folder.starts_with(granted))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folders {
    /// Says what is wrong with what an agent is to see.
    ///
    /// A guest that writes into the watched directory would deploy; one that reads the data directory would find the operators' token
    /// and other agents' state.
    pub(crate) fn allow(&self, dirs: &[Dir]) -> Result<(), String> {
        dirs.iter().try_for_each(|dir| self.allow_one(dir))
    }

    fn allow_one(&self, dir: &Dir) -> Result<(), String> {
        let written = dir.host.display();
        let wrong = |why: String| Err(format!("`grants.dirs` cannot grant {written}: {why}"));
        let whole = self.agents.join(&dir.host);
        let Some(host) = whole.canonicalize().ok().filter(|host| host.is_dir()) else {
            return wrong(format!(
                "there is no such directory; make it with: mkdir -p {}",
                whole.display()
            ));
        };
        if touches(&host, &self.data) {
            return wrong(
                "the data directory of the host is in it, or around it; choose another".to_owned(),
            );
        }
        if dir.write && touches(&host, &self.agents) {
            return wrong(
                "what is written into the agents directory is deployed; choose one outside of it, or leave `write` out"
                    .to_owned(),
            );
        }
        if dir.write && touches(&host, &self.policies) {
            return wrong(
                "what is written into the policies directory decides about reloads; choose one outside of it, or leave \
                 `write` out"
                    .to_owned(),
            );
        }
        self.granted.add(host);
        Ok(())
    }
}

/// Whether one of them is the other, or lies in it.
fn touches(one: &Path, other: &Path) -> bool {
    // What is not there yet has no links to follow.
    let other = other.canonicalize().unwrap_or_else(|_| other.to_owned());
    one.starts_with(&other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_own_is_not_granted() {
        let root = tempfile::tempdir().unwrap();
        for name in ["agents/sub", "policies", "data/state", "files"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let folders = Folders {
            agents: root.path().join("agents"),
            policies: root.path().join("policies"),
            data: root.path().join("data"),
            granted: Granted::default(),
        };
        let allowed = |host: &str, write| {
            let host = host.into();
            let guest = "/x".to_owned();
            folders.allow(&[Dir { host, guest, write }])
        };
        allowed("../files", true).unwrap();
        allowed("sub", false).unwrap();
        allowed("../policies", false).unwrap();
        let real = root.path().canonicalize().unwrap();
        assert!(folders.granted.holds(&real.join("files/deep")));
        assert!(!folders.granted.holds(&real));
        for (host, write, why) in [
            ("sub", true, "is deployed"),
            (".", true, "is deployed"),
            ("../policies", true, "decides about reloads"),
            ("..", false, "data directory"),
            ("../data/state", false, "data directory"),
            ("../nowhere", false, "mkdir -p"),
        ] {
            let error = allowed(host, write).unwrap_err();
            assert!(error.contains(why), "{host}: {error}");
        }
    }
}
