//! What is dropped: builds that can be told apart by their bytes, their digests and what they answer.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use caxton_test_artifacts::{Manner, STATEFUL, STATEFUL_2, build_named, with_section};
use fastrand::Rng;
use sha2::{Digest as _, Sha256};

use super::plan::Agent;

/// A build that was dropped.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its name; what it answers, unless it counts.
    pub name: String,
    /// Whose calls may fail.
    pub manner: Manner,
    /// The file.
    pub bytes: Vec<u8>,
}

/// All builds so far, by digest.
#[derive(Debug, Default)]
pub struct Builds {
    known: BTreeMap<String, Build>,
    count: u32,
}

/// The digest as the host writes it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Builds {
    /// A new one.
    ///
    /// # Errors
    /// There were too many.
    pub fn make(&mut self, agent: &Agent, manner: Manner) -> Result<Build> {
        self.count += 1;
        let first = agent.name.get(..1).unwrap_or_default();
        let name = format!("{first}-{}", self.count);
        let bytes = match (agent.counts, manner) {
            (false, _) => build_named(&name, manner).context("the name is too long")?,
            (true, Manner::Good) => with_section(STATEFUL, "build", name.as_bytes()),
            // It cannot load what the version before it saved.
            (true, _) => with_section(STATEFUL_2, "build", name.as_bytes()),
        };
        let build = Build {
            name,
            manner,
            bytes,
        };
        self.known.insert(digest(&build.bytes), build.clone());
        Ok(build)
    }

    /// One of this agent's good ones.
    #[must_use]
    pub fn some_good(&self, agent: &Agent, rng: &mut Rng) -> Option<&Build> {
        let first = agent.name.get(..1).unwrap_or_default();
        let good = |build: &&Build| build.manner == Manner::Good && build.name.starts_with(first);
        rng.choice(self.known.values().filter(good).collect::<Vec<_>>())
    }

    /// The build with this digest.
    #[must_use]
    pub fn with(&self, digest: &str) -> Option<&Build> {
        self.known.get(digest)
    }
}
