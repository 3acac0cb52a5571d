//! The secret that opens the admin surface.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

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
    /// compared are digests, whose bytes nobody can aim at and whose length is always the same, all of their bytes.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        let own = Sha256::digest(self.0.as_bytes());
        let other = Sha256::digest(presented);
        own.as_slice().ct_eq(other.as_slice()).into()
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

    /// A comparison that ends at the first difference would be faster, and no test sees that. This one sees that what is
    /// compared is the digest, and by what.
    #[test]
    fn a_token_is_compared_by_its_digest_and_in_constant_time() {
        let source = include_str!("token.rs");
        let (_, from) = source.split_once("pub fn is(").unwrap();
        let (body, _) = from.split_once("\n    }\n").unwrap();
        assert!(
            body.contains("own.as_slice().ct_eq(other.as_slice())"),
            "{body}"
        );
        assert!(!body.contains("=="), "{body}");
        let one = Token::generate().unwrap();
        for at in [0, 31, 63] {
            let mut near = one.reveal().as_bytes().to_vec();
            near[at] ^= 1;
            assert!(!one.is(&near), "{at}");
        }
    }
}
