//! What an agent's instances printed, as server-sent events or as JSON lines.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use caxton_rollout::Moment;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::agents::agent_name;
use super::error::ApiError;
use super::stream::{Format, KEEP_ALIVE, follower_permit, last_event_id};
use crate::logs::{Follower, Found, Line};

/// The kind of what stands where lines were forgotten before they were read.
const MISSED: &str = "missed";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ask {
    /// After the line with this number.
    since: Option<u64>,
    /// Not printed before this moment.
    from: Option<u64>,
    version: Option<u64>,
    /// Of what there is already, only so many of the newest.
    lines: Option<usize>,
    follow: Option<bool>,
}

/// Answers `GET /api/v1/agents/NAME/logs`.
pub(super) async fn logs(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Result<Query<Ask>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(ask) = ask.map_err(|error| ApiError::unprocessable(error.body_text()))?;
    let agent = agent_name(&name)?;
    let logs = &api.surface.logs;
    let published = api.surface.handle.published();
    if !published.agents.contains_key(&agent) && !logs.knows(&agent) {
        return Err(ApiError::no_such_agent_of(&agent, published.agents.keys()));
    }
    let format = Format::wanted(&headers);
    let wanted = Wanted {
        version: ask.version,
        from: ask.from.map(Moment),
    };
    let mut position = last_event_id(&headers)?.or(ask.since).unwrap_or(0);
    let mut missed = 0;
    let mut there = Vec::new();
    loop {
        let found = logs.since(&agent, position);
        if found.lines.is_empty() {
            break;
        }
        missed += found.missed;
        position = found.position;
        there.extend(found.lines.into_iter().filter(|line| wanted.is(line)));
        // An agent that prints faster than this reads would never let it end.
        if there.len() >= crate::logs::MAX_LINES {
            break;
        }
    }
    if let Some(most) = ask.lines {
        there.drain(..there.len().saturating_sub(most));
    }
    let first = write(
        format,
        &Found {
            missed,
            lines: there,
            position,
        },
    );
    if !ask.follow.unwrap_or(format == Format::ServerSent) {
        return Ok(format.reply(Body::from(first)));
    }
    let reading = Reading {
        first: Some(first),
        follower: logs.follow(agent, position),
        wanted,
        format,
        stop: api.stop.clone(),
        _permit: follower_permit(&api.followers)?,
    };
    let body = Body::from_stream(futures::stream::unfold(reading, Reading::next));
    Ok(format.reply(body))
}

/// Which lines.
struct Wanted {
    version: Option<u64>,
    from: Option<Moment>,
}

impl Wanted {
    fn is(&self, line: &Arc<Line>) -> bool {
        self.version.is_none_or(|version| line.version == version)
            && self.from.is_none_or(|from| line.at >= from)
    }
}

struct Reading {
    /// What there was already.
    first: Option<String>,
    follower: Follower,
    wanted: Wanted,
    format: Format,
    stop: CancellationToken,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some((Ok(first.into()), self));
        }
        let found = tokio::select! {
            found = self.follower.next() => Some(found),
            () = tokio::time::sleep(KEEP_ALIVE) => None,
            () = self.stop.cancelled() => return None,
        };
        let text = match found {
            Some(mut found) => {
                found.lines.retain(|line| self.wanted.is(line));
                write(self.format, &found)
            }
            None => self.format.nothing().to_owned(),
        };
        // Nothing that this reader wants is still something to send: it may be gone, and that shows in no other way.
        let text = if text.is_empty() {
            self.format.nothing().to_owned()
        } else {
            text
        };
        Some((Ok(text.into()), self))
    }
}

fn write(format: Format, found: &Found) -> String {
    let mut text = String::new();
    if found.missed > 0 {
        let before = found
            .lines
            .first()
            .map_or(found.position, |line| line.seq.saturating_sub(1));
        let missed = json!({ MISSED: found.missed }).to_string();
        text.push_str(&format.write_json(before, MISSED, &missed));
    }
    for line in &found.lines {
        // Strings and numbers: writing them cannot fail.
        let json = serde_json::to_string(line).unwrap_or_default();
        text.push_str(&format.write_json(line.seq, "line", &json));
    }
    text
}
