//! What must hold of the answers of one life of the host: who answered, with what, and what became of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use caxton_test_artifacts::{Manner, name_in};

use super::dropped::Builds;
use super::plan::Agent;
use super::seen::{Seen, Told};
use crate::admin::{number, text};
use crate::traffic::Answer;

/// One life of the host.
#[derive(Debug)]
pub struct Life {
    /// What each agent must serve first.
    pub permanent: BTreeMap<String, u64>,
    /// When the last agent answered for the first time.
    pub ready: Instant,
    /// When it was killed.
    pub killed: Instant,
    /// Reloads that had traffic by the journal, whatever an observer has seen: agent and number.
    pub recorded: BTreeSet<(String, u64)>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests {
    /// Whole answers with 200.
    pub good: u64,
    /// Failures of a version that fails on purpose.
    pub by_version: u64,
    /// Cut by an immediate reload.
    pub cut_by_immediate: u64,
    /// Not answered by a host that had not said yet that all serve.
    pub before_ready: u64,
    /// Under way at the kill, or sent before a client knew of it.
    pub at_the_kill: u64,
    /// Lost without any of these reasons.
    pub lost: u64,
}

/// What is known of versions over all lives.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What each version is made of.
    pub made_of: BTreeMap<(String, u64), String>,
    /// When an observer learned that the version was rolled back.
    pub rolled_back: BTreeMap<(String, u64), Instant>,
    /// Contents that are quarantined: agent and digest.
    pub quarantined: BTreeSet<(String, String)>,
    /// Of the agent that counts, the last count that was answered.
    pub last_count: u64,
}

impl Ledger {
    /// Takes in what was told in one life; what must not be.
    pub fn read(&mut self, events: &[Told]) -> Vec<String> {
        let mut violations = Vec::new();
        for told in events {
            let agent = told.agent().to_owned();
            match told.kind() {
                "reload-started" => {
                    violations.extend(self.started(agent, told));
                }
                "rolled-back" => {
                    if let Some(from) = number(&told.json, "from") {
                        self.rolled_back.entry((agent, from)).or_insert(told.seen);
                    }
                }
                "quarantined" => {
                    let component = text(&told.json, "component").to_owned();
                    self.quarantined.insert((agent, component));
                }
                _ => {}
            }
        }
        violations
    }

    fn started(&mut self, agent: String, told: &Told) -> Option<String> {
        let component = text(&told.json, "component").to_owned();
        let version = number(&told.json, "to")?;
        let held = self
            .quarantined
            .contains(&(agent.clone(), component.clone()))
            .then(|| format!("a quarantined content began a reload: {}", told.json));
        let before = self
            .made_of
            .insert((agent, version), component.clone())
            .filter(|before| *before != component)
            .map(|before| {
                format!(
                    "a number stands for {before} and for another: {}",
                    told.json
                )
            });
        held.or(before)
    }

    /// Judges the answers of a life; what must not be.
    pub fn judge(
        &mut self,
        life: &Life,
        seen: &Seen,
        answers: &[Answer],
        builds: &Builds,
        requests: &mut Requests,
    ) -> Vec<String> {
        let entered = entered(seen);
        let mut violations = Vec::new();
        for answer in answers {
            if let Some(version) = answer.version {
                violations.extend(self.came_from(life, &entered, answer, version));
                violations.extend(self.named(answer, version, builds));
            }
            if !self.count(life, answer, builds, requests) {
                violations.push(format!("lost while the host was up: {}", shown(answer)));
            }
        }
        violations
    }

    /// Whether this version may have answered at all.
    fn came_from(
        &self,
        life: &Life,
        entered: &BTreeMap<(String, u64), u64>,
        answer: &Answer,
        version: u64,
    ) -> Option<String> {
        let key = (answer.agent.clone(), version);
        let gone = self.rolled_back.get(&key);
        if gone.is_some_and(|gone| answer.sent > *gone) {
            return Some(format!(
                "an answer from a version that was rolled back: {}",
                shown(answer)
            ));
        }
        if life.permanent.get(&answer.agent) == Some(&version) {
            return None;
        }
        match entered.get(&key) {
            // Moments are whole milliseconds.
            Some(at) if answer.ended_at + 1 >= *at => None,
            // The kill came between the move and its being told; the journal knows of it.
            None if life.recorded.contains(&key) => None,
            _ => Some(format!(
                "an answer from a version before it was told to have traffic in this life (permanent is {:?}): {}",
                life.permanent.get(&answer.agent),
                shown(answer)
            )),
        }
    }

    /// Whether the answer's text is that of the version that it says it comes from.
    fn named(&self, answer: &Answer, version: u64, builds: &Builds) -> Option<String> {
        let agent = Agent::named(&answer.agent)?;
        let by_agent = answer.status == 200 || answer.status == 500;
        if agent.counts || !by_agent || answer.broken.is_some() {
            return None;
        }
        let component = self.made_of.get(&(answer.agent.clone(), version))?;
        let build = builds.with(component)?;
        (build.name != name_in(&answer.text)).then(|| {
            format!(
                "version {version} is build {}: {}",
                build.name,
                shown(answer)
            )
        })
    }

