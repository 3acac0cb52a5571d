use caxton_rollout::Moment;
use expect_test::expect;
use serde_json::json;

use super::recorded::{Recording, policy, taken_back};
use super::*;
use crate::policies::Settings;
use crate::records::read::Records;
use crate::records::{Answered, Record};

async fn subject(name: &str, settings: Option<serde_json::Value>) -> Subject {
    Subject {
        policy: policy(name).await,
        settings: settings.map(|settings| settings.as_object().unwrap().clone()),
        own: Settings::new(),
        recorded_as: None,
    }
}

fn records(text: String) -> Records {
    Records::given("r.jsonl", std::io::Cursor::new(text))
}

/// `thresholds` over the records of a file.
async fn replayed(
    text: String,
    settings: Option<serde_json::Value>,
) -> Result<Replayed, ReplayError> {
    let subject = subject("thresholds", settings).await;
    replay(&subject, &mut records(text)).await
}

fn told(replayed: &Replayed) -> String {
    let mut text = String::new();
    for reload in &replayed.reloads {
        text += &format!(
            "{} same={} calls={} differ={} skipped={}\n",
            reload.policy,
            reload.same,
            reload.calls,
            reload.calls_that_differ,
            reload.calls_skipped
        );
        for difference in reload.differences.iter().take(3) {
            text += &format!(
                "  {:?} {}: {} -> {}\n",
                difference.tick, difference.field, difference.recorded, difference.now
            );
        }
        for skipped in &reload.skipped {
            text += &format!("  {:?} skipped: {}\n", skipped.tick, skipped.reason);
        }
    }
    text
}

#[tokio::test]
async fn the_same_policy_says_the_same_again() {
    let both = taken_back(1).await.text() + &taken_back(2).await.text();
    for name in ["thresholds", "standard"] {
        let subject = subject(name, None).await;
        let replayed = replay(&subject, &mut records(both.clone())).await.unwrap();
        assert!(!replayed.is_broken(), "{}", told(&replayed));
        assert_eq!(replayed.reloads.len(), 2);
        assert_eq!(replayed.calls(), 20, "{}", told(&replayed));
    }
}

