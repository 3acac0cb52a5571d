//! The thread that looks, listens, reads and delivers.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

use tokio::sync::mpsc;

use crate::{
    CHANGES_WAITING, Change, Options, StartError,
    folder::{Folder, Look},
    hints::{Ears, Heard, Mailbox},
    listing::{self, Links},
};

/// A directory being watched. Its changes come out of [`Watcher::next`].
///
/// Dropping it, or [`Watcher::stop`], ends its thread and waits for that; it takes as long as
/// one read of at most a mebibyte, or as the file system hangs.
#[derive(Debug)]
pub struct Watcher {
    changes: mpsc::Receiver<Change>,
    mailbox: Arc<Mailbox>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watcher {
    /// Begins to watch. What is already there is delivered like anything that comes later; an
    /// empty directory is fine.
    ///
    /// `known` are the names that an earlier watcher of this directory delivered and that nobody
    /// removed since. One whose component is not there is gone after the grace time, like any
    /// other. Where the directory holds no component at all, is missing or cannot be listed, it
    /// counts as lost and nothing is removed. Devices are not compared with those of an earlier
    /// run: their numbers change when the machine starts.
    ///
    /// # Errors
    ///
    /// Nothing is known and the directory is missing, is none, or cannot be listed; or no thread
    /// can be started.
    pub fn start(
        directory: &Path,
        options: Options,
        known: BTreeSet<String>,
    ) -> Result<Self, StartError> {
        let absolute = absolute(directory, !known.is_empty())?;
        let mailbox = Arc::new(Mailbox::default());
        let (sender, changes) = mpsc::channel(CHANGES_WAITING);
        let thread = Thread {
            folder: Folder::new(&absolute, options, known),
            directory: absolute,
            options,
            mailbox: Arc::clone(&mailbox),
            sender,
            ears: None,
            links: Links::new(),
            complained: false,
        };
        let thread = thread::Builder::new()
            .name("caxton-watch".to_owned())
            .spawn(move || thread.run())
            .map_err(|source| StartError::Thread {
                directory: directory.to_owned(),
                source,
            })?;
        Ok(Self {
            changes,
            mailbox,
            thread: Some(thread),
        })
    }

    /// The next change. It may be dropped while waiting without losing one. `None` only after
    /// the watching thread has ended, which it does not do by itself.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// [`Watcher::next`] for callers outside of an async runtime; panics inside of one.
    pub fn blocking_next(&mut self) -> Option<Change> {
        self.changes.blocking_recv()
    }

    /// Ends watching and waits for the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Closed first: the thread may be waiting for room in the channel.
        self.changes.close();
        self.mailbox.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watching thread panicked");
        }
    }
}

/// The directory's whole path. Where something `serves` that came from it, it need not be there.
fn absolute(directory: &Path, serves: bool) -> Result<PathBuf, StartError> {
    let failed = |source: io::Error| {
        let directory = directory.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => StartError::Missing { directory },
            io::ErrorKind::NotADirectory => StartError::NotADirectory { directory },
            _ => StartError::Unreadable { directory, source },
        }
    };
    if !serves {
        fs::read_dir(directory).map_err(failed)?;
    }
    std::path::absolute(directory).map_err(failed)
}

struct Thread {
    folder: Folder,
    directory: PathBuf,
    options: Options,
    mailbox: Arc<Mailbox>,
    sender: mpsc::Sender<Change>,
    ears: Option<Ears>,
    links: Links,
    /// That there are no events was said.
    complained: bool,
}

/// The receiver is gone or the watcher is told to stop.
struct Stop;

impl Thread {
    fn run(mut self) {
        if self.listen().is_err() {
            return;
        }
        let began = Instant::now();
        let mut heard = Heard::default();
        loop {
            let looked = Instant::now();
            if self.round(began, &heard).is_err() {
                return;
            }
            let wake = began + self.folder.wake(began.elapsed());
            match self.mailbox.wait(looked, wake) {
                Some(next) => heard = next,
                None => return,
            }
        }
    }

