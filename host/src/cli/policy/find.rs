//! Which policy someone means: a file, or one in this binary.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::failure::Failure;
use crate::cli::text::harmless;
use crate::policies;
use caxton_runtime::nearest;

/// Bytes that are read of a file: one more than a policy may have, which is enough to refuse it for its size.
const READ_MAX: u64 = 100 * 1024 * 1024 + 1;

/// A policy's bytes and where they came from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The name that the policy has: that in the binary, or the file's without its ending.
    pub name: String,
    pub bytes: Arc<[u8]>,
    /// None for a policy in this binary.
    pub file: Option<PathBuf>,
}

impl Found {
    /// As a person wrote it.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => harmless(&file.display().to_string()).into_owned(),
            None => self.name.clone(),
        }
    }
}

/// What `policy` means: a file where it has a slash or the ending `.wasm`, or where there is such a file; otherwise the name of
/// a policy in this binary.
///
/// # Errors
/// There is neither, or the file cannot be read.
pub(crate) fn find(policy: &str) -> Result<Found, Failure> {
    let path = Path::new(policy);
    let has_ending = path.extension().is_some_and(|ending| ending == "wasm");
    if policy.contains(std::path::is_separator) || has_ending || path.is_file() {
        return file(path);
    }
    embedded(policy).ok_or_else(|| Failure::Usage(nowhere(policy)))
}

/// The policy of that name in this binary.
pub(crate) fn embedded(policy: &str) -> Option<Found> {
    let (name, bytes) = policies::embedded().find(|(name, _)| *name == policy)?;
    Some(Found {
        name: name.to_owned(),
        bytes: Arc::from(bytes),
        file: None,
    })
}

fn file(path: &Path) -> Result<Found, Failure> {
    let unreadable = |why: String| {
        Failure::Usage(format!(
            "the policy {} cannot be read: {why}",
            path.display()
        ))
    };
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(format!("{error}{}", near_file(path))))?;
    if !size.is_file() {
        return Err(unreadable("it is no file; name the .wasm file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            use std::io::Read;
            file.take(READ_MAX).read_to_end(&mut bytes)
        })
        .map_err(|error| unreadable(error.to_string()))?;
    let name = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    Ok(Found {
        name: name.unwrap_or_else(|| "policy".to_owned()),
        bytes: bytes.into(),
        file: Some(path.to_owned()),
    })
}

/// A hint at a component beside it with almost that name.
fn near_file(path: &Path) -> String {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Some(wanted) = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
    else {
        return String::new();
    };
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".wasm"))
        .collect();
    match nearest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean {}?", folder.join(near).display()),
        None => String::new(),
    }
}

fn nowhere(policy: &str) -> String {
    let mut names: Vec<&str> = policies::embedded().map(|(name, _)| name).collect();
    names.sort_unstable();
    let meant = match nearest(policy, names.iter().copied()) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    };
    format!(
        "there is no policy {policy:?} in this binary, and no file of that name here{meant}\nin this binary are {}; a \
         file is named by its path, for example ./{policy}.wasm",
        names.join(", ")
    )
}
