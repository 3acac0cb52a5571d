//! Files as they are dropped, and versions that differ in nothing but their bytes.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The same component under another digest.
pub(crate) fn variant(component: &[u8], number: u64) -> Vec<u8> {
    caxton_test_artifacts::with_section(component, "variant", number.to_string().as_bytes())
}

/// The digest as the host writes it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Puts a file into place whole: written beside under a hidden name, then renamed.
pub(crate) fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let beside = folder.join(format!(".{name}.new"));
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, folder.join(name)).unwrap();
}
