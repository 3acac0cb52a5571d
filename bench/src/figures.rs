//! What a process takes of its machine.

use std::path::Path;

use anyhow::{Context, Result};

/// What a process holds at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Resident memory.
    pub resident_kib: u64,
    /// Open files.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

impl Figures {
    /// Of this process, now.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .context("this measurement reads /proc, which only Linux has")?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .with_context(|| format!("no {name} in /proc/{pid}/status"))
        };
        Ok(Self {
            resident_kib: field("VmRSS:")?,
            threads: field("Threads:")?,
            files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        })
    }
}

/// Files under a folder and their bytes; what goes while it is looked at is not counted.
#[must_use]
pub fn size_of(folder: &Path) -> (u64, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return (0, 0);
    };
    entries
        .flatten()
        .fold((0, 0), |(files, bytes), entry| match entry.metadata() {
            Ok(data) if data.is_dir() => {
                let (more, larger) = size_of(&entry.path());
                (files + more, bytes + larger)
            }
            Ok(data) => (files + 1, bytes + data.len()),
            Err(_) => (files, bytes),
        })
}

/// The value below which this per cent of sorted values lie.
#[must_use]
pub fn at<T: Copy + Default>(sorted: &[T], per_cent: usize) -> T {
    let index = (sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}
