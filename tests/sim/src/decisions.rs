//! Decisions in a few words each: what a person compares in a table.

use caxton_rollout::{
    Action, Command, Decided, ErrorKind, Happened, HotReloadStatus, Restored, StateReport,
    StateSource, Traffic, VersionNumber,
};

/// The command in short; none where it only asks a question or repeats what another one says.
pub(crate) fn short(command: &Command) -> Option<String> {
    Some(match command {
        Command::Prepare { number, .. } => format!("prepare {number}"),
        Command::Route {
            traffic: Some(traffic),
            ..
        } => route(*traffic),
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
            "result: {:?}, {} -> {}, evidence {:?}, lost {}{}",
            result.status,
            result
                .from
                .map_or("none".to_owned(), |number| number.to_string()),
            result
                .to
                .map_or("none".to_owned(), |number| number.to_string()),
            result.evidence,
            result.lost_requests,
            result.state.map_or_else(String::new, state),
        ),
        Command::Tell(notice) => return happened(&notice.what),
        Command::HandOver { to, source, .. } => hand_over(*to, *source),
        Command::CheckHealth { .. }
        | Command::Judge { .. }
        | Command::Remember { .. }
        | Command::Decided(_)
        | Command::Unpin { .. } => return None,
    })
}

/// What a long run has to come by, of what the command shows.
pub(crate) fn rare(command: &Command) -> Vec<&'static str> {
    match command {
        Command::Route {
            traffic: Some(traffic),
            ..
        } => {
            let share = traffic.split.map(|_| "a share");
            let copies = traffic.listener.map(|_| "copies");
            share.into_iter().chain(copies).collect()
        }
        Command::HandOver { source, .. } => vec![match source {
            StateSource::Live { cut: false, .. } => "a hand-over",
            StateSource::Live { cut: true, .. } => "a hand-over that may cut",
            StateSource::Snapshot => "a snapshot",
            StateSource::Fresh => "an empty state",
        }],
        Command::Finished { result, .. } => {
            let restored = result.state.and_then(|state| state.restored_from);
            let restored = restored.map(|restored| match restored {
                Restored::Live => "a return to what was",
                Restored::Checkpoint => "a return to a checkpoint",
                Restored::Carried => "a return with the state",
                Restored::Snapshot => "a return to what was saved",
                Restored::None => "a return with nothing",
            });
            let lost = (result.error_kind == Some(ErrorKind::StatePreservationFailed))
                .then_some("state that was not taken");
            restored.into_iter().chain(lost).collect()
        }
        Command::Decided(decision) => decided(&decision.outcome),
        Command::Tell(notice) => match notice.what {
            Happened::OrderFailed { .. } => vec!["an order that failed"],
            Happened::NotRecorded { .. } => vec!["a write that failed"],
            Happened::BegunAgain { .. } => vec!["a reload that began again"],
            Happened::Diverged { ref reason, .. } if reason.contains("the next one waits") => {
                vec!["the breaker"]
            }
            Happened::CrashLoop { .. } => vec!["a crash loop"],
            Happened::StatusChanged {
                to: HotReloadStatus::RollingBack,
                reason: Some(ref reason),
                ..
            } if reason.contains("kept crashing") => vec!["a way back from a crash loop"],
            Happened::Restored {
                became: Some(became),
                ..
            } => vec![match became {
                HotReloadStatus::RolledBack => "a start that ended a way back",
                HotReloadStatus::Completed => "a start that disarmed",
                _ => "a start that ended a reload",
            }],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn decided(decided: &Decided) -> Vec<&'static str> {
    let action = match &decided.action {
        Action::Stay => "decided to stay",
        Action::Hold { .. } => "decided to hold",
        Action::Share { .. } => "decided on a share",
        Action::Promote => "decided to promote",
        Action::Complete { .. } => "decided to complete",
        Action::Disarm => "decided that it is proven",
        Action::RollBack { guard: true, .. } => "the guard went back",
        Action::RollBack { blame: None, .. } => "went back without blame",
        Action::RollBack { .. } => "decided to go back",
        Action::End { .. } => "decided to end",
    };
    let clamp = (!decided.clamps.is_empty()).then_some("a clamp");
    [action].into_iter().chain(clamp).collect()
}

fn state(report: StateReport) -> String {
    let from = report.state_from.map(|from| format!(", state {from:?}"));
    let back = report.restored_from.map(|back| format!(", state {back:?}"));
    let calls = report
        .calls_since
        .map(|calls| format!(", {calls} calls ago"));
    let seconds = report
        .seconds_since
        .map(|seconds| format!(", {seconds} s ago"));
    [from, back, calls, seconds].into_iter().flatten().collect()
}

fn route(traffic: Traffic) -> String {
    let Traffic {
        serving,
        split,
        listener,
    } = traffic;
    let split = split.map(|split| format!(", {} % to {}", split.percent, split.candidate));
    let copies = listener.map(|listener| format!(", copies to {listener}"));
    let (split, copies) = (split.unwrap_or_default(), copies.unwrap_or_default());
    format!("route to {serving}{split}{copies}")
}

fn hand_over(to: VersionNumber, source: StateSource) -> String {
    match source {
        StateSource::Live { from, cut, .. } => {
            let cut = if cut { ", cutting" } else { "" };
            format!("hand the state of {from} over to {to}{cut}")
        }
        StateSource::Snapshot => format!("give {to} what it saved last"),
        StateSource::Fresh => format!("let {to} begin empty"),
    }
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
        Happened::Stopped { .. } => "stopped".to_owned(),
        Happened::NotRecorded { reason } => format!("not recorded: {reason}"),
        Happened::Restored {
            permanent,
            candidate,
            became,
        } => {
            let permanent = permanent.map_or("nothing".to_owned(), |number| number.to_string());
            let candidate = candidate.zip(*became);
            let candidate = candidate.map(|(number, became)| format!("; {number} was {became:?}"));
            format!("restored: {permanent}{}", candidate.unwrap_or_default())
        }
        Happened::BegunAgain { number, .. } => format!("{number} begins again"),
        Happened::CrashLoop {
            number,
            reason,
            follows,
        } => format!("{number} keeps crashing: {reason}; {follows}"),
        Happened::HandedOver { to, state_from } => format!("{to} has its state: {state_from:?}"),
        Happened::OrderFailed { reason, .. } => reason.clone(),
        Happened::Share { .. } | Happened::Listening { .. } => return None,
        Happened::Swapped { .. } | Happened::Completed { .. } | Happened::RolledBack { .. } => {
            return None;
        }
    })
}
