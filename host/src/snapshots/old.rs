//! States that the first releases stored, each in a file of its own: `DATA/state/NAME.snapshot`, a line of JSON that says what it
//! is, then the bytes as the agent gave them. They are read once, and taken over into the store.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use caxton_rollout::{AgentName, Digest};
use caxton_runtime::Snapshot;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::config::unhex;

/// What the first line calls the rest.
const KIND: &str = "caxton-snapshot/1";
/// The longest first line: a format's name is short.
const MAX_HEADER: u64 = 64 << 10;

#[derive(Deserialize)]
struct Header {
    kind: String,
    /// The version that saved it.
    number: u64,
    /// Of that version's component.
    component: String,
    format: String,
    bytes: u64,
    sha256: String,
}

/// Where an agent's state was: the one that was stored at the last stop, and the one that the start before began with.
#[derive(Debug, Clone)]
pub(crate) struct Old {
    paths: [PathBuf; 2],
}

impl Old {
    pub(super) fn of(folder: &Path, agent: &AgentName) -> Self {
        Self {
            paths: [
                folder.join(format!("{agent}.snapshot")),
                folder.join(format!("{agent}.snapshot.taken")),
            ],
        }
    }

    /// The newest, and its file; none if there never was one. It takes as long as the disk does.
    pub(crate) fn read(&self) -> Result<Option<(Snapshot, PathBuf)>, String> {
        for path in &self.paths {
            let snapshot = match File::open(path) {
                Ok(file) => read(file),
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => continue,
                Err(problem) => Err(problem.to_string()),
            };
            return match snapshot {
                Ok(snapshot) => Ok(Some((snapshot, path.clone()))),
                Err(problem) => Err(format!(
                    "its saved state {} cannot be used: {problem}; restore the file from a backup, or remove it to start the agent \
                     empty, and then retry",
                    path.display()
                )),
            };
        }
        Ok(None)
    }

    /// What is in the store by now is read no more.
    pub(crate) fn put_aside(&self) -> io::Result<()> {
        for path in &self.paths {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".migrated");
            match fs::rename(path, aside) {
                Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read(file: File) -> Result<Snapshot, String> {
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    let mut head = file.by_ref().take(MAX_HEADER);
    head.read_until(b'\n', &mut line)
        .map_err(|e| e.to_string())?;
    let header: Header =
        serde_json::from_slice(&line).map_err(|e| format!("its first line is damaged ({e})"))?;
    if header.kind != KIND {
        return Err(format!("it is a {:?}, not a {KIND:?}", header.kind));
    }
    if Some(length) != header.bytes.checked_add(line.len() as u64) {
        return Err("its length is not what its first line says".to_owned());
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data).map_err(|e| e.to_string())?;
    if Digest::new(Sha256::digest(&data).into()).to_string() != header.sha256 {
        return Err("its bytes are not those that were written".to_owned());
    }
    let component = unhex(&header.component).ok_or("its first line names no component")?;
    Ok(Snapshot {
        number: header.number,
        digest: component,
        format: header.format,
        data: data.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first release wrote it.
    fn stored(data: &str) -> Vec<u8> {
        let sha256 = Digest::new(Sha256::digest(data).into());
        let component = "07".repeat(32);
        let length = data.len();
        format!(
            "{{\"kind\":\"{KIND}\",\"agent\":\"counter\",\"number\":3,\"component\":\"{component}\",\"format\":\"count/1\",\
             \"bytes\":{length},\"sha256\":\"{sha256}\"}}\n{data}"
        )
        .into_bytes()
    }

    fn old(folder: &Path) -> Old {
        Old::of(folder, &"counter".parse().unwrap())
    }

    #[test]
    fn the_newest_is_read_and_then_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let old = old(folder.path());
        assert!(old.read().unwrap().is_none());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("counter.snapshot.taken"), stored("the one before")).unwrap();
        let (snapshot, _) = old.read().unwrap().unwrap();
        assert_eq!(snapshot.data, &b"the one before"[..]);
        fs::write(path("counter.snapshot"), stored("first\nline\n")).unwrap();
        let (snapshot, from) = old.read().unwrap().unwrap();
        assert_eq!(snapshot.data, &b"first\nline\n"[..]);
        assert_eq!((snapshot.number, snapshot.digest), (3, [7; 32]));
        assert_eq!(snapshot.format, "count/1");
        assert_eq!(from, path("counter.snapshot"));
        old.put_aside().unwrap();
        assert!(old.read().unwrap().is_none());
        assert!(path("counter.snapshot.migrated").exists());
        assert!(path("counter.snapshot.taken.migrated").exists());
    }

    #[test]
    fn a_damaged_file_is_refused_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let whole = stored("twelve bytes");
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let huge = String::from_utf8(whole.clone()).unwrap();
        let huge = huge.replace("\"bytes\":12", &format!("\"bytes\":{}", u64::MAX));
        for (damaged, what) in [
            (&whole[..whole.len() - 1], "length"),
            (huge.as_bytes(), "length"),
            (&flipped[..], "bytes"),
            (b"", "first line"),
            (b"{}", "first line"),
        ] {
            fs::write(folder.path().join("counter.snapshot"), damaged).unwrap();
            let error = old(folder.path()).read().unwrap_err();
            assert!(error.contains(what), "{error}");
            let helps = error.contains("remove it to start the agent empty");
            assert!(helps && error.contains("counter.snapshot"), "{error}");
        }
    }
}
