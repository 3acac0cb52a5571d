//! Where requests may go: scheme, host and port, compared exactly.

use http::Uri;
use http::uri::{Authority, Scheme};
use std::fmt;
use std::str::FromStr;

/// Who answers at an address: `https://api.example.com`, `http://localhost:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    /// In lower case.
    host: String,
    port: u16,
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no origin, {why}; write a scheme, a host, and a port where it is not the scheme's own: https://api.example.com, http://localhost:3000"
)]
pub struct OriginError {
    text: String,
    why: &'static str,
}

impl Origin {
    /// The origin that a request goes to. None when it names none, or names a user: that has no business in a target.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        Some(Self {
            https,
            host: authority.host().to_ascii_lowercase(),
            port: port(authority, https)?,
        })
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// The host, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// None where something stands behind the colon and is no port: it must not be taken for the scheme's own.
fn port(authority: &Authority, https: bool) -> Option<u16> {
    let after_host = authority.as_str().strip_prefix(authority.host())?;
    match after_host.strip_prefix(':') {
        None if after_host.is_empty() => Some(if https { 443 } else { 80 }),
        None => None,
        Some(_) => authority.port_u16().filter(|port| *port != 0),
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = |why| OriginError {
            text: text.to_owned(),
            why,
        };
        let uri: Uri = text.parse().map_err(|_| error("and no URL either"))?;
        if uri.query().is_some() || uri.path() != "/" || text.ends_with('/') {
            return Err(error("because nothing stands behind its host and port"));
        }
        Self::of(&uri).ok_or_else(|| error("because its scheme must be http or https"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == own {
            return Ok(());
        }
        write!(f, ":{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.com:443", "https://api.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "api.example.com",
            "ftp://a",
            "https://a/path",
            "https://a/",
            "https://a?b",
            "https://user@a",
            "https://a:0",
            "https://a:99999",
            "https://a:",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_differs_in_one_part_is_another_origin() {
        let granted: Origin = "https://a.example:8443".parse().unwrap();
        let of = |uri: &'static str| Origin::of(&Uri::from_static(uri));
        assert_eq!(of("https://A.example:8443/x?y"), Some(granted.clone()));
        for uri in [
            "http://a.example:8443/",
            "https://a.example/",
            "https://a.example.b:8443/",
            "https://b.a.example:8443/",
        ] {
            assert_ne!(of(uri), Some(granted.clone()), "{uri}");
        }
        assert_eq!(of("https://a.example:8443@b/"), None);
    }
}
