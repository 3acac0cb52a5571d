//! Inputs as a slip, a broken disk or an attacker makes them of good ones. Shared by the property tests of several crates, each
//! of which takes this file in with `#[path]`.
//!
//! A folder beside this file holds the inputs that a test begins with: real ones, and such as once failed. How many cases are
//! tried stands in each test, so that an ordinary run takes seconds; `PROPTEST_CASES` goes before it. A case that fails is
//! written to a folder `proptest-regressions` and tried first from then on.

use proptest::prelude::*;
use proptest::sample::Index;

/// One thing that happens to bytes. Places are taken relative to their length.
#[derive(Debug, Clone)]
pub enum Change {
    Flip(Index, u8),
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
    /// A piece stands there several times.
    Repeat(Index, usize, usize),
    /// A piece of itself goes elsewhere.
    Move(Index, usize, Index),
    /// From here on it is another input of the corpus.
    Splice(Index, Index, Index),
    /// A number as large as five bytes can say in LEB128.
    Giant(Index),
}

/// Up to `most` changes.
pub fn changes(most: usize) -> impl Strategy<Value = Vec<Change>> {
    let place = any::<Index>;
    let change = prop_oneof![
        4 => (place(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        3 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        2 => (place(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (place(), prop::sample::select(MARKS)).prop_map(|(at, mark)| Change::Insert(at, mark.to_vec())),
        2 => (place(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => place().prop_map(Change::Cut),
        2 => (place(), 1..200_usize, 1..20_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => (place(), 1..60_usize, place()).prop_map(|(at, length, to)| Change::Move(at, length, to)),
        1 => (place(), place(), place()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
        1 => place().prop_map(Change::Giant),
    ];
    prop::collection::vec(change, 0..=most)
}

/// Pieces at which readers of text go wrong.
const MARKS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\"",
    b"\"\"\"",
    b"#",
    b"[",
    b"{",
    b"=",
    b"../",
    b"%2e%2e/",
    b"\x1b[2J",
    b"\xff\xfe",
    "\u{202e}".as_bytes(),
    b"99999999999999999999",
    b"-1",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"host: other\r\n",
];

/// The bytes after these changes. `others` are what pieces may come from.
fn apply(bytes: &[u8], others: &[Vec<u8>], changes: &[Change]) -> Vec<u8> {
    /// Repeating must not make inputs that are only slow.
    const MOST: usize = 2 << 20;
    let mut bytes = bytes.to_vec();
    for change in changes {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match change {
            Change::Flip(at, _) | Change::Put(at, _) if place(at) == bytes.len() => {}
            Change::Flip(at, bits) => {
                let at = place(at);
                bytes[at] ^= bits;
            }
            Change::Put(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Change::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Remove(at, length) => {
                let at = place(at);
                let end = (at + length).min(bytes.len());
                bytes.drain(at..end);
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Repeat(at, length, times) => {
                let at = place(at);
                let piece = bytes[at..(at + length).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Change::Move(at, length, to) => {
                let at = place(at);
                let end = (at + length).min(bytes.len());
                let piece: Vec<u8> = bytes.drain(at..end).collect();
                let to = to.index(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            Change::Splice(at, other, from) => {
                if !others.is_empty() {
                    let other = other.get(others);
                    bytes.truncate(place(at));
                    bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
                }
            }
            Change::Giant(at) => {
                let at = place(at);
                bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
        }
        bytes.truncate(MOST);
    }
    bytes
}

/// The inputs in a folder beside this file, in order of their names. `root` is where the repository is.
pub fn corpus(root: &str, folder: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(root).join("tests/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
pub fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|asked| asked.parse().ok()).unwrap_or(usual),
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

/// One of the inputs after these changes.
pub fn changed(at: &Index, corpus: &[Vec<u8>], changes: &[Change]) -> Vec<u8> {
    let original: &Vec<u8> = at.get(corpus);
    apply(original, corpus, changes)
}
