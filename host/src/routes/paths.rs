//! The prefixes that are claimed on one host, or on all of them, and who holds them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use caxton_rollout::AgentName;
use http::HeaderValue;

use super::claims::RoutePath;
use super::{Found, Route};

struct Claimed {
    route: Arc<Route>,
    header: Option<HeaderValue>,
}

/// Prefixes and their holders.
#[derive(Default)]
pub(super) struct Paths {
    holders: HashMap<Box<str>, Claimed>,
    longest: usize,
}

impl Paths {
    /// Stores the claim, or answers with the agent that has it.
    pub(super) fn claim(&mut self, path: RoutePath, route: &Arc<Route>) -> Result<(), AgentName> {
        let prefix = path.into_prefix();
        let header = (!prefix.is_empty()).then(|| HeaderValue::from_str(&prefix).ok());
        let length = prefix.len();
        match self.holders.entry(prefix) {
            Entry::Occupied(held) => Err(held.get().route.name.clone()),
            Entry::Vacant(free) => {
                free.insert(Claimed {
                    route: Arc::clone(route),
                    header: header.flatten(),
                });
                self.longest = self.longest.max(length);
                Ok(())
            }
        }
    }

    /// Who holds exactly this path.
    pub(super) fn holder(&self, path: &RoutePath) -> Option<Arc<Route>> {
        let held = self.holders.get(path.prefix())?;
        Some(Arc::clone(&held.route))
    }

    /// The holder of the longest prefix of `path` that ends where a segment ends.
    pub(super) fn find(&self, path: &str) -> Option<Found> {
        let mut end = path.len();
        loop {
            if end <= self.longest
                && let Some(prefix) = path.get(..end)
                && let Some(claimed) = self.holders.get(prefix)
            {
                return Some(Found {
                    route: Arc::clone(&claimed.route),
                    prefix: end,
                    prefix_header: claimed.header.clone(),
                });
            }
            // Beyond the longest prefix there is nothing to look up: jump to the last boundary before it.
            let before = end.min(self.longest + 1);
            let bytes = path.as_bytes().get(..before)?;
            end = bytes.iter().rposition(|c| *c == b'/')?;
        }
    }
}
