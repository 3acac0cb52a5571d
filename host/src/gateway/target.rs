//! What a request is aimed at: its host and its path, checked before anything is looked up by them.
//!
//! Paths are neither decoded nor normalised: an agent sees the bytes that the caller sent, less the route's prefix.
//! A path with a segment `.` or `..`, plain or percent-encoded, is refused: whoever resolves it decides which agent it
//! means, and two who resolve it differently would be a hole.

use http::header::HOST;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Version};

use super::refused::Refused;

/// The host, without its port, and the path that a request is for.
pub(crate) struct Aim<'r> {
    pub(crate) host: &'r str,
    pub(crate) path: &'r str,
}

/// Checks a request's target and its `Host`.
pub(crate) fn aim<B>(request: &Request<B>) -> Result<Aim<'_>, Refused> {
    if request.method() == Method::CONNECT {
        return Err(Refused::NotImplemented("tunnels (CONNECT)"));
    }
    let authority = authority(request)?;
    let host = host_name(authority).ok_or(Refused::BadHost(
        "it is not a host name with an optional port",
    ))?;
    let path = request.uri().path();
    if !path.starts_with('/') {
        return Err(Refused::BadPath("it does not begin with a slash"));
    }
    if has_dot_segment(path) {
        return Err(Refused::BadPath("it has a segment `.` or `..`"));
    }
    Ok(Aim { host, path })
}

/// The one authority that a request names. That of an absolute target goes before `Host`, as RFC 9112 wants it.
fn authority<B>(request: &Request<B>) -> Result<&str, Refused> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(Refused::BadHost("there are several"));
    }
    if named.is_none() && request.version() > Version::HTTP_10 {
        return Err(Refused::BadHost("there is none"));
    }
    if let Some(authority) = request.uri().authority() {
        return match request.uri().scheme_str() {
            Some("http" | "https") => Ok(authority.as_str()),
            _ => Err(Refused::BadPath("its scheme is not http")),
        };
    }
    let named = named.ok_or(Refused::BadHost("there is none"))?;
    named
        .to_str()
        .map_err(|_| Refused::BadHost("it is not plain text"))
}

/// The host of `HOST[:PORT]`: a name of letters, digits and `-._~`, or an address in brackets. No user, no escapes.
fn host_name(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            let host = authority.get(..address.len() + 2)?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return None,
            }
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
            let whole = !host.is_empty() && host.bytes().all(fits);
            (whole.then_some(host)?, port)
        }
    };
    let digits = port.bytes().all(|c| c.is_ascii_digit());
    (port.is_empty() || digits && port.parse::<u16>().is_ok()).then_some(host)
}

fn has_dot_segment(path: &str) -> bool {
    // Nearly every path ends here: a dot segment begins after a slash.
    if !path.contains("/.") && !path.contains("/%2") {
        return false;
    }
    path.split('/').any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        while let Some(after) = strip_dot(rest) {
            rest = after;
            dots += 1;
        }
        rest.is_empty() && (1..=2).contains(&dots)
    })
}

fn strip_dot(segment: &str) -> Option<&str> {
    let encoded = || {
        segment
            .strip_prefix("%2e")
            .or_else(|| segment.strip_prefix("%2E"))
    };
    segment.strip_prefix('.').or_else(encoded)
}

/// Takes the route's prefix off the target and leaves it in origin form, with `Host` naming the authority.
pub(crate) fn enter<B>(request: &mut Request<B>, prefix: usize) -> Result<(), Refused> {
    let unusable = || Refused::BadPath("it is no path once the route is taken off");
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| unusable())?;
        request.headers_mut().insert(HOST, host);
    } else if prefix == 0 {
        return Ok(());
    }
    let whole = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let rest = whole.get(prefix..).ok_or_else(unusable)?;
    let inner = if rest.starts_with('/') {
        PathAndQuery::try_from(rest)
    } else {
        PathAndQuery::try_from(format!("/{rest}"))
    };
    *request.uri_mut() = Uri::from(inner.map_err(|_| unusable())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    fn seen(target: &str, hosts: &[&str]) -> Result<(String, String), &'static str> {
        match aim(&request(target, hosts)) {
            Ok(aim) => Ok((aim.host.to_owned(), aim.path.to_owned())),
            Err(refused) => Err(refused.code()),
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for (host, name) in [
            ("hello.localhost", "hello.localhost"),
            ("Hello.LOCALHOST:8080", "Hello.LOCALHOST"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("a_b~c", "a_b~c"),
            ("host:", "host"),
        ] {
            assert_eq!(host_name(host), Some(name), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "user:pw@b",
            "a:b",
            "a:99999",
            "a:-1",
            "a:+1",
            "[::1",
            "[x]",
            "[::1]x",
            "::1",
            "a%20b",
            "a,b",
            "[]",
            "ä",
        ] {
            assert_eq!(host_name(host), None, "{host}");
        }
    }

    #[test]
    fn exactly_one_valid_host_is_wanted() {
        assert_eq!(seen("/a", &["h:1"]), Ok(("h".into(), "/a".into())));
        assert_eq!(seen("/a", &[]), Err("bad-host"));
        assert_eq!(seen("/a", &["h", "h"]), Err("bad-host"));
        assert_eq!(seen("/a", &["a/b"]), Err("bad-host"));
        let of_target = seen("http://target.example:99/a?b", &["other"]);
        assert_eq!(of_target, Ok(("target.example".into(), "/a".into())));
        assert_eq!(seen("http://user@target/a", &["h"]), Err("bad-host"));
        assert_eq!(seen("ftp://target/a", &["h"]), Err("bad-path"));
        assert_eq!(seen("http://target/a", &[]), Err("bad-host"));
    }

    #[test]
    fn dot_segments_are_refused_in_every_spelling_and_nothing_else_is() {
        for path in [
            "/..",
            "/.",
            "/a/..",
            "/a/../b",
            "/a/./b",
            "/%2e",
            "/%2E%2e",
            "/.%2e/b",
            "/%2e./b",
            "/a/%2e%2E",
        ] {
            assert_eq!(seen(path, &["h"]), Err("bad-path"), "{path}");
        }
        for path in [
            "/",
            "//",
            "/a//b",
            "/...",
            "/.well-known",
            "/..a",
            "/a..",
            "/%2e%2e%2e",
            "/%2ea",
            "/%20",
            "/a%2f..b",
        ] {
            assert_eq!(seen(path, &["h"]), Ok(("h".into(), path.into())), "{path}");
        }
        assert_eq!(seen("*", &["h"]), Err("bad-path"));
    }

    #[test]
    fn an_agent_sees_its_own_path_and_the_query() {
        for (target, prefix, inner) in [
            ("/hello", 6, "/"),
            ("/hello?a=b", 6, "/?a=b"),
            ("/hello/", 6, "/"),
            ("/hello//x?y", 6, "//x?y"),
            ("/x/y?z", 0, "/x/y?z"),
            ("http://a.example/hello/x?y", 6, "/x?y"),
            ("http://a.example", 0, "/"),
        ] {
            let mut request = request(target, &["h"]);
            enter(&mut request, prefix).unwrap();
            assert_eq!(request.uri(), inner, "{target}");
            let host = if target.starts_with('/') {
                "h"
            } else {
                "a.example"
            };
            assert_eq!(request.headers()[HOST], host);
        }
    }
}
