//! What the host does with a policy before it is asked, and what is told of a call.

use caxton_rollout::FaultKind;
use caxton_runtime::policy::{PolicyKind, PolicyLimits, PolicyRuntime, SettingsError, Stage};
use caxton_test_artifacts::{ADAPTIVE, POLICY_FAULTY, POLICY_STANDARD, POLICY_THRESHOLDS};

use crate::fixture::{
    RUNTIME, asked_for, evaluate, faulty, standard, strategy_faulty, thresholds, window,
};

async fn paths(settings: &str) -> Vec<String> {
    let error = faulty().await.check_settings(settings).await.unwrap_err();
    assert_eq!(error.to_fault().kind, FaultKind::Settings);
    match error {
        SettingsError::Refused { problems, .. } => {
            problems.into_iter().map(|problem| problem.path).collect()
        }
        fault => panic!("{fault}"),
    }
}

#[tokio::test]
async fn settings_are_held_against_the_schema_before_the_policy_sees_them() {
    // The policy would trap on the word.
    let mut found = paths(r#"{ "fault": ["check-trap"], "more": 1, "a/b": 2 }"#).await;
    found.sort();
    assert_eq!(found, ["/a~1b", "/fault", "/more"]);
    let many: Vec<String> = (0..1_000).map(|n| format!(r#""k{n}": 1"#)).collect();
    assert_eq!(paths(&format!("{{ {} }}", many.join(","))).await.len(), 32);
    let deep = format!(r#"{{ "fault": {}1{} }}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(paths(&deep).await, ["/fault"]);
}

#[tokio::test]
async fn every_policy_takes_its_own_defaults_and_stands_its_trial() {
    let adaptive = RUNTIME.load("adaptive", ADAPTIVE).await.unwrap();
    for policy in [
        thresholds().await,
        standard().await,
        faulty().await,
        adaptive,
    ] {
        let name = policy.name();
        policy.check_settings("{}").await.expect(name);
        assert!(!policy.lacks_settings("{}").await, "{name}");
        policy.trial("{}").await.expect(name);
    }
}

#[tokio::test]
async fn a_trial_shows_the_fault_that_the_first_reload_would() {
    for (word, kind) in [
        ("trap", FaultKind::Trap),
        ("error", FaultKind::Error),
        ("nan", FaultKind::Nonsense),
        ("big-state", FaultKind::Nonsense),
    ] {
        let fault = faulty().await.trial(&asked_for(word)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{word}: {fault}");
    }
    for word in ["begin-trap", "begin-nonsense", "trap", "split-over"] {
        let strategy = strategy_faulty().await;
        assert!(strategy.trial(&asked_for(word)).await.is_err(), "{word}");
    }
    faulty().await.trial(&asked_for("rollback")).await.unwrap();
}

#[tokio::test]
async fn a_call_tells_the_memory_that_it_took() {
    let policy = thresholds().await;
    let little = evaluate(&policy, "{}", &[window(0, (0, 50), (0, 50))]).await;
    assert!(little.memory >= 64 * 1024, "{}", little.memory);
    let limit = PolicyLimits::default().memory;
    let much = evaluate(&faulty().await, &asked_for("allocate"), &[]).await;
    assert!(
        much.memory > limit / 2 && much.memory <= limit,
        "{}",
        much.memory
    );
}

#[test]
fn what_can_be_seen_without_compiling() {
    let facts = RUNTIME.inspect(POLICY_THRESHOLDS).unwrap();
    assert_eq!(facts.kind, PolicyKind::Rollback);
    assert_eq!(facts.size, POLICY_THRESHOLDS.len() as u64);
    assert!(
        facts
            .exports
            .iter()
            .any(|name| name.starts_with("caxton:policy/rollback@"))
    );
    assert_eq!(
        RUNTIME.inspect(POLICY_STANDARD).unwrap().kind,
        PolicyKind::Strategy
    );
    let refusal = RUNTIME.inspect(b"").unwrap_err();
    assert_eq!(refusal.stage(), Stage::Size);
}

#[tokio::test]
async fn a_policy_is_compiled_once_and_the_damage_to_its_file_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let with_cache = |limits| PolicyRuntime::with_cache(limits, Some(folder.path())).unwrap();
    let load = async || {
        let runtime = with_cache(PolicyLimits::default());
        let policy = runtime.load("faulty", POLICY_FAULTY).await.unwrap();
        let call = evaluate(&policy, &asked_for("hold"), &[]).await;
        (policy.came_from_cache(), call.answer.unwrap(), call.fuel)
    };
    let (cached, answer, fuel) = load().await;
    assert!(!cached);
    assert_eq!(load().await, (true, answer.clone(), fuel));

    let file = || {
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
        files.into_iter().next().unwrap().unwrap().path()
    };
    let whole = std::fs::read(file()).unwrap();
    let (half, _) = whole.split_at(whole.len() / 2);
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 0x80;
    for damaged in [half, &flipped, b"", b"something else entirely"] {
        std::fs::write(file(), damaged).unwrap();
        assert_eq!(load().await, (false, answer.clone(), fuel));
        // It was replaced by a good one.
        assert_eq!(std::fs::read(file()).unwrap(), whole);
        assert_eq!(load().await, (true, answer.clone(), fuel));
    }
    // Limits are those of a call and not of the code.
    let limits = PolicyLimits {
        fuel: 1,
        ..PolicyLimits::default()
    };
    assert!(
        with_cache(limits)
            .load("faulty", POLICY_FAULTY)
            .await
            .is_err()
    );
}
