//! `caxton backup` and `caxton restore`: everything that a start needs as one file, taken while the host serves, and put into
//! a new data directory.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::Connection;
use super::client::Client;
use super::failure::Failure;
use super::policy::kit::slowly;
use super::records::note;
use super::text::harmless;
use super::{print, print_json};

/// `caxton backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to write, which must not be there yet; the host writes it
    pub file: PathBuf,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `caxton backup` wrote
    pub file: PathBuf,
    /// The data directory to make of it: a new or an empty one, for a host that does not run yet
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
}

/// What a backup holds.
#[derive(Debug, Deserialize)]
struct BackedUp {
    path: PathBuf,
    bytes: u64,
    files: u64,
    #[serde(default)]
    missing: Vec<String>,
}

pub(super) async fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let file = std::path::absolute(&args.file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.file.display())))?;
    // A path that is no text cannot be sent as JSON.
    let Some(path) = file.to_str() else {
        return Err(Failure::Usage(format!(
            "{} is no UTF-8 text: name the file otherwise",
            file.display()
        )));
    };
    let client = Client::find(&args.connection)?;
    let body = json!({ "path": path });
    let written = slowly("backing up", client.upkeep("backup", &body)).await?;
    let backup: BackedUp = client.read(written.clone())?;
    for missing in &backup.missing {
        note(&format!("it is not in the backup: {missing}"));
    }
    if args.json {
        return print_json(&written);
    }
    print(&told(&backup))
}

fn told(backup: &BackedUp) -> String {
    let path = backup.path.display().to_string();
    let path = harmless(&path);
    format!(
        "{path}: {}, the journal and {}\nput it back with `caxton restore {path} --data-dir DIR`; it holds what configurations grant, \
         secrets too\n",
        ByteSize::b(backup.bytes),
        files(backup.files)
    )
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        _ => format!("{count} files"),
    }
}

pub(super) async fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    is_new(&args.file, &args.data_dir)?;
    let (file, data) = (args.file.clone(), args.data_dir.clone());
    let work = tokio::task::spawn_blocking(move || caxton_store::restore_backup(&file, &data));
    let restored = slowly("restoring", work).await;
    let restored = restored
        .unwrap_or_else(|gone| Err(gone.to_string()))
        .map_err(Failure::No)?;
    if args.json {
        return print_json(&as_json(&restored));
    }
    let data = args.data_dir.display().to_string();
    let data = harmless(&data);
    print(&format!(
        "{data}: the journal and {}; start a host on it with `caxton run --data-dir {data}`\n",
        files(restored.files)
    ))
}

fn as_json(restored: &caxton_store::BackedUp) -> Value {
    json!({ "path": restored.path, "bytes": restored.bytes, "files": restored.files })
}

/// What is wrong with how the command was called.
fn is_new(file: &Path, data: &Path) -> Result<(), Failure> {
    let about = file.metadata().map_err(|error| {
        Failure::Usage(format!(
            "{} cannot be read: {error}; name the file that `caxton backup` wrote",
            file.display()
        ))
    })?;
    if !about.is_file() {
        return Err(Failure::Usage(format!(
            "{} is no file; name the one that `caxton backup` wrote",
            file.display()
        )));
    }
    let full = match std::fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(Failure::Usage(format!(
                "{} cannot be used: {error}; name a new directory with --data-dir",
                data.display()
            )));
        }
    };
    if full {
        return Err(Failure::Usage(format!(
            "{} is not empty, and nothing is written over what is in it; name a new directory with --data-dir",
            data.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_tells_how_it_is_put_back() {
        let backup = BackedUp {
            path: "/b/x\u{1b}.db".into(),
            bytes: 5 << 20,
            files: 1,
            missing: Vec::new(),
        };
        assert_eq!(
            told(&backup),
            "/b/x\\u{1b}.db: 5.0 MiB, the journal and 1 file\nput it back with `caxton restore /b/x\\u{1b}.db --data-dir DIR`; it \
             holds what configurations grant, secrets too\n"
        );
    }

    #[test]
    fn a_restore_wants_a_file_and_a_directory_with_nothing_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b");
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let said = |file: &Path, data: &Path| is_new(file, data).unwrap_err().to_string();
        assert!(said(&file, &empty).contains("cannot be read"));
        assert!(said(&empty, &empty).contains("is no file"));
        std::fs::write(&file, "").unwrap();
        assert!(said(&file, folder.path()).contains("is not empty"));
        assert!(said(&file, &file).contains("cannot be used"));
        is_new(&file, &empty).unwrap();
        is_new(&file, &folder.path().join("new")).unwrap();
    }
}
