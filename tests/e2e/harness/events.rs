//! What the host tells as it happens, kept whole: a test looks at it while it waits and again at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::admin::Admin;
use super::process::LOG_LINES;
use super::time::PATIENCE;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// When the test learnt of it.
    pub(crate) seen: Instant,
    /// As the host wrote it.
    pub(crate) json: Value,
}

impl Event {
    pub(crate) fn is(&self, agent: &str, kind: &str) -> bool {
        self.json["agent"] == agent && self.json["kind"] == kind
    }

    /// Whether new requests to the agent go to this version from here on.
    pub(crate) fn swaps(&self, agent: &str, to: u64) -> bool {
        self.is(agent, "swapped") && self.json["to"] == to
    }

    /// When it happened, in milliseconds since the Unix epoch.
    pub(crate) fn at(&self) -> f64 {
        self.json["at"].as_f64().unwrap()
    }
}

/// All events of one host, from its start.
pub(crate) struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    count: watch::Receiver<usize>,
    reader: JoinHandle<()>,
}

impl Events {
    pub(crate) async fn follow(admin: &Admin) -> Self {
        let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let (connection, mut body) = admin.follow().await;
        let list = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            let _kept_open = connection;
            let mut unread = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    if let Ok(json) = serde_json::from_slice(&line) {
                        list.lock().unwrap().push(Event {
                            seen: Instant::now(),
                            json,
                        });
                    }
                }
                let now = list.lock().unwrap().len();
                counted.send_replace(now);
            }
        });
        Self {
            seen,
            count,
            reader,
        }
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Event> {
        self.seen.lock().unwrap().clone()
    }

    /// How many so far are of this kind and about this agent.
    pub(crate) fn count(&self, agent: &str, kind: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|event| event.is(agent, kind))
            .count()
    }

    /// The first event, of those that were and those that come, that `wanted` likes.
    pub(crate) async fn first(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut count = self.count.clone();
        let mut looked_at = 0;
        let search = async {
            loop {
                count.borrow_and_update();
                {
                    let seen = self.seen.lock().unwrap();
                    if let Some(found) = seen.iter().skip(looked_at).find(|event| wanted(event)) {
                        return found.clone();
                    }
                    looked_at = looked_at.max(seen.len());
                }
                count
                    .changed()
                    .await
                    .unwrap_or_else(|_| panic!("no more events come, and none was: {what}"));
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
    }

    /// How many there are of each kind, for messages.
    fn summary(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for event in self.seen.lock().unwrap().iter() {
            *kinds
                .entry(event.json["kind"].as_str().unwrap_or("?").to_owned())
                .or_default() += 1;
        }
        kinds
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
        if std::thread::panicking() {
            eprintln!("--- events: {:?}", self.summary());
            for event in self.all().iter().rev().take(LOG_LINES).rev() {
                eprintln!("{}", event.json);
            }
        }
    }
}
