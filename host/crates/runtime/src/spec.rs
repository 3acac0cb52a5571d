//! What the host asks for when it wants an agent's version prepared: plain values, checked in one place.

use crate::inspect::Contract;
use crate::origin::Origin;
use http::uri::PathAndQuery;
use std::path::PathBuf;
use std::time::Duration;

/// The smallest memory limit that means anything: a linear memory grows in pages of 64 KiB, and a language runtime needs some.
pub const MIN_MEMORY: u64 = 1 << 20;
/// The largest memory limit: what a 32-bit linear memory can hold.
pub const MAX_MEMORY: u64 = 4 << 30;
/// How many calls a reused instance answers unless told otherwise.
pub const DEFAULT_REUSE: u32 = 128;

/// One version of an agent, as the runtime needs to know it.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// The agent's name; it stands in log lines and error messages.
    pub name: String,
    /// The version's number.
    pub number: u64,
    /// What its calls may use.
    pub limits: Limits,
    /// How long an instance lives. None: single with `state`, otherwise fresh for WASI 0.2 HTTP
    /// agents, and reused for those of 0.3 and for handlers.
    pub instances: Option<Instances>,
    /// Where an HTTP agent that exports no health check is asked for its health. None: it is not asked.
    pub health_path: Option<PathAndQuery>,
    /// What is kept of the agent's state. None: an export `caxton:agent/state` is ignored.
    pub state: Option<StateSpec>,
    /// The environment that the guest sees, and nothing else.
    pub env: Vec<(String, String)>,
    /// The directories that it sees.
    pub dirs: Vec<DirGrant>,
    /// Where it may send HTTP requests.
    pub outbound: Outbound,
    /// Whether all of this holds while it listens, too: otherwise a listener writes nowhere and sends nothing.
    pub grants_to_listener: bool,
}

impl AgentSpec {
    /// A version with default limits that keeps no state, sees no environment and no directory, and sends no requests.
    pub fn new(name: impl Into<String>, number: u64) -> Self {
        Self {
            name: name.into(),
            number,
            limits: Limits::default(),
            instances: None,
            health_path: None,
            state: None,
            env: Vec::new(),
            dirs: Vec::new(),
            outbound: Outbound::Deny,
            grants_to_listener: false,
        }
    }

    /// Says what is wrong with these values, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        let limits = &self.limits;
        if !(MIN_MEMORY..=MAX_MEMORY).contains(&limits.memory) {
            return Some(format!(
                "limits.memory is {} bytes; it must lie between 1 MiB and 4 GiB",
                limits.memory
            ));
        }
        if limits.request_timeout.is_zero() || limits.idle_timeout.is_zero() {
            return Some(
                "limits.request_timeout and limits.idle_timeout must be above zero".into(),
            );
        }
        if limits.concurrency == 0 {
            return Some("limits.concurrency must be at least 1".into());
        }
        if limits.fuel == Some(0) {
            return Some("limits.fuel must be at least 1".into());
        }
        if matches!(self.instances, Some(Instances::Reused { reuse: 0 })) {
            return Some("instances.reuse must be at least 1".into());
        }
        self.state_problem()
            .or_else(|| self.dirs_problem())
            .or_else(|| self.env_problem())
    }

    fn state_problem(&self) -> Option<String> {
        let state = self.state?;
        if matches!(
            self.instances,
            Some(Instances::Fresh | Instances::Reused { .. })
        ) {
            return Some(
                "instances.mode must be single, or unset, where state is kept: it lives in one instance".into(),
            );
        }
        if state.max_size == 0 {
            return Some("state.max_size must be above zero".into());
        }
        if state.checkpoint.is_some_and(|every| every.is_zero()) {
            return Some("state.checkpoint must be above zero, or off".into());
        }
        None
    }

    fn dirs_problem(&self) -> Option<String> {
        self.dirs.iter().enumerate().find_map(|(at, dir)| {
            let guest = &dir.guest;
            if guest.is_empty() || guest.contains('\0') {
                return Some(format!(
                    "the directory {} is granted under the name `{}`, which is none",
                    dir.host.display(),
                    guest.escape_debug()
                ));
            }
            let again = self.dirs.iter().take(at).any(|other| other.guest == *guest);
            again.then(|| format!("two directories are granted as `{guest}`"))
        })
    }

    fn env_problem(&self) -> Option<String> {
        self.env
            .iter()
            .find(|(name, value)| {
                name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
            })
            .map(|(name, _)| {
                format!("the environment variable `{}` has a name or value that no environment can hold", name.escape_debug())
            })
    }
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// A new one for each call.
    Fresh,
    /// One answers up to `reuse` calls, one after the other; more are made while several calls are in flight.
    Reused {
        /// At least 1.
        reuse: u32,
    },
    /// One for as long as the version lives. It takes one call after the other, in order of arrival; the others wait in line, up
    /// to the concurrency limit. A trap, a deadline or a cut ends it, and the next call gets a new one.
    Single,
}

impl Instances {
    /// What holds for a version: what is written, or what suits the contract. State lives in one instance.
    #[must_use]
    pub fn in_effect(written: Option<Self>, contract: Contract, keeps_state: bool) -> Self {
        match written {
            _ if keeps_state => Self::Single,
            Some(written) => written,
            None if contract == Contract::HttpP2 => Self::Fresh,
            None => Self::Reused {
                reuse: DEFAULT_REUSE,
            },
        }
    }

    /// The word for it in configurations.
    #[must_use]
    pub fn mode(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reused { .. } => "reused",
            Self::Single => "single",
        }
    }
}

/// What is kept of an agent's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSpec {
    /// How often at most the state is kept between calls, for the instance after one that ended badly. None: never.
    pub checkpoint: Option<Duration>,
    /// Bytes that a state may have.
    pub max_size: u64,
}

/// A directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest knows it as.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub write: bool,
}

/// Where an agent may send HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outbound {
    /// Nowhere: each attempt is answered with WASI's `HTTP-request-denied`.
    #[default]
    Deny,
    /// To these, and anything else is answered as above.
    Origins(Vec<Origin>),
}

/// What the calls of one version may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of linear memory of one instance, all its memories together.
    pub memory: u64,
    /// From the call's start to the head of its reply, over guest code and host calls.
    pub request_timeout: Duration,
    /// Between two chunks of the reply after its head.
    pub idle_timeout: Duration,
    /// Calls in flight at once; further ones are shed.
    pub concurrency: u32,
    /// Bytes of a request's body.
    pub request_body: u64,
    /// Bytes of a reply's body.
    pub reply_body: u64,
    /// Units of fuel, about one for each instruction, that each call has, and the start of an instance. None: it is not metered.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            concurrency: 100,
            request_body: 8 << 20,
            reply_body: 64 << 20,
            fuel: None,
        }
    }
}
