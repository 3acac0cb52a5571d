//! What an observer has seen of one life of the host: its events and the answers to orders. Whatever stands here must be there after
//! the kill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::admin::{number, text};

/// Kinds of events that are about agents and outlive the host; others tell of files and policies, and come again by themselves.
const LASTING: [&str; 20] = [
    "reload-started",
    "status-changed",
    "waiting",
    "swapped",
    "share",
    "listening",
    "handed-over",
    "order-failed",
    "health-failed",
    "verdict",
    "fault",
    "completed",
    "disarmed",
    "rolled-back",
    "quarantined",
    "set-aside",
    "diverged",
    "calls-cut",
    "ordered",
    "stopped",
];

/// An event.
#[derive(Debug, Clone)]
pub struct Told {
    /// When the observer had it.
    pub seen: Instant,
    /// As the host wrote it.
    pub json: Value,
}

impl Told {
    /// Whom it is about; empty where it is nobody.
    #[must_use]
    pub fn agent(&self) -> &str {
        text(&self.json, "agent")
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        text(&self.json, "kind")
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> u64 {
        number(&self.json, "at").unwrap_or_default()
    }

    /// The status that a reload has from here on.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        match self.kind() {
            "reload-started" => Some("pending"),
            "status-changed" => Some(text(&self.json, "to")),
            _ => None,
        }
    }

    /// Whether the journal keeps it.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !self.agent().is_empty() && LASTING.contains(&self.kind())
    }
}

/// An order that was answered with 200.
#[derive(Debug, Clone)]
pub struct Taken {
    /// To whom.
    pub agent: String,
    /// In the host's words.
    pub order: String,
    /// When it was sent.
    pub since: u64,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Events, in their order.
    pub events: Vec<Told>,
    /// Orders, in the order of their answers.
    pub taken: Vec<Taken>,
    /// Where the newest reload of each agent stands.
    pub standing: BTreeMap<String, String>,
}

impl Seen {
    /// Takes an event in; the status that a reload moved to by it.
    pub fn tell(&mut self, json: Value) -> Option<String> {
        let told = Told {
            seen: Instant::now(),
            json,
        };
        let status = told.status().map(str::to_owned);
        if let Some(status) = &status {
            self.standing
                .insert(told.agent().to_owned(), status.clone());
        }
        self.events.push(told);
        status
    }

    /// Whether a reload of the agent goes on.
    #[must_use]
    pub fn is_reloading(&self, agent: &str) -> bool {
        self.standing.get(agent).is_some_and(|s| !is_terminal(s))
    }
}

/// Whether nothing follows this status by itself.
#[must_use]
pub fn is_terminal(status: &str) -> bool {
    ["completed", "failed", "cancelled", "rolled-back"].contains(&status)
}

/// The nine statuses.
pub const STATUSES: [&str; 9] = [
    "pending",
    "preparing",
    "starting",
    "in-progress",
    "completed",
    "failed",
    "cancelled",
    "rolling-back",
    "rolled-back",
];

/// What several tasks write down together.
#[derive(Debug, Clone, Default)]
pub struct Notebook(Arc<Mutex<Seen>>);

impl Notebook {
    /// To read or write in it, for a moment.
    pub fn open(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
