//! Compiled code on disk: who finds it, and from which files nobody takes any.

use crate::{answer, soon};
use caxton_runtime::{AgentSpec, CodeCounts, CodeSource, Runtime, RuntimeOptions, Version};
use caxton_test_artifacts::{TOOL, WEB, with_section};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A host that begins, with what the ones before it left in `folder`.
fn host(folder: &Path) -> Arc<Runtime> {
    Runtime::new(RuntimeOptions {
        compiled: Some(folder.to_owned()),
        instances: 8,
        ..RuntimeOptions::default()
    })
    .unwrap()
}

async fn prepared(runtime: &Arc<Runtime>, guest: &[u8]) -> Arc<Version> {
    let spec = AgentSpec::new("a", 1);
    soon(runtime.prepare(guest.into(), spec)).await.unwrap()
}

/// Waits until so many files were written.
async fn written(runtime: &Runtime, files: u64) {
    soon(async {
        while runtime.code_counts().written < files {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A folder in which the code of WEB is.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = host(folder.path());
    prepared(&runtime, WEB).await;
    written(&runtime, 1).await;
    let files = fs::read_dir(folder.path()).unwrap();
    let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [path] = &paths[..] else {
        panic!("one file: {paths:?}");
    };
    let path = path.clone();
    (folder, path)
}

const ONE_COMPILED: CodeCounts = CodeCounts {
    compiled: 1,
    from_disk: 0,
    written: 1,
};

#[tokio::test]
async fn a_second_start_does_not_compile() {
    let (folder, _) = filled().await;
    let runtime = host(folder.path());
    let version = prepared(&runtime, WEB).await;
    assert_eq!(version.code_source(), CodeSource::Disk);
    assert_eq!(version.compile_time(), Duration::ZERO);
    assert_eq!(answer(&version, "/").await.0, 200);
    let again = prepared(&runtime, WEB).await;
    assert_eq!(again.code_source(), CodeSource::Memory);
    drop((version, again));
    let counts = runtime.code_counts();
    assert_eq!((counts.compiled, counts.from_disk), (0, 1));
    // Back to what nobody held any more: from disk again.
    let back = prepared(&runtime, WEB).await;
    assert_eq!(back.code_source(), CodeSource::Disk);
}

#[tokio::test]
async fn metered_code_is_kept_beside_the_other() {
    let folder = tempfile::tempdir().unwrap();
    for source in [CodeSource::Compiled, CodeSource::Disk] {
        let runtime = host(folder.path());
        let plain = prepared(&runtime, WEB).await;
        let mut spec = AgentSpec::new("a", 1);
        spec.limits.fuel = Some(10_000_000);
        let metered = soon(runtime.prepare(WEB.into(), spec)).await.unwrap();
        for version in [&plain, &metered] {
            assert_eq!(version.code_source(), source);
            assert_eq!(answer(version, "/").await.0, 200);
        }
        assert_eq!(runtime.holdings().components, 2);
        if source == CodeSource::Compiled {
            written(&runtime, 2).await;
        }
    }
}

#[tokio::test]
async fn another_component_never_gets_it() {
    let (folder, path) = filled().await;
    let runtime = host(folder.path());
    let other = with_section(WEB, "version", b"other");
    let version = prepared(&runtime, &other).await;
    assert_eq!(version.code_source(), CodeSource::Compiled);
    written(&runtime, 1).await;
    // Not even where its file has that name.
    let of_other = fs::read_dir(folder.path()).unwrap();
    let of_other = of_other.map(|file| file.unwrap().path());
    let of_other = of_other.filter(|other| *other != path).last().unwrap();
    fs::copy(&path, &of_other).unwrap();
    let runtime = host(folder.path());
    assert_eq!(
        prepared(&runtime, &other).await.code_source(),
        CodeSource::Compiled
    );
    assert_eq!(
        prepared(&runtime, TOOL).await.code_source(),
        CodeSource::Compiled
    );
}

/// Whatever `damage` does to the file: the next start compiles anew, and the one after it finds that.
async fn is_replaced(what: &str, damage: impl FnOnce(&Path)) {
    let (folder, path) = filled().await;
    damage(&path);
    let runtime = host(folder.path());
    let version = prepared(&runtime, WEB).await;
    assert_eq!(version.code_source(), CodeSource::Compiled, "{what}");
    assert_eq!(answer(&version, "/").await.0, 200, "{what}");
    written(&runtime, 1).await;
    assert_eq!(runtime.code_counts(), ONE_COMPILED, "{what}");
    let runtime = host(folder.path());
    let version = prepared(&runtime, WEB).await;
    assert_eq!(version.code_source(), CodeSource::Disk, "{what}");
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_compiled_anew_and_replaced() {
    is_replaced("cut short", |path| {
        let whole = fs::read(path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_altered_is_compiled_anew_and_replaced() {
    is_replaced("altered", |path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.last_mut().unwrap();
        *last ^= 1;
        fs::write(path, bytes).unwrap();
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_could_have_written_is_compiled_anew_and_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    is_replaced("writable", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o662)).unwrap();
    })
    .await;
}

/// The engine is part of the name, and of the checksum: code of another release is neither found nor taken under this one's name.
#[tokio::test]
async fn a_file_of_another_engine_is_compiled_anew_and_replaced() {
    is_replaced("another engine's", |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (component, _) = name.split_once('-').unwrap();
        let ending = path.extension().unwrap().to_str().unwrap();
        let other = format!("{component}-{}.{ending}", "0".repeat(64));
        fs::rename(path, path.with_file_name(other)).unwrap();
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_others_can_write_to_is_not_used_and_the_agents_serve() {
    use std::os::unix::fs::PermissionsExt as _;
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("compiled");
    fs::set_permissions(around.path(), fs::Permissions::from_mode(0o775)).unwrap();
    for _ in 0..2 {
        let runtime = host(&folder);
        let version = prepared(&runtime, WEB).await;
        assert_eq!(version.code_source(), CodeSource::Compiled);
        assert_eq!(answer(&version, "/").await.0, 200);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// One compilation at a time, and that one is busy: what is on disk does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_does_not_wait_for_those_that_compile() {
    let (folder, _) = filled().await;
    let runtime = Runtime::new(RuntimeOptions {
        compiled: Some(folder.path().to_owned()),
        compiles: 1,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let compiling: Vec<_> = (0..8_u8)
        .map(|n| {
            let (runtime, guest) = (Arc::clone(&runtime), with_section(TOOL, "n", &[n]));
            tokio::spawn(async move { prepared(&runtime, &guest).await })
        })
        .collect();
    let version = prepared(&runtime, WEB).await;
    assert_eq!(version.code_source(), CodeSource::Disk);
    assert!(
        runtime.code_counts().compiled < 8,
        "the others are not through"
    );
    for other in compiling {
        soon(other).await.unwrap();
    }
    assert_eq!(runtime.code_counts().compiled, 8);
}
