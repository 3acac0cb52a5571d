//! Snapshots of agents' state on disk: what a host that ends, in order or not, leaves to the one that starts after it.
//!
//! The bytes are a blob of the store, and the journal says whose they are: one row for each version, the newest. A version that
//! began with another one's state has a row of its own, so that whatever is permanent can begin again from where it was.

mod old;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caxton_rollout::{AgentName, Digest, Identity, Moment, VersionNumber};
use caxton_runtime::Snapshot;
use caxton_store::{BlobError, BlobKind, SnapshotRow, Store};
use tokio::sync::{OwnedMutexGuard, Semaphore};

pub(crate) use self::old::Old;

/// Rows of one agent that are known: more than versions can be kept, and each is small.
const MAX_ROWS: usize = 300;

/// States that are written at once, of all agents: more would only wait for the same disk.
const AT_ONCE: usize = 4;

/// Why a state was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// So that a host that is killed does not lose all of it.
    Checkpoint,
    /// Another version took it over.
    HandOver,
    /// Its version stopped.
    Stop,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::HandOver => "hand-over",
            Self::Stop => "stop",
        }
    }
}

/// Which version of which agent can load a state.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) agent: AgentName,
    pub(crate) number: VersionNumber,
    pub(crate) identity: Identity,
}

/// A state that can be loaded, as the journal knows it, or in memory for as long as it could not be stored.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) identity: Identity,
    pub(crate) taken_at: Moment,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Snapshot),
    Disk(Box<SnapshotRow>),
}

impl Kept {
    /// Why it was saved, where that is on disk.
    pub(crate) fn is_of_a_stop(&self) -> bool {
        matches!(&self.place, Place::Disk(row) if row.cause == Cause::Stop.as_str())
    }
}

/// The states of one agent's versions, and the turn of whoever stores one: there is never more than one at a time, so that an
/// older one does not take the place of a newer.
#[derive(Debug, Default)]
pub(crate) struct States {
    turn: Arc<tokio::sync::Mutex<()>>,
    // Held for as long as it takes to look into the map.
    kept: Mutex<BTreeMap<VersionNumber, Kept>>,
}

