//! What an agent's instances printed, as server-sent events or as JSON lines.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use caxton_rollout::Moment;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::Api;
use super::agents::agent_name;
use super::error::ApiError;
use super::stream::{Format, following, last_event_id};
use crate::logs::{Found, Line};

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
    let since = last_event_id(&headers)?.or(ask.since).unwrap_or(0);
    let mut there = logs.remembered(&agent, since);
    there.items.retain(|line| wanted.is(line));
    if let Some(most) = ask.lines {
        there.items.drain(..there.items.len().saturating_sub(most));
    }
    let first = write(format, &there);
    if !ask.follow.unwrap_or(format == Format::ServerSent) {
        return Ok(format.reply(Body::from(first)));
    }
    let follower = logs.follow(agent, there.position);
    let coming = stream::unfold(
        (follower, wanted),
        move |(mut follower, wanted)| async move {
            let mut found = follower.next().await;
            found.items.retain(|line| wanted.is(line));
            Some((write(format, &found), (follower, wanted)))
        },
    );
    let first = stream::iter(Some(first).filter(|first| !first.is_empty()));
    Ok(format.reply(following(&api, format, first.chain(coming).boxed())?))
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

fn write(format: Format, found: &Found) -> String {
    let mut text = String::new();
    if let Some(why) = found.gap() {
        let before = found
            .items
            .first()
            .map_or(found.position, |line| line.seq.saturating_sub(1));
        let missed = json!({ MISSED: found.missed, "why": why }).to_string();
        text.push_str(&format.write_json(before, MISSED, &missed));
    }
    for line in &found.items {
        // Strings and numbers: writing them cannot fail.
        let json = serde_json::to_string(line).unwrap_or_default();
        text.push_str(&format.write_json(line.seq, "line", &json));
    }
    text
}
