//! What stands rather than happens: read from what the controller has published, whenever somebody asks.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::word;
use crate::handle::ControllerHandle;
use crate::published::{AgentStatus, Published};

/// One value with its labels.
type Value = (u64, Vec<KeyValue>);

pub(super) fn register(meter: &Meter, handle: &ControllerHandle) {
    let gauge = |name: &'static str, about: &'static str, read: fn(&Published) -> Vec<Value>| {
        let handle = handle.clone();
        // The provider keeps the callback; what is returned here has no use.
        let _ = meter
            .u64_observable_gauge(name)
            .with_description(about)
            .with_callback(move |gauge| {
                for (value, labels) in read(&handle.published()) {
                    gauge.observe(value, &labels);
                }
            })
            .build();
    };
    gauge("caxton.agents", "Agents, by state", agents);
    gauge(
        "caxton.attention",
        "What waits for a person, by kind",
        attention,
    );
    gauge("caxton.requests.in_flight", "Calls that run now", in_flight);
    gauge(
        "caxton.agent.version",
        "The number of the agent's permanent version, and of its candidate",
        versions,
    );
    gauge(
        "caxton.agent.split",
        "Per cent of the agent's requests that its candidate is to get",
        splits,
    );
}

fn agents(published: &Published) -> Vec<Value> {
    let states = published.agents.values();
    counted("state", states.map(|agent| word(agent.view.state)))
}

fn attention(published: &Published) -> Vec<Value> {
    let of_agents = published
        .agents
        .values()
        .flat_map(|agent| &agent.view.attention);
    let all = published.attention.iter().chain(of_agents);
    counted("kind", all.map(|attention| attention.kind.to_owned()))
}

fn counted(label: &'static str, words: impl Iterator<Item = String>) -> Vec<Value> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let value = |(word, count)| (count, vec![KeyValue::new(label, word)]);
    counts.into_iter().map(value).collect()
}

fn in_flight(published: &Published) -> Vec<Value> {
    let of_agent = |agent: &AgentStatus| -> Vec<Value> {
        let value = |(number, calls): (_, u32)| {
            let mut labels = of(agent);
            labels.push(KeyValue::new("version", format!("{number}")));
            (u64::from(calls), labels)
        };
        agent.live.in_flight_of_each().map(value).collect()
    };
    published
        .agents
        .values()
        .flat_map(|agent| of_agent(agent))
        .collect()
}

fn versions(published: &Published) -> Vec<Value> {
    let of_agent = |agent: &AgentStatus| -> Vec<Value> {
        let view = &agent.view;
        let numbers = [
            ("permanent", view.permanent),
            (
                "candidate",
                view.candidate.as_ref().map(|candidate| candidate.number),
            ),
        ];
        let value = |(role, number): (&'static str, Option<caxton_rollout::VersionNumber>)| {
            let mut labels = of(agent);
            labels.push(KeyValue::new("role", role));
            Some((number?.get(), labels))
        };
        numbers.into_iter().filter_map(value).collect()
    };
    published
        .agents
        .values()
        .flat_map(|agent| of_agent(agent))
        .collect()
}

fn splits(published: &Published) -> Vec<Value> {
    let reloading = published
        .agents
        .values()
        .filter(|agent| agent.view.candidate.is_some());
    reloading
        .map(|agent| (u64::from(agent.view.split), of(agent)))
        .collect()
}

fn of(agent: &AgentStatus) -> Vec<KeyValue> {
    vec![KeyValue::new("agent", agent.view.agent.to_string())]
}
