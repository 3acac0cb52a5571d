//! The sources of a project: which files they are, and whether their contents are what they were.
//!
//! As everywhere, events are hints and the listing is the truth: whatever is heard, all watched files are listed, and those that
//! look different are read. A file that was written again with the same bytes has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ignore::WalkBuilder;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::cli::now_ms;

/// What is never a source, wherever it lies.
const NEVER: [&str; 8] = [
    ".caxton",
    ".git",
    ".hg",
    ".jj",
    ".venv",
    "__pycache__",
    "node_modules",
    "target",
];

/// Files that are watched: far more than what a person writes, and listed within milliseconds.
const MAX_FILES: usize = 10_000;

/// A larger file is compared by its dates alone.
const READ_MAX: u64 = 16 << 20;

/// What has changed, and when the newest of it was saved, in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    /// Relative to the project.
    pub files: BTreeSet<PathBuf>,
    /// By the date of the file; where that is older than the look before, or there is none, when it was seen.
    pub at: u64,
}

/// Which files are sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    /// The project.
    pub root: PathBuf,
    /// Files and folders in it; the project itself for everything in it.
    pub parts: Vec<PathBuf>,
}

/// A file as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    stamp: (u64, Option<SystemTime>, u64),
    content: [u8; 32],
}

/// The sources, and what is heard of them.
#[derive(Debug)]
pub(super) struct Sources {
    watched: Watched,
    seen: BTreeMap<PathBuf, Seen>,
    /// Not watched any more; none where events cannot be had.
    ears: Option<RecommendedWatcher>,
    listening: BTreeSet<PathBuf>,
    heard: Arc<Notify>,
    looked_at: u64,
    /// There are more files than are watched.
    pub too_many: bool,
}

impl Sources {
    /// Takes the sources as they are now for what they were.
    pub(super) fn of(watched: Watched) -> Self {
        let heard = Arc::new(Notify::new());
        let bell = Arc::clone(&heard);
        let ears = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading is no news.
            if !event.is_ok_and(|event| {
                matches!(event.kind, EventKind::Access(_)) && !event.need_rescan()
            }) {
                bell.notify_one();
            }
        });
        let mut sources = Self {
            watched,
            seen: BTreeMap::new(),
            ears: ears.ok(),
            listening: BTreeSet::new(),
            heard,
            looked_at: 0,
            too_many: false,
        };
        let _ = sources.look(now_ms());
        sources
    }

    /// Rings when something may have changed.
    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.heard)
    }

    /// What is not what it was at the last look.
    pub(super) fn look(&mut self, now: u64) -> Option<Saved> {
        let before = std::mem::replace(&mut self.looked_at, now);
        let (folders, files) = self.list();
        self.listen(folders);
        let mut changed = BTreeSet::new();
        let mut newest = None;
        let mut seen = BTreeMap::new();
        for (path, meta) in files {
            let old = self.seen.get(&path);
            let Some(new) = see(&self.watched.root.join(&path), &meta, old) else {
                continue;
            };
            if old.is_none_or(|old| old.content != new.content) {
                let modified = new
                    .stamp
                    .1
                    .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let modified = modified.and_then(|at| u64::try_from(at.as_millis()).ok());
                newest = newest.max(modified);
                changed.insert(path.clone());
            }
            seen.insert(path, new);
        }
        let gone = self.seen.keys().filter(|path| !seen.contains_key(*path));
        changed.extend(gone.cloned());
        self.seen = seen;
        let fresh = newest.filter(|at| (before..=now).contains(at));
        (!changed.is_empty()).then(|| Saved {
            files: changed,
            at: fresh.unwrap_or(now),
        })
    }

    /// Folders to listen to, and the files in them, relative to the project.
    fn list(&mut self) -> (BTreeSet<PathBuf>, BTreeMap<PathBuf, Metadata>) {
        let (mut folders, mut files) = (BTreeSet::new(), BTreeMap::new());
        self.too_many = false;
        for part in &self.watched.parts {
            let part = self.watched.root.join(part);
            // A part that is a file, or is not there yet, is heard of by its folder.
            folders.extend(part.parent().filter(|_| !part.is_dir()).map(Path::to_owned));
            for entry in walk(&part).flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.insert(entry.path().to_owned());
                } else if meta.is_file()
                    && let Ok(path) = entry.path().strip_prefix(&self.watched.root)
                {
                    if files.len() >= MAX_FILES {
                        self.too_many = true;
                        return (folders, files);
                    }
                    files.insert(path.to_owned(), meta);
                }
            }
        }
        (folders, files)
    }

    /// Listens to each folder by itself: below what is ignored there may be very many.
    fn listen(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(ears) = &mut self.ears else { return };
        for gone in self.listening.difference(&folders) {
            let _ = ears.unwatch(gone);
        }
        let is_heard = |folder: &PathBuf| {
            self.listening.contains(folder)
                || ears.watch(folder, RecursiveMode::NonRecursive).is_ok()
        };
        // What cannot be listened to is found by looking now and then.
        self.listening = folders.into_iter().filter(is_heard).collect();
    }
}

