//! The surface over real sockets, with a real handle whose orders are answered here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton_rollout::{AgentName, HotReloadId, Moment, Order, OrderError};
use caxton_runtime::policy::{PolicyLimits, PolicyRuntime};
use caxton_store::{Journal, Limits, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::serve::Bounds;
use super::{Admin, Token, Upkeep, serve_within};
use crate::events::EventLog;
use crate::folders::Granted;
use crate::handle::ControllerHandle;
use crate::policies::Policies;
use crate::published::{AgentStatus, Published};
use crate::records::Recorder;

mod fuzz;
mod hostile;
mod upkeep;

/// Longer than anything here takes; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

struct Surface {
    address: SocketAddr,
    events: Arc<EventLog>,
    published: Arc<ArcSwap<Published>>,
    token: Token,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    recorder: Recorder,
    journal: Journal,
    data_dir: tempfile::TempDir,
}

fn name(text: &str) -> AgentName {
    text.parse().unwrap()
}

/// Those in the binary, and no directory.
fn policies() -> Arc<Policies> {
    let runtime = PolicyRuntime::new(PolicyLimits::default()).unwrap();
    let nowhere = std::path::Path::new("/nowhere");
    Arc::new(Policies::new(
        runtime,
        nowhere.join("policies"),
        caxton_store::Blobs::within(nowhere),
    ))
}

impl Surface {
    async fn start() -> Self {
        Self::within(Bounds::default()).await
    }

    async fn within(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handle, mut orders, published) = ControllerHandle::new();
        tokio::spawn(async move {
            while let Some(ordered) = orders.recv().await {
                let answer = answer(&ordered.agent, ordered.order);
                ordered.reply.send(answer).unwrap();
            }
        });
        let token = Token::generate().unwrap();
        let events = Arc::new(EventLog::new());
        let data_dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(data_dir.path(), Limits::default()).unwrap();
        let (recorder, records) = Recorder::start(&store.journal, data_dir.path());
        let closed = [("data directory", data_dir.path().to_owned())];
        let upkeep = Upkeep::new(store.journal.clone(), &closed, Granted::default());
        let stop = CancellationToken::new();
        let admin = Admin {
            handle,
            events: Arc::clone(&events),
            logs: Arc::default(),
            records,
            upkeep,
            policies: policies(),
            gateway: ([127, 0, 0, 1], 8080).into(),
            started: Moment(5),
            token: token.clone(),
            telemetry: crate::telemetry::Telemetry::start(None).unwrap(),
        };
        let serving = tokio::spawn(serve_within(listener, admin, bounds, stop.clone()));
        let surface = Self {
            address,
            events,
            published,
            token,
            stop,
            serving,
            recorder,
            journal: store.journal,
            data_dir,
        };
        surface.publish("hello");
        surface
    }

    fn publish(&self, agent: &str) {
        let status = AgentStatus::refused(name(agent), "no component".to_owned(), Vec::new());
        let mut published = Published::default();
        published.agents.insert(name(agent), Arc::new(status));
        self.published.store(Arc::new(published));
    }

    fn push(&self, kind: &str) {
        self.events
            .push(Moment(9), Some(name("hello")), None, kind, Value::Null);
    }

    /// A request with the right token and host, these lines in its head, and a body.
    async fn ask(&self, start: &str, lines: &str, body: &str) -> Reply {
        let token = self.token.reveal();
        let length = body.len();
        self.speak(&format!(
            "{start} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {length}\r\n{lines}\r\n{body}",
            self.address
        ))
        .await
    }

    /// Bytes as they are, and all that comes back.
    async fn speak(&self, bytes: &str) -> Reply {
        Reply(String::from_utf8(self.speak_bytes(bytes).await).unwrap())
    }

    async fn speak_bytes(&self, bytes: &str) -> Vec<u8> {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The other end may reset a connection whose request it did not read to its end.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        tokio::time::timeout(DEADLINE, talk).await.unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.serving)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Every refusal that the core knows, by the order that draws it.
fn answer(agent: &AgentName, order: Order) -> Result<(), OrderError> {
    let agent = agent.clone();
    match order {
        Order::Pause => Err(OrderError::NothingToDo {
            agent,
            order,
            why: "no reload is going on",
        }),
        Order::Retry => {
            let reload = HotReloadId::from_random_bits(1);
            Err(OrderError::AlreadyInProgress {
                agent,
                order,
                reload,
                doing: "baking",
            })
        }
        Order::Rollback {
            to: Some(number), ..
        } if number.get() == 9 => Err(OrderError::VersionNotFound {
            agent,
            number,
            kept: Vec::new(),
        }),
        Order::Abort { .. } => Err(OrderError::AgentNotFound { agent }),
        _ => Ok(()),
    }
}

struct Reply(String);

impl Reply {
    fn status(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap_or_default().1
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.0))
    }

    /// The status and the word for machines; every refusal has a message, too.
    fn refusal(&self) -> String {
        let body = self.json();
        assert!(!body["message"].as_str().unwrap().is_empty());
        format!("{} {}", self.status(), body["error"].as_str().unwrap())
    }
}

