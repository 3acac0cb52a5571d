//! What goes on while the host lives: versions are dropped, operators give orders.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use caxton_test_artifacts::Manner;
use fastrand::Rng;
use serde_json::{Value, json};

use super::dropped::{Build, Builds};
use super::plan::{AGENTS, Agent};
use super::seen::{Notebook, Taken};
use crate::admin::{Admin, text};
use crate::traffic::now_ms;

/// Between two looks at whom to deploy.
const DROPS_APART: Duration = Duration::from_millis(60);

/// Between two orders.
const ORDERS_APART: Duration = Duration::from_millis(180);

/// Drops files, and knows what it dropped.
#[derive(Clone)]
pub struct Deployer {
    folder: PathBuf,
    /// All builds so far.
    pub builds: Arc<Mutex<Builds>>,
}

impl Deployer {
    /// For this watched directory.
    #[must_use]
    pub fn into(agents: &Path) -> Self {
        Self {
            folder: agents.to_owned(),
            builds: Arc::default(),
        }
    }

    /// A new build of the agent.
    ///
    /// # Errors
    /// There were too many.
    pub fn make(&self, agent: &Agent, manner: Manner) -> Result<Build> {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        builds.make(agent, manner)
    }

    /// Looks something up among the builds.
    pub fn look<T>(&self, look: impl FnOnce(&Builds) -> T) -> T {
        look(&self.builds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts bytes into the agent's place.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put(&self, agent: &str, bytes: &[u8]) -> Result<()> {
        let beside = self.folder.join(format!(".{agent}.new"));
        std::fs::write(&beside, bytes)?;
        Ok(std::fs::rename(
            beside,
            self.folder.join(format!("{agent}.wasm")),
        )?)
    }

    /// Drops one thing after the other, mostly for agents that have no reload.
    pub async fn work(self, seen: Notebook, mut rng: Rng) {
        loop {
            tokio::time::sleep(DROPS_APART).await;
            let Some(agent) = rng.choice(&AGENTS) else {
                return;
            };
            // Now and then one supersedes what is going on.
            if seen.open().is_reloading(agent.name) && rng.u8(..100) >= 6 {
                continue;
            }
            let bytes = match rng.u8(..100) {
                0..55 => self.make(agent, Manner::Good).map(|build| build.bytes),
                55..80 => self.make(agent, Manner::Failing).map(|build| build.bytes),
                80..92 => self.make(agent, Manner::Trapping).map(|build| build.bytes),
                92..96 => Ok(b"\0asm and no more".to_vec()),
                _ => Ok(self.served_lately(agent, &mut rng)),
            };
            let put = bytes.and_then(|bytes| self.put(agent.name, &bytes));
            if let Err(error) = put {
                eprintln!("a version was not dropped: {error}");
                return;
            }
        }
    }

    /// What stands in the agent's place already, or an older good build: a file that is copied again.
    fn served_lately(&self, agent: &Agent, rng: &mut Rng) -> Vec<u8> {
        let place = self.folder.join(format!("{}.wasm", agent.name));
        if rng.bool() {
            return std::fs::read(place).unwrap_or_default();
        }
        let older = self.look(|builds| {
            builds
                .some_good(agent, rng)
                .map(|build| build.bytes.clone())
        });
        older.unwrap_or_default()
    }
}

/// Gives orders of all kinds, and writes down which were taken.
pub async fn order(admin: Admin, seen: Notebook, mut rng: Rng) {
    loop {
        tokio::time::sleep(ORDERS_APART).await;
        let Some(agent) = rng.choice(&AGENTS) else {
            return;
        };
        let reloading = seen.open().is_reloading(agent.name);
        let (order, body) = match (reloading, rng.u8(..100)) {
            (true, 0..12) => ("rollback", json!({})),
            (true, 12..22) => ("abort", json!({})),
            (true, 22..34) => ("promote", json!({})),
            (true, 34..50) => ("promote", json!({ "now": true })),
            (true, 50..58) => ("pause", json!({})),
            (true, 58..74) => ("resume", json!({})),
            (true, 74..80) => ("set-split", json!({ "percent": rng.u8(1..100) })),
            (false, 0..8) => ("rollback", json!({})),
            // What was quarantined stays out: that is looked at, and so nobody lets it in again here.
            _ => continue,
        };
        let since = now_ms();
        let path = format!("agents/{}/{order}", agent.name);
        // One that is refused, or cut off by the kill, was not acknowledged.
        let Ok((200, answer)) = admin.post(&path, &body).await else {
            continue;
        };
        note(&seen, agent.name, &answer, since);
        if order == "pause" {
            tokio::time::sleep(ORDERS_APART).await;
            let since = now_ms();
            let path = format!("agents/{}/resume", agent.name);
            if let Ok((200, answer)) = admin.post(&path, &json!({})).await {
                note(&seen, agent.name, &answer, since);
            }
        }
    }
}

fn note(seen: &Notebook, agent: &str, answer: &Value, since: u64) {
    seen.open().taken.push(Taken {
        agent: agent.to_owned(),
        order: text(answer, "order").to_owned(),
        since,
    });
}
