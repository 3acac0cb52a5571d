//! DATA/admin.json: where a running host can be reached and with which token. Read by the command line. The token stands
//! in DATA/admin.token, too, for programs that want a file with nothing else in it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Token;

/// The file's name inside the data directory.
pub const FILE_NAME: &str = "admin.json";

/// The name of the file with the token alone.
const TOKEN_NAME: &str = "admin.token";

/// How a running host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The admin surface.
    pub address: SocketAddr,
    /// The gateway.
    pub gateway: SocketAddr,
    /// The host's process.
    pub pid: u32,
    /// What opens the admin surface.
    pub token: Token,
}

#[derive(Serialize, Deserialize)]
struct Written {
    address: SocketAddr,
    gateway: SocketAddr,
    pid: u32,
    token: String,
}

/// Why the announcement could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// The file system said no.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is there and is no announcement.
    #[error("{path} is not what a host writes: {source}", path = .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Announcement {
    /// Where the announcement of the host with this data directory stands.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    /// Reads the announcement of the host with this data directory.
    ///
    /// # Errors
    /// There is none (a [`AnnouncementError::File`] of the kind not found), it cannot be read, or it is something else.
    pub fn read(data_dir: &Path) -> Result<Self, AnnouncementError> {
        let path = Self::path(data_dir);
        let bytes = std::fs::read(&path).map_err(|source| AnnouncementError::File {
            path: path.clone(),
            source,
        })?;
        let written: Written = serde_json::from_slice(&bytes)
            .map_err(|source| AnnouncementError::Content { path, source })?;
        Ok(Self {
            address: written.address,
            gateway: written.gateway,
            pid: written.pid,
            token: written.token.into(),
        })
    }
}

/// Writes the announcement: readable for its owner only, whole or not at all.
///
/// # Errors
/// The data directory cannot be written.
pub fn announce(data_dir: &Path, announcement: &Announcement) -> io::Result<()> {
    let written = Written {
        address: announcement.address,
        gateway: announcement.gateway,
        pid: announcement.pid,
        token: announcement.token.reveal().to_owned(),
    };
    // Whoever finds the announcement finds the token.
    put(&data_dir.join(TOKEN_NAME), written.token.as_bytes())?;
    let text = serde_json::to_vec(&written)?;
    put(&Announcement::path(data_dir), &text)
}

/// A line of text in a file for this user alone, whole or not at all.
fn put(path: &Path, line: &[u8]) -> io::Result<()> {
    // Temporary files are made with mode 0600 where there are modes.
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(line)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}

/// Removes the announcement; to be called while the data directory is still locked, so that it is no later host's.
///
/// # Errors
/// It is there and cannot be removed.
pub fn withdraw(data_dir: &Path) -> io::Result<()> {
    for path in [Announcement::path(data_dir), data_dir.join(TOKEN_NAME)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_its_owner_only_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let mine = Announcement {
            address: ([127, 0, 0, 1], 8081).into(),
            gateway: ([127, 0, 0, 1], 8080).into(),
            pid: 7,
            token: Token::generate().unwrap(),
        };
        std::fs::write(
            Announcement::path(dir.path()),
            "left by a host that was killed",
        )
        .unwrap();
        announce(dir.path(), &mine).unwrap();
        assert_eq!(Announcement::read(dir.path()).unwrap(), mine);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            for name in [FILE_NAME, TOKEN_NAME] {
                let facts = std::fs::metadata(dir.path().join(name)).unwrap();
                assert_eq!(facts.permissions().mode() & 0o777, 0o600);
            }
        }
        let token = std::fs::read_to_string(dir.path().join(TOKEN_NAME)).unwrap();
        assert_eq!(token.trim_end(), mine.token.reveal());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        withdraw(dir.path()).unwrap();
        withdraw(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(matches!(
            Announcement::read(dir.path()),
            Err(AnnouncementError::File { .. })
        ));
    }

    #[test]
    fn another_file_of_that_name_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(Announcement::path(dir.path()), "{}").unwrap();
        let error = Announcement::read(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("admin.json is not what a host writes: missing field"),
            "{error}"
        );
    }
}