    fn listen(&mut self) -> Result<(), Stop> {
        if self.options.poll {
            return Ok(());
        }
        match Ears::open(&self.directory, &self.mailbox) {
            Ok(ears) => {
                self.ears = Some(ears);
                Ok(())
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Looks once, reads what is settled, delivers what is new.
    fn round(&mut self, began: Instant, heard: &Heard) -> Result<(), Stop> {
        self.attend()?;
        let now = began.elapsed();
        let (look, links) = listing::look(&self.directory);
        let done = self.done(heard, &links);
        if let Look::Lost(why) = &look {
            tracing::debug!(%why, "looked");
            if let Some(ears) = &mut self.ears {
                let _ = ears.attend(None);
            }
        }
        self.follow(links);
        let changes = self.folder.observe(now, look, &done);
        self.deliver(changes)?;
        while let Some(take) = self.folder.next_take() {
            let stop = || self.mailbox.is_stopped();
            let taken = listing::read(&self.directory, &take, &self.options, &stop).ok_or(Stop)?;
            let changes = self.folder.taken(began.elapsed(), &take, taken);
            self.deliver(changes)?;
        }
        Ok(())
    }

    /// Sees to it that events come before the listing is taken, so that none falls in between.
    fn attend(&mut self) -> Result<(), Stop> {
        let Some(ears) = &mut self.ears else {
            return Ok(());
        };
        match ears.attend(listing::identity(&self.directory)) {
            Ok(()) => Ok(()),
            // It went away or was closed since; the listing says so, and a later round listens to it again.
            Err(error) if is_of_directory(&error) => Ok(()),
            Err(error) => self.complain(&error),
        }
    }

    /// Says once that there are no events.
    fn complain(&mut self, error: &notify::Error) -> Result<(), Stop> {
        if std::mem::replace(&mut self.complained, true) {
            return Ok(());
        }
        let why = format!(
            "{}: file events cannot be had: {error}; changes are found by looking every {} ms; if a limit was reached, raise it (on Linux fs.inotify.max_user_instances or fs.inotify.max_user_watches) and restart",
            self.directory.display(),
            self.options.rescan.as_millis(),
        );
        tracing::warn!("{why}");
        self.deliver(vec![Change::Polling { why }])
    }

    /// The files in the directory whose writers are done, links by their target.
    fn done(&self, heard: &Heard, links: &Links) -> BTreeSet<String> {
        let own = |path: &Path| {
            (path.parent() == Some(&self.directory))
                .then(|| path.file_name())
                .flatten()
                .map(|file| file.to_string_lossy().into_owned())
        };
        heard
            .done
            .iter()
            .filter_map(|path| own(path).or_else(|| links.get(path).cloned()))
            .collect()
    }

    /// Listens to the folders that links lead to.
    fn follow(&mut self, links: Links) {
        if links.is_empty() && self.links.is_empty() {
            return;
        }
        let here = fs::canonicalize(&self.directory).ok();
        let folders = links
            .keys()
            .filter_map(|target| target.parent())
            .filter(|folder| Some(*folder) != here.as_deref())
            .map(Path::to_owned)
            .collect();
        if let Some(ears) = &mut self.ears {
            ears.follow(folders);
        }
        self.links = links;
    }

    fn deliver(&self, changes: Vec<Change>) -> Result<(), Stop> {
        for change in changes {
            self.sender.blocking_send(change).map_err(|_| Stop)?;
        }
        Ok(())
    }
}

/// Whether the directory is the reason, and not the lack of events.
fn is_of_directory(error: &notify::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};

    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits themselves cannot be reached here without taking events from everyone else.
    #[test]
    fn without_events_the_watcher_says_so_once_and_finds_changes_by_looking() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::default();
        let (sender, mut changes) = mpsc::channel(CHANGES_WAITING);
        let mailbox = Arc::new(Mailbox::default());
        let mut thread = Thread {
            folder: Folder::new(directory.path(), options, BTreeSet::new()),
            directory: directory.path().to_owned(),
            options,
            mailbox: Arc::clone(&mailbox),
            sender,
            ears: None,
            links: Links::new(),
            complained: false,
        };
        let limit = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        for _ in 0..2 {
            assert!(thread.complain(&limit).is_ok());
        }
        let began = Instant::now();
        fs::write(directory.path().join("a.wasm"), "a1").unwrap();
        while changes.len() < 2 {
            assert!(thread.round(began, &Heard::default()).is_ok());
            let wake = began + thread.folder.wake(began.elapsed());
            assert!(mailbox.wait(Instant::now(), wake).is_some());
        }
        assert!(matches!(
            changes.blocking_recv(),
            Some(Change::Polling { .. })
        ));
        assert!(matches!(
            changes.blocking_recv(),
            Some(Change::Wanted { .. })
        ));
    }
}
