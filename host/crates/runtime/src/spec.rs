//! What the host asks for when it wants an agent's version prepared: plain values, checked in one place.

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
    /// How long an instance lives. None: fresh for HTTP agents, reused for handlers.
    pub instances: Option<Instances>,
    /// The environment that the guest sees, and nothing else.
    pub env: Vec<(String, String)>,
    /// Where it may send HTTP requests.
    pub outbound: Outbound,
}

impl AgentSpec {
    /// A version with default limits, no environment and no outbound HTTP.
    pub fn new(name: impl Into<String>, number: u64) -> Self {
        Self {
            name: name.into(),
            number,
            limits: Limits::default(),
            instances: None,
            env: Vec::new(),
            outbound: Outbound::Deny,
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
        if matches!(self.instances, Some(Instances::Reused { reuse: 0 })) {
            return Some("instances.reuse must be at least 1".into());
        }
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
}

/// Where an agent may send HTTP requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outbound {
    /// Nowhere: each attempt is answered with WASI's `HTTP-request-denied`.
    #[default]
    Deny,
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
        }
    }
}
