//! The secret that opens the admin surface.

use std::fmt;

use sha2::{Digest, Sha256};

/// Bytes of randomness in a token: beyond guessing.
const BYTES: usize = 32;

/// A bearer token, as 64 hexadecimal digits. It never shows in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The token as it is sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is this token. The time that takes tells nothing about how much of it was right: what is
    /// compared are digests, whose bytes nobody can aim at.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        let own = Sha256::digest(self.0.as_bytes());
        let other = Sha256::digest(presented);
        own.iter()
            .zip(other.iter())
            .fold(0, |differing, (a, b)| differing | (a ^ b))
            == 0
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_its_own_and_hidden() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert!(one.is(one.reveal().as_bytes()) && !one.is(other.reveal().as_bytes()));
        assert!(!one.is(b"") && !one.is(&one.reveal().as_bytes()[..63]));
        assert_eq!(format!("{one:?}"), "Token(hidden)");
    }
}
