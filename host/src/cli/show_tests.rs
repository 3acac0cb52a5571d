use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

pub(in crate::cli) const NOW: u64 = 1_795_474_081_000;
/// A terminal whose owner wants no colours, so that the layout can be read here.
pub(in crate::cli) const TERMINAL: Paint = Paint::MONOCHROME;

pub(in crate::cli) fn agents_value() -> Vec<Agent> {
    let digest = "3f2a91c4d5e6f708192a3b4c5d6e7f80112233445566778899aabbccddeeff00";
    serde_json::from_value(json!([
        {
            "agent": "hello", "state": "serving", "serving": 3, "split": 100, "in_flight": 12,
            "stable": {"number": 2, "digest": digest, "config_digest": digest},
            "candidate": {"number": 3, "digest": "77", "config_digest": digest},
            "reload": {
                "id": "00000000-0000-4000-8000-000000000007", "status": "in-progress", "strategy": "graceful",
                "stage": 0, "stages": 0, "started_at": NOW - 12_000, "paused": true, "reason": "paused by an operator"
            },
            "kept": [{"number": 1, "digest": digest, "config_digest": digest}],
            "verdicts": [{"policy": "thresholds", "enforcing": true, "verdict": "undecided", "faults": 0,
                "why": {"code": "sample", "summary": "12 of 20 requests", "findings": []}, "at": NOW}],
            "quarantined": [], "attention": [], "last_error": null, "diverged": null, "of_a_newer_host": 1
        },
        {
            "agent": "bad", "state": "failed", "in_flight": 0, "last_error": "line one\nline \u{1b}[2Jtwo",
            "diverged": "it was refused",
            "quarantined": [{"digest": digest, "config_digest": digest, "reason": "error-rate", "since": NOW - 60_000,
                "blamed": true, "again_at": null}],
            "attention": [{"kind": "refused-file", "since": NOW - 3_000, "text": "bad.wasm is a core module",
                "command": "replace bad.wasm"}]
        }
    ]))
    .unwrap()
}

pub(in crate::cli) fn check(text: &str, expected: Expect) {
    assert!(
        text.lines().all(|line| line.trim_end() == line),
        "spaces at a line's end:\n{text}"
    );
    expected.assert_eq(text);
}

#[test]
fn a_person_sees_a_table_of_agents() {
    check(
        &agents(&agents_value(), &[], NOW, TERMINAL),
        expect![[r#"
            AGENT  STATE    SERVES  RELOAD                  IN FLIGHT  ATTENTION
            hello  serving  v3      v3 in-progress, paused  12
            bad    failed   -       diverged                0          refused-file

            ! bad refused-file: bad.wasm is a core module (3 s ago)
              try: replace bad.wasm
        "#]],
    );
}

#[test]
fn a_pipe_sees_a_line_for_each_agent() {
    let text = agents(&agents_value(), &[], NOW, Paint::PLAIN);
    expect![[r#"
        hello<tab>serving<tab>v3<tab>v3 in-progress, paused<tab>12<tab>
        bad<tab>failed<tab>-<tab>diverged<tab>0<tab>refused-file
    "#]]
    .assert_eq(&text.replace('\t', "<tab>"));
}

#[test]
fn what_belongs_to_no_agent_is_shown_too() {
    let lost = Attention {
        kind: "directory-vanished".to_owned(),
        since: NOW,
        text: "agents is not there".to_owned(),
        command: String::new(),
    };
    check(
        &agents(&[], &[lost], NOW, TERMINAL),
        expect![[r#"
        ! directory-vanished: agents is not there (just now)
    "#]],
    );
}

fn results() -> Vec<Ended> {
    serde_json::from_value(json!([
        {"status": "rolled-back", "strategy": "graceful", "from": 3, "to": 2, "started_at": NOW - 30_000,
            "completed_at": NOW - 26_500, "rollback_reason": "error-rate 30.1 %", "error": null, "evidence": "none",
            "lost_requests": 0},
        {"status": "completed", "strategy": "immediate", "from": 1, "to": 2, "started_at": NOW - 400_000,
            "completed_at": NOW - 90_000, "evidence": "sufficient", "lost_requests": 4},
        {"status": "completed", "strategy": "graceful", "from": null, "to": 1, "started_at": NOW - 7_200_000,
            "completed_at": NOW - 7_199_160, "evidence": "none", "lost_requests": 0}
    ]))
    .unwrap()
}

#[test]
fn a_person_sees_a_table_of_results() {
    check(
        &history(&results(), NOW, TERMINAL),
        expect![[r#"
        ENDED      VERSIONS  STATUS       STRATEGY   TOOK    LOST  WHY
        26 s ago   v3 -> v2  rolled-back  graceful   3.5 s   0     error-rate 30.1 %
        1 min ago  v1 -> v2  completed    immediate  5 min   4     enough evidence
        1 h ago    v1        completed    graceful   840 ms  0     not judged
    "#]],
    );
}

#[test]
fn a_pipe_sees_a_line_for_each_result() {
    let text = history(&results(), NOW, Paint::PLAIN);
    expect![[r#"
        2026-11-23 22:47:34<tab>v3 -> v2<tab>rolled-back<tab>graceful<tab>3.5 s<tab>0<tab>error-rate 30.1 %
        2026-11-23 22:46:31<tab>v1 -> v2<tab>completed<tab>immediate<tab>5 min<tab>4<tab>enough evidence
        2026-11-23 20:48:01<tab>v1<tab>completed<tab>graceful<tab>840 ms<tab>0<tab>not judged
    "#]].assert_eq(&text.replace('\t', "<tab>"));
}

#[test]
fn an_event_is_a_line() {
    let happened = |agent: Option<&str>| Happened {
        at: NOW + 42,
        agent: agent.map(str::to_owned),
        kind: "swapped".to_owned(),
        fields: json!({"seq": 1, "from": 1, "to": 2})
            .as_object()
            .unwrap()
            .clone(),
    };
    let text = format!(
        "{}{}",
        event(&happened(Some("hello")), Paint::PLAIN),
        event(&happened(None), TERMINAL)
    );
    check(
        &text,
        expect![[r#"
        2026-11-23 22:48:01.042Z  hello            v2 gets all new requests, before: v1
        22:48:01.042Z  host             v2 gets all new requests, before: v1
    "#]],
    );
}
