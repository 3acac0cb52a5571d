//! Where a reload stands, in a few words. Shared by `caxton status` and `caxton top`.

use super::time::span;
use super::views::{Agent, Gate, Live, Reload};

/// The status that reloads have while anything between first traffic and the end of the bake goes on.
const IN_PROGRESS: &str = "in-progress";

/// The candidate gets copies.
pub(super) const LISTENING: &str = "listening";

/// State moves, and requests wait.
pub(super) const HANDING_OVER: &str = "handing over";

/// The candidate has all traffic and is judged.
pub(super) const BAKING: &str = "baking";

/// The stage of a traffic split, counted from one as people do.
pub(super) fn stage(agent: &Agent, reload: &Reload) -> Option<String> {
    (agent.split < 100
        && reload.stages > 0
        && reload.status == IN_PROGRESS
        && reload.stage < reload.stages)
        .then(|| {
            let stage = reload.stage.saturating_add(1);
            format!("stage {stage} of {}", reload.stages)
        })
}

/// How long it has been in its stage, or listening, and how much it has seen there, of what it has to.
pub(super) fn lasted(reload: &Reload, now: u64) -> Option<String> {
    let since = reload.since.map(|since| now.saturating_sub(since));
    let elapsed = span(since.or(reload.stage_elapsed_ms)?);
    let time = match reload.at_least_ms {
        Some(least) => format!("{elapsed} of {}", span(least)),
        None => elapsed,
    };
    match (reload.requests, reload.at_least_requests) {
        (Some(requests), Some(least)) if least > 0 => {
            Some(format!("{time}, {requests} of {least} requests"))
        }
        (Some(requests), _) => Some(format!("{time}, {requests} requests")),
        (None, _) => Some(time),
    }
}

/// What it waits for and why it is where it is, each once.
pub(super) fn reasons(reload: &Reload) -> Vec<&str> {
    let mut reasons: Vec<&str> = [&reload.reason, &reload.waits_for]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    reasons.dedup();
    reasons
}

/// Whether the candidate gets copies and no requests.
pub(super) fn listens(agent: &Agent) -> bool {
    let Some(candidate) = &agent.candidate else {
        return false;
    };
    let told = agent
        .live
        .iter()
        .any(|live| live.listening && live.number == candidate.number);
    let reload = agent.reload.as_ref();
    told || (agent.split == 0
        && reload
            .is_some_and(|reload| reload.strategy == "parallel" && reload.status == IN_PROGRESS))
}

/// The phase in one or two words; that it is paused goes before all else.
pub(super) fn short(agent: &Agent) -> String {
    match &agent.reload {
        Some(reload) if reload.paused => "paused".to_owned(),
        _ => step(agent),
    }
}

/// The step that a reload is at, in one or two words; nothing where there is none.
pub(super) fn step(agent: &Agent) -> String {
    let Some(reload) = &agent.reload else {
        return String::new();
    };
    if reload.status != IN_PROGRESS {
        return reload.status.clone();
    }
    if agent.gate.as_ref().is_some_and(|gate| gate.closed) {
        return HANDING_OVER.to_owned();
    }
    if listens(agent) {
        return LISTENING.to_owned();
    }
    if agent.split >= 100 {
        return BAKING.to_owned();
    }
    stage(agent, reload).unwrap_or_else(|| reload.status.clone())
}

/// The gate in words.
pub(super) fn gate_words(gate: &Gate) -> String {
    match (gate.closed, gate.waiting) {
        (false, 0) => "open".to_owned(),
        (false, waiting) => format!("open, {waiting} still on their way through"),
        (true, 0) => "closed while state moves, nobody waits".to_owned(),
        (true, 1) => "closed while state moves, 1 request waits".to_owned(),
        (true, waiting) => format!("closed while state moves, {waiting} requests wait"),
    }
}

