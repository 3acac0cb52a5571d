//! What must hold of a host that was started after a kill, by what the one before it had told and left.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::autopsy::{Autopsy, ended_by_events, permanent_by_events};
use super::judge::Ledger;
use super::plan::AGENTS;
use super::seen::Seen;
use crate::admin::{Admin, number, text};

/// How long agents may take to answer before the trial is given up.
const DEADLINE: Duration = Duration::from_secs(90);

/// How many results the host shows of an agent: with fewer, none is missing.
const HISTORY: usize = 50;

/// Waits until each agent has answered once; when the last one did.
pub(super) async fn all_answer(gateway: &str) -> Result<Instant> {
    let http = crate::client();
    let given_up = Instant::now() + DEADLINE;
    for agent in &AGENTS {
        let ask = agent.ask();
        let url = format!("http://{gateway}{}", ask.path);
        loop {
            let request = if ask.post {
                http.post(&url)
            } else {
                http.get(&url)
            };
            let reply = request.send().await;
            if let Ok(reply) = &reply
                && reply.headers().contains_key("x-caxton-version")
            {
                break;
            }
            if Instant::now() > given_up {
                bail!("{} does not answer: {reply:?}", agent.name);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(Instant::now())
}

/// The agents as they are listed, as soon as all that had a permanent version are.
pub(super) async fn all_listed(admin: &Admin, found: &Autopsy) -> Result<Vec<Value>> {
    let given_up = Instant::now() + DEADLINE;
    let expected = found.agents.values().filter(|a| a.permanent.is_some());
    let expected = expected.count();
    loop {
        let agents = admin.list("agents").await?;
        let is_known = |agent: &&Value| agent.get("stable").is_some_and(|s| !s.is_null());
        if agents.iter().filter(is_known).count() >= expected || Instant::now() > given_up {
            return Ok(agents);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The permanent version in the journal is the one that was told, or one that comes after it and was not told yet.
pub(super) fn permanent(found: &Autopsy, seen: &Seen) -> Vec<String> {
    let mut violations = Vec::new();
    for (agent, told) in permanent_by_events(seen) {
        let standing = found.agents.get(&agent);
        let journalled = standing.and_then(|standing| standing.permanent);
        let moved_on = found.later_permanent.contains(&agent);
        if journalled != Some(told) && !moved_on {
            violations.push(format!(
                "{agent}: version {told} was told to be permanent, and the journal says {journalled:?}"
            ));
        }
    }
    violations
}

/// What `status` says right after the start.
pub(super) fn statuses(agents: &[Value], found: &Autopsy, ledger: &Ledger) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, standing) in &found.agents {
        let Some(agent) = agents.iter().find(|agent| text(agent, "agent") == name) else {
            violations.push(format!("{name} is not there after the start"));
            continue;
        };
        let stable = agent.get("stable").unwrap_or(&Value::Null);
        if number(stable, "number") != standing.permanent {
            violations.push(format!(
                "{name}: the journal says that version {:?} is permanent, and status says {stable}",
                standing.permanent
            ));
        }
        let made_of = standing
            .permanent
            .and_then(|number| ledger.made_of.get(&(name.clone(), number)));
        if made_of.is_some_and(|component| text(stable, "digest") != component) {
            violations.push(format!(
                "{name}: version {:?} was made of {made_of:?}, and status says {stable}",
                standing.permanent
            ));
        }
        let listed = agent.get("quarantined").and_then(Value::as_array);
        for (_, component) in ledger.quarantined.iter().filter(|(agent, _)| agent == name) {
            let listed =
                listed.is_some_and(|list| list.iter().any(|q| text(q, "digest") == component));
            if !listed {
                violations.push(format!("{name}: {component} is no longer quarantined"));
            }
        }
    }
    violations
}

/// How reloads ended is as it was told; what was interrupted has ended.
pub(super) fn history(agent: &str, history: &[Value], found: &Autopsy, seen: &Seen) -> Vec<String> {
    let status_of = |id: &str| {
        let result = history.iter().find(|result| text(result, "id") == id);
        result.map(|result| text(result, "status"))
    };
    let mut violations = Vec::new();
    for (id, (whose, told)) in ended_by_events(seen) {
        if whose != agent {
            continue;
        }
        let may_have_moved =
            (told == "completed" || told == "failed") && found.moved_on.contains(&id);
        match status_of(&id) {
            Some(status) if status == told || may_have_moved => {}
            None if history.len() >= HISTORY => {}
            other => violations.push(format!(
                "{agent}: reload {id} was told to be {told}, and history says {other:?}"
            )),
        }
    }
    let interrupted = found.agents.get(agent).and_then(|a| a.going_on.as_ref());
    if let Some(reload) = interrupted {
        let expected = if reload.status == "rolling-back" {
            "rolled-back"
        } else {
            "cancelled"
        };
        let status = status_of(&reload.id);
        if status != Some(expected) {
            violations.push(format!(
                "{agent}: reload {} was interrupted while {}, and history says {status:?} instead of {expected}",
                reload.id, reload.status
            ));
        }
    }
    violations
}
