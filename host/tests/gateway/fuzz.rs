//! Requests that nobody sends on purpose, on the real gateway: no panic, no hang, and nobody's request for two.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use caxton::gateway::GatewaySettings;
use caxton_runtime::{Limits, Version};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use self::mutate::{cases, changed, changes, corpus};
use crate::raw::DEADLINE;
use crate::rig::{Rig, route, tool, web};

#[path = "../../../tests/corpus/mutate.rs"]
mod mutate;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// After this the gateway waits no longer for what a cut request lacks. A good one may be late by it, too, on a busy machine.
const SOON: Duration = Duration::from_millis(80);

/// A gateway with three agents: `web` is version 1, `other`, which claims a host, version 2, `tool` takes messages and is version 3.
struct Bench {
    runtime: Runtime,
    rig: Rig,
    versions: Vec<Arc<Version>>,
    requests: Vec<Vec<u8>>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (rig, versions) = runtime.block_on(async {
        let limits = Limits {
            idle_timeout: SOON,
            request_timeout: Duration::from_secs(5),
            ..Limits::default()
        };
        let versions = vec![
            web(1, limits.clone()).await,
            web(2, limits.clone()).await,
            tool(3, limits).await,
        ];
        let settings = GatewaySettings {
            head_timeout: SOON,
            ..GatewaySettings::default()
        };
        let mut other = route("other", &versions[1]);
        other.host = Some("other.test".parse().unwrap());
        let agents = vec![
            route("web", &versions[0]),
            other,
            route("tool", &versions[2]),
        ];
        (Rig::start(settings, agents).await, versions)
    });
    let requests = corpus(ROOT, "gateway");
    Bench {
        runtime,
        rig,
        versions,
        requests,
    }
});

/// Cases of several tests would be counted together.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Bench {
    fn speak(&self, bytes: &[u8]) -> String {
        let talk = async {
            let mut stream = TcpStream::connect(self.rig.address).await.unwrap();
            // Not closed afterwards: who closes wants no answer.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = self
            .runtime
            .block_on(async { timeout(DEADLINE, talk).await });
        String::from_utf8_lossy(&answer.expect("an end in time")).into_owned()
    }

    /// Calls that each version had since it was last asked, however they ended.
    fn called(&self) -> Vec<u64> {
        let count = |version: &Arc<Version>| {
            let window = version.take_window();
            window.requests + window.not_counted
        };
        self.versions.iter().map(count).collect()
    }

    /// Everything that is answered by an agent was answered by one, and each call has at most one answer.
    fn holds(&self, bytes: &[u8]) {
        let _alone = ONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.called();
        let answer = self.speak(bytes);
        self.settled();
        let called = self.called();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1."),
            "{answer}"
        );
        let mut answered = vec![0; called.len()];
        for head in heads(&answer) {
            let status: u16 = head
                .get(9..12)
                .and_then(|status| status.parse().ok())
                .unwrap_or_default();
            assert!((100..600).contains(&status), "{head}");
            assert_ne!(status, 500, "{head}");
            let version = field(head, "x-caxton-version");
            let error = field(head, "x-caxton-error");
            if status < 300 && status != 100 {
                let number: usize = version
                    .expect("a good answer is some version's")
                    .parse()
                    .unwrap();
                assert_eq!(error, None, "{head}");
                answered[number - 1] += 1;
            } else if version.is_none() && error.is_none() && status != 100 {
                // hyper's own: it could not read the request at all.
                assert!(matches!(status, 400 | 414 | 431 | 505), "{head}");
            }
        }
        for (answered, called) in answered.iter().zip(&called) {
            assert!(
                answered <= called,
                "{answered} answers to {called} calls: {answer}"
            );
        }
    }

    /// Waits until no call runs: then the counts are whole.
    fn settled(&self) {
        let begun = std::time::Instant::now();
        while self.versions.iter().any(|version| version.in_flight() > 0) {
            assert!(begun.elapsed() < DEADLINE, "a call that does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn serves(&self) {
        let begun = std::time::Instant::now();
        let ask = || self.speak(b"GET /other/ HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        while !ask().starts_with("HTTP/1.1 200") {
            assert!(begun.elapsed() < DEADLINE, "nobody is answered any more");
        }
    }
}

/// The heads of replies. An echoed body may look like one; it has no version of its own then, so only heads with a date count.
fn heads(answer: &str) -> impl Iterator<Item = &str> {
    answer.match_indices("HTTP/1.").filter_map(|(at, _)| {
        let head = answer.get(at..)?.split("\r\n\r\n").next()?;
        field(head, "date").map(|_| head)
    })
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn path() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        select(
            &[
                "web", "other", "tool", "echo", "headers", "", ".", "..", "%2e", "%2E%2e", "%2f",
                "%00", "%", "..;", "a b"
            ][..]
        )
        .prop_map(str::to_owned),
        "[!-~]{0,8}",
    ];
    prop::collection::vec(word, 0..5).prop_map(|words| format!("/{}", words.join("/")))
}

fn name() -> impl Strategy<Value = String> {
    select(
        &[
            "test",
            "web.test",
            "other.test",
            "OTHER.TEST",
            "other.test.",
            "other.test:80",
            "other.test@test",
            "test@other.test",
            "[::1]",
            "",
            "a/b",
            "test, other.test",
            "other.test\t",
        ][..],
    )
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn changed_requests_reach_one_agent_or_none(at in any::<Index>(), changes in changes(5)) {
        BENCH.holds(&changed(&at, &BENCH.requests, &changes));
    }

    #[test]
    fn bytes_that_are_no_request_get_an_answer_or_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        BENCH.holds(&bytes);
    }

    /// Whom a request names by host and path decides, and nobody is reached by a path that somebody else may resolve otherwise.
    #[test]
    fn who_is_named_is_who_answers(path in path(), hosts in prop::collection::vec(name(), 0..3), forged in "[ -~]{0,20}") {
        let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\n{hosts}x-forwarded-prefix: {forged}\r\nx-caxton-version: 9\r\nconnection: close\r\n\r\n"
        );
        BENCH.holds(request.as_bytes());
        let _alone = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let answer = BENCH.speak(request.as_bytes());
        let plain = path.split(['?', '#']).next().unwrap_or_default();
        let dotted = plain.split('/').any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."));
        if answer.starts_with("HTTP/1.1 200") {
            prop_assert!(!dotted, "{}", request);
            prop_assert_eq!(hosts.matches("host: ").count(), 1, "{}", request);
            let claims = hosts.to_ascii_lowercase().contains("other.test");
            let expected = if claims { "2" } else if plain.starts_with("/web") { "1" } else { "2" };
            let head = answer.split("\r\n\r\n").next().unwrap_or_default();
            prop_assert_eq!(field(head, "x-caxton-version"), Some(expected), "{}\n{}", request, head);
        }
    }
}

#[test]
fn each_request_of_the_corpus_holds() {
    for request in &BENCH.requests {
        BENCH.holds(request);
        BENCH.serves();
    }
    // Else nothing of the above would have been asked of an agent at all.
    let answer = BENCH.speak(&BENCH.requests[0]);
    assert!(answer.contains("x-caxton-version: 2"), "{answer}");
    BENCH.serves();
}