    /// Counts it; false where it was lost.
    fn count(
        &self,
        life: &Life,
        answer: &Answer,
        builds: &Builds,
        requests: &mut Requests,
    ) -> bool {
        let place = if answer.is_good() {
            &mut requests.good
        } else if answer.ended >= life.killed {
            &mut requests.at_the_kill
        } else if self.fails_on_purpose(answer, builds) {
            &mut requests.by_version
        } else if answer.sent < life.ready {
            &mut requests.before_ready
        } else if Agent::named(&answer.agent).is_some_and(|agent| agent.cuts)
            && (answer.status == 503 || answer.broken.is_some())
        {
            &mut requests.cut_by_immediate
        } else {
            requests.lost += 1;
            return false;
        };
        *place += 1;
        true
    }

    fn fails_on_purpose(&self, answer: &Answer, builds: &Builds) -> bool {
        let Some(version) = answer.version else {
            return false;
        };
        let component = self.made_of.get(&(answer.agent.clone(), version));
        let build = component.and_then(|component| builds.with(component));
        build.is_some_and(|build| match build.manner {
            Manner::Good => false,
            Manner::Failing => answer.status == 500,
            Manner::Trapping => answer.status == 502 || answer.broken.is_some(),
        })
    }

    /// What the agent that counts answered first after a start, held against what it had saved.
    pub fn counts_on(&mut self, answers: &[Answer], saved: Option<u64>) -> Vec<String> {
        let counts: Vec<u64> = answers
            .iter()
            .filter(|a| a.is_good() && Agent::named(&a.agent).is_some_and(|agent| agent.counts))
            .filter_map(|a| a.text.parse().ok())
            .collect();
        let mut violations = Vec::new();
        if let Some(first) = counts.iter().take(2).min() {
            let least = saved.unwrap_or_default();
            if *first <= least {
                violations.push(format!(
                    "the count began with {first}, and {least} had been saved"
                ));
            }
            // Enough calls for several checkpoints were answered, and it begins empty.
            if *first <= 2 && self.last_count > 200 {
                violations.push(format!(
                    "the count began with {first}, after {} were answered",
                    self.last_count
                ));
            }
        }
        self.last_count = counts.last().copied().unwrap_or(self.last_count);
        violations
    }
}

/// Candidates that had more than their first step before they had that: a reload begins at its first stage, or listens first,
/// unless an operator says otherwise.
#[must_use]
pub fn jumps(seen: &Seen) -> Vec<String> {
    let mut violations = Vec::new();
    let mut ordered = BTreeSet::new();
    let mut begun = BTreeMap::new();
    for told in &seen.events {
        let agent = told.agent();
        match told.kind() {
            "ordered" => {
                ordered.insert(agent);
            }
            "reload-started" => {
                if let Some(candidate) = number(&told.json, "to") {
                    begun.insert(agent, candidate);
                    ordered.remove(agent);
                }
            }
            "share" | "listening" | "swapped" => {
                let field = if told.kind() == "swapped" {
                    "to"
                } else {
                    "number"
                };
                let candidate = number(&told.json, field);
                if candidate.is_none() || begun.get(agent).copied() != candidate {
                    continue;
                }
                begun.remove(agent);
                let steps_first = match Agent::named(agent).map(|agent| agent.name) {
                    Some("splitting") => {
                        told.kind() == "share" && number(&told.json, "stage") == Some(0)
                    }
                    Some("parallel") => told.kind() == "listening",
                    _ => true,
                };
                // The first version of an agent has all traffic at once.
                let is_first = candidate == Some(1);
                if !steps_first && !is_first && !ordered.contains(agent) {
                    violations.push(format!(
                        "a reload did not begin with its first step: {}",
                        told.json
                    ));
                }
            }
            _ => {}
        }
    }
    violations
}

/// Interrupted reloads that began again under another number than they had: agent and component, by number.
#[must_use]
pub fn renumbered(seen: &Seen, interrupted: &BTreeMap<(String, String), u64>) -> Vec<String> {
    let mut first = BTreeSet::new();
    let mut violations = Vec::new();
    for told in &seen.events {
        // Only what begins first is what was interrupted; later the same file may be dropped as a new version.
        if told.kind() != "reload-started" || !first.insert(told.agent()) {
            continue;
        }
        let key = (
            told.agent().to_owned(),
            text(&told.json, "component").to_owned(),
        );
        let now = number(&told.json, "to");
        if let Some(before) = interrupted.get(&key)
            && now != Some(*before)
        {
            violations.push(format!(
                "what was version {before} when it was interrupted began again as another: {}",
                told.json
            ));
        }
    }
    violations
}

/// From when on each version could have answered, in this life: agent and number.
fn entered(seen: &Seen) -> BTreeMap<(String, u64), u64> {
    let mut entered = BTreeMap::new();
    for told in &seen.events {
        let version = match told.kind() {
            "swapped" => number(&told.json, "to"),
            "share" => number(&told.json, "number"),
            _ => None,
        };
        if let Some(version) = version {
            entered
                .entry((told.agent().to_owned(), version))
                .or_insert(told.at());
        }
    }
    entered
}

fn shown(answer: &Answer) -> String {
    let Answer {
        agent,
        ended_at,
        version,
        status,
        text,
        broken,
        ..
    } = answer;
    format!("{agent} {status} version {version:?} {text:?} at {ended_at} {broken:?}")
}
