//! What is taken from the folder, and from which folders nothing is.

use super::*;
use crate::policy::store;

struct Fixture {
    folder: tempfile::TempDir,
    engine: Engine,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            engine: store::engine().unwrap(),
        }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.folder.path(), &self.engine).unwrap()
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
    fixture.cache().put(digest(1), &fixture.component());
    assert!(fixture.cache().get(&fixture.engine, digest(1)).is_some());
    assert!(fixture.cache().get(&fixture.engine, digest(2)).is_none());
    let again = store::engine().unwrap();
    let cache = Cache::open(fixture.folder.path(), &again).unwrap();
    assert!(cache.get(&again, digest(1)).is_some());

    let other = Engine::default();
    let cache = Cache::open(fixture.folder.path(), &other).unwrap();
    assert!(cache.get(&other, digest(1)).is_none());
}

#[test]
fn a_file_that_is_not_what_was_written_is_not_taken() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    cache.put(digest(1), &fixture.component());
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

    cache.put(digest(1), &fixture.component());
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
        assert!(Cache::open(&folder, &fixture.engine).is_none(), "{mode:o}");
        let why = private(&folder).unwrap_err().to_string();
        assert!(
            why.contains(&format!("chmod 700 {}", around.display())),
            "{why}"
        );
    }
    open_to(&around, 0o1777);
    assert!(Cache::open(&folder, &fixture.engine).is_some());
    open_to(&around, 0o755);
    open_to(&folder, 0o777);
    let cache = Cache::open(&folder, &fixture.engine).unwrap();
    cache.put(digest(1), &fixture.component());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&cache.path(digest(1))), 0o600);
    assert!(cache.get(&fixture.engine, digest(1)).is_some());
    // A file that others could have written, whole or not.
    open_to(&cache.path(digest(1)), 0o622);
    assert!(cache.get(&fixture.engine, digest(1)).is_none());
    // What stands in the way of a folder is no reason not to run.
    fs::write(folder.join("file"), "").unwrap();
    assert!(Cache::open(&folder.join("file"), &fixture.engine).is_none());
}

#[test]
fn files_that_were_used_longest_ago_go_first() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let component = fixture.component();
    for n in 0..=u8::try_from(FILES_MAX).unwrap() {
        cache.put(digest(n), &component);
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
    assert_eq!(left, FILES_MAX);
    assert!(cache.get(&fixture.engine, digest(1)).is_none());
    assert!(cache.get(&fixture.engine, digest(2)).is_some());
}
