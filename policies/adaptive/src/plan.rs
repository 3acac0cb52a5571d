//! How a new version is to come in, by the traffic that the agent had before.

use caxton_policy::{Context, Explanation, Finding, Plan, Stage, Strategy, Window, because};

use crate::settings::Settings;

/// The plan for this reload. What is configured beside strategy, stages and warm-up stays as it is.
pub(crate) fn plan(settings: &Settings, context: &Context, configured: Plan) -> Plan {
    if context.stateful {
        let why = "graceful: the agent keeps state, which only one version can have at a time";
        return graceful(configured, because("stateful", why));
    }
    let Some(traffic) = context.baseline.as_ref().and_then(Traffic::of) else {
        let why = "graceful without warm-up: there was no traffic lately";
        let plan = graceful(configured, because("no-traffic", why));
        return Plan {
            warm_up_ms: 0,
            ..plan
        };
    };
    let stages = stages(settings, &traffic);
    let why = explain(settings, &traffic, &stages);
    Plan {
        strategy: Strategy::TrafficSplitting,
        stages,
        why,
        ..configured
    }
}

fn graceful(configured: Plan, why: Explanation) -> Plan {
    Plan {
        strategy: Strategy::Graceful,
        stages: Vec::new(),
        why,
        ..configured
    }
}

/// What the permanent version had before the reload began; never nothing.
struct Traffic {
    requests: u64,
    over_ms: u64,
}

impl Traffic {
    fn of(baseline: &Window) -> Option<Self> {
        let requests = baseline.stable.as_ref()?.requests;
        let over_ms = baseline.end_ms.saturating_sub(baseline.start_ms);
        (requests > 0 && over_ms > 0).then_some(Self { requests, over_ms })
    }

    fn per_second(&self) -> f64 {
        self.requests as f64 * 1_000.0 / self.over_ms as f64
    }

    /// How long it takes until a share of it has come to so many requests, in milliseconds.
    fn time_for(&self, requests: u64, share: u8) -> u64 {
        let needed = u128::from(requests) * 100 * u128::from(self.over_ms);
        let time = needed.div_ceil(u128::from(self.requests) * u128::from(share));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How many requests a share of it comes to in so many milliseconds.
    fn requests_in(&self, time_ms: u64, share: u8) -> u64 {
        let requests = u128::from(self.requests) * u128::from(share) * u128::from(time_ms)
            / (100 * u128::from(self.over_ms));
        u64::try_from(requests).unwrap_or(u64::MAX)
    }
}

/// A stage for each share at which enough requests come in within the longest time; at least one.
fn stages(settings: &Settings, traffic: &Traffic) -> Vec<Stage> {
    let shortest = settings.shortest_stage_seconds.saturating_mul(1_000);
    let longest = settings.longest_stage_seconds.saturating_mul(1_000);
    let wanted = settings.requests_per_stage;
    let stage = |split: u8, at_least_ms: u64, at_least_requests: u64| Stage {
        split,
        at_least_ms,
        at_least_requests,
        needs_operator: false,
    };
    let mut stages: Vec<Stage> = settings
        .shares
        .iter()
        .map(|share| (share.0, traffic.time_for(wanted, share.0)))
        .filter(|(_, time)| *time <= longest)
        .map(|(share, time)| stage(share, time.max(shortest), wanted))
        .collect();
    // Even the largest share sees too little in that time: it is as good as it gets, and no more is asked than can be expected.
    if stages.is_empty()
        && let Some(largest) = settings.shares.last()
    {
        let expected = traffic.requests_in(longest, largest.0);
        stages.push(stage(largest.0, longest, expected));
    }
    stages
}

fn explain(settings: &Settings, traffic: &Traffic, stages: &[Stage]) -> Explanation {
    let shares: Vec<String> = stages.iter().map(|stage| stage.split.to_string()).collect();
    let seconds = |ms: u64| ms.div_ceil(1_000);
    let times = stages.iter().map(|stage| seconds(stage.at_least_ms));
    let (longest, shortest) = (times.clone().max().unwrap_or(0), times.min().unwrap_or(0));
    let time = if longest == shortest {
        format!("{longest} s")
    } else {
        format!("{shortest} to {longest} s")
    };
    let requests = stages
        .iter()
        .map(|stage| stage.at_least_requests)
        .min()
        .unwrap_or(0);
    let rate = traffic.per_second();
    Explanation {
        code: "by-traffic".to_owned(),
        summary: format!(
            "traffic-splitting at {} %: with {} a stage sees {requests} requests in {time}",
            shares.join(", "),
            rate_words(rate)
        ),
        findings: vec![
            Finding::new(
                "requests-per-second",
                rate,
                enough_for_every_share(settings),
                traffic.requests,
            )
            .by("mean", rate),
        ],
    }
}

/// A rate in the unit in which it is no fraction of nothing.
fn rate_words(per_second: f64) -> String {
    if per_second < 1.0 {
        format!("{:.2} requests per minute", per_second * 60.0)
    } else {
        format!("{per_second:.1} requests per second")
    }
}

/// Requests per second at which no share is left out.
fn enough_for_every_share(settings: &Settings) -> f64 {
    let smallest = settings.shares.first().map_or(1, |share| share.0);
    settings.requests_per_stage as f64 * 100.0
        / (f64::from(smallest) * settings.longest_stage_seconds as f64)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
