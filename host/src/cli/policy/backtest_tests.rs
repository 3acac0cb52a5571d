use expect_test::expect;

use super::*;
use crate::policies::Settings;
use crate::records::Record;
use crate::replay::Subject;
use crate::replay::recorded::{Recording, policy, taken_back};

async fn subject(settings: serde_json::Value) -> Subject {
    Subject {
        policy: policy("thresholds").await,
        settings: Some(settings.as_object().unwrap().clone()),
        own: Settings::new(),
        recorded_as: None,
    }
}

#[tokio::test]
async fn two_settings_side_by_side() {
    let quick =
        subject(json!({"minimum_sample": 5, "triggers": [{"kind": "error-rate", "threshold": 1}]}))
            .await;
    let patient = subject(json!({"minimum_sample": 200})).await;
    let mut good = Recording::begin(2, json!({})).await;
    good.rounds(12, ((0, 30), (0, 30))).await;
    good.end("completed", None);
    let text = taken_back(1).await.text() + &good.text();
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(text));
    let tested = backtest([&quick, &patient], &mut records).await.unwrap();
    let told = super::text(&tested, Paint::PLAIN);
    let digest = quick.policy.digest().to_string();
    expect![[r#"
        A is thresholds SHORT  {"minimum_sample":5,"triggers":[{"kind":"error-rate","threshold":1}]}
        B is thresholds SHORT  {"minimum_sample":200}

        shop 01000000-0000-4000-8000-000000000007  2026-11-23 22:49:01 UTC, 10 rounds; in fact: rolled back in round 10
          A goes back in round 9, after 9.0 s and 77 requests, 3 failed of 77 requests let through
            error-rate: error rate 3.90 % is above 1 % (3 of 77 requests failed)
            first proceed in round 1, after 1.0 s and 8 requests
            rounds 1-8 proceed (within-thresholds), 9-10 rollback (error-rate)
            from round 9 on no longer fact: it would have gone back, and the reload went on
            from round 1 on perhaps no longer fact: it would have allowed a step forward, and none was allowed
          B does not go back; at least 6 failed of 86 requests let through
            rounds 1-10 undecided (below-minimum-sample)
            from round 3 on no longer fact: it would not have allowed the step that was taken
          A and B differ first in round 1

        shop 02000000-0000-4000-8000-000000000007  2026-11-23 22:50:01 UTC, 12 rounds; in fact: completed
          A does not go back; 0 failed of 360 requests let through
            first proceed in round 1, after 1.0 s and 30 requests
            rounds 1-12 proceed (within-thresholds)
          B does not go back; 0 failed of 360 requests let through
            first proceed in round 7, after 7.0 s and 210 requests
            rounds 1-6 undecided (below-minimum-sample), 7-12 proceed (within-thresholds)
            from round 3 on no longer fact: it would not have allowed the step that was taken
          A and B differ first in round 1

        ALL RELOADS   GOES BACK  PROCEEDS  NEITHER  FAILED REQUESTS LET THROUGH  MEAN TIME TO GO BACK
        A thresholds  1 of 2     1         0        3 of 437                     9.0 s
        B thresholds  0 of 2     1         1        at least 6 of 446            -

        Each policy is asked as if it alone had judged. What follows the first decision that differs from what was done is no longer fact: other traffic would have been measured. Rounds that said nothing new were not recorded, and are not asked.
    "#]].assert_eq(&told.replace(&digest[..12], "SHORT"));
    let json = json!(tested);
    assert_eq!(
        json["reloads"][0]["policies"][0]["rollback"]["blame"],
        "environment"
    );
    assert_eq!(json["sum"][0]["rolled_back"], 1);
}

#[tokio::test]
async fn records_that_stop_and_settings_that_differ_are_told() {
    let quick = subject(json!({})).await;
    let patient = subject(json!({"minimum_sample": 200})).await;
    let mut strict = Recording::begin(2, json!({"minimum_sample": 40})).await;
    strict.rounds(2, ((0, 30), (0, 30))).await;
    let at = caxton_rollout::Moment(crate::replay::recorded::BEGAN + 122_000);
    strict.lines.push(Record::Full { at });
    strict.end("completed", None);
    let text = taken_back(1).await.text() + &strict.text();
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(text));
    let tested = backtest([&quick, &patient], &mut records).await.unwrap();
    let told = super::text(&tested, Paint::PLAIN);
    let digest = quick.policy.digest().to_string();
    let told = told.replace(&digest[..12], "SHORT");
    let words = [
        "A is thresholds SHORT  settings as each reload had them",
        "  A with {}",
        r#"  B with {"minimum_sample":200}"#,
        r#"  A with {"minimum_sample":40}"#,
        "its records stop after 2.0 s: what came then is not known",
        "A does not go back; at least 0 failed of 60 requests let through",
    ];
    for word in words {
        assert!(told.contains(word), "{word}\n{told}");
    }
    let json = json!(tested);
    assert_eq!(json["reloads"][0]["policies"][1]["at_least"], true);
    assert_eq!(json["reloads"][0]["policies"][0]["at_least"], false);
    assert!(json["reloads"][1]["full_at"].is_u64());
}

#[tokio::test]
async fn a_reload_whose_settings_are_refused_is_skipped() {
    let mut other = taken_back(2).await;
    if let Record::Began(began) = &mut other.lines[0] {
        for asked in &mut began.policies {
            asked.settings = json!({"minimum_sampel": 5});
        }
    }
    let text = other.text() + &taken_back(1).await.text();
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(text));
    let subject = subject(json!({})).await;
    let tested = backtest([&subject, &subject], &mut records).await.unwrap();
    assert_eq!((tested.reloads.len(), tested.skipped.len()), (1, 1));
    let told = super::text(&tested, Paint::PLAIN);
    let line =
        "shop 02000000-0000-4000-8000-000000000007: skipped: settings of policy thresholds: ";
    assert!(told.contains(line), "{told}");
}
