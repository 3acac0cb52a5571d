//! What `notify` says, reduced to "look again" and "the writer of this file is done".
//!
//! It deliberately trusts nothing further: which file was created, changed or removed is for the
//! listing to tell. Hints are gathered in a [`Mailbox`] of bounded size.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

/// Finished files remembered between two looks. Past it the rest is found by standing still.
const DONE_MAX: usize = 1024;

/// Folders of link targets that are listened to. Links into further ones are found by the rescan.
const FOLDERS_MAX: usize = 64;

/// How far apart looks are that no finished file asks for: a writer of large files sends thousands
/// of events.
const LOOKS_APART: Duration = Duration::from_millis(5);

/// What was heard since the last look.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Files whose writers are done.
    pub(crate) done: BTreeSet<PathBuf>,
    /// Anything at all.
    look: bool,
    /// One of `done` can be a component or a configuration: no time is lost over it.
    urgent: bool,
}

/// Where events wait for the watching thread.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    heard: Heard,
    stop: bool,
}

impl Mailbox {
    /// Waits until something is heard or the time has come. Nothing when told to stop.
    pub(crate) fn wait(&self, last: Instant, until: Instant) -> Option<Heard> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let soon = last + LOOKS_APART;
            let due = if state.heard.look {
                soon.min(until)
            } else {
                until
            };
            if state.stop {
                return None;
            }
            if state.heard.urgent || due <= now {
                return Some(std::mem::take(&mut state.heard));
            }
            state = self
                .bell
                .wait_timeout(state, due - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.bell.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Takes in what `notify` sent; errors, too, are a reason to look.
    fn hear(&self, event: notify::Result<Event>) {
        let done = match &event {
            Ok(event) if is_noise(event) => return,
            Ok(event) => finished(event),
            Err(error) => {
                tracing::debug!(%error, "file events reported an error");
                None
            }
        };
        let mut state = self.lock();
        state.heard.look = true;
        if let Some(path) = done
            && state.heard.done.len() < DONE_MAX
        {
            state.heard.urgent |= path
                .extension()
                .is_some_and(|ending| ending == "wasm" || ending == "toml");
            state.heard.done.insert(path.to_owned());
        }
        drop(state);
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opening and reading, our own included.
fn is_noise(event: &Event) -> bool {
    matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
        && !event.need_rescan()
}

/// The file that is complete with this event: closed after writing, or renamed into place.
fn finished(event: &Event) -> Option<&Path> {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => event.paths.first(),
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => event.paths.last(),
        _ => None,
    }
    .map(PathBuf::as_path)
}

/// Which directories `notify` listens to.
#[derive(Debug)]
pub(crate) struct Ears {
    watcher: RecommendedWatcher,
    directory: PathBuf,
    /// The directory that is listened to, by device and inode.
    identity: Option<(u64, u64)>,
    folders: BTreeSet<PathBuf>,
}

impl Ears {
    /// Starts `notify`; what it hears goes to the mailbox.
    pub(crate) fn open(directory: &Path, mailbox: &Arc<Mailbox>) -> notify::Result<Self> {
        let mailbox = Arc::clone(mailbox);
        let hear = move |event| mailbox.hear(event);
        Ok(Self {
            watcher: RecommendedWatcher::new(hear, notify::Config::default())?,
            directory: directory.to_owned(),
            identity: None,
            folders: BTreeSet::new(),
        })
    }

    /// Listens to the directory that is at the path now.
    ///
    /// On Linux the watch is set anew each time, which costs microseconds: a directory that was
    /// removed and made again can have the same inode, and its watch is gone all the same.
    pub(crate) fn attend(&mut self, identity: Option<(u64, u64)>) -> notify::Result<()> {
        if identity.is_none() {
            self.identity = None;
            return Ok(());
        }
        if self.identity != identity {
            // It fails where nothing was listened to yet, or the watch went with its directory.
            let _ = self.watcher.unwatch(&self.directory);
        } else if cfg!(not(target_os = "linux")) {
            return Ok(());
        }
        self.identity = None;
        self.watcher
            .watch(&self.directory, RecursiveMode::NonRecursive)?;
        self.identity = identity;
        Ok(())
    }

    /// Listens to exactly these folders besides the directory. One that cannot be listened to is
    /// left to the rescan.
    pub(crate) fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        for folder in self.folders.difference(&wanted) {
            let _ = self.watcher.unwatch(folder);
        }
        let mut followed = BTreeSet::new();
        for folder in wanted.into_iter().take(FOLDERS_MAX) {
            let known = self.folders.contains(&folder) && cfg!(not(target_os = "linux"));
            if known
                || self
                    .watcher
                    .watch(&folder, RecursiveMode::NonRecursive)
                    .is_ok()
            {
                followed.insert(folder);
            } else {
                tracing::debug!(folder = %folder.display(), "left to the rescan");
            }
        }
        self.folders = followed;
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag};

    use super::*;

    fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    /// What is heard without waiting for more.
    fn heard(events: Vec<notify::Result<Event>>) -> Heard {
        let mailbox = Mailbox::default();
        events.into_iter().for_each(|event| mailbox.hear(event));
        mailbox.wait(Instant::now(), Instant::now()).unwrap()
    }

    #[test]
    fn opening_and_reading_are_not_heard() {
        let heard = heard(vec![
            event(
                EventKind::Access(AccessKind::Open(AccessMode::Any)),
                "d/a.wasm",
            ),
            event(
                EventKind::Access(AccessKind::Close(AccessMode::Read)),
                "d/a.wasm",
            ),
        ]);
        assert!(!heard.look && heard.done.is_empty());
    }

    #[test]
    fn an_overflow_is_a_reason_to_look() {
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        let heard = heard(vec![Ok(overflow)]);
        assert!(heard.look && heard.done.is_empty() && !heard.urgent);
    }

    #[test]
    fn closing_after_writing_and_renaming_finish_a_file_and_creating_does_not() {
        let renamed = Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::Both)))
            .add_path("d/.tmp".into())
            .add_path("d/b.wasm".into());
        let heard = heard(vec![
            event(EventKind::Create(CreateKind::File), "d/c.wasm"),
            event(
                EventKind::Modify(ModifyKind::Data(DataChange::Any)),
                "d/c.wasm",
            ),
            event(
                EventKind::Access(AccessKind::Close(AccessMode::Write)),
                "d/a.wasm",
            ),
            Ok(renamed),
        ]);
        let done: Vec<_> = heard
            .done
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect();
        assert_eq!(done, ["d/a.wasm", "d/b.wasm"]);
        assert!(heard.urgent);
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_still_looked_for() {
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let events = (0..2 * DONE_MAX).map(|count| event(close, &format!("d/{count}.wasm")));
        let heard = heard(events.collect());
        assert_eq!(heard.done.len(), DONE_MAX);
        assert!(heard.look);
    }

    #[test]
    fn a_stopped_mailbox_waits_for_nothing() {
        let mailbox = Mailbox::default();
        mailbox.stop();
        let later = Instant::now() + Duration::from_secs(3600);
        assert!(mailbox.wait(Instant::now(), later).is_none());
    }
}