/// Whose turn it is to store.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl States {
    /// As the journal has them.
    pub(crate) fn of(rows: Vec<SnapshotRow>) -> Self {
        let states = Self::default();
        for row in rows {
            states.keep(row.number, Kept::stored(row));
        }
        states
    }

    /// Waits for whoever stores.
    pub(crate) async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The turn, unless somebody stores.
    pub(crate) fn turn_now(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// What the version saved last, or began with.
    pub(crate) fn of_version(&self, number: VersionNumber) -> Option<Kept> {
        self.kept().get(&number).cloned()
    }

    /// What a version begins with while no other one serves: what it left itself; what the permanent version did; and where there
    /// is none any more, what was saved last.
    pub(crate) fn left_for(
        &self,
        number: VersionNumber,
        identity: Identity,
        permanent: Option<VersionNumber>,
    ) -> Option<(VersionNumber, Kept)> {
        let kept = self.kept();
        let of = |number: VersionNumber| kept.get(&number).map(|kept| (number, kept.clone()));
        // A number may be given anew to an agent that was forgotten meanwhile.
        let own = of(number).filter(|(_, own)| own.identity == identity);
        match permanent {
            Some(permanent) if permanent == number => own,
            Some(permanent) => own.or_else(|| of(permanent)),
            None => own.or_else(|| newest(&kept)),
        }
    }

    /// What was saved last, whoever can load it.
    pub(crate) fn newest(&self) -> Option<(VersionNumber, Kept)> {
        newest(&self.kept())
    }

    /// Until it is stored, what was just saved is in memory.
    pub(crate) fn keep_in_memory(&self, whose: &Whose, taken_at: Moment, snapshot: Snapshot) {
        let kept = Kept {
            identity: whose.identity,
            taken_at,
            place: Place::Memory(snapshot),
        };
        self.keep(whose.number, kept);
    }

    /// The content is forgotten, and so is what it saved, unless that is all that is left of the agent.
    pub(crate) fn forget(&self, identity: Identity) {
        let mut kept = self.kept();
        let last = newest(&kept).map(|(number, _)| number);
        kept.retain(|number, kept| kept.identity != identity || Some(*number) == last);
    }

    fn keep(&self, number: VersionNumber, new: Kept) {
        let mut kept = self.kept();
        kept.insert(number, new);
        while kept.len() > MAX_ROWS {
            kept.pop_first();
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<VersionNumber, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn newest(kept: &BTreeMap<VersionNumber, Kept>) -> Option<(VersionNumber, Kept)> {
    let newest = kept.iter().max_by_key(|(_, kept)| kept.taken_at)?;
    Some((*newest.0, newest.1.clone()))
}

impl Kept {
    fn stored(row: SnapshotRow) -> Self {
        Self {
            identity: row.identity,
            taken_at: row.taken_at,
            place: Place::Disk(Box::new(row)),
        }
    }
}

/// Why a stored state cannot be had.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// Somebody removed the file: the agent begins empty, and that is told.
    Removed(PathBuf),
    /// Starting the agent empty would lose what it remembers.
    Damaged(String),
}

/// The way to the stored states of all agents.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    store: Store,
    folder: PathBuf,
    writing: Arc<Semaphore>,
}

impl Snapshots {
    /// Those of this store; earlier releases left files of their own in the data directory.
    pub(crate) fn within(store: Store, data_dir: &Path) -> Self {
        Self {
            store,
            folder: data_dir.join("state"),
            writing: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What an earlier release stored of the agent.
    pub(crate) fn old(&self, agent: &AgentName) -> Old {
        Old::of(&self.folder, agent)
    }

    /// Writes the bytes; when this returns they are on the disk, and nothing names them yet.
    pub(crate) async fn put(&self, snapshot: &Snapshot) -> Result<Digest, String> {
        let place = Arc::clone(&self.writing).acquire_owned().await;
        let place = place.map_err(|error| error.to_string())?;
        let (blobs, data) = (self.store.blobs.clone(), snapshot.data.clone());
        let put = tokio::task::spawn_blocking(move || {
            let _place = place;
            blobs.put(BlobKind::State, &data)
        });
        put.await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    /// From here on the version can begin with it: the journal has it before anything that is handed to it later.
    pub(crate) fn name(
        &self,
        states: &States,
        whose: Whose,
        (cause, taken_at): (Cause, Moment),
        snapshot: &Snapshot,
        blob: Digest,
    ) {
        let Whose {
            agent,
            number,
            identity,
        } = whose;
        let row = SnapshotRow {
            agent,
            number,
            identity,
            taken_at,
            cause: cause.as_str().to_owned(),
            format: snapshot.format.clone(),
            saved_by: Digest::new(snapshot.digest),
            saved_by_number: VersionNumber::new(snapshot.number).unwrap_or(number),
            blob,
            size: snapshot.data.len() as u64,
        };
        self.store.journal.saved(row.clone());
        states.keep(number, Kept::stored(row));
    }

    /// Both, for one version. Who calls it has the turn.
    pub(crate) async fn store(
        &self,
        states: &States,
        whose: Whose,
        why: (Cause, Moment),
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        let blob = self.put(snapshot).await?;
        self.name(states, whose, why, snapshot, blob);
        Ok(())
    }

    /// A version begins with what another one left: from now on it is its own as well.
    pub(crate) fn name_again(&self, states: &States, whose: Whose, kept: &Kept) {
        if let Place::Disk(row) = &kept.place {
            let row = SnapshotRow {
                agent: whose.agent,
                number: whose.number,
                identity: whose.identity,
                ..(**row).clone()
            };
            self.store.journal.saved(row.clone());
            states.keep(whose.number, Kept::stored(row));
        }
    }

    /// Whether everything that was handed to the journal is on the disk.
    pub(crate) async fn flush(&self) -> bool {
        self.store.journal.flush().await
    }

    /// The bytes, and where they stand.
    pub(crate) async fn read(&self, kept: &Kept) -> Result<(Snapshot, PathBuf), Unreadable> {
        let row = match &kept.place {
            Place::Memory(snapshot) => return Ok((snapshot.clone(), PathBuf::new())),
            Place::Disk(row) => row.clone(),
        };
        let blobs = self.store.blobs.clone();
        let path = blobs.path(BlobKind::State, row.blob);
        let read = move || {
            let data = blobs.get(BlobKind::State, row.blob);
            (data, row)
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (data, row) = read.map_err(|error| Unreadable::Damaged(error.to_string()))?;
        match data {
            Ok(data) => Ok((
                Snapshot {
                    number: row.saved_by_number.get(),
                    digest: *row.saved_by.bytes(),
                    format: row.format,
                    data: bytes::Bytes::from_owner(data),
                },
                path,
            )),
            // The store sets what is damaged aside; an agent whose state was damaged does not begin empty at the second try.
            Err(BlobError::Absent { .. }) => match set_aside(&path) {
                Some(aside) => Err(Unreadable::Damaged(damaged(&path, &aside))),
                None => Err(Unreadable::Removed(path)),
            },
            Err(BlobError::Damaged { .. }) => {
                let aside = set_aside(&path).unwrap_or_else(|| path.clone());
                Err(Unreadable::Damaged(damaged(&path, &aside)))
            }
            Err(error) => Err(Unreadable::Damaged(format!(
                "its saved state cannot be read: {error}"
            ))),
        }
    }
}

/// Where the store put a file that was not what had been written.
fn set_aside(path: &Path) -> Option<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    aside.exists().then_some(aside)
}

fn damaged(path: &Path, aside: &Path) -> String {
    format!(
        "its saved state {} is damaged; restore that file from a backup, or remove {} to start the agent empty, and then retry",
        path.display(),
        aside.display()
    )
}

#[cfg(test)]
mod tests;
