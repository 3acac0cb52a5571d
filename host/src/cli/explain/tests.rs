use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::records::{Answered, Record};
use crate::replay::recorded::{Recording, policy, taken_back};

fn records(text: String) -> Records {
    Records::given("r.jsonl", std::io::Cursor::new(text))
}

async fn explained(text: String, wanted: Option<&str>) -> String {
    let story = of_records(records(text), wanted).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Connection {
        data_dir: Some(folder.path().join("none")),
    };
    let decisive = story.decisive.clone();
    let what_if = match &decisive {
        Some(decisive) => what_if(&story, decisive, None, &nowhere).await.unwrap(),
        None => Vec::new(),
    };
    assert!(as_json(&story, &what_if)["entries"].is_array());
    write::story(&story, &what_if, Paint::PLAIN)
}

/// Digests change with the compiler.
async fn check(text: String, expected: Expect) {
    let mut told = explained(text, None).await;
    for name in ["thresholds", "standard"] {
        let digest = policy(name).await.digest().to_string();
        told = told
            .replace(&digest, "DIGEST")
            .replace(&digest[..12], "SHORT");
    }
    assert!(told.lines().all(|line| line.trim_end() == line), "{told}");
    expected.assert_eq(&told);
}

#[tokio::test]
async fn a_reload_that_was_taken_back() {
    check(taken_back(1).await.text(), expect![[r#"
        shop  reload 01000000-0000-4000-8000-000000000007
        began 2026-11-23 22:49:01 UTC
          standard says how it comes in  SHORT
          thresholds judges  SHORT

            +0.0 s  standard plans traffic-splitting (as configured): traffic-splitting at 10, 50 % as configured: warm-up 0 s, drain 60 s, bake 300 s
                    stages 10 % for 3 s, then 50 % for 3 s
            +1.0 s  round 1: stage 1 of 2, 10 % of the traffic
                    seen: candidate 8 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 60 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: undecided (below-minimum-sample): 8 of at least 20 requests were finished
                      health-check-success-rate 100, limit 50 (1 observed)
                      error-rate 0, limit 5 (8 observed)
                      performance-degradation 0, limit 50 (8 observed)
                    standard: wait (not-yet-fit): not enough speaks for version 2 yet
                    done: nothing, it stays where it is
            +2.0 s  round 2: the same
                    seen: candidate 8 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 60 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds last: 16 of at least 20 requests were finished
            +3.0 s  round 3: stage 1 of 2, 10 % of the traffic
                    seen: candidate 8 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 60 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: proceed (within-thresholds): no trigger fired in 24 requests
                      health-check-success-rate 100, limit 50 (3 observed)
                      error-rate 0, limit 5 (24 observed)
                      performance-degradation 0, limit 50 (24 observed)
                    standard: advance (fit): version 2 is fit at 10 %, stage 1 of 2
                    done: 50 % of the traffic, stage 2
            +4.0 s  round 4: stage 2 of 2, 50 % of the traffic
                    seen: candidate 8 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 60 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: proceed (within-thresholds): no trigger fired in 32 requests
                      health-check-success-rate 100, limit 50 (4 observed)
                      error-rate 0, limit 5 (32 observed)
                      performance-degradation 0, limit 50 (32 observed)
                    standard: advance (fit): version 2 is fit at 50 %, stage 2 of 2
                    done: nothing, it stays where it is
                      clamped: it stays until the stage has lasted 3 s
            +5.0 s  round 5: the same
                    seen: candidate 9 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 9 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds last: no trigger fired in 41 requests
            +6.0 s  round 6: stage 2 of 2, 50 % of the traffic
                    seen: candidate 9 requests, none failed, p95 up to 7.5 ms, health 1 of 1; stable 9 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: proceed (within-thresholds): no trigger fired in 50 requests
                      health-check-success-rate 100, limit 50 (6 observed)
                      error-rate 0, limit 5 (50 observed)
                      performance-degradation 0, limit 50 (50 observed)
                    standard: advance (fit): version 2 is fit at 50 %, stage 2 of 2
                    done: promoted: it gets all traffic
            +7.0 s  round 7: baking, all traffic
                    seen: candidate 9 requests, none failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: proceed (within-thresholds): no trigger fired in 59 requests
                      health-check-success-rate 100, limit 50 (7 observed)
                      error-rate 0, limit 5 (59 observed)
                      performance-degradation 0, limit 50 (50 observed)
                    standard: wait (baking): version 2 has all traffic and is watched until its bake ends
                    done: nothing, it stays where it is
            +9.0 s  rounds 8 to 9: the same
                    seen: candidate 18 requests, 3 failed, p95 up to 7.5 ms, health 2 of 2
                    thresholds last: no trigger fired in 77 requests
           +10.0 s  round 10: baking, all traffic
                    seen: candidate 9 requests, 3 failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: rollback, blame candidate (error-rate): error rate 6.98 % is above 5 % (6 of 86 requests failed)
                      health-check-success-rate 100, limit 50 (10 observed)
                      against it: error-rate 6.977, limit 5 (86 observed)
                      performance-degradation 0, limit 50 (50 observed)
                    done: back to v1, blame: the candidate
           +10.0 s  rolled-back: thresholds: the error rate was too high

        rolled-back after 10 s, v1 -> v2: thresholds: the error rate was too high

        what would have changed round 10:
          thresholds: 34 clean requests would prove the version
    "#]]).await;
}

#[tokio::test]
async fn a_reload_under_way_with_a_monitor_and_clamps() {
    let monitor =
        json!({"minimum_sample": 5, "triggers": [{"kind": "error-rate", "threshold": 1}]});
    let thresholds = policy("thresholds").await;
    let runtime = replay::recorded::runtime();
    let watching = replay::recorded::embedded(&runtime, "thresholds", "strict").await;
    let mut recording =
        Recording::judged_by(1, (thresholds, json!({})), Some((watching, monitor))).await;
    recording.rounds(2, ((1, 12), (0, 100))).await;
    recording.rounds(1, ((0, 0), (0, 0))).await;
    check(recording.text(), expect![[r#"
        shop  reload 01000000-0000-4000-8000-000000000007
        began 2026-11-23 22:49:01 UTC
          standard says how it comes in  SHORT
          thresholds judges  SHORT
          strict monitors, without a say  SHORT  {"minimum_sample":5,"triggers":[{"kind":"error-rate","threshold":1}]}

            +0.0 s  standard plans traffic-splitting (as configured): traffic-splitting at 10, 50 % as configured: warm-up 0 s, drain 60 s, bake 300 s
                    stages 10 % for 3 s, then 50 % for 3 s
            +1.0 s  round 1: stage 1 of 2, 10 % of the traffic
                    seen: candidate 12 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1; stable 100 requests, none failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: undecided (below-minimum-sample): 12 of at least 20 requests were finished
                      health-check-success-rate 100, limit 50 (1 observed)
                      error-rate 8.333, limit 5 (12 observed)
                      performance-degradation 0, limit 50 (12 observed)
                    standard: wait (not-yet-fit): not enough speaks for version 2 yet
                    strict (monitors): rollback, blame candidate (error-rate): error rate 8.33 % is above 1 % (1 of 12 requests failed)
                      against it: error-rate 8.333, limit 1 (12 observed)
                    done: nothing, it stays where it is
            +2.0 s  round 2: stage 1 of 2, 10 % of the traffic
                    seen: candidate 12 requests, 1 failed, p95 up to 7.5 ms, health 1 of 1; stable 100 requests, none failed, p95 up to 7.5 ms, health 1 of 1
                    thresholds: rollback, blame candidate (error-rate): error rate 8.33 % is above 5 % (2 of 24 requests failed)
                      health-check-success-rate 100, limit 50 (2 observed)
                      against it: error-rate 8.333, limit 5 (24 observed)
                      performance-degradation 0, limit 50 (24 observed)
                    done: back to v1, blame: the candidate

        it has not ended, as far as these records go

        what would have changed round 2:
          thresholds: 16 clean requests would allow the next stage
    "#]]).await;
}

#[tokio::test]
async fn faults_and_what_they_wrote_act_on_no_terminal() {
    let mut recording = Recording::begin(1, json!({})).await;
    recording.rounds(2, ((0, 30), (0, 30))).await;
    for record in &mut recording.lines {
        if let Record::Tick(tick) = record {
            let call = &mut tick.rollback[0];
            call.policy = "own".to_owned();
            call.answer = Answered::Fault(caxton_rollout::Fault {
                policy: "own".to_owned(),
                kind: caxton_rollout::FaultKind::Trap,
                message: "unreachable\u{1b}[2J".to_owned(),
            });
            call.log = serde_json::from_value(json!({"dropped": 0, "lines": [
                {"level": "warn", "source": "stderr", "text": "panicked at \u{1b}]0;x\u{7}"}]}))
            .unwrap();
            call.notes = vec!["cut\u{202e}".to_owned()];
        }
    }
    recording.lines.push(Record::Told {
        event: json!({"kind": "order-failed", "at": 1, "reason": "\u{1b}[31mno"}),
    });
    let told = explained(recording.text(), None).await;
    let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!told.contains(acts), "{told:?}");
    assert!(
        told.contains("own: fault (trap): unreachable\\u{1b}[2J"),
        "{told}"
    );
    assert!(told.contains("it wrote: panicked at"), "{told}");
}

#[tokio::test]
async fn one_of_several_is_named_by_its_id_or_its_agent() {
    let both = taken_back(1).await.text() + &taken_back(2).await.text();
    let first = explained(both.clone(), Some("0100")).await;
    assert!(first.starts_with("shop  reload 01000000-"), "{first}");
    let newest = explained(both.clone(), Some("shop")).await;
    assert!(newest.starts_with("shop  reload 02000000-"), "{newest}");
    let refused = |wanted| {
        of_records(records(both.clone()), wanted)
            .unwrap_err()
            .to_string()
    };
    expect!["there are several reloads in these records; name one of: 01000000-0000-4000-8000-000000000007, 02000000-0000-4000-8000-000000000007"]
        .assert_eq(&refused(None));
    expect!["no agent in these records is named web, and 4 characters of a reload's id are needed to find one by its beginning; there are: 01000000-0000-4000-8000-000000000007, 02000000-0000-4000-8000-000000000007"]
        .assert_eq(&refused(Some("web")));
    expect!["no agent in these records is named till, and no reload's id begins so; there are: 01000000-0000-4000-8000-000000000007, 02000000-0000-4000-8000-000000000007"]
        .assert_eq(&refused(Some("till")));
    let empty = of_records(records(String::new()), None)
        .unwrap_err()
        .to_string();
    expect!["there is no reload in these records"].assert_eq(&empty);
}

#[tokio::test]
async fn an_agent_named_like_the_beginning_of_an_id_goes_before_it() {
    let mut named_so = taken_back(2).await;
    if let Record::Began(began) = &mut named_so.lines[0] {
        began.agent = "0100".parse().unwrap();
    }
    let (one, other) = (taken_back(1).await.text(), named_so.text());
    // In either order.
    for text in [one.clone() + &other, other + &one] {
        let agent = explained(text.clone(), Some("0100")).await;
        assert!(agent.starts_with("0100  reload 02000000-"), "{agent}");
        let id = explained(text, Some("01000")).await;
        assert!(id.starts_with("shop  reload 01000000-"), "{id}");
    }
    // An id with the same beginning as another, and no agent.
    let mut alike = taken_back(2).await;
    if let Record::Began(began) = &mut alike.lines[0] {
        began.reload = HotReloadId::from_random_bits(1 << 120 | 8);
    }
    let text = taken_back(1).await.text() + &alike.text();
    let refused = of_records(records(text), Some("0100")).unwrap_err();
    expect!["no agent in these records is named 0100, and several reloads begin with it; name one of: 01000000-0000-4000-8000-000000000007, 01000000-0000-4000-8000-000000000008"]
        .assert_eq(&refused.to_string());
}

#[tokio::test]
async fn a_policy_whose_bytes_nobody_has_is_told() {
    let mut recording = taken_back(1).await;
    if let Record::Began(began) = &mut recording.lines[0] {
        for asked in &mut began.policies {
            asked.digest = Digest::new([5; 32]);
        }
    }
    let told = explained(recording.text(), None).await;
    assert!(
        told.ends_with(
            "thresholds: not known: its bytes (sha256 \
             0505050505050505050505050505050505050505050505050505050505050505) are not those of a policy in this \
             binary, and no host runs here that may have them\n"
        ),
        "{told}"
    );
}
