//! The model of the directory: looks and the time go in, changes and the next moment to look come
//! out. It reads no clock and does no IO, and keeps digests, never contents.
//!
//! One round, driven by the edge:
//! 1. [`Folder::observe`] with a fresh [`Look`] and the files whose writers are known to be done;
//! 2. while [`Folder::next_take`] names one, read it and tell [`Folder::taken`] what came of it;
//! 3. look again at [`Folder::wake`], or earlier when something was heard.
//!
//! Rules that decide when a file is settled:
//! - A name that was never delivered waits until both its files have stood still for
//!   `settle`, whatever was heard: the configuration may be right behind the component.
//! - Afterwards a file whose writer is known to be done is settled at once, any other after
//!   standing still. While one of the pair is not settled, or is just gone, neither is taken.
//! - A component that was found incomplete must stand still longer each time, so that a slow
//!   writer does not make the watcher read the same beginning over and over.
//!
//! Rules that decide when a file is gone:
//! - One delivered file: after `remove_grace`, also when it was the only one.
//! - Two or more that go within one grace time and leave no component behind: the directory is
//!   lost ([`Loss::AllVanished`]), nothing is gone. It is found when any component is there.
//! - The directory itself was lost and comes back without any component: the same, also for one.
//! - At the start, names are known that were delivered in an earlier run. A directory that is
//!   lost then, or holds no component, is lost: the same, also for one.
//! - On another device it is found again only when every delivered component is there.

mod agent;
mod look;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Change, Loss, Options, Problem,
    names::{Role, role},
};
use agent::Agent;
pub use look::{Look, Moment, Seen, Stamp, Take, Taken};

/// Shortest time between two looks that the model asks for: a file that changes under every read
/// must not keep a processor busy.
const LOOKS_APART: Duration = Duration::from_millis(10);

/// What the directory is known to hold, and what was said about it.
#[derive(Debug)]
pub struct Folder {
    directory: PathBuf,
    options: Options,
    agents: BTreeMap<String, Agent>,
    misnamed: BTreeMap<String, Problem>,
    /// The refusals that the receiver knows of, by file.
    told: BTreeMap<String, (Option<String>, Problem)>,
    /// The device of the directory when it was last believed.
    device: Option<u64>,
    lost: Option<Loss>,
    /// A look was believed since watching began.
    believed: bool,
    looked: Moment,
}

impl Folder {
    /// A directory of which only the names that were delivered in an earlier run are `known`. The
    /// path is for messages only.
    #[must_use]
    pub fn new(directory: &Path, options: Options, known: BTreeSet<String>) -> Self {
        let agents = known.into_iter().map(|name| (name, Agent::known()));
        Self {
            directory: directory.to_owned(),
            options,
            agents: agents.collect(),
            misnamed: BTreeMap::new(),
            told: BTreeMap::new(),
            device: None,
            lost: None,
            believed: false,
            looked: Moment::ZERO,
        }
    }

    /// Takes in what the directory looked like at `now`. `done` are the files whose writers were
    /// known to be done before the look was taken.
    pub fn observe(&mut self, now: Moment, look: Look, done: &BTreeSet<String>) -> Vec<Change> {
        self.looked = now;
        let mut changes = Vec::new();
        let first = !self.believed;
        let files = match self.believe(look) {
            Ok(files) => files,
            Err(why) => {
                self.lose(why, &mut changes);
                return changes;
            }
        };
        let found = self.lost.take().is_some();
        if found {
            changes.push(Change::DirectoryFound);
        }
        if first || found {
            self.agents
                .values_mut()
                .for_each(|agent| agent.restart_grace(now));
        }
        self.see(now, &files, done);
        self.expire(now, &files, &mut changes);
        self.refusals(&mut changes);
        changes
    }

    /// The next pair of files to read, if one is settled and not known yet. Each answer must be
    /// followed by [`Folder::taken`].
    #[must_use]
    pub fn next_take(&self) -> Option<Take> {
        if self.lost.is_some() {
            return None;
        }
        self.agents
            .iter()
            .find_map(|(name, agent)| agent.due(name, self.looked, &self.options))
    }

    /// Takes in what came of reading.
    pub fn taken(&mut self, now: Moment, take: &Take, taken: Taken) -> Vec<Change> {
        let mut changes = Vec::new();
        let wanted = self
            .agents
            .get_mut(&take.name)
            .and_then(|agent| agent.taken(now, take, taken, &self.options));
        if let Some(agent) = self.agents.get_mut(&take.name) {
            agent.judge(&take.name, self.looked, &self.options);
        }
        self.refusals(&mut changes);
        changes.extend(wanted);
        changes
    }

