//! What the controller shows to those who ask.

use std::sync::Arc;

use caxton_rollout::{AgentName, Attention, HotReloadResult, VersionNumber};

use super::Controller;
use super::agent::{Agent, Refused};
use crate::published::{AgentStatus, Live, LiveVersion, Published, RefusedFile};

/// Names of files that cannot be agents, of which the first so many are shown.
const MAX_STRANGERS: usize = 100;

impl Controller {
    /// How the agents are that changed since the last time.
    pub(super) fn changes(&mut self) -> Vec<(AgentName, Option<Arc<AgentStatus>>)> {
        let mut changes = Vec::new();
        for name in std::mem::take(&mut self.changed) {
            self.note_policies(&name);
            let status = self.status(&name).map(Arc::new);
            match &status {
                Some(status) => {
                    let history = Arc::clone(&status.history);
                    self.histories.insert(name.clone(), history);
                }
                None => {
                    self.histories.remove(&name);
                    self.forget_if_idle(&name);
                }
            }
            changes.push((name, status));
        }
        changes
    }

    /// Shows agents as they are or were, and what waits for a person.
    pub(super) fn publish(&mut self, agents: Vec<(AgentName, Option<Arc<AgentStatus>>)>) {
        let is_same = agents.is_empty();
        for (name, status) in agents {
            match status {
                Some(status) => self.shown.insert(name, status),
                None => self.shown.remove(&name),
            };
        }
        let strangers = self.strangers.values().take(MAX_STRANGERS);
        let refused = strangers.map(attention);
        let lost = self.directory_lost.iter().map(|(why, since)| Attention {
            kind: "directory-vanished",
            since: *since,
            text: why.clone(),
            command: "restore the directory".to_owned(),
        });
        let polling = self.polling.iter().map(|(why, since)| Attention {
            kind: "polling",
            since: *since,
            text: why.clone(),
            command: "sysctl fs.inotify".to_owned(),
        });
        let attention: Vec<Attention> = lost
            .chain(polling)
            .chain(self.store.journal.attention())
            .chain(self.unshown.attention(&self.folders.data))
            .chain(self.damage.iter().cloned())
            .chain(refused)
            .chain(self.policies.attention())
            .collect();
        if is_same && self.published.load().attention == attention {
            return;
        }
        self.published.store(Arc::new(Published {
            agents: self.shown.clone(),
            attention,
        }));
    }

    /// An agent that nobody knows any more leaves nothing behind.
    fn forget_if_idle(&mut self, name: &AgentName) {
        // Whose state is being stored is remembered until it is: who comes back waits for that.
        let idle = |entry: &Agent| {
            let stores = Arc::strong_count(&entry.states) > 1;
            entry.live.is_empty() && entry.materials.is_empty() && !stores
        };
        // An inspection that still runs finds no entry and is dropped, so one that was begun must be waited for.
        if self
            .agents
            .get(name)
            .is_some_and(|e| idle(e) && !e.inspecting)
        {
            self.agents.remove(name);
            self.reroute();
        }
    }

    fn status(&mut self, name: &AgentName) -> Option<AgentStatus> {
        let history = self.history(name);
        let entry = self.agents.get(name)?;
        let files: Vec<RefusedFile> = entry.refused.values().map(Refused::view).collect();
        let mut refused = entry.refused.values().peekable();
        let Some(mut view) = self.fleet.view(name) else {
            let error = refused.peek()?.error.clone();
            let attention = refused.map(attention).collect();
            return Some(AgentStatus {
                refused: files,
                ..AgentStatus::refused(name.clone(), error, attention)
            });
        };
        if let Some(refused) = refused.peek() {
            view.last_error = Some(refused.error.clone());
        }
        view.attention.extend(refused.map(attention));
        if let Some((text, since)) = &entry.conflict {
            view.attention.push(Attention {
                kind: "route-taken",
                since: *since,
                text: text.clone(),
                command: format!("change [route] in {name}.toml"),
            });
        }
        let data = &self.folders.data;
        let unstored = entry.live.iter();
        view.attention.extend(
            unstored.filter_map(|(number, live)| live.checkpoints.attention(*number, data)),
        );
        Some(AgentStatus {
            view,
            enabled: !entry.disabled,
            live: running(entry),
            refused: files,
            history,
        })
    }

    /// Copied only when it changed: agents are published at every tick, and histories are long.
    fn history(&mut self, name: &AgentName) -> Arc<[HotReloadResult]> {
        let known = self.histories.get(name).map(Arc::clone);
        match known.filter(|_| !self.rewritten.remove(name)) {
            Some(history) => history,
            None => self.fleet.history(name).unwrap_or_default().into(),
        }
    }
}

fn running(entry: &Agent) -> Live {
    let listener = entry.traffic.and_then(|traffic| traffic.listener);
    let version = |(number, live): (&VersionNumber, &super::agent::Live)| LiveVersion {
        number: *number,
        version: Arc::downgrade(&live.version),
        listening: listener == Some(*number),
        isolated: live.material.config.isolation,
        copies: (listener == Some(*number)).then_some(live.copies),
        rates: live.rates,
    };
    let stateful = entry.live.values().any(|live| live.version.is_stateful());
    Live {
        versions: entry.live.iter().map(version).collect(),
        gate: stateful.then(|| Arc::clone(&entry.gate)),
        longest_wait: entry.longest_wait,
    }
}

impl Refused {
    fn view(&self) -> RefusedFile {
        RefusedFile {
            file: self.file.clone(),
            digest: self.component,
            size: self.size,
            error: self.error.clone(),
            since: self.since,
        }
    }
}

fn attention(refused: &Refused) -> Attention {
    Attention {
        kind: "refused-file",
        since: refused.since,
        text: refused.error.clone(),
        command: format!("replace {}", refused.file),
    }
}
