//! Which agent a request is for: one immutable table, built by the controller and replaced whole.
//!
//! A lookup takes no lock and allocates nothing. The table knows no policy and no reload: it holds, for each agent, the
//! versions that get new requests, or why there are none ([`Target`]). It never decodes or normalises a path: what does
//! not match byte for byte is not routed.
//!
//! Every agent owns the path `/NAME` on every host. It may claim a host, a path, or a path on one host besides; the
//! longest matching prefix wins, and what was claimed for the request's host goes before what holds for all hosts.
//! What must hold: one claim has one holder, and that is the agent that came first.

mod affinity;
mod claims;
mod paths;
mod share;
mod target;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use caxton_rollout::AgentName;
use http::HeaderValue;

use self::paths::Paths;

pub use self::affinity::Affinity;
pub use self::claims::{LONGEST_HOST, LONGEST_PATH, RouteHost, RoutePath, RouteSyntaxError};
pub(crate) use self::share::draw;
pub use self::share::{POINTS, Share};
pub(crate) use self::target::Place;
pub use self::target::{Listener, MirrorCounts, MirrorRules, Served, Serving, Target};

/// One agent as the controller wants it routed.
#[derive(Clone)]
pub struct AgentRoute {
    /// The agent; it owns `/NAME`.
    pub name: AgentName,
    /// What its requests reach.
    pub target: Target,
    /// The host that it claims. Without a path: all of that host.
    pub host: Option<RouteHost>,
    /// The path that it claims, on `host` if there is one, otherwise on every host.
    pub path: Option<RoutePath>,
}

/// A claim that was refused because another agent came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The agent whose claim was refused. It stays reachable under its name.
    pub agent: AgentName,
    /// What it claimed: host and path, for example `hello.localhost/`, or `/shop`.
    pub claim: String,
    /// The agent that has it.
    pub holder: AgentName,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            claim,
            holder,
        } = self;
        write!(
            f,
            "agent {agent} claims the route {claim}, which agent {holder} has already: change [route] of one of them; \
             until then {agent} is reachable at /{agent} only"
        )
    }
}

/// An agent as the gateway sees it.
pub(crate) struct Route {
    pub(crate) name: AgentName,
    pub(crate) target: Target,
}

/// What a lookup found.
pub struct Found {
    pub(crate) route: Arc<Route>,
    /// How many bytes of the path belong to the route and are taken off before the agent sees it.
    pub(crate) prefix: usize,
    /// Those bytes as a header's value, made once; `None` when there are none.
    pub(crate) prefix_header: Option<HeaderValue>,
}

impl Found {
    /// The agent that was found.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.route.name
    }

    /// What the agent sees of `path`, the path that was looked up: `/` at least.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        match path.get(self.prefix..) {
            None | Some("") => "/",
            Some(rest) => rest,
        }
    }
}

/// Who answers which requests. Immutable: a change is a new table.
#[derive(Default)]
pub struct RoutingTable {
    everywhere: Paths,
    hosts: HashMap<Box<str>, Paths>,
    conflicts: Vec<Conflict>,
}

impl RoutingTable {
    /// The table for these agents, given in the order in which they came to their claims: of two that claim the same
    /// the later one is refused and listed in [`conflicts`](Self::conflicts). Names go before every claim.
    #[must_use]
    pub fn build(agents: impl IntoIterator<Item = AgentRoute>) -> Self {
        let mut table = Self::default();
        let mut claims = Vec::new();
        for agent in agents {
            let AgentRoute {
                name,
                target,
                host,
                path,
            } = agent;
            let own = RoutePath::of_name(&name);
            let route = Arc::new(Route { name, target });
            table.claim(&route, None, own);
            if host.is_some() || path.is_some() {
                claims.push((route, host, path.unwrap_or_else(RoutePath::root)));
            }
        }
        for (route, host, path) in claims {
            table.claim(&route, host, path);
        }
        table
    }

    fn claim(&mut self, route: &Arc<Route>, host: Option<RouteHost>, path: RoutePath) {
        let claim = match &host {
            Some(host) => format!("{host}{path}"),
            None => path.to_string(),
        };
        let paths = match host {
            Some(host) => self.hosts.entry(host.into_name()).or_default(),
            None => &mut self.everywhere,
        };
        if let Err(holder) = paths.claim(path, route) {
            let agent = route.name.clone();
            // An agent that claims its own name as its path asks for what it has.
            if holder != agent {
                self.conflicts.push(Conflict {
                    agent,
                    claim,
                    holder,
                });
            }
        }
    }

    /// The claims that were refused, in the order in which they were made.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// The agent of that name, as it is now.
    pub(crate) fn agent(&self, name: &AgentName) -> Option<Arc<Route>> {
        self.everywhere.holder(&RoutePath::of_name(name))
    }

