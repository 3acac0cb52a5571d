//! The agent's configuration in the demo: that of the strategy which is shown, with times short enough to be waited for.

use crate::cli::DemoStrategy;

/// How long a new version is watched with all traffic: long enough to be judged several times.
const BAKE: &str = "6s";

/// The text of NAME.toml. `policy` judges alone; without one the host's default does.
pub(super) fn written(strategy: DemoStrategy, policy: Option<&str>) -> String {
    let name = match strategy {
        DemoStrategy::Graceful => "graceful",
        DemoStrategy::Immediate => "immediate",
        DemoStrategy::Parallel => "parallel",
        DemoStrategy::TrafficSplitting => "traffic-splitting",
    };
    let more = match strategy {
        DemoStrategy::Graceful | DemoStrategy::Immediate => "",
        DemoStrategy::Parallel => MIRROR,
        DemoStrategy::TrafficSplitting => STAGES,
    };
    let judge = policy.map(|policy| {
        format!("\n[rollback]\npolicies = [{{ name = \"{policy}\", mode = \"enforce\" }}]\n")
    });
    let judge = judge.unwrap_or_default();
    format!("[reload]\nstrategy = \"{name}\"\nbake = \"{BAKE}\"\n{more}{judge}")
}

/// Some hundred copies come in that time.
const MIRROR: &str = "mirror = { at_least = \"5s\", at_least_requests = 100 }\n";

/// At some hundred requests a second, ten per cent show within a second or two whether a version fails.
const STAGES: &str = "stages = [
    { split = 10, at_least = \"4s\", at_least_requests = 25 },
    { split = 50, at_least = \"4s\", at_least_requests = 25 },
]
";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn each_strategy_is_written_as_its_argument_says() {
        for strategy in DemoStrategy::value_variants() {
            let text = written(*strategy, Some("latency-guard"));
            let settings: toml::Table = text.parse().unwrap();
            let argument = strategy.to_possible_value().unwrap();
            assert_eq!(
                settings["reload"]["strategy"].as_str(),
                Some(argument.get_name()),
                "{text}"
            );
            let policies = settings["rollback"]["policies"].as_array().unwrap();
            assert_eq!(policies.len(), 1);
            assert_eq!(policies[0]["name"].as_str(), Some("latency-guard"));
        }
    }
}
