//! What an agent may claim beside its name, as it is written in its configuration.

use std::fmt;
use std::str::FromStr;

use caxton_rollout::AgentName;
use thiserror::Error;

/// The longest path that an agent may claim, in bytes: it bounds how many prefixes of a request's path are looked up.
pub const LONGEST_PATH: usize = 256;
/// The longest host name that an agent may claim, in bytes: the limit that the domain name system sets.
pub const LONGEST_HOST: usize = 253;

/// Why something written cannot be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteSyntaxError {
    /// Not a host name.
    #[error(
        "\"{0}\" is not a host name: write 1 to {LONGEST_HOST} letters, digits, `-`, `_` and `.`, without a port, for example \"hello.localhost\""
    )]
    Host(String),
    /// Not a path that requests can be told apart by.
    #[error(
        "\"{written}\" cannot be a route's path: {why}; write for example \"/\" or \"/shop/api\""
    )]
    Path {
        /// The path as written.
        written: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A host name that an agent claims: in lower case, without a port and without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteHost(Box<str>);

impl RouteHost {
    pub(super) fn into_name(self) -> Box<str> {
        self.0
    }
}

impl FromStr for RouteHost {
    type Err = RouteSyntaxError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let name = written.strip_suffix('.').unwrap_or(written);
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let labels = name.split('.').all(|label| !label.is_empty());
        if labels && name.len() <= LONGEST_HOST && name.bytes().all(fits) {
            Ok(Self(name.to_ascii_lowercase().into()))
        } else {
            Err(RouteSyntaxError::Host(written.to_owned()))
        }
    }
}

impl fmt::Display for RouteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path that an agent claims, with everything below it. The root is kept as the empty prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutePath(Box<str>);

impl RoutePath {
    /// The path of everything.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::from(""))
    }

    pub(super) fn of_name(name: &AgentName) -> Self {
        Self(format!("/{name}").into())
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    pub(super) fn into_prefix(self) -> Box<str> {
        self.0
    }
}

impl FromStr for RoutePath {
    type Err = RouteSyntaxError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let refuse = |why| {
            let written = written.to_owned();
            Err(RouteSyntaxError::Path { written, why })
        };
        let fits = |c: u8| c.is_ascii_graphic() && !matches!(c, b'?' | b'#' | b'%' | b'"' | b'\\');
        let path = written.strip_suffix('/').unwrap_or(written);
        if !written.starts_with('/') {
            return refuse("it does not begin with a slash");
        }
        if path.len() > LONGEST_PATH {
            return refuse("it is longer than 256 bytes");
        }
        if !path.bytes().all(fits) {
            return refuse("it contains a character that paths here may not have");
        }
        if path.split('/').skip(1).any(|segment| segment.is_empty()) {
            return refuse("it has an empty segment");
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return refuse("it has a segment `.` or `..`");
        }
        Ok(Self(path.into()))
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_claimed_is_refused_with_what_is_wrong() {
        for host in [
            "",
            ".",
            "a..b",
            "a:80",
            "a b",
            "ä",
            "[::1]",
            &"a".repeat(254),
        ] {
            assert!(host.parse::<RouteHost>().is_err(), "{host}");
        }
        for (path, why) in [
            ("", "slash"),
            ("shop", "slash"),
            ("//", "empty"),
            ("/a//b", "empty"),
            ("/a/../b", "`..`"),
            ("/.", "`.`"),
            ("/a?b", "character"),
            ("/a%20", "character"),
            ("/ä", "character"),
            (&format!("/{}", "a".repeat(256)), "256"),
        ] {
            let error = path.parse::<RoutePath>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!("/".parse::<RoutePath>().unwrap(), RoutePath::root());
        assert_eq!("/a/".parse::<RoutePath>().unwrap().to_string(), "/a");
    }
}