fn walk(part: &Path) -> ignore::Walk {
    let own = part.to_owned();
    WalkBuilder::new(part)
        .hidden(false)
        .parents(false)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .filter_entry(move |entry| {
            let never = |name: &str| NEVER.contains(&name) || name.ends_with(".wasm");
            entry.path() == own || !entry.file_name().to_str().is_some_and(never)
        })
        .build()
}

/// The file's content, from before where it looks the same. None where it is gone or cannot be read: it is looked at again.
fn see(path: &Path, meta: &Metadata, old: Option<&Seen>) -> Option<Seen> {
    let stamp = (meta.len(), meta.modified().ok(), inode(meta));
    if let Some(old) = old.filter(|old| old.stamp == stamp) {
        return Some(old.clone());
    }
    let content = match meta.len() {
        0..=READ_MAX => Sha256::digest(fs::read(path).ok()?).into(),
        _ => Sha256::digest(format!("{stamp:?}")).into(),
    };
    Some(Seen { stamp, content })
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(folder.path(), path, text);
        }
        folder
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn sources(root: &Path, parts: &[&str]) -> Sources {
        Sources::of(Watched {
            root: root.to_owned(),
            parts: parts.iter().map(PathBuf::from).collect(),
        })
    }

    fn changed(sources: &mut Sources) -> Vec<String> {
        let saved = sources.look(now_ms());
        let files = saved.into_iter().flat_map(|saved| saved.files);
        files.map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn what_is_ignored_or_built_is_no_source() {
        let project = project(&[(".gitignore", "out/\n*.tmp\n"), ("a.py", "1")]);
        let root = project.path();
        let mut sources = sources(root, &[""]);
        for path in [
            "out/x",
            "b.tmp",
            "target/release/x",
            "node_modules/m/index.js",
            ".venv/lib/x.py",
            ".git/HEAD",
            ".caxton/journal",
            "__pycache__/a.pyc",
            "a.wasm",
            "dist/a.wasm",
        ] {
            write(root, path, "x");
        }
        assert_eq!(changed(&mut sources), [""; 0]);
        write(root, "a.py", "2");
        write(root, "sub/b.py", "1");
        write(root, ".env", "A=1");
        assert_eq!(changed(&mut sources), [".env", "a.py", "sub/b.py"]);
        fs::remove_file(root.join("a.py")).unwrap();
        assert_eq!(changed(&mut sources), ["a.py"]);
    }

    #[test]
    fn the_same_bytes_are_no_change_and_a_save_has_the_date_of_its_file() {
        let project = project(&[("a", "1")]);
        let mut sources = sources(project.path(), &[""]);
        fs::remove_file(project.path().join("a")).unwrap();
        write(project.path(), "a", "1");
        assert_eq!(sources.look(now_ms()), None);
        let before = now_ms();
        write(project.path(), "a", "2");
        let later = now_ms() + 60_000;
        let saved = sources.look(later).unwrap();
        // The kernel's dates come from a clock that ticks every few milliseconds.
        assert!(
            (before - 20..later).contains(&saved.at),
            "{before} {saved:?}"
        );
        // A date from long before the last look says when it was written, and not when it came.
        let file = fs::File::create(project.path().join("a")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1))
            .unwrap();
        assert_eq!(sources.look(later + 5).unwrap().at, later + 5);
    }

    #[test]
    fn only_the_parts_that_are_named_are_sources() {
        let project = project(&[("src/a", "1"), ("README", "1"), ("Cargo.toml", "1")]);
        let mut sources = sources(project.path(), &["src", "Cargo.toml", "wit"]);
        write(project.path(), "README", "2");
        write(project.path(), "Cargo.lock", "2");
        assert_eq!(changed(&mut sources), [""; 0]);
        write(project.path(), "src/deep/b", "1");
        write(project.path(), "Cargo.toml", "2");
        write(project.path(), "wit/a.wit", "1");
        assert_eq!(
            changed(&mut sources),
            ["Cargo.toml", "src/deep/b", "wit/a.wit"]
        );
    }

    #[tokio::test]
    async fn what_happens_to_sources_is_heard_also_in_new_folders() {
        let project = project(&[("src/a", "1")]);
        let mut sources = sources(project.path(), &["src"]);
        let bell = sources.bell();
        for (path, text) in [("src/a", "2"), ("src/new/b", "1"), ("src/new/b", "2")] {
            write(project.path(), path, text);
            let name = path.to_owned();
            let heard = async {
                while changed(&mut sources) != [name.clone()] {
                    bell.notified().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), heard)
                .await
                .unwrap();
        }
    }
}
