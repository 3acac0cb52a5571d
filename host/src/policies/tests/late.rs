//! Files that take long: to compile, and to say anything.

use super::*;

/// The same policy with a module that it never uses and that takes a while to compile.
fn slow_to_compile(policy: &[u8]) -> Vec<u8> {
    let additions = "i32.const 3 i32.add i32.const 5 i32.mul ".repeat(200);
    let function = format!("(func (param i32) (result i32) local.get 0 {additions})");
    let module = wat(&format!("(module {})", function.repeat(3_000)));
    let mut component = policy.to_vec();
    // A section with a core module: its number, its size as LEB128, and the module.
    component.push(1);
    let mut size = module.len();
    while size >= 0x80 {
        component.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    component.push(u8::try_from(size).unwrap());
    component.extend(module);
    component
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_slow_to_compile_never_takes_the_place_of_the_one_that_came_after_it() {
    let cache = tempfile::tempdir().unwrap();
    let runtime = PolicyRuntime::with_cache(PolicyLimits::default(), Some(cache.path())).unwrap();
    // Compiled before, so that it overtakes.
    let settings = Settings::new();
    let quick = validate(&runtime, "mine", POLICY_FAULTY.into(), &settings).await;
    let quick = quick.unwrap().digest();
    let mut fixture = Fixture::with(runtime);

    fixture.put("mine.wasm", &slow_to_compile(POLICY_FAULTY));
    fixture
        .until("it is looked into", async || {
            fixture.policies.lock().is_compiling("mine")
        })
        .await;
    fixture.remove("mine.wasm");
    fixture
        .until("it is gone", async || {
            !fixture.policies.lock().is_compiling("mine")
        })
        .await;
    fixture.put("mine.wasm", POLICY_FAULTY);
    let loaded = fixture.next().await;
    assert!(
        matches!(&loaded, PolicyNews::Loaded { digest, .. } if *digest == quick),
        "{loaded:?}"
    );
    // The other is through when its code is kept; what comes after that comes after it. On a busy machine it may be through
    // already, and must not have come in either.
    let compiled = || std::fs::read_dir(cache.path()).unwrap().count();
    fixture
        .until("the slow one is compiled", async || compiled() == 2)
        .await;
    fixture.put("next.wasm", POLICY_FAULTY);
    let next = fixture.next().await;
    assert!(
        matches!(&next, PolicyNews::Loaded { name, .. } if name == "next"),
        "{next:?}"
    );
    let found = fixture.found("mine", "{}").await.unwrap();
    assert_eq!(found.policy.digest(), quick);
}

#[tokio::test]
async fn what_only_ran_out_of_time_is_no_refusal_of_anybody() {
    let runtime = PolicyRuntime::new(PolicyLimits {
        fuel: u64::MAX / 4,
        deadline: Duration::from_secs(1),
        ..PolicyLimits::default()
    });
    let mut fixture = Fixture::with(runtime.unwrap());
    fixture.put("mine.wasm", POLICY_FAULTY);
    assert!(matches!(fixture.next().await, PolicyNews::Loaded { .. }));
    let looping = r#"{"fault":"check-loop"}"#;
    let found = fixture.policies.find("mine", PolicyKind::Rollback, looping);
    let Err(Unusable::OutOfTime(fault)) = found.await else {
        panic!("it is not known whether it takes them");
    };
    assert_eq!(fault.kind, FaultKind::OutOfTime);
    let trapping = r#"{"fault":"check-trap"}"#;
    let found = fixture
        .policies
        .find("mine", PolicyKind::Rollback, trapping);
    assert!(matches!(found.await, Err(Unusable::Misconfigured(_))));

    // A file whose trial or check takes too long is looked into again; the one before it stands meanwhile.
    for (word, expected) in [
        ("loop", Stage::Trial),
        ("check-loop", Stage::Settings),
        ("trap", Stage::Trial),
    ] {
        let settings = format!("fault = \"{word}\"\n");
        fixture.put("mine.toml", settings.as_bytes());
        let refused = fixture.next().await;
        let PolicyNews::Refused { stage, reason, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(*stage, expected, "{reason}");
        let again = reason.contains("looked into again in 10s");
        assert_eq!(again, word != "trap", "{reason}");
    }
    assert!(fixture.found("mine", "{}").await.is_ok());
}
