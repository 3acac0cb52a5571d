//! What an operator must know of the journal: what cannot be written, and what was lost because of it.

use std::collections::{BTreeMap, VecDeque};

use caxton_rollout::{AgentName, Attention, Moment};

use super::types::Trouble;

/// How many losses are said.
const DAMAGE_MAX: usize = 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Health {
    lost: Option<Lost>,
    /// Agents whose memory cannot be written although everything else can.
    unwritable: BTreeMap<AgentName, (Moment, String)>,
    /// What was lost while the host runs, the newest last.
    damage: VecDeque<(Moment, String)>,
    /// Events and the like that were dropped while nothing could be written.
    pub dropped: u64,
}

#[derive(Debug)]
struct Lost {
    since: Moment,
    lines: u64,
    text: String,
    command: String,
}

impl Health {
    /// Counts lines of decision records that will not be kept, and warns of the first.
    pub(super) fn lose(&mut self, at: Moment, lines: u64, text: &str, command: &str) {
        let lost = self.lost.get_or_insert_with(|| {
            tracing::warn!("decision records are being lost: {text}; {command}");
            Lost {
                since: at,
                lines: 0,
                text: text.to_owned(),
                command: command.to_owned(),
            }
        });
        lost.lines = lost.lines.saturating_add(lines);
    }

    /// A reload that began after that is recorded: it is over.
    pub(super) fn records_again(&mut self) {
        if let Some(lost) = self.lost.take() {
            tracing::info!(
                lost = lost.lines,
                "decision records are kept again, of reloads that begin now"
            );
        }
    }

    /// Something was lost for good; it is said as long as the host runs.
    pub(super) fn damaged(&mut self, at: Moment, sentence: String) {
        tracing::error!("{sentence}");
        // What is said again and again is said once.
        self.damage.retain(|(_, said)| *said != sentence);
        self.damage.push_back((at, sentence));
        if self.damage.len() > DAMAGE_MAX {
            self.damage.pop_front();
        }
    }

    pub(super) fn unwritable(&mut self, agent: &AgentName, at: Moment, why: String) {
        tracing::error!(%agent, "what is remembered of it cannot be written: {why}");
        let entry = self.unwritable.entry(agent.clone());
        entry.or_insert((at, why));
    }

    pub(super) fn writable(&mut self, agent: &AgentName) {
        self.unwritable.remove(agent);
    }

    pub(super) fn attention(&self, trouble: Option<&Trouble>) -> Vec<Attention> {
        let trouble = trouble.map(|trouble| {
            let dropped = match self.dropped {
                0 => String::new(),
                some => format!("; {some} events and acts did not fit into memory and are lost"),
            };
            Attention {
                kind: "journal",
                since: trouble.since,
                text: format!(
                    "{}; agents serve on, nothing new gets traffic until it can be recorded, and what happens meanwhile is written \
                     when writing works again{dropped}",
                    trouble.text
                ),
                command: trouble.command.clone(),
            }
        });
        let lost = self.lost.as_ref().map(|lost| Attention {
            kind: "records-lost",
            since: lost.since,
            text: format!(
                "decision records are not kept, {} lines so far: {}; agents serve on and are judged as before, and reloads that \
                 begin once this is mended are recorded again",
                lost.lines, lost.text
            ),
            command: lost.command.clone(),
        });
        let unwritable = self.unwritable.iter().map(|(agent, (since, why))| Attention {
            kind: "journal",
            since: *since,
            text: format!(
                "what is remembered of {agent} cannot be written: {why}; it serves on, and a start would know of it what was \
                 written before"
            ),
            command: "report this as a fault of the host".to_owned(),
        });
        let damage = self.damage.iter().map(|(since, text)| Attention {
            kind: "journal-damaged",
            since: *since,
            text: text.clone(),
            command: "restore a backup, or go on with what there is".to_owned(),
        });
        let all = trouble.into_iter().chain(lost).chain(unwritable);
        all.chain(damage).collect()
    }
}
