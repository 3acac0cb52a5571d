//! What is taken as a policy, and what each refusal says.

use caxton_runtime::policy::RefusalReason;
use caxton_test_artifacts::{POLICY_FAULTY, POLICY_STANDARD, POLICY_THRESHOLDS, TOOL};

use crate::fixture::{RUNTIME, evaluate};

async fn refusal(bytes: Vec<u8>) -> String {
    match RUNTIME.load("mine", bytes).await {
        Ok(policy) => panic!("taken: {:?}", policy.info()),
        Err(refusal) => refusal.to_string(),
    }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The component with every `from` in it replaced; both are of the same length, so that it stays valid.
fn with_names(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut found = 0;
    for start in 0..bytes.len() {
        let place = bytes.get_mut(start..start + from.len());
        if let Some(place) = place.filter(|place| *place == from.as_bytes()) {
            place.copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in it");
    bytes
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_a_reason_of_its_own() {
    let mut garbage = b"\0asm\x0d\0\x01\0".to_vec();
    garbage.extend([0xff; 64]);
    let (truncated, _) = POLICY_THRESHOLDS.split_at(POLICY_THRESHOLDS.len() / 2);
    for (bytes, says) in [
        (Vec::new(), "empty"),
        (vec![0; 100 * 1024 * 1024 + 1], "104857601 bytes"),
        (b"(component)".to_vec(), "not WebAssembly in binary form"),
        (wat("(module)"), "wasm-tools component new"),
        (garbage, "not valid"),
        (truncated.to_vec(), "copied whole"),
        (wat("(component)"), "does not export about"),
        (TOOL.to_vec(), "agents directory"),
    ] {
        let message = refusal(bytes).await;
        assert!(message.contains(says), "{says}: {message}");
        assert!(message.contains("mine"), "{message}");
    }
}

#[tokio::test]
async fn exports_decide_the_kind() {
    let exporting = |names: &[&str]| {
        let instances: String = names
            .iter()
            .map(|name| format!(r#"(export "caxton:policy/{name}@0.1.0" (instance $nothing))"#))
            .collect();
        wat(&format!("(component (instance $nothing) {instances})"))
    };
    for (names, says) in [
        (&["about"][..], "does not export strategy or rollback"),
        (&["rollback"], "does not export about"),
        (
            &["about", "rollback", "strategy"],
            "both strategy and rollback",
        ),
        (&["about", "rollback"], "does not fit caxton:policy@0.1.0"),
    ] {
        let message = refusal(exporting(names)).await;
        assert!(message.contains(says), "{names:?}: {message}");
    }
}

#[tokio::test]
async fn a_patch_release_of_the_contract_is_the_same_contract() {
    let patched = with_names(POLICY_STANDARD, "@0.1.0", "@0.1.7");
    let policy = RUNTIME.load("patched", patched).await.unwrap();
    assert_eq!(policy.info().name, "standard");
    let patched = with_names(POLICY_FAULTY, "@0.1.0", "@0.1.7");
    let policy = RUNTIME.load("patched", patched).await.unwrap();
    evaluate(&policy, "{}", &[]).await.answer.unwrap();
}

#[tokio::test]
async fn another_version_of_the_contract_is_named() {
    let other = with_names(POLICY_THRESHOLDS, "@0.1.0", "@0.2.0");
    let message = refusal(other).await;
    assert!(message.contains("caxton:policy/about@0.2.0"), "{message}");
    assert!(message.contains("caxton:policy@0.1.x"), "{message}");
}

#[tokio::test]
async fn an_import_that_policies_do_not_get_is_named() {
    for import in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "wasi:clocks/monotonic-clock@0.3.0",
        "caxton:agent/metrics@0.1.0",
        "caxton:policy/log@0.2.0",
    ] {
        let component = wat(&format!(
            r#"(component
                (import "{import}" (instance))
                (instance $nothing)
                (export "caxton:policy/about@0.1.0" (instance $nothing))
                (export "caxton:policy/rollback@0.1.0" (instance $nothing)))"#
        ));
        let refusal = RUNTIME.load("mine", component).await.err().unwrap();
        let RefusalReason::Import(named) = &refusal.reason else {
            panic!("{import}: {refusal}");
        };
        assert_eq!(named, import);
        assert!(refusal.to_string().contains(import), "{refusal}");
    }
}
