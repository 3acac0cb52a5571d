//! Takes over what the release before the journal recorded: DATA/records/AGENT/RELOAD.jsonl, a file for each reload.
//!
//! Lines go into the journal as they stand, a piece at a time, so that what the host has to write now waits for no more than
//! one of them; then the file is removed. A host that ends meanwhile goes on at the next start where it was: lines that are
//! in the journal already are passed over. What cannot be taken over stays where it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use caxton_rollout::{AgentName, HotReloadId, Moment};
use caxton_store::{Journal, RecordBatch};
use serde::de::IgnoredAny;

use super::recorder::RELOAD_BYTES_MAX;
use super::{Began, Record};
use crate::clock::moment;

/// How the name of a reload's file ends.
const ENDING: &str = ".jsonl";

/// What that release let a file grow to: results were added to one that was full.
const FILE_BYTES_MAX: u64 = RELOAD_BYTES_MAX + 1024 * 1024;

/// Bytes that are handed over at once; a line that is longer goes alone.
const PIECE: usize = 256 * 1024;

/// One file, whole.
#[derive(Debug, PartialEq)]
struct Recorded {
    agent: AgentName,
    reload: HotReloadId,
    began: Moment,
    /// When something was last written into it.
    changed: Moment,
    lines: Vec<String>,
}

/// Takes over everything in the folder, and removes it. It is in nobody's way and may be ended at any time.
pub(super) async fn take_over(journal: Journal, folder: PathBuf) {
    let listed = {
        let folder = folder.clone();
        on_disk(move || Ok(files(&folder))).await
    };
    let files = match listed {
        Ok(files) if !files.is_empty() => files,
        _ => return,
    };
    let counted = {
        let journal = journal.clone();
        on_disk(move || counts(&journal)).await
    };
    let mut there = match counted {
        Ok(there) => there,
        Err(problem) => return tracing::warn!("{} waits: {problem}", folder.display()),
    };
    let (mut taken, mut left) = (0_u64, 0_u64);
    for path in files {
        let read = {
            let path = path.clone();
            on_disk(move || read(&path)).await
        };
        let recorded = match read {
            Ok(recorded) => recorded,
            Err(problem) => {
                left += 1;
                tracing::warn!("{} stays where it is: {problem}", path.display());
                continue;
            }
        };
        let before = there.remove(&recorded.reload).unwrap_or(0);
        if !hand_over(&journal, recorded, before).await {
            tracing::warn!(
                "{} waits for the next start: the journal cannot be written now",
                folder.display()
            );
            return;
        }
        taken += 1;
        let removed = on_disk(move || fs::remove_file(path).map_err(|error| error.to_string()));
        if let Err(problem) = removed.await {
            tracing::warn!("a file that was taken over stays behind: {problem}");
        }
    }
    let _ = tokio::task::spawn_blocking(move || remove_empty(&folder)).await;
    tracing::info!(
        taken,
        left,
        "decision records of an earlier release are in the journal"
    );
}

/// Hands over what comes after the first `before` lines; false where the journal cannot be written now.
async fn hand_over(journal: &Journal, recorded: Recorded, before: u64) -> bool {
    let Recorded {
        agent,
        reload,
        began,
        changed,
        lines,
    } = recorded;
    let mut left = lines
        .into_iter()
        .skip(usize::try_from(before).unwrap_or(usize::MAX))
        .peekable();
    let mut begins = before == 0;
    while left.peek().is_some() {
        let (mut piece, mut size) = (Vec::new(), 0);
        // The first line stands alone: it came when the reload began.
        while let Some(line) = left.next_if(|line| piece.is_empty() || size + line.len() <= PIECE) {
            size += line.len();
            piece.push(line);
            if begins {
                break;
            }
        }
        let batch = RecordBatch {
            agent: agent.clone(),
            reload,
            at: if begins { began } else { changed },
            lines: piece,
            begins: std::mem::replace(&mut begins, false),
            ends: false,
        };
        if !journal.record(batch) || !journal.flush().await {
            return false;
        }
    }
    journal.records_over(reload);
    true
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|gone| Err(gone.to_string()))
}

/// How many lines of each reload the journal has.
fn counts(journal: &Journal) -> Result<BTreeMap<HotReloadId, u64>, String> {
    let reader = journal.reader().map_err(|error| error.to_string())?;
    let there = reader.records()?;
    Ok(there.into_iter().map(|of| (of.reload, of.lines)).collect())
}

