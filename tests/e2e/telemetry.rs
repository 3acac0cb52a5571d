//! What a host tells those who watch it from outside: Prometheus, a collector, whoever reads the log.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use caxton_test_artifacts::{TOOL, WEB};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::{Around, Ask, Caxton, Setup, binary, once, wait_for};
use crate::judged::goes_back_under_load;

async fn scrape(host: &Caxton) -> String {
    let token = std::fs::read_to_string(host.data_dir().join("admin.token")).unwrap();
    let ask = Ask::get("/metrics").with("authorization", format!("Bearer {}", token.trim_end()));
    let reply = once(host.admin.address, ask).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4");
    reply.text()
}

/// The value of a series; none where there is none.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    Some(line.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_sees_requests_reloads_and_rollbacks_and_only_with_the_token() {
    let thresholds = "[defaults.reload]\nbake = \"1h\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n";
    let host = Caxton::start_with(Setup::defaults(thresholds)).await;
    let (load, _) = goes_back_under_load(&host).await;
    let records = load.finish().await;
    host.get("/nobody/").await;
    let text = wait_for("all calls to be counted", async || {
        let text = scrape(&host).await;
        let count = |outcome: &str| {
            let series = format!("caxton_requests_total{{agent=\"shop\",outcome=\"{outcome}\"}}");
            value(&text, &series).unwrap_or_default()
        };
        let counted = count("answered") + count("failed");
        (counted >= records.len() as f64).then_some(text)
    })
    .await;
    let failed = records.iter().filter(|record| !record.is_good()).count();
    let has = |series: &str, expected: f64| {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    };
    has(
        "caxton_requests_total{agent=\"shop\",outcome=\"failed\"}",
        failed as f64,
    );
    has(
        "caxton_request_duration_seconds_count{agent=\"shop\",status=\"5xx\"}",
        failed as f64,
    );
    has(
        "caxton_request_duration_seconds_count{agent=\"\",status=\"4xx\"}",
        1.0,
    );
    has(
        "caxton_reloads_total{agent=\"shop\",status=\"rolled-back\",strategy=\"graceful\"}",
        1.0,
    );
    has(
        "caxton_rollbacks_total{agent=\"shop\",cause=\"policy\"}",
        1.0,
    );
    has(
        "caxton_agent_version{agent=\"shop\",role=\"permanent\"}",
        1.0,
    );
    has("caxton_agents{state=\"serving\"}", 1.0);
    has("caxton_attention{kind=\"quarantined\"}", 1.0);
    has(
        "caxton_requests_in_flight{agent=\"shop\",version=\"1\"}",
        0.0,
    );
    has(
        "caxton_prepare_duration_seconds_count{agent=\"shop\",code=\"compiled\"}",
        2.0,
    );
    let calls = value(
        &text,
        "caxton_policy_call_duration_seconds_count{policy=\"thresholds\"}",
    );
    assert!(calls > Some(0.0), "{text}");
    let memory = value(&text, "process_resident_memory_bytes");
    assert!(memory > Some(1e6), "{text}");
    assert_eq!(
        value(&text, "caxton_agent_split{agent=\"shop\"}"),
        None,
        "no candidate is left"
    );

    // Every one of them is documented.
    let documented = include_str!("../../docs/telemetry.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let is_listed = documented.contains(&format!("| `{name}` | {kind} |"));
        assert!(
            is_listed || !name.starts_with("caxton_"),
            "docs/telemetry.md: {name} {kind}"
        );
    }
    let without = once(host.admin.address, Ask::get("/metrics"))
        .await
        .unwrap();
    assert_eq!(without.status, 401, "{}", without.text());
}

