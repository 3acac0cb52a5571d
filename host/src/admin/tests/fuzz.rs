//! Requests that nobody sends on purpose, on the real surface: no panic, no hang, no way in.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::runtime::Runtime;

use super::hostile::METHODS;
use super::*;
use crate::mutate::{cases, changed, changes, corpus};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// One surface for all cases of a test: what one does to it, the next would see.
struct Bench {
    runtime: Runtime,
    surface: Surface,
    requests: Vec<Vec<u8>>,
}

impl Bench {
    fn start(bounds: Bounds) -> Self {
        let runtime = Runtime::new().unwrap();
        let surface = runtime.block_on(Surface::within(bounds));
        let address = surface.address.to_string();
        let token = surface.token.reveal().to_owned();
        let fill = |bytes: &Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            text.replace("HOST", &address)
                .replace("TOKEN", &token)
                .into_bytes()
        };
        let requests = corpus(ROOT, "admin").iter().map(fill).collect();
        Self {
            runtime,
            surface,
            requests,
        }
    }

    /// All that comes back; nothing where the connection was broken off.
    fn speak(&self, bytes: &[u8]) -> Vec<u8> {
        let talk = async {
            let mut stream = TcpStream::connect(self.surface.address).await.unwrap();
            let mut answer = Vec::new();
            // Refused early, the rest of a request may find the connection closed.
            // Not closed afterwards: who closes wants no answer.
            let _ = stream.write_all(bytes).await;
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, talk)
                .await
                .expect("an end in time")
        })
    }

    fn holds(&self, bytes: &[u8]) {
        let answer = self.speak(bytes);
        let answer = String::from_utf8_lossy(&answer);
        let token = self.surface.token.reveal().as_bytes();
        let signed = bytes.windows(token.len()).any(|window| window == token);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1."),
            "{answer}"
        );
        let begins = answer.split("HTTP/1.1 ").skip(1);
        for status in begins.filter_map(|rest| rest.get(..3)) {
            let status: u16 = status.parse().unwrap_or_default();
            assert!((200..600).contains(&status), "{status}: {answer}");
            assert_ne!(status, 500, "{answer}");
            assert!(
                signed || status >= 400,
                "{status} without the token: {answer}"
            );
        }
        assert!(
            !answer.contains(self.surface.token.reveal()),
            "the token comes back"
        );
    }

    /// It still serves.
    fn serves(&self) {
        let begun = std::time::Instant::now();
        // On a busy machine a good request may be late, too.
        while self
            .runtime
            .block_on(self.surface.ask("GET /api/v1/host", "", ""))
            .status()
            != "200"
        {
            assert!(begun.elapsed() < DEADLINE, "nobody is answered any more");
        }
    }
}

/// Waits hardly for what a cut request lacks.
static HASTY: LazyLock<Bench> = LazyLock::new(|| {
    let soon = Duration::from_millis(80);
    Bench::start(Bounds {
        head_timeout: soon,
        request_timeout: soon,
        ..Bounds::default()
    })
});

static PATIENT: LazyLock<Bench> = LazyLock::new(|| Bench::start(Bounds::default()));

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        select(
            &[
                "host",
                "agents",
                "hello",
                "history",
                "events",
                "records",
                "policies",
                "pause",
                "rollback",
                "set-split",
                "promote",
                "abort",
                "retry",
                "resume",
                "..",
                ".",
                "%2e%2e",
                "%2f",
                "%00",
                "%0d%0a",
                "%ff",
                "",
            ][..],
        )
        .prop_map(str::to_owned),
        Just("a".repeat(300)),
        "[!-~]{0,12}",
    ]
}

fn body() -> impl Strategy<Value = String> {
    let key = select(&["to", "state", "percent", "now", "", "__proto__"][..]);
    let value = select(
        &[
            "0",
            "1",
            "-1",
            "1e999",
            "18446744073709551616",
            "1.5",
            "null",
            "true",
            "\"live\"",
            "\"\\u0000\"",
            "[]",
            "{}",
            "NaN",
            "\"\\ud800\"",
            "[[[[[[[[[[[[[[[[",
            "{\"a\":{\"a\":{\"a\":1}}}",
        ][..],
    );
    let object = prop::collection::vec((key, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    });
    prop_oneof![3 => object, 1 => any::<String>(), 1 => Just("[".repeat(10_000))]
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn changed_requests_get_an_answer_or_an_end(at in any::<Index>(), changes in changes(5)) {
        HASTY.holds(&changed(&at, &HASTY.requests, &changes));
    }

    #[test]
    fn bytes_that_are_no_request_get_an_answer_or_an_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        HASTY.holds(&bytes);
    }

    /// Well-formed ones with the token: each has its answer, in JSON where it is a refusal.
    #[test]
    fn odd_requests_with_the_token_are_answered(
        method in select(&METHODS[..]),
        words in prop::collection::vec(word(), 0..5),
        query in prop::option::of("[!-~]{0,20}"),
        body in body(),
    ) {
        let path = words.join("/").replace(['?', '#'], "");
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let start = format!("{method} /api/v1/{path}{query}");
        let follow = query.contains("follow");
        prop_assume!(!follow && !start.contains("HTTP"));
        let reply = PATIENT.runtime.block_on(PATIENT.surface.ask(&start, "", &body));
        let status: u16 = reply.status().parse().unwrap_or_default();
        prop_assert!((200..504).contains(&status) && status != 500, "{}\n{}", start, reply.0);
        let ours = !reply.body().is_empty() && status >= 400;
        if ours {
            prop_assert!(reply.json()["message"].is_string(), "{}\n{}", start, reply.0);
        }
    }
}

#[test]
fn each_request_of_the_corpus_holds() {
    for request in &HASTY.requests {
        HASTY.holds(request);
        HASTY.serves();
    }
    let whole = PATIENT
        .requests
        .iter()
        .filter(|request| request.starts_with(b"GET /api/v1/host "));
    for request in whole {
        assert!(PATIENT.speak(request).starts_with(b"HTTP/1.1 200"));
    }
}
