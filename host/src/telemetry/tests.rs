use super::*;
use caxton_rollout::FaultKind;

fn lines(telemetry: &Telemetry, beginning: &str) -> Vec<String> {
    let text = String::from_utf8(telemetry.text().unwrap()).unwrap();
    text.lines()
        .filter(|line| line.starts_with(beginning))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_call_is_counted_once_under_how_it_ended() {
    let telemetry = Telemetry::start(None).unwrap();
    let agent = AgentName::try_new("hello").unwrap();
    let did = ArmCounts {
        requests: 20,
        failures: 6,
        traps: 1,
        deadlines: 2,
        rejected: 4,
        unavailable: 3,
        not_counted: 9,
        cut: 5,
        ..ArmCounts::default()
    };
    telemetry.called(&agent, &did);
    telemetry.called(&agent, &did);
    let count = |outcome: &str, count: u64| {
        format!("caxton_requests_total{{agent=\"hello\",outcome=\"{outcome}\"}} {count}")
    };
    assert_eq!(
        lines(&telemetry, "caxton_requests_total"),
        [
            count("answered", 14),
            count("cut", 10),
            count("failed", 6),
            count("not-counted", 8),
            count("rejected", 8),
            count("too-late", 4),
            count("trapped", 2),
            count("unavailable", 6),
        ]
    );
}

#[test]
fn times_are_seconds_in_buckets_and_say_whose_they_are() {
    let telemetry = Telemetry::start(None).unwrap();
    let took = Duration::from_micros(1_200);
    telemetry.answered(Some("hello"), StatusCode::CREATED, took);
    telemetry.answered(None, StatusCode::NOT_FOUND, took);
    let of_hello = "caxton_request_duration_seconds_bucket{agent=\"hello\",status=\"2xx\",le=";
    let buckets = lines(&telemetry, of_hello);
    assert!(
        buckets.contains(&format!("{of_hello}\"0.001\"}} 0")),
        "{buckets:?}"
    );
    assert!(
        buckets.contains(&format!("{of_hello}\"0.0015\"}} 1")),
        "{buckets:?}"
    );
    assert_eq!(
        lines(&telemetry, "caxton_request_duration_seconds_count"),
        [
            "caxton_request_duration_seconds_count{agent=\"\",status=\"4xx\"} 1",
            "caxton_request_duration_seconds_count{agent=\"hello\",status=\"2xx\"} 1",
        ]
    );
    let fault = Fault {
        policy: "mine".to_owned(),
        kind: FaultKind::OutOfFuel,
        message: String::new(),
    };
    telemetry.asked("mine", took, Some(&fault));
    telemetry.asked("mine", took, None);
    assert_eq!(
        lines(&telemetry, "caxton_policy_faults_total"),
        ["caxton_policy_faults_total{fault=\"out-of-fuel\",policy=\"mine\"} 1"]
    );
    assert_eq!(
        lines(&telemetry, "caxton_policy_call_duration_seconds_count"),
        ["caxton_policy_call_duration_seconds_count{policy=\"mine\"} 2"]
    );
}

#[test]
fn the_documentation_names_every_metric() {
    let telemetry = Telemetry::start(None).unwrap();
    let agent = AgentName::try_new("hello").unwrap();
    for counter in [
        &telemetry.0.requests,
        &telemetry.0.reloads,
        &telemetry.0.lost_requests,
    ] {
        counter.add(1, &[]);
    }
    telemetry.0.policy_faults.add(1, &[]);
    telemetry.asked("mine", Duration::ZERO, None);
    telemetry.answered(None, StatusCode::OK, Duration::ZERO);
    telemetry.memory(&agent, 1);
    telemetry.rolled_back(&agent, RollbackCause::Policy);
    telemetry.prepared(&agent, CodeSource::Disk, Duration::ZERO);
    let documented = include_str!("../../../docs/telemetry.md");
    let text = String::from_utf8(telemetry.text().unwrap()).unwrap();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut seen = 0;
    for family in families {
        let (name, kind) = family.split_once(' ').unwrap();
        if name.starts_with("caxton_") {
            seen += 1;
            let row = format!("| `{name}` | {kind} |");
            assert!(
                documented.contains(&row),
                "docs/telemetry.md has no row {row}"
            );
        }
    }
    assert_eq!(seen, 9, "{text}");
}
