//! A directory as a host would watch it: each agent in it, and what they claim together.

use std::path::Path;

use caxton_rollout::AgentName;
use caxton_watch::Role;
use serde_json::{Value, json};

use super::one::{self, Checked};
use super::{Checker, show};
use crate::cli::failure::Failure;
use crate::cli::table::{Cell, Table};
use crate::cli::text::{Paint, Tone, harmless};
use crate::routes::{AgentRoute, RoutingTable, Target};

/// Everything in it.
pub(super) struct Folder {
    agents: Vec<Checked>,
    /// Files that are none of an agent's: which, and why.
    refused: Vec<(String, String)>,
    /// Claims that another agent has.
    conflicts: Vec<(String, String)>,
    notes: Vec<String>,
}

pub(super) async fn check(checker: &Checker, folder: &Path) -> Result<Folder, Failure> {
    let listed = std::fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    });
    let mut names: Vec<String> = listed.map_err(|error| {
        Failure::Usage(format!("{} cannot be listed: {error}", folder.display()))
    })?;
    names.sort_unstable();
    let mut found = Folder {
        agents: Vec::new(),
        refused: Vec::new(),
        conflicts: Vec::new(),
        notes: Vec::new(),
    };
    for file in &names {
        match caxton_watch::role(file) {
            Role::Component(name) => {
                let config = format!("{name}.toml");
                let config = names.contains(&config).then(|| folder.join(config));
                let checked = one::check(checker, &folder.join(file), config.as_deref()).await;
                found.agents.push(checked);
            }
            Role::Config(name) if !names.contains(&format!("{name}.wasm")) => {
                found.notes.push(format!(
                    "{file} waits for {name}.wasm, and does nothing until that is there"
                ));
            }
            Role::Misnamed(problem) => found.refused.push((file.clone(), problem.to_string())),
            Role::Config(_) | Role::Ignored => {}
        }
    }
    found.conflicts = conflicts(&found.agents);
    Ok(found)
}

/// As a host that takes them in this order would tell.
fn conflicts(agents: &[Checked]) -> Vec<(String, String)> {
    let runs = agents
        .iter()
        .filter(|agent| agent.is_accepted() && !agent.is_off);
    let routes = runs.filter_map(|agent| {
        Some(AgentRoute {
            name: AgentName::try_from(agent.name.clone()).ok()?,
            target: Target::Unavailable { why: String::new() },
            host: agent.route.host.clone(),
            path: agent.route.path.clone(),
        })
    });
    let table = RoutingTable::build(routes);
    let told = table.conflicts().iter();
    told.map(|conflict| (conflict.agent.to_string(), conflict.to_string()))
        .collect()
}

impl Folder {
    pub(super) fn is_accepted(&self) -> bool {
        self.refused.is_empty()
            && self.conflicts.is_empty()
            && self.agents.iter().all(Checked::is_accepted)
    }

    pub(super) fn machine(&self) -> Value {
        let conflict = |agent: &str| self.conflicts.iter().find(|(name, _)| name == agent);
        let agents: Vec<Value> = self
            .agents
            .iter()
            .map(|agent| {
                let mut value = show::machine(agent);
                if let Some(object) = value.as_object_mut() {
                    let why = conflict(&agent.name).map(|(_, why)| why);
                    object.insert("route_taken".to_owned(), json!(why));
                }
                value
            })
            .collect();
        let refused = |(file, reason): &(String, String)| json!({ "file": file, "reason": reason });
        json!({
            "accepted": self.is_accepted(),
            "agents": agents,
            "refused": self.refused.iter().map(refused).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// A line for each, and what is wrong below it.
    pub(super) fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(&["AGENT", "RESULT", "WHAT IT IS"]);
        let mut below = String::new();
        let mut why = |subject: &str, reason: &str| {
            let mark = paint.tone(Tone::Bad, "!");
            below.push_str(&format!(
                "{mark} {}: {}\n",
                harmless(subject),
                harmless(reason)
            ));
        };
        for agent in &self.agents {
            let (word, tone) = match (agent.is_accepted(), agent.is_off) {
                (false, _) => ("refused", Tone::Bad),
                (true, true) => ("turned off", Tone::Faint),
                (true, false) => ("ok", Tone::Good),
            };
            table.row([
                Cell::new(harmless(&agent.name), Tone::Strong),
                Cell::new(word, tone),
                Cell::new(harmless(&show::in_short(agent)), Tone::Plain),
            ]);
            for (stage, told) in &agent.stages {
                if let Err(reason) = told {
                    why(&agent.name, &format!("{stage}: {reason}"));
                }
            }
        }
        for (file, reason) in self.refused.iter().chain(&self.conflicts) {
            why(file, reason);
        }
        let noted = self.agents.iter().flat_map(|agent| {
            let of_agent = |note| format!("{}: {note}", agent.name);
            agent.notes.iter().map(of_agent)
        });
        for note in noted.chain(self.notes.iter().cloned()) {
            below.push_str(&format!("note: {}\n", harmless(&note)));
        }
        if self.agents.is_empty() {
            below.push_str("no NAME.wasm is in it\n");
            return below;
        }
        table.draw(paint) + &below
    }
}