    /// Who answers `path` (raw, without the query) on `host` (without a port, in any case).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<Found> {
        if !self.hosts.is_empty()
            && let Some(paths) = self.hosts.get(&*canonical_host(host))
            && let Some(found) = paths.find(path)
        {
            return Some(found);
        }
        self.everywhere.find(path)
    }
}

fn canonical_host(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|c| c.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, host: Option<&str>, path: Option<&str>) -> AgentRoute {
        AgentRoute {
            name: name.parse().unwrap(),
            target: Target::Unavailable {
                why: "it is starting".to_owned(),
            },
            host: host.map(|host| host.parse().unwrap()),
            path: path.map(|path| path.parse().unwrap()),
        }
    }

    /// `AGENT PREFIX REST`, or `-`.
    fn look(table: &RoutingTable, host: &str, path: &str) -> String {
        match table.find(host, path) {
            None => "-".to_owned(),
            Some(found) => {
                let prefix = found.prefix_header.as_ref();
                let prefix = prefix.map_or("none", |value| value.to_str().unwrap());
                format!("{} {prefix} {}", found.agent(), found.rest(path))
            }
        }
    }

    #[test]
    fn a_name_is_matched_byte_for_byte_and_whole_segment_by_segment() {
        let table = RoutingTable::build([agent("hello", None, None), agent("hello-2", None, None)]);
        for (path, expected) in [
            ("/hello", "hello /hello /"),
            ("/hello/", "hello /hello /"),
            ("/hello/a/b", "hello /hello /a/b"),
            ("/hello//a", "hello /hello //a"),
            ("/hello-2/x", "hello-2 /hello-2 /x"),
            ("/hello-3", "-"),
            ("/hell", "-"),
            ("/helloo", "-"),
            ("/Hello", "-"),
            ("//hello", "-"),
            ("/%68ello", "-"),
            ("/hello%2fa", "-"),
            ("/x/hello", "-"),
            ("/", "-"),
            ("", "-"),
            ("*", "-"),
        ] {
            assert_eq!(look(&table, "any", path), expected, "{path}");
        }
    }

    #[test]
    fn the_longest_claim_wins_and_a_claimed_host_goes_first() {
        let table = RoutingTable::build([
            agent("root", None, Some("/")),
            agent("shop", None, None),
            agent("api", None, Some("/shop/api")),
            agent("site", Some("Site.Example."), None),
            agent("siteapi", Some("site.example"), Some("/api/")),
            agent("partial", Some("partial.example"), Some("/only")),
        ]);
        assert_eq!(table.conflicts(), []);
        for (host, path, expected) in [
            ("any", "/", "root none /"),
            ("any", "/nothing/here", "root none /nothing/here"),
            ("any", "/shop/x", "shop /shop /x"),
            ("any", "/shop/api", "api /shop/api /"),
            ("any", "/shop/api/x", "api /shop/api /x"),
            ("any", "/shop/apix", "shop /shop /apix"),
            ("site.example", "/shop/x", "site none /shop/x"),
            ("SITE.example.", "/api/x", "siteapi /api /x"),
            ("partial.example", "/only", "partial /only /"),
            ("partial.example", "/shop", "shop /shop /"),
            ("other.example", "/x", "root none /x"),
        ] {
            assert_eq!(look(&table, host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn of_two_that_claim_the_same_the_second_is_refused_and_keeps_its_name() {
        let table = RoutingTable::build([
            agent("b", Some("h"), None),
            agent("a", Some("H"), Some("/")),
            agent("c", None, Some("/d")),
            agent("d", None, None),
            agent("e", None, Some("/e")),
        ]);
        let told: Vec<String> = table.conflicts().iter().map(Conflict::to_string).collect();
        assert_eq!(
            told,
            [
                "agent a claims the route h/, which agent b has already: change [route] of one of them; \
                 until then a is reachable at /a only",
                "agent c claims the route /d, which agent d has already: change [route] of one of them; \
                 until then c is reachable at /c only",
            ]
        );
        assert_eq!(look(&table, "h", "/"), "b none /");
        assert_eq!(look(&table, "x", "/a"), "a /a /");
        assert_eq!(look(&table, "x", "/d"), "d /d /");
    }

    #[test]
    fn a_path_of_slashes_costs_no_more_lookups_than_the_longest_claim_has_bytes() {
        let table = RoutingTable::build([agent("hello", None, None)]);
        let slashes = "/".repeat(60_000);
        let started = std::time::Instant::now();
        for _ in 0..1_000 {
            assert_eq!(look(&table, "any", &slashes), "-");
        }
        // Looked up at every slash, one of these paths alone would hash 1.8 GB.
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(
            look(&table, "any", &format!("/hello{slashes}")).len(),
            60_013
        );
    }
}
