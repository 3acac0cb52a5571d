//! Components that no compiler made: real ones with changes, and small ones that go to the edges of the format.

use std::sync::{LazyLock, mpsc};

use caxton_runtime::{AgentSpec, Inspection, Refusal, incomplete};
use caxton_test_artifacts::{STATEFUL, TOOL, UNHEALTHY, WEB};
use proptest::prelude::*;
use proptest::sample::Index;

use self::mutate::{cases, changed, changes, corpus};
use super::inspecting::{component, handler};
use super::{PATIENCE, runtime};

#[path = "../../../../../tests/corpus/mutate.rs"]
mod mutate;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// Components, modules, and neither.
const LAYERS: &[&[u8]] = &[b"\x0d\0\x01\0", b"\x01\0\0\0", b"\xff\xff\xff\xff"];

/// Numbers in LEB128: as large as there are, and none.
const COUNTS: &[&[u8]] = &[
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
    b"\xff\xff\x03",
    b"\0",
];

/// Real guests, and the small ones of the corpus.
static COMPONENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let real = [WEB, TOOL, STATEFUL, UNHEALTHY].map(<[u8]>::to_vec);
    let text = |bytes: &Vec<u8>| wat::parse_bytes(bytes).unwrap().into_owned();
    let small = corpus(ROOT, "components");
    let mut components: Vec<Vec<u8>> = small.iter().map(text).collect();
    components.push(handler("nop", ""));
    // Small ones are what most changes go into: there a single byte decides.
    let small = components.clone();
    components.extend(small);
    components.extend(real);
    components
});

/// What comes of looking at them, if anything does.
fn looked_at(bytes: Vec<u8>) -> Result<Inspection, Refusal> {
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || sender.send(runtime().inspect(&bytes)));
    answer
        .recv_timeout(PATIENCE)
        .expect("an answer in time, and no panic")
}

fn holds(bytes: &[u8]) {
    let cut = incomplete(bytes);
    match looked_at(bytes.to_vec()) {
        Ok(inspection) => {
            assert!(!cut, "taken although its end is missing");
            assert_eq!(inspection.size, bytes.len() as u64);
            assert_eq!(
                looked_at(bytes.to_vec()).unwrap(),
                inspection,
                "taken in two ways"
            );
            let called = |name: &String| name.contains("handler@0.");
            assert!(inspection.exports.iter().any(called), "{inspection:?}");
            assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"));
        }
        Err(refusal) => {
            let told = refusal.to_string();
            assert!(!told.contains(char::is_control), "{told:?}");
            assert!(told.len() < 4096, "{} bytes are no message", told.len());
            assert_eq!(cut, matches!(refusal, Refusal::Incomplete { .. }), "{told}");
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn changed_components_are_taken_whole_or_refused_with_a_message(at in any::<Index>(), changes in changes(5)) {
        holds(&changed(&at, &COMPONENTS, &changes));
    }

    #[test]
    fn bytes_behind_the_magic_are_looked_at(
        layer in prop::sample::select(LAYERS),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        holds(&[b"\0asm", layer, bytes.as_slice()].concat());
    }

    /// A section is repeated, and says that it holds as much as a number can say.
    #[test]
    fn sections_that_lie_about_their_counts_are_refused(
        id in 0..13_u8,
        count in prop::sample::select(COUNTS),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        times in 1..50_usize,
    ) {
        let body = [count, rest.as_slice()].concat();
        let length = u8::try_from(body.len()).unwrap();
        let section = [[id, length].as_slice(), &body].concat();
        holds(&[b"\0asm\x0d\0\x01\0".as_slice(), &section.repeat(times)].concat());
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// What is taken is compiled and tried: also that ends, as a version or as a refusal, and nothing else does.
    #[test]
    fn changed_components_that_are_taken_can_be_tried(at in any::<Index>(), changes in changes(3)) {
        let small = handler("nop", "");
        let bytes = changed(&at, &[small], &changes);
        if looked_at(bytes.clone()).is_ok() {
            let mut spec = AgentSpec::new("changed", 1);
            spec.limits.request_timeout = std::time::Duration::from_secs(5);
            let runtime_of_the_test = tokio::runtime::Runtime::new().unwrap();
            let tried = async { tokio::time::timeout(PATIENCE, runtime().prepare(bytes.into(), spec)).await };
            let tried = runtime_of_the_test.block_on(tried).expect("an end in time");
            if let Err(refused) = tried {
                prop_assert!(!refused.to_string().is_empty());
            }
        }
    }
}

#[test]
fn what_a_component_says_of_itself_is_told_in_a_few_words() {
    let exports: String = (0..900)
        .map(|at| {
            format!(
                "(export \"{}:b/c{at}@0.1.0\" (instance $i))",
                "a".repeat(150)
            )
        })
        .collect();
    let many = component(&format!("(component (instance $i) {exports})"));
    holds(&many);
    let told = looked_at(many).unwrap_err().to_string();
    assert!(told.contains("and 892 more"), "{told}");
    let long = format!(
        "(component (import \"a:b/{}@0.1.0\" (instance (export \"f\" (func)))))",
        "c".repeat(20_000)
    );
    holds(&component(&long));
    for component in COMPONENTS.iter() {
        holds(component);
    }
}
