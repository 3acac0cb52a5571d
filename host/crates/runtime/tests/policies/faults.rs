//! Policies that fail: each way is a fault of its own kind, and costs nobody else anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caxton_rollout::{Fault, FaultKind, Verdict};
use caxton_runtime::policy::{
    LINE_BYTES_MAX, LINES_MAX, LogLevel, LogSource, Policy, PolicyLimits, SettingsError,
};

use crate::fixture::{
    asked_for, begin, evaluate, faulty, faulty_within, next, standard, strategy_faulty, thresholds,
    window,
};

async fn fault_of(policy: &Policy, word: &str) -> Fault {
    let call = evaluate(policy, &asked_for(word), &[]).await;
    let fault = call.answer.expect_err(word);
    assert_eq!(fault.policy, policy.name());
    fault
}

#[tokio::test]
async fn each_failure_has_its_kind_and_says_what_happened() {
    let policy = faulty().await;
    for (word, kind, says) in [
        ("trap", FaultKind::Trap, "unreachable"),
        ("loop", FaultKind::OutOfFuel, "3000000000"),
        ("allocate", FaultKind::OutOfMemory, "64 MiB"),
        ("error", FaultKind::Error, "was asked to fail"),
        ("big-state", FaultKind::Nonsense, "a state of 8388608 bytes"),
        ("nan", FaultKind::Nonsense, "not finite"),
    ] {
        let fault = fault_of(&policy, word).await;
        assert_eq!(fault.kind, kind, "{word}: {fault}");
        assert!(fault.message.contains(says), "{word}: {fault}");
    }
}

#[tokio::test]
async fn a_policy_answers_after_any_failure() {
    let policy = faulty().await;
    for word in ["trap", "allocate", "big-state"] {
        fault_of(&policy, word).await;
        let call = evaluate(&policy, "{}", &[]).await;
        assert_eq!(call.answer.unwrap().verdict, Verdict::Proceed);
    }
}

#[tokio::test]
async fn what_a_guest_wrote_to_stderr_before_it_failed_is_in_the_fault() {
    // The allocator of Rust's standard library says there how much it could not get.
    let fault = fault_of(&faulty().await, "allocate").await;
    assert!(fault.message.contains("memory allocation of"), "{fault}");
}

#[tokio::test]
async fn fuel_that_lasts_for_ever_ends_at_the_deadline() {
    let policy = faulty_within(PolicyLimits {
        fuel: u64::MAX / 4,
        deadline: Duration::from_millis(200),
        ..PolicyLimits::default()
    })
    .await;
    let call = evaluate(&policy, &asked_for("loop"), &[]).await;
    let fault = call.answer.unwrap_err();
    assert_eq!(fault.kind, FaultKind::OutOfTime, "{fault}");
    assert!(fault.message.contains("200ms"), "{fault}");
    assert!(call.fuel > 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_loop_on_the_same_thread_does_not_hold_others_up() {
    let looping = faulty_within(PolicyLimits {
        fuel: u64::MAX / 4,
        ..PolicyLimits::default()
    })
    .await;
    let good = thresholds().await;
    let ended = AtomicBool::new(false);
    let settings = asked_for("loop");
    let endless = async {
        let call = evaluate(&looping, &settings, &[]).await;
        ended.store(true, Ordering::Relaxed);
        call.answer.unwrap_err().kind
    };
    let windows = [window(0, (0, 50), (0, 50))];
    let others = async {
        for _ in 0..20 {
            let call = evaluate(&good, "{}", &windows).await;
            assert_eq!(call.answer.unwrap().verdict, Verdict::Proceed);
        }
        ended.load(Ordering::Relaxed)
    };
    let (kind, too_late) = tokio::join!(endless, others);
    assert_eq!(kind, FaultKind::OutOfTime);
    assert!(!too_late, "the others waited for the loop to end");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted() {
    let call = evaluate(&faulty().await, &asked_for("log-flood"), &[]).await;
    assert_eq!(call.log.lines.len(), LINES_MAX);
    assert!(call.log.dropped > 0);
    for line in &call.log.lines {
        assert_eq!(line.text.len(), LINE_BYTES_MAX);
        assert_eq!(line.level, LogLevel::Info);
        assert_eq!(line.source, LogSource::Log);
    }
}

#[tokio::test]
async fn settings_that_the_policy_refuses_or_fails_on() {
    let policy = faulty().await;
    let refused = policy
        .check_settings(&asked_for("check-problem"))
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("/fault: was asked to be wrong"),
        "{refused}"
    );
    assert_eq!(refused.to_fault().kind, FaultKind::Settings);

    let failed = policy
        .check_settings(&asked_for("check-trap"))
        .await
        .unwrap_err();
    assert!(matches!(failed, SettingsError::Fault(_)), "{failed}");
    assert_eq!(failed.to_fault().kind, FaultKind::Trap);
}

#[tokio::test]
async fn strategies_fail_in_the_same_ways() {
    let policy = strategy_faulty().await;
    for (word, kind) in [
        ("begin-trap", FaultKind::Trap),
        ("begin-loop", FaultKind::OutOfFuel),
        ("begin-error", FaultKind::Error),
        ("begin-nonsense", FaultKind::Nonsense),
    ] {
        let call = begin(&policy, &asked_for(word)).await;
        let fault = call.answer.expect_err(word);
        assert_eq!(fault.kind, kind, "{word}: {fault}");
    }
    for (word, kind) in [
        ("trap", FaultKind::Trap),
        ("loop", FaultKind::OutOfFuel),
        ("allocate", FaultKind::OutOfMemory),
        ("error", FaultKind::Error),
        ("split-over", FaultKind::Nonsense),
    ] {
        let call = next(&policy, &asked_for(word), true).await;
        let fault = call.answer.expect_err(word);
        assert_eq!(fault.kind, kind, "{word}: {fault}");
    }
}

#[tokio::test]
async fn a_policy_of_the_other_kind_is_not_asked() {
    let call = evaluate(&standard().await, "{}", &[]).await;
    let fault = call.answer.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Missing);
    assert!(fault.message.contains("it is a strategy policy"), "{fault}");
    let call = begin(&thresholds().await, "{}").await;
    assert_eq!(call.answer.unwrap_err().kind, FaultKind::Missing);
}
