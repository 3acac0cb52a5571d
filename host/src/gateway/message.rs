//! HTTP for handler agents: a request becomes a message, the reply message becomes a reply.
//!
//! Metadata are the headers that are an end-to-end matter. `content-type` is a field of its own; what frames a message
//! or belongs to one connection is left out in both directions, and a reply's names or values that HTTP does not allow
//! are left out and logged.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caxton_runtime::Message;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::refused::Refused;
use super::reply::{ReplyBody, VERSION};
use super::settings::BODY_TIME;

/// Headers that one reply may have. Clients refuse more than 100 to 256.
const REPLY_HEADERS: usize = 100;
/// Their names and values together, in bytes. Clients refuse heads of more than 8 to 256 KiB.
const REPLY_HEADER_BYTES: usize = 64 << 10;

/// The whole body, or why there is none: longer than `limit`, or too slow. `idle` is the longest pause.
pub(crate) async fn collect(
    mut body: impl Body<Data = Bytes> + Unpin,
    limit: u64,
    idle: Duration,
) -> Result<Bytes, Refused> {
    if body.size_hint().lower() > limit {
        return Err(Refused::BodyTooLarge { limit });
    }
    let started = Instant::now();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    loop {
        let latest = (Instant::now() + idle).min(started + BODY_TIME);
        let frame = timeout_at(latest, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refused::BodyTooSlow)? else {
            break;
        };
        let Ok(data) = frame.map_err(|_| Refused::BodyBroken)?.into_data() else {
            continue;
        };
        let length = first.len() + whole.len() + data.len();
        if u64::try_from(length).unwrap_or(u64::MAX) > limit {
            return Err(Refused::BodyTooLarge { limit });
        }
        // Most bodies are one chunk, which is handed on as it is.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                whole.reserve(length.saturating_add(expected));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

/// The message that a request is. A value that is not UTF-8 has its strange bytes replaced.
pub(crate) fn of_request(headers: &HeaderMap, body: Bytes) -> Message {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut metadata = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if !is_framing(name) && *name != CONTENT_TYPE && *name != EXPECT {
            metadata.push((name.as_str().to_owned(), text(value)));
        }
    }
    Message {
        content_type: headers.get(CONTENT_TYPE).map(text),
        body,
        metadata,
    }
}

/// The reply that a message is.
pub(crate) fn into_reply(
    message: Message,
    agent: &str,
    version: Option<&HeaderValue>,
) -> Result<Response<ReplyBody>, Refused> {
    let Message {
        content_type,
        body,
        metadata,
    } = message;
    if metadata.len() > REPLY_HEADERS {
        return Err(Refused::BadReply("it has more than 100 metadata entries"));
    }
    let mut reply = Response::new(ReplyBody::whole(body));
    let headers = reply.headers_mut();
    let mut bytes = 0;
    for (name, value) in metadata {
        bytes += name.len() + value.len();
        let legal = name
            .parse::<HeaderName>()
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        match legal {
            Some((name, value)) if !is_framing(&name) && !is_ours(&name) => {
                headers.append(name, value);
            }
            _ => {
                tracing::debug!(
                    agent,
                    name,
                    "a reply's metadata entry cannot be a header: left out"
                )
            }
        }
    }
    if bytes > REPLY_HEADER_BYTES {
        return Err(Refused::BadReply("its metadata is longer than 64 KiB"));
    }
    if let Some(content_type) = content_type {
        let value = HeaderValue::try_from(content_type);
        let value = value.map_err(|_| Refused::BadReply("its content type is no header value"))?;
        headers.insert(CONTENT_TYPE, value);
    }
    if let Some(version) = version {
        headers.insert(VERSION, version.clone());
    }
    Ok(reply)
}

/// Whether a header belongs to one connection, or says where a message ends.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    [
        CONNECTION,
        CONTENT_LENGTH,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

/// Whether only the host may say this.
fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-caxton-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(message: Message) -> Result<Response<ReplyBody>, Refused> {
        into_reply(message, "tool", Some(&HeaderValue::from(7)))
    }

    fn message(metadata: &[(&str, &str)]) -> Message {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Message {
            content_type: Some("text/plain".to_owned()),
            body: Bytes::from_static(b"hello"),
            metadata: metadata.iter().map(pair).collect(),
        }
    }

    #[test]
    fn end_to_end_headers_become_metadata_in_order_and_lower_case() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Host", "h"),
            ("X-One", "1"),
            ("content-type", "text/css"),
            ("content-length", "5"),
            ("connection", "close"),
            ("expect", "100-continue"),
            ("x-one", "2"),
            ("x-bytes", "caf\u{e9}"),
        ] {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let message = of_request(&headers, Bytes::from_static(b"hello"));
        assert_eq!(message.content_type.as_deref(), Some("text/css"));
        assert_eq!(message.body, "hello");
        let metadata: Vec<String> = message
            .metadata
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            metadata,
            [
                "host=h",
                "x-one=1",
                "x-one=2",
                "x-bytes=café",
                "x-latin=caf\u{fffd}"
            ]
        );
    }

    #[test]
    fn metadata_becomes_headers_where_that_is_legal() {
        let reply = reply(message(&[
            ("x-one", "1"),
            ("X-One", "2"),
            ("transfer-encoding", "chunked"),
            ("content-length", "99"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("x-caxton-version", "99"),
            ("x-caxton-error", "forged"),
            ("not a name", "x"),
            ("x-split", "a\r\nx-smuggled: 1"),
            ("", "x"),
        ]))
        .unwrap();
        let mut lines: Vec<String> = reply
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "content-type=text/plain",
                "x-caxton-version=7",
                "x-one=1",
                "x-one=2"
            ]
        );
    }

    #[test]
    fn metadata_has_bounds() {
        let many = vec![("x", "y"); REPLY_HEADERS + 1];
        assert!(reply(message(&many)).is_err());
        let long = "v".repeat(REPLY_HEADER_BYTES);
        assert!(reply(message(&[("x", &long)])).is_err());
        let mut wrong_type = message(&[]);
        wrong_type.content_type = Some("a\nb".to_owned());
        assert!(reply(wrong_type).is_err());
    }
}
