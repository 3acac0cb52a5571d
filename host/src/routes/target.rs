//! What an agent's requests reach at present, and which of its versions answers one of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use caxton_rollout::{MirrorRequests, VersionNumber};
use caxton_runtime::Version;
use http::{HeaderName, HeaderValue, Method};

use super::affinity::Affinity;
use super::share::Share;
use crate::gate::{GATE_TIMEOUT, Gate};

/// What an agent's requests reach at present.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each agent in a table, and nearly all of them serve"
)]
pub enum Target {
    /// Versions that get new requests.
    Serving(Serving),
    /// The agent is known and nothing of it can answer.
    Unavailable {
        /// A clause for people: `it is starting`, `its file was removed`.
        why: String,
    },
}

/// The versions that get an agent's requests, and how.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Answers what no share takes away.
    pub served: Served,
    /// Another version that answers a share.
    pub split: Option<Share>,
    /// Another version that gets copies, and whose answers reach nobody.
    pub listener: Option<Listener>,
    /// Where a request's key stands.
    pub affinity: Affinity,
    /// Where requests wait while the agent's state moves. Only agents that keep state have one, and it is the same in
    /// every table.
    pub gate: Option<Arc<Gate>>,
    /// How long a request may wait there.
    pub gate_timeout: Duration,
}

impl Serving {
    /// One version answers everything, nobody listens, and nothing ever waits.
    #[must_use]
    pub fn all_to(served: Served) -> Self {
        Self {
            served,
            split: None,
            listener: None,
            affinity: Affinity::default(),
            gate: None,
            gate_timeout: GATE_TIMEOUT,
        }
    }

    /// Who answers a request with this key, or the one for which this number was drawn.
    pub(crate) fn answering(&self, key: Option<u64>, drawn: u64) -> &Served {
        match &self.split {
            Some(share) if share.takes(key, drawn) => &share.served,
            _ => &self.served,
        }
    }
}

/// A version as the gateway reaches it.
#[derive(Clone)]
pub struct Served {
    /// Its number, told to callers.
    pub number: VersionNumber,
    /// The version itself.
    pub version: Arc<Version>,
    /// The number as a header's value, made once.
    header: HeaderValue,
}

impl Served {
    /// This version under this number.
    #[must_use]
    pub fn new(number: VersionNumber, version: Arc<Version>) -> Self {
        let header = HeaderValue::from(number.get());
        Self {
            number,
            version,
            header,
        }
    }

    /// The value of `x-caxton-version`.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Served").field(&self.number).finish()
    }
}

/// A version that hears copies of requests.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Who hears them. Its own limit of concurrent calls is that of copies.
    pub served: Served,
    /// What is copied, and how answers are compared.
    pub rules: Arc<MirrorRules>,
    /// What came of it, the same in every table as long as the version listens.
    pub counts: Arc<MirrorCounts>,
}

/// What is copied, and how answers are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorRules {
    /// Which requests are copied.
    pub requests: MirrorRequests,
    /// Headers of answers that may differ, beside those that always do.
    pub ignore_headers: Vec<HeaderName>,
}

impl MirrorRules {
    /// Whether requests of this method are copied. Messages to handlers are POSTs.
    pub(crate) fn admit(&self, method: &Method) -> bool {
        match self.requests {
            MirrorRequests::All => true,
            MirrorRequests::Safe => [Method::GET, Method::HEAD, Method::OPTIONS].contains(method),
        }
    }
}

/// What came of copies, as atomics: added to beside the request path, taken away at each tick.
#[derive(Debug, Default)]
pub struct MirrorCounts {
    mismatches: AtomicU64,
    skipped: AtomicU64,
    /// Copies that are being made or answered.
    under_way: AtomicU32,
}

impl MirrorCounts {
    /// Copies that were answered differently, and requests of which no copy could be made, since the last take.
    pub fn take(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.mismatches), take(&self.skipped))
    }

    /// Notes a copy that was answered differently.
    pub(crate) fn differs(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a request of which there is no copy.
    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A place among at most `limit` copies under way, if one is free. It bounds what is kept of bodies that are still
    /// coming in, before the listener has seen anything of them.
    pub(crate) fn place(self: &Arc<Self>, limit: u32) -> Option<Place> {
        let place = Place(Arc::clone(self));
        // Dropping the place gives it back, also the one that is too many.
        (self.under_way.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

/// One copy among those under way.
#[derive(Debug)]
pub(crate) struct Place(Arc<MirrorCounts>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_places_and_give_them_back() {
        let counts = Arc::new(MirrorCounts::default());
        let first = counts.place(2);
        let second = counts.place(2);
        assert!(first.is_some() && second.is_some());
        assert!(counts.place(2).is_none());
        drop(first);
        assert!(counts.place(2).is_some());
        assert_eq!(counts.under_way.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_was_taken_is_gone() {
        let counts = MirrorCounts::default();
        counts.differs();
        counts.skip();
        counts.skip();
        assert_eq!(counts.take(), (1, 2));
        assert_eq!(counts.take(), (0, 0));
    }

    #[test]
    fn safe_methods_are_those_that_change_nothing() {
        let safe = MirrorRules::default();
        let all = MirrorRules {
            requests: MirrorRequests::All,
            ..MirrorRules::default()
        };
        for (method, copied) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::POST, false),
            (Method::PUT, false),
            (Method::DELETE, false),
            (Method::PATCH, false),
            (Method::TRACE, false),
        ] {
            assert_eq!(safe.admit(&method), copied, "{method}");
            assert!(all.admit(&method));
        }
    }
}
