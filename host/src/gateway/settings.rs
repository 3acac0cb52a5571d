//! The gateway's limits: what one caller, or all of them together, may cost.

use std::time::Duration;

/// Connections at once. Each holds a socket and at most two buffers of [`BUFFER_BYTES`]: 1 GiB when all are full, and a
/// number that fits into common limits on open files. Further callers wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 4096;

/// From the moment when a connection waits for a request to the end of that request's head. It ends callers who send a
/// head byte by byte, and it is how long an idle keep-alive connection is kept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Request line and headers together. Browsers with many cookies send up to 16 KiB: twice that.
pub const HEAD_BYTES: usize = 32 << 10;

/// What is read and kept of a connection before it is handled: the body's chunks, and replies not yet taken by the
/// caller. Larger buffers save few system calls and multiply with [`MAX_CONNECTIONS`].
pub const BUFFER_BYTES: usize = 128 << 10;

/// How long a caller may accept no byte at all of what is being sent. As long as an agent may be silent between chunks.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long running requests may take once the host was asked to stop. The default `request_timeout`, so that a request
/// that keeps its own promise is answered.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the body of a request to a handler agent may take altogether: 8 MiB over a slow mobile line. The pause
/// between two chunks is the agent's `idle_timeout`.
pub const BODY_TIME: Duration = Duration::from_secs(300);

/// How long what a caller still sends is thrown away after the last reply. Closing at once would reset the connection
/// and could destroy the reply on its way.
pub const LINGER: Duration = Duration::from_secs(1);

/// How long the request whose turn it is waits before it looks again, for room at the version or for a table that is a
/// moment behind. Long against a look, short against a call.
pub const GATE_PAUSE: Duration = Duration::from_millis(1);

/// What is kept of a request's body for its copy to a listener. A copy waits for the whole body, so this times the
/// listener's concurrency is what copies may cost; larger bodies are not copied, and counted.
pub const COPIED_BODY: usize = 1 << 20;

/// How long no connection is accepted after the system refused one (out of file descriptors, for example).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `Retry-After`, in seconds, where room or a running version is a matter of moments.
pub const RETRY_SOON: u64 = 1;
/// `Retry-After`, in seconds, where somebody has to do something first.
pub const RETRY_LATER: u64 = 5;

/// What can be set about a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// See [`MAX_CONNECTIONS`].
    pub max_connections: usize,
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`HEAD_BYTES`].
    pub head_bytes: usize,
    /// See [`WRITE_STALL`].
    pub write_stall: Duration,
    /// See [`DRAIN_TIMEOUT`].
    pub drain_timeout: Duration,
    /// Whether every caller is a reverse proxy of ours, so that what it says in `x-forwarded-*` holds and is added to.
    /// Otherwise those headers are the gateway's alone.
    pub trust_forwarded: bool,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            head_timeout: HEAD_TIMEOUT,
            head_bytes: HEAD_BYTES,
            write_stall: WRITE_STALL,
            drain_timeout: DRAIN_TIMEOUT,
            trust_forwarded: false,
        }
    }
}
