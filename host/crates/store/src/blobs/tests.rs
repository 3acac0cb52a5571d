use std::fs::File;

use super::*;

fn age(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn what_was_put_comes_back_and_only_this_user_can_read_it() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    for kind in BlobKind::ALL {
        let digest = blobs.put(kind, b"some bytes").unwrap();
        assert_eq!(&*blobs.get(kind, digest).unwrap(), b"some bytes");
        let path = blobs.path(kind, digest);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(path.parent().unwrap()), 0o700);
        }
        assert_eq!(blobs.list(kind).unwrap().len(), 1, "{kind:?}");
        blobs.remove(kind, digest).unwrap();
        blobs.remove(kind, digest).unwrap();
        let absent = blobs.get(kind, digest).unwrap_err();
        assert!(matches!(absent, BlobError::Absent { .. }), "{absent}");
    }
}

#[test]
fn bytes_that_are_there_are_not_written_again_and_count_as_just_put() {
    use std::os::unix::fs::MetadataExt as _;
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    let bytes = vec![7; 200_000];
    let digest = blobs.put(BlobKind::Component, &bytes).unwrap();
    let path = blobs.path(BlobKind::Component, digest);
    age(&path, Duration::from_secs(10_000));
    let first = fs::metadata(&path).unwrap().ino();
    blobs.put(BlobKind::Component, &bytes).unwrap();
    let again = fs::metadata(&path).unwrap();
    assert_eq!(again.ino(), first);
    assert!(again.modified().unwrap().elapsed().unwrap() < Duration::from_secs(5_000));
}

#[test]
fn a_damaged_file_is_set_aside_and_healed_by_the_next_put() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    for damage in [&b""[..], b"half", b"other bytes!", b"twelve bytes and more"] {
        let digest = blobs.put(BlobKind::State, b"twelve bytes").unwrap();
        let path = blobs.path(BlobKind::State, digest);
        fs::write(&path, damage).unwrap();
        let error = blobs.get(BlobKind::State, digest).unwrap_err();
        assert!(matches!(error, BlobError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(".damaged"), "{error}");
        assert_eq!(fs::read(beside(&path, DAMAGED)).unwrap(), damage);
        let error = blobs.get(BlobKind::State, digest).unwrap_err();
        assert!(matches!(error, BlobError::Absent { .. }), "{error}");
        blobs.put(BlobKind::State, b"twelve bytes").unwrap();
        assert_eq!(
            &*blobs.get(BlobKind::State, digest).unwrap(),
            b"twelve bytes"
        );
        // A put heals it also where nobody has read it.
        fs::write(&path, damage).unwrap();
        blobs.put(BlobKind::State, b"twelve bytes").unwrap();
        assert_eq!(
            &*blobs.get(BlobKind::State, digest).unwrap(),
            b"twelve bytes"
        );
    }
}

#[test]
fn what_nobody_finishes_goes_after_an_hour() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    let digest = blobs.put(BlobKind::Policy, b"policy").unwrap();
    let whole = blobs.path(BlobKind::Policy, digest);
    let old = whole.with_file_name("1-0.new");
    let young = whole.with_file_name("2-0.new");
    let damaged = beside(&whole, DAMAGED);
    for path in [&old, &young, &damaged] {
        fs::write(path, "half").unwrap();
    }
    age(&old, 2 * ABANDONED);
    age(&whole, 2 * DAMAGED_KEPT);
    blobs.tidy(SystemTime::now());
    assert!(!old.exists());
    assert!(young.exists() && damaged.exists() && whole.exists());
    age(&damaged, 2 * DAMAGED_KEPT);
    blobs.tidy(SystemTime::now());
    assert!(!damaged.exists() && whole.exists());
}

#[test]
fn only_what_is_old_is_removed_and_what_was_just_put_is_not() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    let minute = Duration::from_secs(60);
    let digest = blobs.put(BlobKind::State, b"state").unwrap();
    let path = blobs.path(BlobKind::State, digest);
    let remove = || blobs.remove_old(BlobKind::State, digest, minute).unwrap();
    assert!(!remove() && path.exists());
    // It is old, and somebody puts the same.
    age(&path, 2 * minute);
    blobs.put(BlobKind::State, b"state").unwrap();
    assert!(!remove() && path.exists());
    // Somebody set the clock back.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() + minute).unwrap();
    assert!(!remove() && path.exists());
    age(&path, 2 * minute);
    assert!(remove() && !path.exists());
    assert!(remove(), "it is gone");
}

#[test]
fn what_was_removed_while_it_was_compared_is_written_anew() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    let digest = blobs.put(BlobKind::State, b"state").unwrap();
    let path = blobs.path(BlobKind::State, digest);
    let file = File::options().write(true).open(&path).unwrap();
    assert!(disk::make_young(&file, &path));
    blobs.remove(BlobKind::State, digest).unwrap();
    assert!(!disk::make_young(&file, &path));
}

#[test]
fn many_who_put_the_same_at_once_do_not_meet() {
    let data = tempfile::tempdir().unwrap();
    let blobs = Blobs::within(data.path());
    let bytes = vec![7; 1 << 20];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let digest = blobs.put(BlobKind::Policy, &bytes).unwrap();
                assert_eq!(&*blobs.get(BlobKind::Policy, digest).unwrap(), &bytes[..]);
            });
        }
    });
    let left = fs::read_dir(data.path().join("policies")).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_what_helps() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("artifacts"), "in the way").unwrap();
    let error = Blobs::within(data.path())
        .put(BlobKind::Config, b"a = 1")
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("artifacts") && error.contains("move away"),
        "{error}"
    );
}
