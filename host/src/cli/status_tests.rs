use expect_test::expect;
use serde_json::json;

use super::*;
use crate::cli::show::tests::{NOW, TERMINAL, agents_value, check};

#[test]
fn status_tells_everything_about_one_agent() {
    let all: String = agents_value()
        .iter()
        .map(|agent| status(agent, NOW, TERMINAL))
        .collect();
    check(
        &all,
        expect![[r#"
        hello  serving
          serves      v3
          stable      v2 3f2a91c4d5e6
          candidate   v3 77, 100 % of traffic
          reload      in-progress, paused, graceful, began 12 s ago
                      id 00000000-0000-4000-8000-000000000007
                      paused by an operator
          policy      thresholds says undecided: 12 of 20 requests
          in flight   12
          kept        v1 3f2a91c4d5e6
        bad  failed
          serves      -
          stable      -
          in flight   0
          diverged    it was refused
          quarantined 3f2a91c4d5e6 1 min ago: error-rate
          last error  line one
                      line \u{1b}[2Jtwo
        ! refused-file: bad.wasm is a core module (3 s ago)
          try: replace bad.wasm
    "#]],
    );
}

/// What a host tells that has gates, rates and shares.
fn splitting() -> Agent {
    serde_json::from_value(json!({
        "agent": "shop", "state": "serving", "serving": 2, "split": 10, "split_actual": 9.84, "in_flight": 12,
        "stable": {"number": 2, "digest": "aa"}, "candidate": {"number": 3, "digest": "bb"}, "gate": null,
        "reload": {
            "id": "00000000-0000-4000-8000-000000000007", "status": "in-progress", "strategy": "traffic-splitting",
            "stage": 1, "stages": 5, "since": NOW - 12_300, "at_least_ms": 30_000, "at_least_requests": 50, "requests": 34,
            "started_at": NOW - 42_000, "paused": false,
            "reason": null, "waits_for": "there is not enough evidence yet"
        },
        "live": [
            {"number": 2, "in_flight": 11, "requests_per_second": 361.2, "failures_per_second": 0.0, "p50_ms": 1.24,
                "p99_ms": 8.0, "stateful": false, "listening": false},
            {"number": 3, "in_flight": 1, "requests_per_second": 39.4, "failures_per_second": 1.25, "p50_ms": null,
                "p99_ms": null, "stateful": false, "listening": false}
        ],
        "verdicts": [
            {"policy": "thresholds", "enforcing": true, "verdict": "undecided", "faults": 0,
                "why": {"summary": "12 of 20 requests"}},
            {"policy": "mine", "enforcing": false, "verdict": {"rollback": "candidate"}, "faults": 0,
                "why": {"summary": "a hunch"}}
        ],
        "attention": [{"kind": "needs-operator", "since": NOW - 2_000, "text": "stage 2 waits for an operator",
            "command": "caxton resume shop"}]
    }))
    .unwrap()
}

#[test]
fn a_split_is_told_with_both_shares_and_both_versions() {
    check(
        &status(&splitting(), NOW, TERMINAL),
        expect![[r#"
        shop  serving
          serves      v2
          stable      v2 aa
          candidate   v3 bb, 10 % of traffic, 9.8 % measured
          reload      in-progress, traffic-splitting, stage 2 of 5, began 42 s ago
                      id 00000000-0000-4000-8000-000000000007
                      in the stage: 12 s of 30 s, 34 of 50 requests
                      there is not enough evidence yet
          policy      thresholds says undecided: 12 of 20 requests
          policy      mine (monitors only) says rollback (blame: candidate): a hunch
          in flight   12 (v2: 11, v3: 1)
          traffic     v2 361 requests/s, 0 failures/s, p50 1.2 ms, p99 8.0 ms
                      v3 39 requests/s, 1.2 failures/s
        ! needs-operator: stage 2 waits for an operator (2 s ago)
          try: caxton resume shop
    "#]],
    );
}

#[test]
fn a_gate_and_a_listener_are_told() {
    let value = json!({
        "agent": "counter", "state": "serving", "serving": 1, "split": 0, "in_flight": 1,
        "stable": {"number": 1, "digest": "aa"}, "candidate": {"number": 2, "digest": "bb"},
        "gate": {"closed": true, "waiting": 37},
        "reload": {"id": "7", "status": "in-progress", "strategy": "parallel", "started_at": NOW - 1_000},
        "live": [
            {"number": 1, "in_flight": 1, "requests_per_second": 40.0, "stateful": true, "listening": false},
            {"number": 2, "in_flight": 0, "requests_per_second": 12.0, "stateful": true, "listening": true,
                "contract": "wasi:http/handler@0.3",
                "passed_over": ["wasi:http/incoming-handler@0.2", "caxton:agent/handler@0.1"]}
        ]
    });
    let agent: Agent = serde_json::from_value(value).unwrap();
    check(
        &status(&agent, NOW, TERMINAL),
        expect![[r#"
            counter  serving
              serves      v1
              stable      v1 aa
              candidate   v2 bb, listens
              reload      in-progress, parallel, began 1 s ago
                          id 7
              gate        closed while state moves, 37 requests wait
              in flight   1 (v1: 1, v2: 0)
              traffic     v1 40 requests/s
                          v2 12 requests/s, copies only
              contract    v2 wasi:http/handler@0.3, not wasi:http/incoming-handler@0.2 or caxton:agent/handler@0.1
              state       in v1, one call at a time
        "#]],
    );
}