#[tokio::test]
async fn a_record_that_was_changed_is_found() {
    let mut recording = taken_back(1).await;
    let mut ticks = recording
        .lines
        .iter_mut()
        .filter_map(|record| match record {
            Record::Tick(tick) => Some(tick),
            _ => None,
        });
    let third = ticks.nth(2).unwrap();
    third.rollback[0].fuel += 1;
    if let Answered::Ok(answer) = &mut third.rollback[0].answer {
        answer.why.findings[0].observed = 7.5;
    }
    let fifth = ticks.nth(1).unwrap();
    fifth.rollback[0].state = Some("AAEC".to_owned());
    ticks.next().unwrap().rollback[0].given = Some(String::new());
    let replayed = replayed(recording.text(), None).await.unwrap();
    assert!(replayed.is_broken());
    let fuel = &replayed.reloads[0].differences[1];
    assert_eq!((fuel.tick, fuel.field.as_str()), (Some(3), "fuel"));
    let others: Vec<_> = replayed.reloads[0]
        .differences
        .iter()
        .filter(|d| d.field != "fuel")
        .collect();
    expect![[r#"
        [
            Difference {
                tick: Some(
                    3,
                ),
                field: "ok.why.findings[0].observed",
                recorded: "7.5",
                now: "100.0",
            },
            Difference {
                tick: Some(
                    5,
                ),
                field: "state",
                recorded: "3 bytes, differing from byte 0",
                now: "0 bytes, differing from byte 0",
            },
        ]
    "#]]
    .assert_debug_eq(&others);
}

#[tokio::test]
async fn other_settings_are_compared_and_break_nothing() {
    let settings = json!({"triggers": [{"kind": "error-rate", "threshold": 60}]});
    let text = taken_back(1).await.text();
    let replayed = replayed(text, Some(settings)).await.unwrap();
    assert!(!replayed.is_broken());
    let reload = &replayed.reloads[0];
    assert!(
        !reload.same && reload.calls_that_differ > 0,
        "{}",
        told(&replayed)
    );
    assert!(reload.differences.iter().all(|d| d.field != "fuel"));
}

#[tokio::test]
async fn what_the_clock_on_the_wall_did_is_passed_over() {
    let mut recording = taken_back(1).await;
    for record in &mut recording.lines {
        if let Record::Tick(tick) = record
            && tick.tick == 2
        {
            tick.rollback[0].answer = Answered::Fault(caxton_rollout::Fault {
                policy: "thresholds".to_owned(),
                kind: caxton_rollout::FaultKind::OutOfTime,
                message: "no answer within 5 s".to_owned(),
            });
        }
    }
    let replayed = replayed(recording.text(), None).await;
    expect![[r#"
        thresholds same=true calls=9 differ=0 skipped=1
          Some(2) skipped: recorded as a fault that no replay can repeat: no answer within 5 s
    "#]]
    .assert_eq(&told(&replayed.unwrap()));
}

#[tokio::test]
async fn a_reload_without_a_counterpart_is_skipped_and_the_others_are_compared() {
    let mut without = taken_back(1).await;
    if let Record::Began(began) = &mut without.lines[0] {
        began.policies.retain(|asked| asked.policy == "standard");
    }
    let mut with_other_settings = taken_back(2).await;
    if let Record::Began(began) = &mut with_other_settings.lines[0] {
        for asked in &mut began.policies {
            asked.settings = json!({"minimum_sampel": 5});
        }
    }
    let text = taken_back(3).await.text() + &without.text() + &with_other_settings.text();
    let text = text + &taken_back(4).await.text();
    let replayed = replayed(text, None).await.unwrap();
    assert_eq!((replayed.reloads.len(), replayed.calls()), (2, 20));
    assert!(!replayed.is_broken());
    expect![[r#"
        [
            SkippedReload {
                reload: HotReloadId(
                    01000000-0000-4000-8000-000000000007,
                ),
                agent: AgentName(
                    "shop",
                ),
                reason: "no rollback policy was asked in it",
                settings_refused: false,
            },
            SkippedReload {
                reload: HotReloadId(
                    02000000-0000-4000-8000-000000000007,
                ),
                agent: AgentName(
                    "shop",
                ),
                reason: "settings of policy thresholds: /minimum_sampel: there is no such setting; did you mean `minimum_sample`?",
                settings_refused: true,
            },
        ]
    "#]]
    .assert_debug_eq(&replayed.skipped);
}

#[tokio::test]
async fn settings_lie_over_those_that_were_recorded() {
    let recorded =
        json!({"minimum_sample": 30, "triggers": [{"kind": "error-rate", "threshold": 60}]});
    let mut recording = Recording::begin(1, recorded).await;
    recording.rounds(4, ((0, 8), (1, 60))).await;
    let own = subject("thresholds", Some(json!({"minimum_sample": 25}))).await;
    let other = subject("thresholds", Some(json!({"minimum_sample": 30}))).await;
    let text = recording.text();
    let tested = backtest([&own, &other], &mut records(text.clone()))
        .await
        .unwrap();
    let settings = tested.reloads[0].policies.clone().map(|run| run.settings);
    expect![[r#"{"minimum_sample":25,"triggers":[{"kind":"error-rate","threshold":60}]}"#]]
        .assert_eq(&settings[0].to_string());
    // What is the same as recorded is the same, whoever wrote it.
    let replayed = replayed(text, Some(json!({"minimum_sample": 30})))
        .await
        .unwrap();
    assert!(replayed.reloads[0].same, "{}", told(&replayed));
    assert_eq!(replayed.reloads[0].calls_that_differ, 0);
}

#[tokio::test]
async fn what_is_let_through_is_a_lower_bound_where_the_records_stop_before() {
    let patient = json!({"minimum_sample": 1_000});
    let patient = subject("thresholds", Some(patient)).await;
    let quick = subject("thresholds", None).await;
    let mut full = Recording::begin(2, json!({})).await;
    full.rounds(2, ((0, 9), (0, 9))).await;
    full.lines.push(Record::Full { at: Moment(7) });
    full.end("completed", None);
    let mut whole = Recording::begin(3, json!({})).await;
    whole.rounds(2, ((0, 9), (0, 9))).await;
    whole.end("completed", None);
    let text = taken_back(1).await.text() + &full.text() + &whole.text();
    let tested = backtest([&quick, &patient], &mut records(text))
        .await
        .unwrap();
    let bounds = |course: &Course| course.policies.clone().map(|run| run.at_least);
    let bounds: Vec<_> = tested.reloads.iter().map(bounds).collect();
    assert_eq!(bounds, [[false, true], [true, true], [false, false]]);
    let full: Vec<_> = tested.reloads.iter().map(|course| course.full_at).collect();
    assert_eq!(full, [None, Some(Moment(7)), None]);
    assert!(tested.sum[0].at_least && tested.sum[1].at_least);
}

#[tokio::test]
async fn two_settings_of_one_policy_decide_differently() {
    let patient = json!({"triggers": [{"kind": "error-rate", "threshold": 60}]});
    let (quick, patient) = (
        subject("thresholds", None).await,
        subject("thresholds", Some(patient)).await,
    );
    let two = taken_back(1).await.text() + &Recording::begin(2, json!({})).await.text();
    let tested = backtest([&quick, &patient], &mut records(two))
        .await
        .unwrap();
    let [course, empty] = tested.reloads.as_slice() else {
        panic!("{tested:?}")
    };
    let [first, second] = &course.policies;
    let back = first.rollback.as_ref().unwrap();
    assert_eq!(Some(back.tick), course.rolled_back_at);
    assert_eq!(course.first_difference, Some(back.tick));
    assert_eq!(
        (back.requests, back.failures),
        (first.requests, first.failures)
    );
    assert!(back.failures > 0 && first.departs.is_none(), "{first:?}");
    assert_eq!(second.rollback, None);
    expect![[r#"
        Some(
            Departure {
                tick: 10,
                text: "it would not have gone back, and the reload did",
            },
        )
    "#]]
    .assert_debug_eq(&second.departs);
    assert_eq!((empty.rounds, empty.first_difference), (0, None));
    let [a, b] = &tested.sum;
    assert_eq!((a.rolled_back, b.rolled_back, b.proceeded), (1, 0, 1));
    assert_eq!(a.mean_ms_to_rollback, Some(10_000));
}

#[tokio::test]
async fn a_policy_that_goes_back_earlier_leaves_the_facts_there() {
    let hasty = json!({"minimum_sample": 5, "triggers": [{"kind": "error-rate", "threshold": 1}]});
    let (quick, hasty) = (
        subject("thresholds", None).await,
        subject("thresholds", Some(hasty)).await,
    );
    let text = taken_back(1).await.text();
    let tested = backtest([&hasty, &quick], &mut records(text))
        .await
        .unwrap();
    let [hasty, quick] = &tested.reloads[0].policies;
    assert!(hasty.rollback.as_ref().unwrap().tick < quick.rollback.as_ref().unwrap().tick);
    assert_eq!(
        hasty.departs.as_ref().map(|departs| departs.tick),
        hasty.rollback.as_ref().map(|back| back.tick)
    );
    assert!(hasty.failures < quick.failures);
}

#[tokio::test]
async fn a_strategy_policy_has_no_backtest() {
    let (one, other) = (
        subject("thresholds", None).await,
        subject("standard", None).await,
    );
    let refused = backtest([&one, &other], &mut records(String::new())).await;
    expect!["standard is a strategy policy; a backtest is about when to go back and wants two rollback policies"]
        .assert_eq(&refused.unwrap_err().to_string());
}

/// What would change the answer in round `tick` of `recording`.
async fn change(recording: &Recording, tick: u64) -> Change {
    let mut records = records(recording.text());
    while let Some(happening) = records.read().unwrap() {
        if let crate::records::read::Happening::Round(round) = happening
            && round.question.tick == tick
        {
            let turn = &round.rollback[0];
            let Answered::Ok(answer) = &turn.call.answer else {
                panic!("{turn:?}")
            };
            let policy = policy("thresholds").await;
            return what_if(
                &policy,
                "{}",
                &round.question,
                answer.verdict,
                &turn.next_state,
            )
            .await
            .unwrap();
        }
    }
    panic!("no round {tick}")
}

#[tokio::test]
async fn what_would_change_an_answer_is_asked() {
    let recording = taken_back(1).await;
    // 8 of at least 20 requests: 12 more are needed, and of 28 requests 2 failures are above 5 %.
    let first = change(&recording, 1).await;
    expect![[r#"
        [
            "2 more failures in the next 20 requests would roll back",
            "12 clean requests would allow the next stage",
        ]
    "#]]
    .assert_debug_eq(&first.sentences);
    assert_eq!(
        (first.failures_to_roll_back, first.clean_requests_to_proceed),
        (Some(2), Some(12))
    );
    let fit = change(&recording, 4).await;
    expect![[r#"
        [
            "3 more failures in the next 20 requests would roll back",
        ]
    "#]]
    .assert_debug_eq(&fit.sentences);
    let last = change(&recording, 10).await;
    expect![[r#"
        [
            "34 clean requests would prove the version",
        ]
    "#]]
    .assert_debug_eq(&last.sentences);
}
