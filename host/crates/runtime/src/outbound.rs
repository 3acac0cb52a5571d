//! What a guest's own HTTP requests may reach, and how much of their bodies the host holds.
//!
//! Redirects are the guest's business: one that it follows is a request like any other, and asked about here.

use crate::origin::Origin;
use crate::refusals::{Refusals, shown};
use crate::serving::Serving;
use crate::spec::Outbound;
use http::Uri;
use http::uri::Authority;
use http_body_util::BodyExt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks, default_send_request,
};

/// Bodies of a call that have room for a fast flow: the reply's, and some of its own requests. Further ones flow, and slower.
const WIDE_BODIES: usize = 8;
/// Chunks of a body that wait for its reader, beside one. With the chunk size this bounds what a slow caller makes the host hold.
const WIDE_CHUNKS: usize = 8;
/// Bytes of one chunk of such a body.
const WIDE_CHUNK: usize = 128 << 10;
/// The same for further bodies.
const NARROW_CHUNKS: usize = 1;
/// The same for further bodies.
const NARROW_CHUNK: usize = 8 << 10;

/// Decides what a guest's own HTTP requests may reach.
pub(crate) struct Hooks {
    outbound: Outbound,
    forbidden: Arc<[SocketAddr]>,
    refusals: Arc<Refusals>,
    /// It only listens: what is granted to its version is not granted to it.
    restricted: bool,
    /// Bodies that the guest has opened for writing in this call.
    bodies: usize,
}

impl Hooks {
    pub(crate) fn new(serving: &Serving, restricted: bool) -> Self {
        Self {
            outbound: if restricted {
                Outbound::Deny
            } else {
                serving.spec.outbound.clone()
            },
            forbidden: Arc::clone(&serving.runtime.forbidden),
            refusals: Arc::clone(&serving.refusals),
            restricted,
            bodies: 0,
        }
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self) {
        self.bodies = 0;
    }

    fn is_wide(&self) -> bool {
        self.bodies <= WIDE_BODIES
    }

    fn refuse(&self, uri: &Uri) {
        let why = if self.restricted {
            "a version that only listens reaches nobody"
        } else {
            "grants.outbound does not have this origin"
        };
        self.refusals.tell(destination(uri), why);
    }

    /// The origin of a request that is granted.
    fn granted(&self, uri: &Uri) -> Option<Origin> {
        let Outbound::Origins(granted) = &self.outbound else {
            return None;
        };
        Origin::of(uri).filter(|origin| granted.contains(origin))
    }
}

/// Where a request goes, without its path, which may hold a secret, and without a user and a password.
fn destination(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", Authority::as_str);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("a request to {}", shown(&format!("{scheme}://{host}")))
}

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
)>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Some(origin) = self.granted(request.uri()) else {
            self.refuse(request.uri());
            return Box::new(async { Err(HttpError::HttpRequestDenied) });
        };
        let forbidden = Arc::clone(&self.forbidden);
        let refusals = Arc::clone(&self.refusals);
        Box::new(async move {
            let request = aim(request, &origin, &forbidden, &refusals).await?;
            let (response, io) = default_send_request(request, options).await?;
            let io: Box<dyn Future<Output = _> + Send> = Box::new(io);
            Ok((response.map(BodyExt::boxed_unsync), io))
        })
    }

    // Asked first, once for each body.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        self.bodies = self.bodies.saturating_add(1);
        if self.is_wide() {
            WIDE_CHUNKS
        } else {
            NARROW_CHUNKS
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.chunk_size()
    }

    // Asked once for each body; one chunk waits.
    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies = self.bodies.saturating_add(1);
        self.chunk_size()
    }
}

impl Hooks {
    fn chunk_size(&self) -> usize {
        if self.is_wide() {
            WIDE_CHUNK
        } else {
            NARROW_CHUNK
        }
    }
}

/// Refuses what would reach an address that no grant opens.
///
/// Only a request to the port of such an address can, so only then is the name looked up here. A plain request is then aimed at
/// the address that was checked, because a second look-up may answer otherwise. Under TLS the name is needed to the end; a name
/// that changes its address in between reaches a port where nobody speaks TLS, and no byte of the request is sent.
async fn aim(
    mut request: http::Request<WasiBody>,
    origin: &Origin,
    forbidden: &[SocketAddr],
    refusals: &Refusals,
) -> Result<http::Request<WasiBody>, HttpError> {
    let port = origin.port();
    if forbidden.iter().all(|address| address.port() != port) {
        return Ok(request);
    }
    let target = format!("{}:{port}", origin.host());
    let found: Vec<_> = tokio::net::lookup_host(target)
        .await
        .map_err(HttpError::Connect)?
        .collect();
    let is_forbidden = |found: &SocketAddr| forbidden.iter().any(|own| reaches(*found, *own));
    let first = found.first().ok_or(HttpError::HttpRequestDenied)?;
    if found.iter().any(is_forbidden) {
        let why = "this is an address of the host itself, which no grant opens";
        refusals.tell(destination(request.uri()), why);
        return Err(HttpError::HttpRequestDenied);
    }
    if !origin.is_https() {
        let mut parts = request.uri().clone().into_parts();
        let authority: Result<Authority, _> = first.to_string().parse();
        parts.authority = Some(authority.map_err(|_| HttpError::HttpRequestUriInvalid)?);
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| HttpError::HttpRequestUriInvalid)?;
    }
    Ok(request)
}

/// Whether a connection to `to` arrives at a socket that listens on `own`.
fn reaches(to: SocketAddr, own: SocketAddr) -> bool {
    if to.port() != own.port() {
        return false;
    }
    let (to, own) = (to.ip().to_canonical(), own.ip().to_canonical());
    // The unspecified address is this machine, whichever way it is used.
    to == own || to.is_unspecified() || own.is_unspecified() && is_of_this_machine(to)
}

/// Only an address of this machine can be bound. Where even that is not known, it counts as one.
fn is_of_this_machine(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_reached_under_each_of_its_names() {
        let reaches = |to: &str, own: &str| reaches(to.parse().unwrap(), own.parse().unwrap());
        for to in ["127.0.0.1:81", "[::ffff:127.0.0.1]:81", "0.0.0.0:81"] {
            assert!(reaches(to, "127.0.0.1:81"), "{to}");
        }
        assert!(reaches("127.0.0.2:81", "0.0.0.0:81"));
        assert!(reaches("127.0.0.1:81", "[::]:81"));
        assert!(!reaches("127.0.0.1:82", "127.0.0.1:81"));
        // An address for documentation: no machine has it.
        assert!(!reaches("192.0.2.1:81", "127.0.0.1:81"));
        assert!(!reaches("192.0.2.1:81", "0.0.0.0:81"));
    }
}