/// A collector of OpenTelemetry: keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let taking = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let collector = taking.clone();
                let service = hyper::service::service_fn(move |request| {
                    let collector = collector.clone();
                    async move { collector.take(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (collector, address)
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        match path.as_str() {
            "/v1/traces" => {
                let sent = ExportTraceServiceRequest::decode(body).unwrap();
                let scopes = sent
                    .resource_spans
                    .into_iter()
                    .flat_map(|of| of.scope_spans);
                let spans = scopes.flat_map(|of| of.spans);
                self.spans.lock().unwrap().extend(spans);
            }
            "/v1/metrics" => {
                let sent = ExportMetricsServiceRequest::decode(body).unwrap();
                let scopes = sent
                    .resource_metrics
                    .into_iter()
                    .flat_map(|of| of.scope_metrics);
                let names = scopes.flat_map(|of| of.metrics).map(|metric| metric.name);
                self.metrics.lock().unwrap().extend(names);
            }
            other => panic!("{other}"),
        }
        Ok(Response::new(Full::default()))
    }

    /// The first span of that name, once it has arrived.
    async fn span(&self, name: &str) -> Span {
        wait_for(name, async || {
            let spans = self.spans.lock().unwrap();
            spans.iter().find(|span| span.name == name).cloned()
        })
        .await
    }
}

/// Who exports to that collector, and does so at once.
fn exporting(to: SocketAddr) -> Setup {
    Setup::default().inside(Around::Environment(vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{to}")),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned()),
    ]))
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key);
    format!("{:?}", found.and_then(|found| found.value.clone()?.value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_span_between_its_callers_and_its_agents() {
    let (collector, address) = Collector::start().await;
    let host = Caxton::start_with(exporting(address)).await;
    host.deploy("web", WEB, 1).await;
    host.deploy("tool", TOOL, 1).await;

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let from = |caller: &str| format!("00-{trace}-{caller}-01");
    let caller = "00f067aa0ba902b7";
    let ask = Ask::get("/web/headers").with("traceparent", from(caller));
    let told = host.ask(ask).await.text();
    let span = collector.span("web").await;
    assert_eq!(hex(&span.trace_id), trace);
    assert_eq!(hex(&span.parent_span_id), caller);
    let passed_on = format!("traceparent: {}", from(&hex(&span.span_id)));
    assert!(told.contains(&passed_on), "{passed_on} is not in\n{told}");
    assert!(attribute(&span, "url.path").contains("\"/web/headers\""));
    assert!(attribute(&span, "http.response.status_code").contains("200"));
    assert!(attribute(&span, "caxton.version").contains("\"1\""));

    // A handler agent finds it in the metadata; without a caller's, the trace begins here.
    let echoed = host.ask(Ask::post("/tool", "just this")).await;
    let span = collector.span("tool").await;
    let expected = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!(echoed.headers["traceparent"], expected);
    assert!(span.parent_span_id.is_empty());

    wait_for("metrics to arrive", async || {
        let names = collector.metrics.lock().unwrap();
        names
            .iter()
            .any(|name| name == "caxton.request.duration")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_a_trace_with_a_span_for_each_status() {
    let (collector, address) = Collector::start().await;
    let host = Caxton::start_with(exporting(address)).await;
    host.deploy("web", WEB, 1).await;
    host.admin
        .until_result("web", "completed", |result| result["status"] == "completed")
        .await;
    let reload = collector.span("reload web").await;
    assert!(
        attribute(&reload, "caxton.status").contains("\"completed\""),
        "{reload:?}"
    );
    let id = host.admin.history("web").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        attribute(&reload, "caxton.reload").contains(&id),
        "{reload:?}"
    );
    let steps: Vec<Span> = {
        let spans = collector.spans.lock().unwrap();
        let inside = |span: &&Span| span.parent_span_id == reload.span_id;
        spans.iter().filter(inside).cloned().collect()
    };
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["pending", "preparing", "starting", "in-progress"]);
    for pair in steps.windows(2) {
        assert!(pair[0].end_time_unix_nano <= pair[1].end_time_unix_nano);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_requests_are_served_and_a_callers_trace_goes_on() {
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = refused.local_addr().unwrap();
    drop(refused);
    for setup in [Setup::default(), exporting(nobody)] {
        let host = Caxton::start_with(setup).await;
        host.deploy("web", WEB, 1).await;
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = host
            .ask(Ask::get("/web/headers").with("traceparent", sent))
            .await
            .text();
        assert!(
            told.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            "{told}"
        );
        // It ends in order, whatever the collector does.
        host.stopped().await;
    }
}

#[test]
fn an_exporter_that_is_not_there_is_refused_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.arg("run").current_dir(folder.path());
    command.env("OTEL_TRACES_EXPORTER", "zipkin");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("OTEL_TRACES_EXPORTER is `zipkin`"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_one_json_object_a_line_where_that_is_asked_for() {
    let setup = Setup {
        arguments: vec!["--log-format", "json"],
        ..Setup::default()
    };
    let host = Caxton::start_with(setup).await;
    host.drop_agent("hello", b"no component at all");
    let line = wait_for("the refusal in the log", async || {
        let log = host.log();
        log.lines()
            .find(|line| line.contains("no compo"))
            .map(str::to_owned)
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert!(
        line["message"].is_string() && line["level"] == "WARN",
        "{line}"
    );
    assert!(
        line["timestamp"].is_string() && line["file"] == "hello.wasm",
        "{line}"
    );
}