/// A rate or a time: fine where it is small, whole where it is large.
pub(super) fn rate(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.abs() < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// What all versions that answer callers do together; none where the host does not tell. Copies count as nothing here.
pub(super) fn sum(live: &[Live], of: impl Fn(&Live) -> Option<f64>) -> Option<f64> {
    let told: Vec<f64> = live
        .iter()
        .filter(|live| !live.listening)
        .filter_map(of)
        .collect();
    (!told.is_empty()).then(|| told.iter().sum())
}

/// The slowest of the versions that answer callers.
pub(super) fn slowest(live: &[Live], of: impl Fn(&Live) -> Option<f64>) -> Option<f64> {
    live.iter()
        .filter(|live| !live.listening)
        .filter_map(of)
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::views::Version;

    fn agent(strategy: &str, status: &str, split: u8, (stage, stages): (u32, u32)) -> Agent {
        Agent {
            candidate: Some(Version {
                number: 2,
                digest: String::new(),
            }),
            split,
            reload: Some(Reload {
                strategy: strategy.to_owned(),
                status: status.to_owned(),
                stage,
                stages,
                ..Reload::default()
            }),
            ..Agent::default()
        }
    }

    #[test]
    fn a_phase_has_a_short_name() {
        let phases = [
            agent("graceful", "preparing", 0, (0, 0)),
            agent("graceful", "in-progress", 100, (0, 0)),
            agent("parallel", "in-progress", 0, (0, 0)),
            agent("traffic-splitting", "in-progress", 10, (1, 5)),
            agent("traffic-splitting", "in-progress", 100, (4, 5)),
            agent("graceful", "rolling-back", 0, (0, 0)),
        ]
        .map(|agent| short(&agent));
        assert_eq!(
            phases,
            [
                "preparing",
                "baking",
                "listening",
                "stage 2 of 5",
                "baking",
                "rolling-back"
            ]
        );
        let mut handing_over = agent("graceful", "in-progress", 0, (0, 0));
        handing_over.gate = Some(Gate {
            closed: true,
            waiting: 3,
        });
        assert_eq!(short(&handing_over), "handing over");
        assert_eq!(short(&Agent::default()), "");
    }

    #[test]
    fn what_a_stage_has_lasted_is_told_as_far_as_the_host_tells_it() {
        let mut reload = Reload::default();
        assert_eq!(lasted(&reload, 5_000), None);
        reload.stage_elapsed_ms = Some(2_000);
        assert_eq!(lasted(&reload, 5_000).as_deref(), Some("2.0 s"));
        reload.since = Some(1_000);
        reload.requests = Some(12);
        assert_eq!(
            lasted(&reload, 5_000).as_deref(),
            Some("4.0 s, 12 requests")
        );
        reload.at_least_ms = Some(30_000);
        reload.at_least_requests = Some(50);
        assert_eq!(
            lasted(&reload, 5_000).as_deref(),
            Some("4.0 s of 30 s, 12 of 50 requests")
        );
    }

    #[test]
    fn a_reason_is_told_once() {
        let reload = |reason: Option<&str>, waits_for: Option<&str>| Reload {
            reason: reason.map(str::to_owned),
            waits_for: waits_for.map(str::to_owned),
            ..Reload::default()
        };
        assert_eq!(reasons(&reload(Some("a"), Some("a"))), ["a"]);
        assert_eq!(reasons(&reload(Some("a"), Some("b"))), ["a", "b"]);
        assert_eq!(reasons(&reload(None, Some("b"))), ["b"]);
    }

    #[test]
    fn what_a_listener_does_is_not_what_callers_get() {
        let live = |requests, listening| Live {
            requests_per_second: requests,
            p99_ms: requests,
            listening,
            ..Live::default()
        };
        let all = [
            live(Some(3.0), false),
            live(Some(40.0), true),
            live(None, false),
        ];
        assert_eq!(sum(&all, |live| live.requests_per_second), Some(3.0));
        assert_eq!(slowest(&all, |live| live.p99_ms), Some(3.0));
        assert_eq!(sum(&[], |live| live.requests_per_second), None);
    }
}
