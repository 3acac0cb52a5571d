//! Stages of validation, and how policies are found.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use caxton_runtime::policy::PolicyLimits;
use caxton_test_artifacts::{POLICY_FAULTY, STRATEGY_FAULTY, WEB};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;

mod late;

static RUNTIME: LazyLock<PolicyRuntime> =
    LazyLock::new(|| PolicyRuntime::new(PolicyLimits::default()).unwrap());

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A component without code that exports these interfaces of the contract.
fn exporting(import: &str, names: &[&str]) -> Vec<u8> {
    let exports: String = names
        .iter()
        .map(|name| format!(r#"(export "caxton:policy/{name}" (instance $nothing))"#))
        .collect();
    wat(&format!(
        "(component {import} (instance $nothing) {exports})"
    ))
}

async fn refused(bytes: &[u8], settings: &str) -> Refused {
    let settings = as_json(&settings.parse().unwrap()).unwrap();
    match validate(&RUNTIME, "mine", bytes.into(), &settings).await {
        Ok(policy) => panic!("taken: {:?}", policy.info()),
        Err(refused) => refused,
    }
}

#[tokio::test]
async fn each_stage_refuses_with_its_name_and_a_reason() {
    let http = r#"(import "wasi:http/outgoing-handler@0.2.0" (instance))"#;
    let own = ["about@0.1.0", "rollback@0.1.0"];
    for (bytes, settings, stage, says) in [
        (Vec::new(), "", Stage::Size, "empty"),
        (b"hello".to_vec(), "", Stage::Component, "not WebAssembly"),
        (
            wat("(module)"),
            "",
            Stage::Component,
            "wasm-tools component new",
        ),
        (WEB.to_vec(), "", Stage::Contract, "agents directory"),
        (
            exporting("", &["about@0.2.0", "rollback@0.2.0"]),
            "",
            Stage::Contract,
            "@0.2.0",
        ),
        (
            exporting("", &["about@0.1.0"]),
            "",
            Stage::Contract,
            "strategy or rollback",
        ),
        (
            exporting(http, &own),
            "",
            Stage::Imports,
            "wasi:http/outgoing-handler@0.2.0",
        ),
        (exporting("", &own), "", Stage::Compile, "does not fit"),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 1\nmore = 2",
            Stage::Settings,
            "/fault: 1 is not of type",
        ),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 1\nmore = 2",
            Stage::Settings,
            "/more: there is no such",
        ),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 'check-problem'",
            Stage::Settings,
            "asked to be wrong",
        ),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 'check-trap'",
            Stage::Settings,
            "trapped",
        ),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 'trap'",
            Stage::Trial,
            "trapped",
        ),
        (
            POLICY_FAULTY.to_vec(),
            "fault = 'nan'",
            Stage::Trial,
            "not finite",
        ),
        (
            STRATEGY_FAULTY.to_vec(),
            "fault = 'begin-nonsense'",
            Stage::Trial,
            "nonsense",
        ),
        (
            STRATEGY_FAULTY.to_vec(),
            "fault = 'error'",
            Stage::Trial,
            "asked to fail",
        ),
    ] {
        let refused = refused(&bytes, settings).await;
        assert_eq!(refused.stage, stage, "{refused}");
        assert!(refused.reason.contains(says), "{says}: {refused}");
    }
}

#[tokio::test]
async fn what_decides_without_a_fault_is_taken_whatever_it_says() {
    for (bytes, word) in [
        (POLICY_FAULTY, "rollback"),
        (POLICY_FAULTY, "hold"),
        (STRATEGY_FAULTY, "hold"),
        (STRATEGY_FAULTY, "promote"),
    ] {
        let settings = as_json(&format!("fault = '{word}'").parse().unwrap()).unwrap();
        let policy = validate(&RUNTIME, "mine", bytes.into(), &settings).await;
        assert!(policy.is_ok(), "{word}: {:?}", policy.err());
    }
}

/// A watched directory and what is on the shelf because of it.
struct Fixture {
    folder: tempfile::TempDir,
    policies: Arc<Policies>,
    news: tokio::sync::mpsc::Receiver<PolicyNews>,
    stop: CancellationToken,
}

impl Fixture {
    fn start() -> Self {
        Self::with(RUNTIME.clone())
    }

