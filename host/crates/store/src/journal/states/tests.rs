use std::fs::File;
use std::time::SystemTime;

use caxton_rollout::{HotReloadId, Identity, Moment, VersionNumber};
use rusqlite::Connection;

use super::super::open;
use super::super::types::{Limits, SnapshotRow};
use super::*;

struct Bench {
    _data: tempfile::TempDir,
    blobs: Blobs,
    rows: Connection,
    states: States,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let blobs = Blobs::within(data.path());
        let opened = open::open(&data.path().join(open::NAME)).unwrap();
        let mut states = States::default();
        states.opened(&opened.connection);
        Self {
            _data: data,
            blobs,
            rows: opened.connection,
            states,
            start: Instant::now(),
        }
    }

    fn put(&self, bytes: &str) -> Digest {
        self.blobs.put(BlobKind::State, bytes.as_bytes()).unwrap()
    }

    fn age(&self, blob: Digest) {
        let path = self.blobs.path(BlobKind::State, blob);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - 2 * GRACE).unwrap();
    }

    fn save(&mut self, number: u64, blob: Digest) {
        let row = SnapshotRow {
            agent: "a".parse().unwrap(),
            number: VersionNumber::new(number).unwrap(),
            identity: Identity {
                component: blob,
                config: blob,
            },
            taken_at: Moment(0),
            cause: "checkpoint".to_owned(),
            format: String::new(),
            saved_by: blob,
            saved_by_number: VersionNumber::FIRST,
            blob,
            size: 0,
        };
        super::super::rows::snapshot(&self.rows, &row).unwrap();
        let mut pending = Backlog::default();
        pending.push(Item::Snapshot(row));
        self.states.written(&pending, &Limits::default());
    }

    fn sweep(&mut self, seconds: u64) {
        let now = self.start + Duration::from_secs(seconds);
        let limits = Limits::default();
        let files = Mutex::default();
        self.states
            .sweep(&self.rows, &self.blobs, &limits, &files, now)
            .unwrap();
    }

    fn is_there(&self, blob: Digest) -> bool {
        self.blobs.path(BlobKind::State, blob).exists()
    }
}

#[test]
fn what_was_replaced_goes_a_minute_later_and_nothing_is_left_to_do() {
    let mut bench = Bench::new();
    let [first, second] = ["first", "second"].map(|bytes| bench.put(bytes));
    bench.save(1, first);
    bench.save(1, second);
    bench.age(first);
    bench.age(second);
    bench.sweep(20);
    bench.sweep(79);
    assert!(bench.is_there(first), "somebody may be reading it");
    bench.sweep(90);
    assert!(!bench.is_there(first) && bench.is_there(second));
    assert_eq!(bench.states.due(), None);
}

#[test]
fn what_another_row_names_or_somebody_is_about_to_name_stays() {
    let mut bench = Bench::new();
    let [shared, put_again, named_again, last] =
        ["shared", "put again", "named again", "last"].map(|bytes| bench.put(bytes));
    bench.save(2, shared);
    for blob in [shared, put_again, named_again, last] {
        bench.save(1, blob);
    }
    for blob in [shared, named_again] {
        bench.age(blob);
    }
    bench.sweep(20);
    // It was nobody's for a moment only, twice.
    bench.save(1, named_again);
    bench.save(1, last);
    bench.sweep(100);
    assert!(bench.is_there(shared) && bench.is_there(put_again) && bench.is_there(named_again));
    bench.age(put_again);
    bench.sweep(200);
    assert!(bench.is_there(shared) && bench.is_there(last));
    assert!(!bench.is_there(put_again) && !bench.is_there(named_again));
}

#[test]
fn what_no_row_has_named_waits_for_a_collection() {
    let mut bench = Bench::new();
    let [lost, named, last] = ["lost", "named", "last"].map(|bytes| bench.put(bytes));
    bench.save(1, named);
    // After a start, what a row names counts.
    bench.states = States::default();
    bench.states.opened(&bench.rows);
    bench.save(1, last);
    let new = bench.put("whoever put it may be slow to name it");
    for blob in [lost, named, last, new] {
        bench.age(blob);
    }
    for seconds in [20, 100, 200] {
        bench.sweep(seconds);
    }
    assert!(bench.is_there(lost) && bench.is_there(new) && bench.is_there(last));
    assert!(!bench.is_there(named));
}

#[test]
fn nothing_goes_while_files_are_read() {
    let mut bench = Bench::new();
    let [first, last] = ["first", "last"].map(|bytes| bench.put(bytes));
    bench.save(1, first);
    bench.save(1, last);
    bench.age(first);
    bench.sweep(20);
    let files = Mutex::default();
    let guard = files.lock().unwrap();
    let now = bench.start + Duration::from_secs(100);
    let limits = Limits::default();
    let swept = bench
        .states
        .sweep(&bench.rows, &bench.blobs, &limits, &files, now);
    swept.unwrap();
    drop(guard);
    assert!(bench.is_there(first));
    bench.sweep(200);
    assert!(!bench.is_there(first));
}

#[test]
fn forgetting_an_agent_is_a_reason_to_look() {
    let mut bench = Bench::new();
    assert_eq!(bench.states.due(), None);
    let mut pending = Backlog::default();
    pending.push(Item::Over(HotReloadId::from_random_bits(1)));
    bench.states.written(&pending, &Limits::default());
    assert_eq!(bench.states.due(), None);
    pending.forget("a".parse().unwrap());
    bench.states.written(&pending, &Limits::default());
    assert!(bench.states.due().is_some());
}
