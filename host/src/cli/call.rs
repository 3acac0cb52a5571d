//! `caxton call`: one request to an agent, through the gateway like everybody's.

use std::io::{self, IsTerminal, Read, Write};

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
    let gateway = client.gateway().await?;
    let slash = if args.path.starts_with('/') { "" } else { "/" };
    let url = format!("http://{gateway}/{}{slash}{}", args.agent, args.path);
    let response = match body {
        Some(body) => send(&client, Method::POST, &url, Some(body)).await?,
        None => {
            let response = send(&client, Method::GET, &url, None).await?;
            // A handler agent takes a message, which is a POST; without a body it is an empty one.
            if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                send(&client, Method::POST, &url, Some(Vec::new())).await?
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

async fn send(
    client: &Client,
    method: Method,
    url: &str,
    body: Option<Vec<u8>>,
) -> Result<Response, Failure> {
    let mut request = client.elsewhere(method, url);
    if let Some(body) = body {
        request = request
            .header(header::CONTENT_TYPE, content_type(&body))
            .body(body);
    }
    request.send().await.map_err(|error| {
        if error.is_builder() {
            Failure::Usage(format!(
                "{url} is no address: give --path as it stands in a URL"
            ))
        } else if error.is_connect() {
            Failure::Unreachable(format!("the gateway does not answer: {error}"))
        } else {
            Failure::No(format!("no answer from {url}: {error}"))
        }
    })
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