/// Every file of records, of all agents; what cannot be looked at is passed over.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let agents = entries(folder).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = agents
        .flat_map(|agent| entries(&agent).collect::<Vec<_>>())
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ENDING))
        .collect();
    files.sort();
    files
}

/// A file that is what the release before this one wrote. What a killed host left of a line at its end is none.
fn read(path: &Path) -> Result<Recorded, String> {
    let io = |error: std::io::Error| error.to_string();
    let about = fs::symlink_metadata(path).map_err(io)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err("it is no file of a size that records have".to_owned());
    }
    let changed = moment(about.modified().map_err(io)?);
    let text = fs::read_to_string(path).map_err(io)?;
    let lines: Vec<String> = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect();
    let first = lines.first().map(|line| serde_json::from_str(line));
    let Some(Ok(Record::Began(began))) = first else {
        return Err("it does not begin as records do".to_owned());
    };
    if path.file_name() != Some(format!("{}{ENDING}", began.reload).as_ref()) {
        return Err(format!("it is about the reload {}", began.reload));
    }
    let wrong = |line: &String| serde_json::from_str::<IgnoredAny>(line).is_err();
    if let Some(line) = lines.iter().position(wrong) {
        return Err(format!("its line {} is not JSON", line + 1));
    }
    let Began {
        reload, agent, at, ..
    } = began;
    Ok(Recorded {
        agent,
        reload,
        began: at,
        changed: changed.unwrap_or_default(),
        lines,
    })
}

/// Folders go with their last file; as long as there are others, removing one fails.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELOAD: &str = "00000000-0000-4000-8000-000000000001";

    fn began() -> String {
        format!(
            r#"{{"record":"began","format":"caxton-records/1","reload":"{RELOAD}","agent":"shop","at":7,"policies":[]}}"#
        )
    }

    fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
        let shop = folder.join("records/shop");
        fs::create_dir_all(&shop).unwrap();
        let path = shop.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_no_file_of_records_says_why_and_half_a_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{RELOAD}{ENDING}");
        let told = r#"{"record":"told","event":{}}"#;
        let first = began();
        let path = put(
            folder.path(),
            &name,
            &format!("{first}\n{told}\n{{\"record\":\"to"),
        );
        let recorded = read(&path).unwrap();
        assert_eq!(recorded.lines, [first.as_str(), told]);
        assert_eq!(
            (recorded.began, recorded.agent.as_ref()),
            (Moment(7), "shop")
        );
        assert!(recorded.changed > Moment(1_000_000_000_000));
        for (name, text, why) in [
            (&name[..], format!("{told}\n"), "does not begin"),
            (&name, String::new(), "does not begin"),
            (&name, format!("{first}\nno\n"), "line 2 is not JSON"),
            ("other.jsonl", format!("{first}\n"), "is about the reload"),
        ] {
            let problem = read(&put(folder.path(), name, &text)).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }

    #[tokio::test]
    async fn files_go_into_the_journal_once_and_what_is_none_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = caxton_store::Store::open(folder.path(), caxton_store::Limits::default());
        let (store, _) = store.unwrap();
        let name = format!("{RELOAD}{ENDING}");
        let mut lines = vec![began()];
        lines.extend((0..500).map(|n| {
            format!(
                r#"{{"record":"told","event":{{"n":{n},"text":"{}"}}}}"#,
                "x".repeat(2_000)
            )
        }));
        let text = format!("{}\n", lines.join("\n"));
        let path = put(folder.path(), &name, &text);
        let strange = put(folder.path(), "strange.jsonl", "no\n");
        let records = folder.path().join("records");

        // A host that was ended in the middle, and one that was ended before the file was removed.
        let part = Recorded {
            lines: lines[..100].to_vec(),
            ..read(&path).unwrap()
        };
        assert!(hand_over(&store.journal, part, 0).await);
        for _ in 0..2 {
            fs::write(&path, &text).unwrap();
            take_over(store.journal.clone(), records.clone()).await;
            assert!(!path.exists() && strange.exists());
        }
        let reader = store.journal.reader().unwrap();
        let of = reader.records().unwrap().remove(0);
        assert_eq!((of.lines, of.began), (501, Moment(7)));
        assert_eq!(reader.lines(of.reload, 0, 1_000).unwrap(), lines);

        fs::remove_file(strange).unwrap();
        put(folder.path(), &name, &text);
        take_over(store.journal.clone(), records.clone()).await;
        assert!(!records.exists(), "the folder goes with its last file");
    }
}
