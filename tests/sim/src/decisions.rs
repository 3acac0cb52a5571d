//! Decisions in a few words each: what a person compares in a table.

use caxton_rollout::{Command, Happened};

/// The command in short; none where it only asks a question or repeats what another one says.
pub(crate) fn short(command: &Command) -> Option<String> {
    Some(match command {
        Command::Prepare { number, .. } => format!("prepare {number}"),
        Command::Route {
            traffic: Some(traffic),
            ..
        } => format!("route to {}", traffic.serving),
        Command::Route { traffic: None, .. } => "route to none".to_owned(),
        Command::Drain { number, .. } => format!("drain {number}"),
        Command::Cut { number, .. } => format!("cut {number}"),
        Command::Unload { number, .. } => format!("unload {number}"),
        Command::Pin { .. } => "ask for the policies".to_owned(),
        Command::Plan { .. } => "ask for the plan".to_owned(),
        Command::Forget { identity, .. } => {
            format!(
                "forget the content {}",
                &identity.component.short().get(..2)?
            )
        }
        Command::Finished { result, .. } => format!(
            "result: {:?}, {} -> {}, evidence {:?}, lost {}",
            result.status,
            result
                .from
                .map_or("none".to_owned(), |number| number.to_string()),
            result
                .to
                .map_or("none".to_owned(), |number| number.to_string()),
            result.evidence,
            result.lost_requests,
        ),
        Command::Tell(notice) => return happened(&notice.what),
        Command::CheckHealth { .. } | Command::Judge { .. } | Command::Unpin { .. } => return None,
    })
}

fn happened(what: &Happened) -> Option<String> {
    Some(match what {
        Happened::ReloadStarted { to, .. } => format!("a reload begins with {to}"),
        Happened::StatusChanged {
            from,
            to,
            reason: None,
        } => format!("{from:?} -> {to:?}"),
        Happened::StatusChanged {
            from,
            to,
            reason: Some(reason),
        } => {
            format!("{from:?} -> {to:?}: {reason}")
        }
        Happened::Waiting { reason } => reason.clone(),
        Happened::HealthFailed { number, reason } => format!("{number} is not well: {reason}"),
        Happened::Verdict {
            policy, verdict, ..
        } => format!("{policy} says {verdict:?}"),
        Happened::Fault {
            fault, in_a_row, ..
        } => format!("fault {in_a_row}: {fault}"),
        Happened::Disarmed { number, reason } => format!("{number} is watched no more: {reason}"),
        Happened::Quarantined { reason, .. } => format!("quarantined: {reason}"),
        Happened::SetAside {
            reason,
            again_in_ms,
            ..
        } => {
            let again = again_in_ms.map(|wait| wait / 1_000);
            format!("set aside: {reason}; again in {again:?} s")
        }
        Happened::Diverged { reason, .. } => format!("diverged: {reason}"),
        Happened::CallsCut { number, calls } => format!("{calls} calls were cut on {number}"),
        Happened::Ordered { order } => format!("an operator says {order}"),
        Happened::Stopped => "stopped".to_owned(),
        Happened::Swapped { .. } | Happened::Completed { .. } | Happened::RolledBack { .. } => {
            return None;
        }
    })
}
