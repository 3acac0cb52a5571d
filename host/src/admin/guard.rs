//! Who may talk to the admin surface, for how long, and with how much.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Token;
use super::error::ApiError;

/// Bytes of a request's body: the largest order there is has a few dozen.
pub(super) const MAX_BODY: usize = 16 * 1024;

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) token: Token,
    pub(super) listening: SocketAddr,
    /// How long an answer may take.
    pub(super) timeout: Duration,
}

/// Lets a request pass that names this host and carries the token.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = guard.admits(request.uri(), request.headers()) {
        return error.into_response();
    }
    next.run(request).await
}

/// Answers in time, or says that it cannot.
pub(super) async fn in_time(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(guard.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("no answer within {} s", guard.timeout.as_secs_f32());
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message).into_response()
        }
    }
}

impl Guard {
    fn admits(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        self.names_this_host(uri, headers)?;
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Err(ApiError::unauthorized());
        };
        match given.as_bytes().split_at_checked("Bearer ".len()) {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case(b"Bearer ") && self.token.is(token) =>
            {
                Ok(())
            }
            _ => Err(ApiError::unauthorized()),
        }
    }

    /// A page of another site can make a browser send requests here under a name that it controls, by letting that name
    /// point to this address. Names that nobody else controls are the loopback's and addresses.
    fn names_this_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut given = headers.get_all(header::HOST).iter();
        let named = match (given.next(), given.next()) {
            (Some(host), None) => host
                .to_str()
                .ok()
                .and_then(|host| host.parse::<Authority>().ok()),
            _ => None,
        };
        let absolute_agrees = uri.authority().is_none_or(|inner| self.is_ours(inner));
        match named {
            Some(host) if self.is_ours(&host) && absolute_agrees => Ok(()),
            _ => {
                let message = format!(
                    "the Host header must name this host once: localhost, a loopback address or {}",
                    self.listening.ip()
                );
                Err(ApiError::new(StatusCode::FORBIDDEN, "wrong-host", message))
            }
        }
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        // Where every address of the machine is listened on, each of them is ours.
        bare.parse::<IpAddr>().is_ok_and(|address| {
            let listening = self.listening.ip();
            address.is_loopback() || address == listening || listening.is_unspecified()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn admitted(listening: &str, hosts: &[&str]) -> bool {
        let guard = Guard {
            token: Token::from("t".to_owned()),
            listening: listening.parse().unwrap(),
            timeout: Duration::ZERO,
        };
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        guard
            .names_this_host(&Uri::from_static("/api/v1/host"), &headers)
            .is_ok()
    }

    #[test]
    fn only_names_that_nobody_else_controls_pass() {
        for host in [
            "127.0.0.1:8081",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8081",
            "127.0.0.9",
            "10.0.0.7:8081",
        ] {
            assert!(admitted("10.0.0.7:8081", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.8",
            "a@localhost",
            "",
            "127.0.0.1.nip.io",
        ] {
            assert!(!admitted("10.0.0.7:8081", &[host]), "{host}");
        }
        assert!(
            !admitted("127.0.0.1:1", &[]) && !admitted("127.0.0.1:1", &["localhost", "localhost"])
        );
        assert!(
            admitted("0.0.0.0:1", &["192.168.1.5:1"]) && !admitted("0.0.0.0:1", &["evil.example"])
        );
    }
}
