use expect_test::expect;

use super::*;
use crate::policies::Settings;
use crate::records::{Answered, Record};
use crate::replay::Subject;
use crate::replay::recorded::{policy, taken_back};

async fn replayed(lines: &[Record], settings: Option<serde_json::Value>) -> Replayed {
    let subject = Subject {
        policy: policy("thresholds").await,
        settings: settings.map(|settings| settings.as_object().unwrap().clone()),
        own: Settings::new(),
        recorded_as: None,
    };
    let text = crate::replay::recorded::text(lines);
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(text));
    replay(&subject, &mut records).await.unwrap()
}

async fn told(lines: &[Record], settings: Option<serde_json::Value>) -> String {
    let told = text(&replayed(lines, settings).await, Paint::PLAIN);
    let digest = policy("thresholds").await.digest().to_string();
    told.replace(&digest[..12], "SHORT")
}

#[tokio::test]
async fn without_a_difference() {
    expect![[r#"
        shop 01000000-0000-4000-8000-000000000007: no difference in 10 calls (same bytes and settings)
    "#]]
    .assert_eq(&told(&taken_back(1).await.lines, None).await);
}

#[tokio::test]
async fn with_other_settings() {
    let settings = json!({"minimum_sample": 30});
    expect![[r#"
        shop 01000000-0000-4000-8000-000000000007: 3 of 10 calls differ (against thresholds SHORT, other bytes or settings)
          round 1 ok.why.summary: recorded "8 of at least 20 requests were finished", now "8 of at least 30 requests were finished"
          round 2 ok.why.summary: recorded "16 of at least 20 requests were finished", now "16 of at least 30 requests were finished"
          round 3 ok.verdict: recorded "proceed", now "undecided"
          round 3 ok.why.code: recorded "within-thresholds", now "below-minimum-sample"
          round 3 ok.why.summary: recorded "no trigger fired in 24 requests", now "24 of at least 30 requests were finished"
    "#]].assert_eq(&told(&taken_back(1).await.lines, Some(settings)).await);
}

#[tokio::test]
async fn with_differences_that_may_not_be() {
    let mut lines = taken_back(1).await.lines;
    for record in &mut lines {
        if let Record::Tick(tick) = record
            && let Answered::Ok(answer) = &mut tick.rollback[0].answer
            && tick.tick == 4
        {
            answer.why.code = "else\u{1b}[2J".to_owned();
        }
    }
    expect![[r#"
        shop 01000000-0000-4000-8000-000000000007: 1 of 10 calls differ, and none may (same bytes and settings)
          round 4 ok.why.code: recorded "else\u001b[2J", now "within-thresholds"
    "#]].assert_eq(&told(&lines, None).await);
}

fn time_out(lines: &mut [Record], until: u64) {
    for record in lines {
        if let Record::Tick(tick) = record
            && tick.tick <= until
        {
            tick.rollback[0].answer = Answered::Fault(caxton_rollout::Fault {
                policy: "thresholds".to_owned(),
                kind: caxton_rollout::FaultKind::OutOfTime,
                message: "no answer within 5 s".to_owned(),
            });
        }
    }
}

fn ends(replayed: &Replayed, settings_given: bool) -> (u8, String) {
    match outcome(replayed, settings_given) {
        Ok(()) => (0, String::new()),
        Err(failure) => (failure.exit_code(), failure.to_string()),
    }
}

#[tokio::test]
async fn what_was_not_compared_is_counted_and_its_reason_told() {
    let mut lines = taken_back(1).await.lines;
    time_out(&mut lines, 2);
    expect![[r#"
        shop 01000000-0000-4000-8000-000000000007: no difference in 8 calls, 2 not compared (same bytes and settings)
          round 1 not compared: recorded as a fault that no replay can repeat: no answer within 5 s
          round 2 not compared: recorded as a fault that no replay can repeat: no answer within 5 s
    "#]].assert_eq(&told(&lines, None).await);
    assert_eq!(ends(&replayed(&lines, None).await, false).0, 0);
    time_out(&mut lines, 99);
    let (code, why) = ends(&replayed(&lines, None).await, false);
    assert_eq!(code, 1);
    expect!["no call could be compared, 10 were skipped"].assert_eq(&why);
}

#[tokio::test]
async fn a_reload_that_is_skipped_ends_nothing_unless_there_is_no_other() {
    let mut without = taken_back(2).await.lines;
    if let Record::Began(began) = &mut without[0] {
        began.policies.retain(|asked| asked.policy == "standard");
    }
    let both = [without.clone(), taken_back(1).await.lines].concat();
    expect![[r#"
        shop 01000000-0000-4000-8000-000000000007: no difference in 10 calls (same bytes and settings)
        shop 02000000-0000-4000-8000-000000000007: skipped: no rollback policy was asked in it
    "#]].assert_eq(&told(&both, None).await);
    assert_eq!(ends(&replayed(&both, None).await, false).0, 0);
    let (code, why) = ends(&replayed(&without, None).await, false);
    expect!["no call could be compared; why is said above"].assert_eq(&why);
    assert_eq!(code, 1);
    let refused = json!({"minimum_sampel": 5});
    let refused = replayed(&taken_back(1).await.lines, Some(refused)).await;
    let (code, why) = ends(&refused, true);
    assert!(why.contains("/minimum_sampel"), "{why}");
    assert_eq!(code, 2, "what stands on the command line is refused");
    assert_eq!(ends(&replayed(&[], None).await, false).0, 1);
}
