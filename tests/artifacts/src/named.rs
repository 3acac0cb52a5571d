//! Builds of the guest `named`: each answers with its own name.

use crate::NAMED;

/// What stands before the manner and the name in the guest's bytes.
const MARK: &[u8] = b"caxton's build: ";

/// Bytes that a name has room for.
const ROOM: usize = 16;

/// How a build behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers with its name.
    Good,
    /// Half of its answers have the status 500.
    Failing,
    /// Half of its calls end in a trap.
    Trapping,
}

/// A component that answers with `name`; none where the name is longer than 16 bytes.
///
/// It has the length of [`NAMED`] and differs in nothing but these bytes, so that any number of them have code of their own.
#[must_use]
pub fn build_named(name: &str, manner: Manner) -> Option<Vec<u8>> {
    let mut filled = name.as_bytes().to_vec();
    if filled.len() > ROOM {
        return None;
    }
    filled.resize(ROOM, b'.');
    let letter = match manner {
        Manner::Good => b'g',
        Manner::Failing => b'f',
        Manner::Trapping => b't',
    };
    let at = NAMED.windows(MARK.len()).position(|bytes| bytes == MARK)? + MARK.len();
    let mut bytes = NAMED.to_vec();
    let place = bytes.get_mut(at..at + 1 + ROOM)?;
    let (manner, rest) = place.split_first_mut()?;
    *manner = letter;
    rest.copy_from_slice(&filled);
    Some(bytes)
}

/// The name in an answer of such a build.
#[must_use]
pub fn name_in(answer: &str) -> &str {
    answer.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_differs_in_manner_and_name_only() {
        let build = build_named("twelve", Manner::Failing).unwrap();
        assert_eq!(build.len(), NAMED.len());
        let differ = build.iter().zip(NAMED).filter(|(a, b)| a != b).count();
        assert_eq!(differ, "f".len() + "twelve".len());
        let marks = NAMED
            .windows(MARK.len())
            .filter(|bytes| *bytes == MARK)
            .count();
        assert_eq!(marks, 1);
        assert_eq!(build_named("longer than sixteen", Manner::Good), None);
    }
}