    /// When to look next although nothing is heard. Always after `now`.
    #[must_use]
    pub fn wake(&self, now: Moment) -> Moment {
        let rescan = self.looked + self.options.rescan;
        let settled = self
            .agents
            .values()
            .filter(|_| self.lost.is_none())
            .filter_map(|agent| agent.wake(self.looked, &self.options))
            .min();
        settled
            .map_or(rescan, |settled| settled.min(rescan))
            .max(now + LOOKS_APART)
    }

    /// The files of a look, unless the directory as a whole is in doubt.
    fn believe(&mut self, look: Look) -> Result<BTreeMap<String, Seen>, Loss> {
        let (device, files) = match look {
            Look::Lost(why) => return Err(why),
            Look::Listed { device, files } => (device, files),
        };
        let mut delivered = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.is_delivered())
            .map(|(name, _)| name);
        let moved = self.device.is_some() && self.device != device;
        if moved && !delivered.all(|name| files.contains_key(&format!("{name}.wasm"))) {
            return Err(Loss::OtherDevice {
                directory: self.directory.clone(),
            });
        }
        let doubted = self.lost.is_some() || !self.believed;
        if doubted && self.delivered() > 0 && !any_component(&files) {
            return Err(self.all_vanished());
        }
        self.believed = true;
        self.device = device;
        Ok(files)
    }

    fn lose(&mut self, why: Loss, changes: &mut Vec<Change>) {
        if self.lost.as_ref() != Some(&why) {
            changes.push(Change::DirectoryLost { why: why.clone() });
            self.lost = Some(why);
        }
    }

    fn see(&mut self, now: Moment, files: &BTreeMap<String, Seen>, done: &BTreeSet<String>) {
        self.misnamed.clear();
        for file in files.keys() {
            match role(file) {
                Role::Component(name) | Role::Config(name) => {
                    self.agents.entry(name).or_default();
                }
                Role::Misnamed(problem) => {
                    self.misnamed.insert(file.clone(), problem);
                }
                Role::Ignored => {}
            }
        }
        for (name, agent) in &mut self.agents {
            agent.see(now, name, files, done, &self.options);
        }
    }

    /// Ends grace times that are over.
    fn expire(&mut self, now: Moment, files: &BTreeMap<String, Seen>, changes: &mut Vec<Change>) {
        let grace = self.options.remove_grace;
        let gone: Vec<String> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.is_gone(now, grace))
            .map(|(name, _)| name.clone())
            .collect();
        if !gone.is_empty() && self.delivered() > 1 && !any_component(files) {
            self.lose(self.all_vanished(), changes);
            return;
        }
        for name in gone {
            if let Some(agent) = self.agents.get_mut(&name) {
                agent.forget_delivered();
            }
            changes.push(Change::Gone { name });
        }
        for agent in self.agents.values_mut() {
            agent.expire_config(now, grace);
        }
        self.agents.retain(|_, agent| !agent.is_nothing());
    }

    /// Says what is refused now and was not, and the other way round.
    fn refusals(&mut self, changes: &mut Vec<Change>) {
        let mut now: BTreeMap<String, (Option<String>, Problem)> = BTreeMap::new();
        for (file, problem) in &self.misnamed {
            now.insert(file.clone(), (None, problem.clone()));
        }
        for (name, agent) in &self.agents {
            for (file, problem) in agent.problems(name) {
                now.insert(file, (Some(name.clone()), problem.clone()));
            }
        }
        for (file, (name, _)) in &self.told {
            if !now.contains_key(file) {
                let (file, name) = (file.clone(), name.clone());
                changes.push(Change::Cleared { file, name });
            }
        }
        for (file, (name, problem)) in &now {
            if self.told.get(file).map(|(_, told)| told) != Some(problem) {
                changes.push(Change::Refused {
                    file: file.clone(),
                    name: name.clone(),
                    problem: problem.clone(),
                });
            }
        }
        self.told = now;
    }

    fn delivered(&self) -> usize {
        let delivered = |agent: &&Agent| agent.is_delivered();
        self.agents.values().filter(delivered).count()
    }

    fn all_vanished(&self) -> Loss {
        Loss::AllVanished {
            directory: self.directory.clone(),
            delivered: self.delivered(),
        }
    }
}

/// Whether a look holds any component, be it only a refused one.
fn any_component(files: &BTreeMap<String, Seen>) -> bool {
    files
        .keys()
        .any(|file| matches!(role(file), Role::Component(_) | Role::Misnamed(_)))
}
