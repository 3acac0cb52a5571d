//! Whose state is loaded when, and what becomes of what cannot be read.

use std::fs;

use caxton_store::Limits;

use super::*;

fn number(number: u64) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

fn identity(byte: u8) -> Identity {
    Identity {
        component: Digest::new([byte; 32]),
        config: Digest::new([0; 32]),
    }
}

fn whose(of: u64) -> Whose {
    Whose {
        agent: "counter".parse().unwrap(),
        number: number(of),
        identity: identity(u8::try_from(of).unwrap()),
    }
}

fn snapshot(of: u64, data: &'static [u8]) -> Snapshot {
    Snapshot {
        number: of,
        digest: [7; 32],
        format: "count/1".to_owned(),
        data: data.into(),
    }
}

fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds)
}

struct Fixture {
    folder: tempfile::TempDir,
    snapshots: Snapshots,
    states: States,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path(), Limits::default()).unwrap();
        Self {
            snapshots: Snapshots::within(store, folder.path()),
            folder,
            states: States::default(),
        }
    }

    async fn store(&self, of: u64, why: (Cause, Moment), data: &'static [u8]) {
        let snapshot = snapshot(of, data);
        let stored = self
            .snapshots
            .store(&self.states, whose(of), why, &snapshot);
        stored.await.unwrap();
    }

    async fn read(&self, of: u64) -> Result<Snapshot, Unreadable> {
        let kept = self.states.of_version(number(of)).unwrap();
        self.snapshots.read(&kept).await.map(|read| read.0)
    }
}

#[tokio::test]
async fn what_was_stored_last_of_a_version_is_read() {
    let fixture = Fixture::new();
    fixture.store(3, (Cause::Checkpoint, at(1)), b"first").await;
    fixture.store(3, (Cause::Stop, at(2)), b"second").await;
    fixture.store(4, (Cause::Checkpoint, at(3)), b"").await;
    assert_eq!(fixture.read(3).await.unwrap(), snapshot(3, b"second"));
    assert_eq!(fixture.read(4).await.unwrap(), snapshot(4, b""));
    let kept = fixture.states.of_version(number(3)).unwrap();
    assert!(kept.is_of_a_stop() && kept.taken_at == at(2));
    // Another version begins with it, and has it as its own from then on.
    fixture
        .snapshots
        .name_again(&fixture.states, whose(5), &kept);
    assert_eq!(fixture.read(5).await.unwrap(), snapshot(3, b"second"));
}

#[tokio::test]
async fn a_file_that_was_removed_is_no_damage_and_damage_stays_until_it_is_removed() {
    let fixture = Fixture::new();
    fixture
        .store(1, (Cause::Stop, at(1)), b"twelve bytes")
        .await;
    let files = fs::read_dir(fixture.folder.path().join("state")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [path] = &files[..] else {
        panic!("one file: {files:?}");
    };
    fs::write(path, b"twelve bytez").unwrap();
    // The store sets it aside at the first try: at the second it is damaged all the same.
    for _ in 0..2 {
        let Err(Unreadable::Damaged(why)) = fixture.read(1).await else {
            panic!("it is damaged");
        };
        let aside = format!("{}.damaged", path.display());
        let helps = why.contains(&format!("remove {aside} to start the agent empty"));
        assert!(
            helps && why.contains("restore that file from a backup"),
            "{why}"
        );
        assert!(Path::new(&aside).exists());
    }
    fs::remove_file(format!("{}.damaged", path.display())).unwrap();
    let Err(Unreadable::Removed(removed)) = fixture.read(1).await else {
        panic!("it was removed");
    };
    assert_eq!(removed, *path);
    fs::write(path, b"twelve bytes").unwrap();
    assert_eq!(fixture.read(1).await.unwrap().data, &b"twelve bytes"[..]);
}

#[tokio::test]
async fn what_cannot_be_stored_is_kept_in_memory_and_said() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("state"), "in the way").unwrap();
    let whose = whose(1);
    let saved = snapshot(1, b"state");
    fixture.states.keep_in_memory(&whose, at(1), saved.clone());
    let why = (Cause::HandOver, at(1));
    let stored = fixture.snapshots.store(&fixture.states, whose, why, &saved);
    stored.await.unwrap_err();
    assert_eq!(fixture.read(1).await.unwrap(), saved);
}

#[test]
fn a_version_begins_with_its_own_then_with_the_permanent_ones_then_with_the_last() {
    let states = States::default();
    let keep = |of: u64, moment: u64| {
        states.keep_in_memory(&whose(of), at(moment), snapshot(of, b"state"));
    };
    let left = |of: u64, permanent: Option<u64>| {
        let permanent = permanent.map(number);
        let left = states.left_for(number(of), whose(of).identity, permanent);
        left.map(|(from, _)| from.get())
    };
    assert_eq!(left(1, None), None);
    keep(1, 10);
    keep(2, 20);
    keep(3, 15);
    assert_eq!(left(2, Some(2)), Some(2));
    assert_eq!(left(2, Some(1)), Some(2), "what it left itself");
    assert_eq!(left(4, Some(3)), Some(3), "a new one while nothing serves");
    assert_eq!(left(4, None), Some(2), "the agent was removed");
    assert_eq!(
        left(5, Some(5)),
        None,
        "it never saved: nobody else's is its own"
    );
    // The number of an agent that was forgotten meanwhile, given anew.
    let other = states.left_for(number(1), identity(9), Some(number(1)));
    assert!(other.is_none());
    let other = states.left_for(number(1), identity(9), None);
    assert_eq!(other.map(|(from, _)| from.get()), Some(2));
}

#[test]
fn what_is_forgotten_goes_unless_it_is_all_that_is_left() {
    let states = States::default();
    for of in 1..=3 {
        states.keep_in_memory(&whose(of), at(of), snapshot(of, b"state"));
    }
    states.forget(identity(1));
    states.forget(identity(3));
    let is_kept = |of| states.of_version(number(of)).is_some();
    assert_eq!([1, 2, 3].map(is_kept), [false, true, true]);
    for of in 1..=400 {
        let whose = Whose {
            number: number(of),
            ..whose(1)
        };
        states.keep_in_memory(&whose, at(of), snapshot(of, b"state"));
    }
    assert_eq!(states.kept().len(), MAX_ROWS);
    assert!(is_kept(400) && !is_kept(100));
}

#[tokio::test]
async fn there_is_one_turn_to_store() {
    let states = States::default();
    let turn = states.turn_now().unwrap();
    assert!(states.turn_now().is_none());
    drop(turn);
    let _turn = states.turn().await;
    assert!(states.turn_now().is_none());
}