    fn with(runtime: PolicyRuntime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, own) = (folder.path().join("data"), folder.path().join("policies"));
        let policies = Arc::new(Policies::new(runtime, own, Blobs::within(&data)));
        let (sender, news) = tokio::sync::mpsc::channel(64);
        let stop = CancellationToken::new();
        let quick = Duration::from_millis(20);
        let watching = Watching {
            policies: Arc::clone(&policies),
            options: caxton_watch::Options {
                settle: quick,
                rescan: quick,
                remove_grace: quick,
                incomplete: caxton_runtime::incomplete,
                ..caxton_watch::Options::default()
            },
            clock: Clock::start(),
            news: sender,
        };
        tokio::spawn(watching.run(stop.clone()));
        Self {
            folder,
            policies,
            news,
            stop,
        }
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let folder = self.folder.path().join("policies");
        std::fs::create_dir_all(&folder).unwrap();
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, folder.join(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        let path: &Path = self.folder.path();
        std::fs::remove_file(path.join("policies").join(file)).unwrap();
    }

    /// The next piece of news that tells something.
    async fn next(&mut self) -> PolicyNews {
        let wait = async {
            loop {
                match self.news.recv().await.unwrap() {
                    PolicyNews::Changed => {}
                    news => return news,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .unwrap()
    }

    async fn found(&self, name: &str, settings: &str) -> Result<PinnedPolicy, Fault> {
        let found = self.policies.find(name, PolicyKind::Rollback, settings);
        found.await.map_err(Unusable::fault)
    }

    /// Waits for a fact.
    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let wait = tokio::time::timeout(Duration::from_secs(120), wait);
        assert!(wait.await.is_ok(), "{what}");
    }

    fn view(&self, name: &str) -> Option<PolicyView> {
        self.policies
            .list()
            .into_iter()
            .find(|view| view.name == name)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_file_comes_is_refused_is_mended_and_goes() {
    let mut fixture = Fixture::start();
    let missing = fixture.found("mine", "{}").await.err().unwrap();
    assert!(missing.message.contains("mine.wasm"), "{missing}");
    assert!(fixture.policies.attention().is_empty());

    // The directory appears with the file.
    fixture.put("mine.wasm", POLICY_FAULTY);
    let loaded = fixture.next().await;
    assert!(
        matches!(&loaded, PolicyNews::Loaded { name, .. } if name == "mine"),
        "{loaded:?}"
    );
    let first = fixture.found("mine", "{}").await.unwrap();
    assert_eq!(first.settings, "{}");

    fixture.put("mine.wasm", b"\0asm\x01\0\0\0");
    let refused = fixture.next().await;
    let PolicyNews::Refused { file, stage, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!((file.as_str(), *stage), ("mine.wasm", Stage::Component));
    // What was there before stands.
    let still = fixture.found("mine", "{}").await.unwrap();
    assert_eq!(still.policy.digest(), first.policy.digest());
    let view = fixture.view("mine").unwrap();
    assert_eq!(
        (view.state, view.stage),
        (PolicyState::Ready, Some(Stage::Component))
    );
    assert_eq!(
        fixture.policies.attention().first().unwrap().kind,
        "policy-refused"
    );

    let held = fixture
        .policies
        .pin("mine", first.policy.kind(), "{}")
        .await
        .unwrap();
    let second = caxton_test_artifacts::with_section(POLICY_FAULTY, "variant", b"2");
    fixture.put("mine.wasm", &second);
    assert!(matches!(fixture.next().await, PolicyNews::Loaded { .. }));
    let other = fixture.found("mine", "{}").await.unwrap();
    assert_ne!(other.policy.digest(), first.policy.digest());
    assert!(fixture.policies.attention().is_empty());
    // The one before can be asked, because a reload held it, and is held again by its digest.
    let kept = fixture.policies.bytes(first.policy.digest()).await.unwrap();
    assert_eq!(kept, POLICY_FAULTY);
    let pin = Pin {
        policy: "mine".to_owned(),
        kind: first.policy.kind().to_string(),
        mode: caxton_rollout::PolicyMode::Enforce,
        digest: first.policy.digest(),
        settings: held.settings.clone(),
    };
    let again = fixture.policies.pin_again(&pin).await.unwrap();
    assert_eq!(again.policy.digest(), first.policy.digest());
    assert_eq!(again.settings, held.settings);
    let unknown = Pin {
        digest: Digest::new([9; 32]),
        ..pin
    };
    let fault = fixture.policies.pin_again(&unknown).await.err().unwrap();
    assert!(fault.message.contains("not kept any more"), "{fault}");

    fixture.remove("mine.wasm");
    let gone = fixture.next().await;
    assert_eq!(
        gone,
        PolicyNews::Gone {
            name: "mine".to_owned()
        }
    );
    assert!(fixture.found("mine", "{}").await.is_err());
    assert_eq!(fixture.view("mine"), None);
}

#[tokio::test]
async fn settings_are_those_of_the_file_under_those_of_the_agent() {
    let mut fixture = Fixture::start();
    fixture.put("mine.toml", b"fault = \"hold\"\n");
    fixture.put("mine.wasm", POLICY_FAULTY);
    fixture.next().await;
    for (own, effective) in [
        ("{}", r#"{"fault":"hold"}"#),
        (r#"{"fault":"rollback"}"#, r#"{"fault":"rollback"}"#),
    ] {
        assert_eq!(
            fixture.found("mine", own).await.unwrap().settings,
            effective
        );
    }
    let wrong = fixture
        .found("mine", r#"{"faults":1}"#)
        .await
        .err()
        .unwrap();
    assert_eq!(wrong.kind, FaultKind::Settings);
    assert!(wrong.message.contains("/faults"), "{wrong}");

    // Its settings alone change; wrong ones are refused with their file, and the old ones stand.
    fixture.put("mine.toml", b"fault = 5\n");
    let refused = fixture.next().await;
    assert!(
        matches!(&refused, PolicyNews::Refused { file, .. } if file == "mine.toml"),
        "{refused:?}"
    );
    assert_eq!(
        fixture.found("mine", "{}").await.unwrap().settings,
        r#"{"fault":"hold"}"#
    );
    fixture.put("mine.toml", b"fault = \"proceed\"\n");
    assert!(matches!(fixture.next().await, PolicyNews::Loaded { .. }));
    assert_eq!(
        fixture.found("mine", "{}").await.unwrap().settings,
        r#"{"fault":"proceed"}"#
    );
}

#[tokio::test]
async fn names_of_policies_in_the_binary_are_theirs() {
    let mut fixture = Fixture::start();
    fixture.put("thresholds.wasm", POLICY_FAULTY);
    let refused = fixture.next().await;
    let PolicyNews::Refused { reason, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("in the binary"), "{reason}");
    let own = fixture.found("thresholds", "{}").await.unwrap();
    assert_eq!(own.policy.info().name, "thresholds");
}

#[tokio::test]
async fn what_cannot_be_had_says_why_and_what_would_help() {
    let fixture = Fixture::start();
    let near = fixture.found("treshold", "{}").await.err().unwrap();
    assert!(
        near.message.contains("did you mean `thresholds`?"),
        "{near}"
    );
    let far = fixture.found("quite-different", "{}").await.err().unwrap();
    assert!(!far.message.contains("did you mean"), "{far}");
    let kind = fixture
        .policies
        .find("standard", PolicyKind::Rollback, "{}");
    let Err(Unusable::Misconfigured(fault)) = kind.await else {
        panic!("a strategy policy was taken as a rollback policy");
    };
    assert!(fault.message.contains("it is a strategy policy"), "{fault}");
}

#[tokio::test]
async fn a_reload_that_begins_waits_for_a_file_that_has_just_come() {
    let fixture = Fixture::start();
    fixture.put("mine.wasm", STRATEGY_FAULTY);
    let pinned = fixture.policies.pin("mine", PolicyKind::Strategy, "{}");
    assert_eq!(pinned.await.unwrap().policy.info().name, "strategy-faulty");
}

#[tokio::test]
async fn the_kind_of_a_policy_in_the_binary_is_known_before_it_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let policies = Policies::new(
        RUNTIME.clone(),
        folder.path().join("policies"),
        Blobs::within(folder.path()),
    );
    let listed: Vec<_> = policies
        .list()
        .into_iter()
        .map(|view| (view.name, view.kind, view.version))
        .collect();
    let rollback = |name: &str| (name.to_owned(), Some(PolicyKind::Rollback), None);
    let expected = [
        rollback("evidence"),
        rollback("manual"),
        ("standard".to_owned(), Some(PolicyKind::Strategy), None),
        rollback("thresholds"),
    ];
    assert_eq!(listed, expected);
}
