//! What an agent is told about the caller that it does not see: `x-forwarded-for`, `-host`, `-proto` and `-prefix`.
//!
//! These headers say what the gateway saw, and what callers put there is dropped with `forwarded` and `x-real-ip`.
//! With `trust_forwarded` every caller is a reverse proxy of the same owner: its address list is added to, its host and
//! its scheme stand, and its prefix goes before the gateway's. That a request is a copy, the host says, whomever it trusts.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::mirror::MIRRORED;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST_NAMED: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Who is at the other end of a connection.
pub(crate) struct Caller {
    /// Its address as a header's value, made once.
    address: HeaderValue,
}

impl Caller {
    pub(crate) fn new(address: IpAddr) -> Self {
        let text = address.to_canonical().to_string();
        // An address is always a legal value; were it not, an empty one would be the honest answer.
        let address = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Self { address }
    }
}

/// Makes the headers say who called, by which host, and under which prefix.
pub(crate) fn tell(
    headers: &mut HeaderMap,
    caller: &Caller,
    prefix: Option<HeaderValue>,
    trust: bool,
) {
    remove_named_by_connection(headers);
    // That it is a copy is for the host alone to say.
    headers.remove(MIRRORED);
    let host = headers.get(HOST).cloned();
    if trust {
        let known = joined(headers, &FOR, b", ", &caller.address);
        headers.insert(FOR, known);
        if let Some(host) = host {
            headers.entry(HOST_NAMED).or_insert(host);
        }
        headers
            .entry(PROTO)
            .or_insert(HeaderValue::from_static("http"));
        if let Some(prefix) = prefix {
            let whole = joined(headers, &PREFIX, b"", &prefix);
            headers.insert(PREFIX, whole);
        }
        return;
    }
    headers.remove(FORWARDED);
    headers.remove(REAL_IP);
    headers.remove(PORT);
    headers.insert(FOR, caller.address.clone());
    headers.insert(PROTO, HeaderValue::from_static("http"));
    match host {
        Some(host) => headers.insert(HOST_NAMED, host),
        None => headers.remove(HOST_NAMED),
    };
    match prefix {
        Some(prefix) => headers.insert(PREFIX, prefix),
        None => headers.remove(PREFIX),
    };
}

/// What the proxy in front said under that name, and `own` after it.
fn joined(
    headers: &HeaderMap,
    name: &HeaderName,
    between: &[u8],
    own: &HeaderValue,
) -> HeaderValue {
    let mut bytes = Vec::new();
    for value in headers.get_all(name) {
        if !value.is_empty() {
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(between);
        }
    }
    bytes.extend_from_slice(own.as_bytes());
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| own.clone())
}

/// Removes the headers that `connection` declares to be for this hop only. The ones that every hop knows to be its own
/// are the runtime's to remove.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let Some(first) = headers.get(CONNECTION) else {
        return;
    };
    let plain = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    if plain(first) && headers.get_all(CONNECTION).iter().nth(1).is_none() {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    let names = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok());
    for name in names {
        // These two say what the request is, whatever a caller declares.
        if name != HOST && name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sent: &[(&str, &str)], prefix: Option<&'static str>, trust: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let caller = Caller::new("::ffff:192.0.2.7".parse().unwrap());
        let prefix = prefix.map(HeaderValue::from_static);
        tell(&mut headers, &caller, prefix, trust);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    const FORGED: [(&str, &str); 10] = [
        ("host", "h:80"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-host", "front.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/apps"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-caxton-mirrored", "1"),
    ];

    #[test]
    fn what_a_caller_says_about_itself_is_dropped() {
        assert_eq!(
            told(&FORGED, Some("/hello"), false),
            [
                "host: h:80",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h:80",
                "x-forwarded-prefix: /hello",
                "x-forwarded-proto: http",
            ]
        );
        let without = told(&FORGED, None, false);
        assert!(!without.iter().any(|line| line.contains("prefix")));
    }

    #[test]
    fn what_a_trusted_proxy_says_is_added_to() {
        assert_eq!(
            told(&FORGED, Some("/hello"), true),
            [
                "forwarded: for=10.0.0.1",
                "host: h:80",
                "x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.7",
                "x-forwarded-host: front.example",
                "x-forwarded-port: 443",
                "x-forwarded-prefix: /apps/hello",
                "x-forwarded-proto: https",
                "x-real-ip: 10.0.0.1",
            ]
        );
        assert_eq!(
            told(&[("host", "h")], None, true),
            [
                "host: h",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn headers_that_connection_names_go_no_further_and_cannot_take_ours_away() {
        // `connection` itself is one of the headers that the runtime removes.
        let sent = [
            ("host", "h"),
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-forwarded-for, host, content-length"),
            ("x-hop", "1"),
            ("x-stays", "1"),
            ("content-length", "0"),
        ];
        assert_eq!(
            told(&sent, None, false),
            [
                "connection: keep-alive, X-Hop",
                "connection: x-forwarded-for, host, content-length",
                "content-length: 0",
                "host: h",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: h",
                "x-forwarded-proto: http",
                "x-stays: 1",
            ]
        );
    }
}
