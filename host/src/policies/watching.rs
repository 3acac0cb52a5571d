//! Keeps the policies directory in view: what appears there is validated beside everything else and then put on the shelf.
//!
//! The directory need not exist, at the start or later: policies in the binary are enough for many. While it is gone, or
//! cannot be believed, what came from it stays in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use caxton_rollout::Digest;
use caxton_runtime::policy::{PolicyKind, Stage};
use caxton_watch::{Change, Options, StartError, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Policies;
use super::again::{Again, Newest, Pair};
use super::looking::look;
use super::shelf::{Present, RefusedFile, Shelf};
use super::validate::Refused;
use crate::clock::Clock;

/// Policies that are looked into at once. The contents of others stay with the watcher, which holds few.
const AT_ONCE: usize = 2;

/// Something that happened in the policies directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyNews {
    /// From the next reload on there is this policy, or it has other settings.
    Loaded {
        /// Its name.
        name: String,
        /// What it decides.
        kind: PolicyKind,
        /// Of its component.
        digest: Digest,
        /// As it says of itself.
        version: String,
        /// Whether it did not have to be compiled.
        from_cache: bool,
    },
    /// A file is not taken. What was there before stays.
    Refused {
        /// The file's name inside the directory.
        file: String,
        /// Where its validation stopped.
        stage: Stage,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// New reloads cannot have this policy any more.
    Gone {
        /// Its name.
        name: String,
    },
    /// What is wrong with a file, or with the directory, changed.
    Changed,
}

/// The task that does it.
pub struct Watching {
    /// Where policies go.
    pub policies: Arc<Policies>,
    /// How the directory is watched.
    pub options: Options,
    /// The host's time.
    pub clock: Clock,
    /// Who hears of it.
    pub news: mpsc::Sender<PolicyNews>,
}

/// What came of looking into the files of one name.
struct Looked {
    name: String,
    generation: u64,
    pair: Pair,
    result: Result<Present, (String, Refused)>,
}

impl Watching {
    /// Watches until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let own = Arc::clone(&self.policies);
        let embedded = tokio::spawn(async move { own.load_embedded().await });
        if let Some(Some(watcher)) = stop.run_until_cancelled(self.begin()).await {
            self.follow(watcher, &stop).await;
        }
        embedded.abort();
    }

    /// Waits until there is a directory to watch; none if it never can be.
    async fn begin(&self) -> Option<Watcher> {
        let mut told = None;
        loop {
            let why = match Watcher::start(&self.policies.folder, self.options, BTreeSet::new()) {
                Ok(watcher) => {
                    self.lost(None).await;
                    return Some(watcher);
                }
                Err(StartError::Missing { .. }) => None,
                Err(error) => Some(error.to_string()),
            };
            if told != why {
                told.clone_from(&why);
                self.lost(why).await;
            }
            tokio::time::sleep(self.options.rescan).await;
        }
    }

    async fn follow(self, mut watcher: Watcher, stop: &CancellationToken) {
        let mut newest = Newest::default();
        let mut looking = JoinSet::new();
        loop {
            let has_room = looking.len() < AT_ONCE;
            tokio::select! {
                () = stop.cancelled() => break,
                again = newest.again(), if has_room => self.look(again, &mut looking),
                change = watcher.next(), if has_room => match change {
                    Some(change) => self.on_change(change, &mut newest, &mut looking).await,
                    None => {
                        self.lost(Some("it is not watched any more; restart the host".to_owned())).await;
                        break;
                    }
                },
                Some(looked) = looking.join_next() => match looked {
                    Ok(looked) => self.on_looked(looked, &mut newest).await,
                    Err(error) => tracing::error!("a policy could not be looked into: {error}"),
                },
            }
        }
        // Joins a thread: not on one that others' tasks wait for.
        let _ = tokio::task::spawn_blocking(move || drop(watcher)).await;
    }

    async fn on_change(&self, change: Change, newest: &mut Newest, looking: &mut JoinSet<Looked>) {
        match change {
            Change::Wanted {
                name,
                component,
                config,
                ..
            } => {
                let again = newest.begin(name, Pair { component, config });
                self.look(again, looking);
            }
            Change::Gone { name } => {
                newest.forget(&name);
                let was_there = self.policies.lock().remove(&name);
                self.tell(if was_there {
                    tracing::info!(policy = name, "the file is gone: no new reload can have it");
                    PolicyNews::Gone { name }
                } else {
                    PolicyNews::Changed
                })
                .await;
            }
            Change::Refused {
                file,
                name,
                problem,
            } => {
                let refused = Refused::at(Stage::Read, problem);
                self.refuse(file, name, refused, Shelf::refuse_to_read)
                    .await;
            }
            Change::Cleared { file, .. } => {
                self.policies.lock().clear(&file);
                self.tell(PolicyNews::Changed).await;
            }
            Change::DirectoryLost { why } => self.lost(Some(why.to_string())).await,
            Change::DirectoryFound => self.lost(None).await,
            Change::Polling { why } => tracing::warn!("{why}"),
        }
    }

    fn look(&self, again: Again, looking: &mut JoinSet<Looked>) {
        let Again {
            name,
            generation,
            pair,
        } = again;
        self.policies.lock().begin(&name, self.clock.now());
        let policies = Arc::clone(&self.policies);
        let clock = self.clock;
        looking.spawn(async move {
            let result = look(&policies, &name, &pair, clock).await;
            Looked {
                name,
                generation,
                pair,
                result,
            }
        });
    }

    async fn on_looked(&self, looked: Looked, newest: &mut Newest) {
        let Looked {
            name,
            generation,
            pair,
            result,
        } = looked;
        if !newest.is(&name, generation) {
            return;
        }
        match result {
            Ok(present) => {
                let policy = present.policy.clone();
                self.policies.lock().put(&name, present);
                let news = PolicyNews::Loaded {
                    kind: policy.kind(),
                    digest: policy.digest(),
                    version: policy.info().version.clone(),
                    from_cache: policy.came_from_cache(),
                    name,
                };
                self.tell(news).await;
            }
            Err((file, mut refused)) => {
                if refused.out_of_time {
                    let wait = newest.look_again(&name, pair, Instant::now());
                    refused.reason += &format!("; it is looked into again in {wait:?}");
                }
                self.refuse(file, Some(name), refused, Shelf::refuse).await;
            }
        }
    }

    async fn refuse(
        &self,
        file: String,
        name: Option<String>,
        refused: Refused,
        note: impl FnOnce(&mut Shelf, String, RefusedFile),
    ) {
        let Refused { stage, reason, .. } = refused;
        tracing::warn!(%file, %stage, "policy refused: {reason}");
        let entry = RefusedFile {
            name,
            stage,
            reason: reason.clone(),
            since: self.clock.now(),
        };
        note(&mut self.policies.lock(), file.clone(), entry);
        self.tell(PolicyNews::Refused {
            file,
            stage,
            reason,
        })
        .await;
    }

    /// Nobody misses a directory from which nothing came, unless it is there and cannot be read.
    async fn lost(&self, why: Option<String>) {
        let now = self.clock.now();
        {
            let mut shelf = self.policies.lock();
            let missed = shelf.has_files() || self.policies.folder.exists();
            shelf.lose(why.filter(|_| missed).map(|why| (why, now)));
        }
        self.tell(PolicyNews::Changed).await;
    }

    async fn tell(&self, news: PolicyNews) {
        self.policies.changed.send_replace(());
        // Nobody listens any more when the host stops.
        let _ = self.news.send(news).await;
    }
}