#[tokio::test]
async fn it_shows_the_host_and_its_agents() {
    let surface = Surface::start().await;
    let host = surface.ask("GET /api/v1/host", "", "").await.json();
    assert_eq!(
        (
            &host["gateway"],
            &host["admin"],
            &host["pid"],
            &host["started_at"]
        ),
        (
            &json!("127.0.0.1:8080"),
            &json!(surface.address),
            &json!(std::process::id()),
            &json!(5)
        )
    );
    let list = surface.ask("GET /api/v1/agents", "", "").await.json();
    let one = surface.ask("GET /api/v1/agents/hello", "", "").await.json();
    assert_eq!(list, json!([one]));
    assert_eq!(
        (&one["state"], &one["in_flight"], &one["stable"]),
        (&json!("failed"), &json!(0), &Value::Null)
    );
    assert_eq!(
        surface
            .ask("GET /api/v1/agents/hello/history", "", "")
            .await
            .json(),
        json!([])
    );
    surface.stop().await;
}

#[tokio::test]
async fn it_shows_policies_and_hands_out_their_components() {
    let surface = Surface::start().await;
    let list = surface.ask("GET /api/v1/policies", "", "").await.json();
    let mut list = list.as_array().unwrap().iter();
    let standard = list.find(|policy| policy["name"] == "standard").unwrap();
    assert_eq!(
        (&standard["name"], &standard["origin"], &standard["state"]),
        (&json!("standard"), &json!("embedded"), &json!("ready"))
    );
    let digest = standard["digest"].as_str().unwrap();
    let runtime = PolicyRuntime::new(PolicyLimits::default()).unwrap();
    let facts = runtime.inspect(crate::artifacts::POLICY_STANDARD).unwrap();
    assert_eq!(facts.digest.to_string(), digest);
    let size = standard["size"].as_u64().unwrap();
    let token = surface.token.reveal();
    let head = surface
        .speak_bytes(&format!(
            "GET /api/v1/policies/{digest} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            surface.address
        ))
        .await;
    assert!(head.ends_with(crate::artifacts::POLICY_STANDARD));
    assert!(head.len() as u64 > size);
    for unknown in ["0".repeat(64), "standard".to_owned()] {
        let reply = surface
            .ask(&format!("GET /api/v1/policies/{unknown}"), "", "")
            .await;
        assert_eq!(reply.refusal(), "404 policy-not-found");
    }
    surface.stop().await;
}

