//! What is taken from the folder, and from which folders nothing is.

use super::*;

/// A kind of which hardly any is kept.
const FEW: Kind = Kind {
    what: "a few",
    ending: ".few",
    files: 2,
    bytes: u64::MAX,
};

fn engine() -> Engine {
    Engine::new(wasmtime::Config::new().consume_fuel(true)).unwrap()
}

struct Fixture {
    folder: tempfile::TempDir,
    engine: Engine,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            engine: engine(),
        }
    }

    fn cache(&self) -> Cache {
        Cache::open(&POLICIES, self.folder.path(), &self.engine).unwrap()
    }

    fn component(&self) -> Component {
        Component::from_binary(&self.engine, &wat::parse_str("(component)").unwrap()).unwrap()
    }
}

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

#[test]
fn what_was_kept_is_found_by_whoever_has_the_same_engine() {
    let fixture = Fixture::new();
    assert!(fixture.cache().get(&fixture.engine, digest(1)).is_none());
    fixture.cache().put(digest(1), &fixture.component(), &[]);
    assert!(fixture.cache().get(&fixture.engine, digest(1)).is_some());
    assert!(fixture.cache().get(&fixture.engine, digest(2)).is_none());
    let again = engine();
    let cache = Cache::open(&POLICIES, fixture.folder.path(), &again).unwrap();
    assert!(cache.get(&again, digest(1)).is_some());

    let other = Engine::default();
    let cache = Cache::open(&POLICIES, fixture.folder.path(), &other).unwrap();
    assert!(cache.get(&other, digest(1)).is_none());
}

#[test]
fn a_file_that_is_not_what_was_written_is_not_taken() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    cache.put(digest(1), &fixture.component(), &[]);
    let path = cache.path(digest(1));
    let whole = fs::read(&path).unwrap();
    for size in [0, 1, CHECKSUM, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, whole.get(..size).unwrap()).unwrap();
        assert!(cache.get(&fixture.engine, digest(1)).is_none(), "{size}");
    }
    for place in [0, CHECKSUM, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        *flipped.get_mut(place).unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(cache.get(&fixture.engine, digest(1)).is_none(), "{place}");
    }
    // The code of another component, under this one's name.
    fs::write(cache.path(digest(2)), &whole).unwrap();
    assert!(cache.get(&fixture.engine, digest(2)).is_none());

    cache.put(digest(1), &fixture.component(), &[]);
    assert!(cache.get(&fixture.engine, digest(1)).is_some());
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_or_write_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new();
    let open_to = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (around, folder) = (
        fixture.folder.path().join("a"),
        fixture.folder.path().join("a/b"),
    );
    fs::create_dir_all(&folder).unwrap();
    // Who can write around the folder can put another in its place.
    for mode in [0o777, 0o770, 0o702] {
        open_to(&around, mode);
        assert!(
            Cache::open(&POLICIES, &folder, &fixture.engine).is_none(),
            "{mode:o}"
        );
        let why = private(&folder).unwrap_err().to_string();
        assert!(
            why.contains(&format!("chmod 700 {}", around.display())),
            "{why}"
        );
    }
    open_to(&around, 0o1777);
    assert!(Cache::open(&POLICIES, &folder, &fixture.engine).is_some());
    open_to(&around, 0o755);
    open_to(&folder, 0o777);
    let cache = Cache::open(&POLICIES, &folder, &fixture.engine).unwrap();
    cache.put(digest(1), &fixture.component(), &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&cache.path(digest(1))), 0o600);
    assert!(cache.get(&fixture.engine, digest(1)).is_some());
    // A file that others could have written, whole or not.
    open_to(&cache.path(digest(1)), 0o622);
    assert!(cache.get(&fixture.engine, digest(1)).is_none());
    // What stands in the way of a folder is no reason not to run.
    fs::write(folder.join("file"), "").unwrap();
    assert!(Cache::open(&POLICIES, &folder.join("file"), &fixture.engine).is_none());
}

#[test]
fn files_that_were_used_longest_ago_go_first() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let component = fixture.component();
    for n in 0..=u8::try_from(POLICIES.files).unwrap() {
        cache.put(digest(n), &component, &[]);
        let age = Duration::from_secs(1_000 - u64::from(n));
        let file = File::options()
            .write(true)
            .open(cache.path(digest(n)))
            .unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        // Used, so that it is not the oldest.
        assert!(cache.get(&fixture.engine, digest(0)).is_some(), "{n}");
    }
    let left = fs::read_dir(fixture.folder.path()).unwrap().count();
    assert_eq!(left, POLICIES.files);
    assert!(cache.get(&fixture.engine, digest(1)).is_none());
    assert!(cache.get(&fixture.engine, digest(2)).is_some());
}

#[test]
fn what_is_in_use_goes_last_and_no_kind_removes_another() {
    let fixture = Fixture::new();
    let component = fixture.component();
    let other = fixture.cache();
    other.put(digest(9), &component, &[]);
    let cache = Cache::open(&FEW, fixture.folder.path(), &fixture.engine).unwrap();
    let is_kept = |n| cache.path(digest(n)).exists();
    let age = |cache: &Cache, n: u8| {
        let file = File::options().write(true).open(cache.path(digest(n)));
        let used = SystemTime::now() - Duration::from_secs(1_000 - u64::from(n));
        file.unwrap().set_modified(used).unwrap();
    };
    age(&other, 9);
    for n in 1..=3 {
        cache.put(digest(n), &component, &[digest(1)]);
        age(&cache, n);
    }
    assert_eq!([1, 2, 3].map(is_kept), [true, false, true]);
    // More than there is room for is in use: then the oldest of these.
    cache.put(digest(4), &component, &[1, 3, 4].map(digest));
    assert_eq!([1, 3, 4].map(is_kept), [false, true, true]);
    assert!(other.get(&fixture.engine, digest(9)).is_some());
}

#[test]
fn bytes_are_bounded_as_files_are() {
    let fixture = Fixture::new();
    let component = fixture.component();
    let size = component.serialize().unwrap().len() + CHECKSUM;
    let kind: &'static Kind = Box::leak(Box::new(Kind {
        what: "little",
        ending: ".little",
        files: 100,
        bytes: u64::try_from(size).unwrap() * 2 + 1,
    }));
    let cache = Cache::open(kind, fixture.folder.path(), &fixture.engine).unwrap();
    for n in 1..=5 {
        cache.put(digest(n), &component, &[]);
    }
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 2);
}

#[test]
fn that_nothing_can_be_kept_is_said_once_until_something_is() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let component = fixture.component();
    fs::remove_dir(fixture.folder.path()).unwrap();
    for _ in 0..2 {
        assert!(!cache.put(digest(1), &component, &[]));
        assert!(cache.told.load(Ordering::Relaxed));
    }
    fs::create_dir(fixture.folder.path()).unwrap();
    assert!(cache.put(digest(1), &component, &[]));
    assert!(!cache.told.load(Ordering::Relaxed));
}

#[test]
fn what_a_killed_process_was_writing_goes_when_the_next_one_opens_the_folder() {
    let fixture = Fixture::new();
    let of_another = fixture.folder.path().join("0-1.new");
    let own = format!("{}-1.new", std::process::id());
    let own = fixture.folder.path().join(own);
    for file in [&of_another, &own] {
        fs::write(file, "half").unwrap();
    }
    fixture.cache();
    assert!(!of_another.exists());
    assert!(own.exists(), "it is being written");
}
