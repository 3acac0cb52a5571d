//! `caxton call`: one request to an agent, through the gateway like everybody's, or by hand to its version on trial.

use std::io::{self, IsTerminal, Read, Write};
use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, header};

use super::args::CallArgs;
use super::client::Client;
use super::failure::Failure;
use super::text::{harmless, harmless_lines};

/// Bytes taken from the standard input; no agent may take a larger request by default, and few by configuration.
const MAX_INPUT: u64 = 256 * 1024 * 1024;

pub(super) async fn call(args: &CallArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let body = args.body.as_deref().map(read_body).transpose()?;
    let way = if args.candidate {
        Way::ByHand(&client)
    } else {
        Way::Gateway(&client, client.gateway().await?)
    };
    let response = match body {
        Some(body) => way.send(args, Method::POST, Some(body)).await?,
        None => {
            let response = way.send(args, Method::GET, None).await?;
            // A handler agent takes a message, which is a POST; without a body it is an empty one.
            if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                way.send(args, Method::POST, Some(Vec::new())).await?
            } else {
                response
            }
        }
    };
    let answered = describe(args, &response);
    let status = response.status();
    copy_out(response).await?;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(Failure::No(answered))
    }
}

/// How the request goes.
enum Way<'a> {
    /// Like everybody's.
    Gateway(&'a Client, SocketAddr),
    /// Through the admin surface, to the version on trial.
    ByHand(&'a Client),
}

impl Way<'_> {
    async fn send(
        &self,
        args: &CallArgs,
        method: Method,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Failure> {
        let mut headers: HeaderMap = args.header.iter().cloned().collect();
        if let Some(body) = &body {
            let kind = HeaderValue::from_static(content_type(body));
            headers.entry(header::CONTENT_TYPE).or_insert(kind);
        }
        let slash = if args.path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{}", args.path);
        match self {
            Self::ByHand(client) => {
                let path = in_url(&path)?;
                let agent = args.agent.as_ref();
                client
                    .call_candidate(agent, &method, &path, &headers, body)
                    .await
            }
            Self::Gateway(client, gateway) => {
                let url = format!("http://{gateway}/{}{path}", args.agent);
                let request = client.elsewhere(method, &url).headers(headers);
                let request = match body {
                    Some(body) => request.body(body),
                    None => request,
                };
                request
                    .send()
                    .await
                    .map_err(|error| no_answer(&error, &url))
            }
        }
    }
}

/// The path with its query as it stands in a URL.
fn in_url(path: &str) -> Result<String, Failure> {
    let whole = format!("http://agent{path}");
    let url = reqwest::Url::parse(&whole).map_err(|_| {
        Failure::Usage(format!(
            "{path} is no path: give --path as it stands in a URL"
        ))
    })?;
    let query = url.query().map(|query| format!("?{query}"));
    Ok(format!("{}{}", url.path(), query.unwrap_or_default()))
}

fn no_answer(error: &reqwest::Error, url: &str) -> Failure {
    if error.is_builder() {
        Failure::Usage(format!(
            "{url} is no address: give --path as it stands in a URL"
        ))
    } else if error.is_connect() {
        Failure::Unreachable(format!("the gateway does not answer: {error}"))
    } else {
        Failure::No(format!("no answer from {url}: {error}"))
    }
}

fn read_body(body: &str) -> Result<Vec<u8>, Failure> {
    if body != "-" {
        return Ok(body.as_bytes().to_owned());
    }
    let mut read = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut read)
        .map_err(|error| Failure::Usage(format!("the standard input cannot be read: {error}")))?;
    if u64::try_from(read.len()).unwrap_or(u64::MAX) > MAX_INPUT {
        return Err(Failure::Usage(format!(
            "the standard input is longer than {MAX_INPUT} bytes"
        )));
    }
    Ok(read)
}

fn content_type(body: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        "application/json"
    } else if std::str::from_utf8(body).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

fn describe(args: &CallArgs, response: &Response) -> String {
    let version = response
        .headers()
        .get("x-caxton-version")
        .and_then(|version| version.to_str().ok());
    let version = version
        .map(|version| format!(" v{}", harmless(version)))
        .unwrap_or_default();
    format!("{}{version} answered {}", args.agent, response.status())
}

/// Bytes as they are into a pipe; on a terminal only text that cannot act on it.
async fn copy_out(mut response: Response) -> Result<(), Failure> {
    let terminal = io::stdout().is_terminal();
    let mut pending = Vec::new();
    let mut ends_line = true;
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| {
            Failure::No(format!("the answer broke off before its end: {error}"))
        })?;
        let Some(chunk) = chunk else { break };
        let mut out = io::stdout().lock();
        if terminal {
            pending.extend_from_slice(&chunk);
            let text = take_text(&mut pending);
            ends_line = text.ends_with('\n') || (text.is_empty() && ends_line);
            out.write_all(harmless_lines(&text).as_bytes())?;
        } else {
            out.write_all(&chunk)?;
        }
        out.flush()?;
    }
    if terminal {
        let rest = String::from_utf8_lossy(&pending);
        let end = if ends_line && rest.is_empty() {
            ""
        } else {
            "\n"
        };
        write!(io::stdout().lock(), "{}{end}", harmless_lines(&rest))?;
    }
    Ok(())
}

/// What can be read as text so far; a character that is not whole yet stays behind.
fn take_text(pending: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(pending) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => pending.len(),
    };
    let rest = pending.split_off(whole);
    let text = String::from_utf8_lossy(pending).into_owned();
    *pending = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_two_chunks_comes_out_whole() {
        let mut pending = Vec::new();
        let mut told = String::new();
        for chunk in "grün 🎈\n".as_bytes().chunks(3) {
            pending.extend_from_slice(chunk);
            told.push_str(&take_text(&mut pending));
        }
        assert_eq!((told.as_str(), pending.len()), ("grün 🎈\n", 0));
        pending.extend_from_slice(b"a\xffb");
        assert_eq!(take_text(&mut pending), "a\u{fffd}b");
    }

    #[test]
    fn a_body_tells_what_it_is() {
        let kinds = [&b"{\"a\": 1}"[..], b"hello", b"\xff\xfe"].map(content_type);
        assert_eq!(
            kinds,
            [
                "application/json",
                "text/plain; charset=utf-8",
                "application/octet-stream"
            ]
        );
    }
}
