//! Policies that do what they should.

use caxton_rollout::{Blame, Context, Phase, ReloadMetrics, Step, Verdict};
use caxton_runtime::policy::{PolicyKind, SettingsError};

use crate::fixture::{
    asked_for, begin, context, evaluate, faulty, next, plan, standard, strategy_faulty, thresholds,
    window,
};

#[tokio::test]
async fn the_embedded_policies_say_what_they_are() {
    let thresholds = thresholds().await;
    assert_eq!(thresholds.kind(), PolicyKind::Rollback);
    assert_eq!(thresholds.info().name, "thresholds");
    assert!(!thresholds.info().about.is_empty());
    let standard = standard().await;
    assert_eq!(standard.kind(), PolicyKind::Strategy);
    assert_eq!(standard.info().name, "standard");
    assert_ne!(standard.digest(), thresholds.digest());
}

#[tokio::test]
async fn thresholds_goes_back_from_a_version_that_fails_and_says_on_what_evidence() {
    let windows = [window(0, (0, 50), (15, 50))];
    let call = evaluate(&thresholds().await, "{}", &windows).await;
    let answer = call.answer.unwrap();
    assert_eq!(answer.verdict, Verdict::Rollback(Blame::Candidate));
    let finding = answer
        .why
        .findings
        .iter()
        .find(|finding| finding.breached)
        .unwrap();
    assert_eq!(finding.sample, 50);
    assert!((finding.observed - 30.0).abs() < 1e-9, "{finding:?}");
    assert!((finding.limit - 5.0).abs() < 1e-9, "{finding:?}");
    assert!(answer.why.summary.contains("30"), "{}", answer.why.summary);
    assert!(call.fuel > 0);
    assert_eq!(call.notes, [""; 0]);
}

#[tokio::test]
async fn thresholds_lets_a_good_version_pass_and_waits_for_a_sample() {
    let policy = thresholds().await;
    for (windows, expected) in [
        (vec![window(0, (0, 50), (0, 50))], Verdict::Proceed),
        (vec![window(0, (0, 50), (1, 1))], Verdict::Undecided),
        (vec![], Verdict::Undecided),
    ] {
        let call = evaluate(&policy, "{}", &windows).await;
        assert_eq!(call.answer.unwrap().verdict, expected);
    }
}

#[tokio::test]
async fn standard_plans_what_is_configured_and_promotes_what_is_fit() {
    let policy = standard().await;
    let planned = begin(&policy, "{}").await.answer.unwrap();
    assert_eq!(planned.strategy, plan().strategy);
    assert_eq!(planned.bake, plan().bake);
    let swapping = Context {
        phase: Phase::InProgress,
        split: 0,
        ..context()
    };
    let metrics = ReloadMetrics::default();
    for (fit, expected) in [(true, Step::Promote), (false, Step::Wait)] {
        let call = policy.next("{}", &swapping, fit, &metrics, &[], &[]);
        assert_eq!(call.await.answer.unwrap().step, expected);
    }
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_for_the_same_fuel() {
    let policy = thresholds().await;
    let windows: Vec<_> = (0..20).map(|n| window(n, (0, 40), (1, 40))).collect();
    let first = evaluate(&policy, "{}", &windows).await;
    let second = evaluate(&policy, "{}", &windows).await;
    assert_eq!(first.answer.unwrap(), second.answer.unwrap());
    assert_eq!(first.fuel, second.fuel);
    assert_eq!(first.log, second.log);
}

#[tokio::test]
async fn state_comes_back_as_it_was_given() {
    let state: Vec<u8> = (0..=255).collect();
    let policy = faulty().await;
    let (settings, metrics) = (asked_for("hold"), ReloadMetrics::default());
    let call = policy
        .evaluate(&settings, &context(), &metrics, &[], &state)
        .await;
    let answer = call.answer.unwrap();
    assert_eq!(answer.verdict, Verdict::Hold);
    assert_eq!(answer.state, state);
}

#[tokio::test]
async fn a_hold_tells_the_operator_why() {
    let call = next(&strategy_faulty().await, &asked_for("hold"), true).await;
    let step = call.answer.unwrap().step;
    assert_eq!(step, Step::Hold("was asked to hold".to_owned()));
}

#[tokio::test]
async fn an_hour_of_sleep_is_over_at_once() {
    let call = evaluate(&faulty().await, &asked_for("slow"), &[]).await;
    assert_eq!(call.answer.unwrap().verdict, Verdict::Proceed);
}

#[tokio::test]
async fn settings_are_checked_by_the_host_and_then_by_the_policy() {
    let policy = thresholds().await;
    policy.check_settings("{}").await.unwrap();
    policy
        .check_settings(r#"{ "minimum_sample": 5 }"#)
        .await
        .unwrap();
    for (settings, path) in [
        ("", ""),
        ("[]", ""),
        ("{", ""),
        (r#"{ "minimum_sample": 0 }"#, "/minimum_sample"),
        (r#"{ "unknown": 1 }"#, "/unknown"),
    ] {
        let error = policy.check_settings(settings).await.unwrap_err();
        let SettingsError::Refused { problems, .. } = &error else {
            panic!("{settings}: {error}");
        };
        assert!(
            problems.iter().any(|problem| problem.path == path),
            "{error}"
        );
        assert!(error.to_string().contains("thresholds"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_ask_the_same_policy_at_once() {
    let policy = thresholds().await;
    let ask = |failures| {
        let policy = policy.clone();
        let windows = [window(0, (0, 50), (failures, 50))];
        tokio::spawn(async move { evaluate(&policy, "{}", &windows).await.answer })
    };
    let tasks: Vec<_> = (0..50).map(|n| (n, ask(n))).collect();
    for (failures, task) in tasks {
        let verdict = task.await.unwrap().unwrap().verdict;
        // Five per cent of 50 are tolerated.
        let expected = match failures {
            0..=2 => Verdict::Proceed,
            _ => Verdict::Rollback(Blame::Candidate),
        };
        assert_eq!(verdict, expected, "{failures} failures");
    }
}