#[tokio::test]
async fn orders_are_passed_on_and_refusals_have_their_codes() {
    let surface = Surface::start().await;
    let mut told = String::new();
    for (path, body) in [
        ("hello/rollback", ""),
        ("hello/rollback", "{\"to\": 3}"),
        ("hello/promote", "{\"now\": true}"),
        ("hello/resume", "{}"),
    ] {
        let reply = surface
            .ask(&format!("POST /api/v1/agents/{path}"), "", body)
            .await;
        told.push_str(&format!(
            "{} {}\n",
            reply.status(),
            reply.json()["order"].as_str().unwrap()
        ));
    }
    for (path, body) in [
        ("hello/pause", ""),
        ("hello/retry", ""),
        ("hello/abort", ""),
        ("hello/rollback", "{\"to\": 9}"),
        ("hello/rollback", "{\"to\": 0}"),
        ("hello/rollback", "{\"ot\": 1}"),
        ("hello/rollback", "not json"),
        ("hello/resume", "{\"now\": true}"),
        ("hello/explode", ""),
        ("HELLO/pause", ""),
    ] {
        let reply = surface
            .ask(&format!("POST /api/v1/agents/{path}"), "", body)
            .await;
        told.push_str(&format!("{path} {body}: {}\n", reply.refusal()));
    }
    expect_test::expect![[r#"
        200 rollback
        200 rollback --to 3
        200 promote --now
        200 resume
        hello/pause : 409 nothing-to-do
        hello/retry : 409 already-in-progress
        hello/abort : 404 agent-not-found
        hello/rollback {"to": 9}: 404 version-not-found
        hello/rollback {"to": 0}: 422 unprocessable
        hello/rollback {"ot": 1}: 422 unprocessable
        hello/rollback not json: 422 unprocessable
        hello/resume {"now": true}: 422 unprocessable
        hello/explode : 404 not-found
        HELLO/pause : 404 agent-not-found
    "#]]
    .assert_eq(&told);
    let conflict = surface
        .ask("POST /api/v1/agents/hello/retry", "", "")
        .await
        .json();
    assert_eq!(conflict["reload"], json!(HotReloadId::from_random_bits(1)));
    surface.stop().await;
}

#[tokio::test]
async fn strangers_and_other_sites_are_kept_out() {
    let surface = Surface::start().await;
    let (host, token) = (surface.address, surface.token.reveal());
    let get =
        |lines: String| format!("GET /api/v1/agents HTTP/1.1\r\nconnection: close\r\n{lines}\r\n");
    let mut told = String::new();
    for (case, lines) in [
        ("no token", format!("host: {host}\r\n")),
        (
            "wrong token",
            format!(
                "host: {host}\r\nauthorization: Bearer {}\r\n",
                "0".repeat(64)
            ),
        ),
        (
            "half a token",
            format!("host: {host}\r\nauthorization: Bearer {}\r\n", &token[..32]),
        ),
        (
            "another scheme",
            format!("host: {host}\r\nauthorization: Basic {token}\r\n"),
        ),
        (
            "two tokens",
            format!("host: {host}\r\nauthorization: Bearer {token}\r\nauthorization: Bearer x\r\n"),
        ),
        (
            "another name",
            format!("host: rebound.example:8081\r\nauthorization: Bearer {token}\r\n"),
        ),
        ("no name", format!("authorization: Bearer {token}\r\n")),
    ] {
        told.push_str(&format!(
            "{case}: {}\n",
            surface.speak(&get(lines)).await.refusal()
        ));
    }
    let unknown = surface
        .speak(&format!(
            "GET /nothing HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n\r\n"
        ))
        .await;
    told.push_str(&format!("nothing there, no token: {}\n", unknown.refusal()));
    expect_test::expect![[r#"
        no token: 401 unauthorized
        wrong token: 401 unauthorized
        half a token: 401 unauthorized
        another scheme: 401 unauthorized
        two tokens: 401 unauthorized
        another name: 403 wrong-host
        no name: 403 wrong-host
        nothing there, no token: 401 unauthorized
    "#]]
    .assert_eq(&told);
    let preflight = surface
        .ask(
            "OPTIONS /api/v1/agents",
            "origin: http://other.example\r\n",
            "",
        )
        .await;
    assert_eq!(preflight.refusal(), "405 method-not-allowed");
    assert!(
        !preflight.0.to_ascii_lowercase().contains("access-control"),
        "{}",
        preflight.0
    );
    surface.stop().await;
}

#[tokio::test]
async fn what_is_not_there_or_too_large_is_refused() {
    let surface = Surface::start().await;
    let mut told = String::new();
    for start in [
        "GET /",
        "GET /api/v1/agents/none",
        "GET /api/v1/agents/none/history",
        "POST /api/v1/agents",
        "POST /api/v1/agents/hello/history",
        "GET /api/v1/agents/hello/rollback",
        "GET /api/v1/events?since=x",
        "GET /api/v1/events?other=1",
    ] {
        told.push_str(&format!(
            "{start}: {}\n",
            surface.ask(start, "", "").await.refusal()
        ));
    }
    let long = " ".repeat(super::guard::MAX_BODY + 1);
    let reply = surface
        .ask("POST /api/v1/agents/hello/rollback", "", &long)
        .await;
    told.push_str(&format!("a long body: {}\n", reply.refusal()));
    expect_test::expect![[r#"
        GET /: 404 not-found
        GET /api/v1/agents/none: 404 agent-not-found
        GET /api/v1/agents/none/history: 404 agent-not-found
        POST /api/v1/agents: 405 method-not-allowed
        POST /api/v1/agents/hello/history: 405 method-not-allowed
        GET /api/v1/agents/hello/rollback: 405 method-not-allowed
        GET /api/v1/events?since=x: 422 unprocessable
        GET /api/v1/events?other=1: 422 unprocessable
        a long body: 413 too-large
    "#]]
    .assert_eq(&told);
    surface.stop().await;
}

#[tokio::test]
async fn events_are_read_as_lines_from_any_position() {
    let surface = Surface::start().await;
    for _ in 0..600 {
        surface.push("tick");
    }
    let all = surface.ask("GET /api/v1/events", "", "").await;
    assert!(all.0.contains("application/x-ndjson"));
    assert_eq!(all.0.matches("\"kind\":\"tick\"").count(), 600);
    let some = surface.ask("GET /api/v1/events?since=598", "", "").await;
    assert_eq!(some.0.matches("\"seq\":").count(), 2);
    let sse = surface
        .ask(
            "GET /api/v1/events?since=599&follow=false",
            "accept: text/event-stream\r\n",
            "",
        )
        .await;
    assert!(
        sse.0.contains("id: 600\nevent: tick\ndata: {\"seq\":600,"),
        "{}",
        sse.0
    );
    surface.stop().await;
}

/// Reads until `wanted` has come, and returns all that came.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let read = async {
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while !text.contains(wanted) {
            let length = stream.read(&mut chunk).await.unwrap();
            assert!(length > 0, "the stream ended before {wanted:?}: {text}");
            text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
        text
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

#[tokio::test]
async fn a_follower_that_comes_back_goes_on_where_it_stopped_and_a_stop_ends_it() {
    let surface = Surface::start().await;
    let connect = async |lines: &str| {
        let mut stream = TcpStream::connect(surface.address).await.unwrap();
        let request = format!(
            "GET /api/v1/events?since=0 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             accept: text/event-stream\r\n{lines}\r\n",
            surface.token.reveal()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    };
    surface.push("first");
    let mut follower = connect("").await;
    read_until(&mut follower, "event: first").await;
    surface.push("second");
    read_until(&mut follower, "event: second").await;
    drop(follower);

    surface.push("third");
    let mut again = connect("last-event-id: 2\r\n").await;
    let read = read_until(&mut again, "event: third").await;
    assert!(!read.contains("event: second"), "{read}");

    surface.stop().await;
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, again.read_to_string(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(
        rest.ends_with("0\r\n\r\n"),
        "the stream ends cleanly: {rest:?}"
    );
}

#[tokio::test]
async fn followers_beyond_the_bound_are_refused_and_a_place_comes_free() {
    let surface = Surface::start().await;
    let request = format!(
        "GET /api/v1/events?follow=true HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        surface.token.reveal()
    );
    surface.push("first");
    let mut following = Vec::new();
    for _ in 0..super::stream::MAX_FOLLOWERS {
        let mut stream = TcpStream::connect(surface.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "\"first\"").await;
        following.push(stream);
    }
    let refused = surface.ask("GET /api/v1/events?follow=true", "", "").await;
    assert_eq!(refused.refusal(), "503 too-many-followers");
    following.pop();
    let freed = async {
        loop {
            let mut stream = TcpStream::connect(surface.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            if read_until(&mut stream, "\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 200")
            {
                return;
            }
            // What a follower that went away is noticed by is the next thing sent to it.
            surface.push("next");
        }
    };
    tokio::time::timeout(DEADLINE, freed).await.unwrap();
    surface.stop().await;
}

#[tokio::test]
async fn records_are_read_by_reload_or_by_agent_and_nothing_else_is_made_up() {
    let mut surface = Surface::start().await;
    let reload = |number| HotReloadId::from_random_bits(number);
    for (number, agent) in [(1, "hello"), (2, "till"), (3, "hello")] {
        surface.recorder.pins(
            &name(agent),
            reload(number),
            std::collections::BTreeMap::new(),
        );
        let at = Moment(100 - u64::try_from(number).unwrap());
        surface.recorder.pinned(at, reload(number), Vec::new());
    }
    let began = |reply: &Reply| -> Vec<u64> {
        let lines = reply.0.lines().filter(|line| line.contains("\"began\""));
        let at = |line: &str| serde_json::from_str::<Value>(line).unwrap()["at"].as_u64();
        lines.map(|line| at(line).unwrap()).collect()
    };
    let get = async |query: &str| {
        let start = format!("GET /api/v1/records{query}");
        surface.ask(&start, "", "").await
    };
    for (query, wanted) in [
        (String::new(), vec![97, 98, 99]),
        ("?agent=hello".to_owned(), vec![97, 99]),
        (format!("?reload={}", reload(2)), vec![98]),
        ("?agent=hello&since=99999999999999".to_owned(), vec![]),
    ] {
        let reply = get(&query).await;
        assert!(reply.0.starts_with("HTTP/1.1 200"), "{query}: {}", reply.0);
        assert!(reply.0.contains("application/x-ndjson"), "{}", reply.0);
        assert_eq!(began(&reply), wanted, "{query}");
    }
    for (query, status, says) in [
        (
            format!("?reload={}", reload(9)),
            "404",
            "no records of a reload",
        ),
        ("?agent=nobody".to_owned(), "404", "nobody"),
        ("?reload=soon".to_owned(), "422", "no reload's id"),
        (
            "?agent=Not%20One".to_owned(),
            "422",
            "no agent can have the name",
        ),
        ("?since=yesterday".to_owned(), "422", "since"),
        ("?last=7d".to_owned(), "422", "last"),
        (
            format!("?agent=hello&reload={}", reload(1)),
            "422",
            "leave `agent`",
        ),
    ] {
        let reply = get(&query).await;
        let head = format!("HTTP/1.1 {status}");
        assert!(reply.0.starts_with(&head), "{query}: {}", reply.0);
        assert!(reply.0.contains(says), "{query}: {}", reply.0);
    }
    surface.stop().await;
}
