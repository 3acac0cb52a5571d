//! Each trigger of `thresholds` fires from traffic that was measured, and the reason tells trigger, threshold, observed value and
//! sample.

use std::fs;

use caxton_test_artifacts::{FLAKY, TOOL, UNHEALTHY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, put, variant, wait_for};

async fn judged_by(trigger: &str, reload: &str) -> Caxton {
    Caxton::start_with(Setup::defaults(&format!(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n{reload}\n[defaults.health]\ninterval = \"50ms\"\n\
         [defaults.rollback]\npolicies = [{{ name = \"thresholds\", settings = {{ triggers = [{{ {trigger} }}] }} }}]\n"
    )))
    .await
}

/// A configuration with which the web agent answers everything as if it were asked for this path.
fn answering_as(path: &str) -> String {
    format!("[grants]\nenv = {{ ANSWER_AS = \"{path}\" }}\n")
}

/// Waits until traffic on version 2 has brought version 1 back, which then answers; what was said for a reason.
async fn taken_back(host: &Caxton, ask: Ask) -> String {
    let result = host
        .admin
        .until_result("agent", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(
        (&result["from"], &result["to"]),
        (&json!(2), &json!(1)),
        "{result}"
    );
    assert_eq!(result["error_kind"], "automatic-rollback", "{result}");
    let reply = host.ask(ask).await;
    assert_eq!(reply.version(), Some(1), "{reply:?}");
    result["rollback_reason"].as_str().unwrap().to_owned()
}

async fn web_then(host: &Caxton, path: &str) -> String {
    host.configure("agent", &answering_as("/"));
    host.deploy("agent", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 4, vec![Ask::get("/agent/")]);
    wait_for("traffic", async || (load.ended() > 20).then_some(())).await;
    host.configure("agent", &answering_as(path));
    let reason = taken_back(host, Ask::get("/agent/")).await;
    for record in load.finish().await {
        assert!(record.reply.is_ok(), "{}", record.told());
    }
    reason
}

/// `TRIGGER OBSERVED UNIT is above|below THRESHOLD (SAMPLE ...)`: the observed value and the first number of the sample.
fn figures(reason: &str, trigger: &str, limit: &str) -> (f64, u64) {
    let rest = reason
        .strip_prefix(&format!("thresholds: {trigger} "))
        .unwrap_or_else(|| panic!("not about {trigger}: {reason}"));
    let (observed, rest) = rest
        .split_once(limit)
        .unwrap_or_else(|| panic!("no `{limit}`: {reason}"));
    let observed = observed.split(' ').next().unwrap().parse().unwrap();
    let sample = rest
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .max();
    (
        observed,
        sample.unwrap_or_else(|| panic!("no sample: {reason}")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_error_rate_fires() {
    let host = judged_by("kind = \"error-rate\", threshold = 10.0", "").await;
    let reason = web_then(&host, "/status/500").await;
    let (observed, sample) = figures(&reason, "error rate", "% is above 10 %");
    assert!(
        (99.0..=100.0).contains(&observed) && sample >= 20,
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_performance_degradation_fires_beside_the_stable_version() {
    let host = judged_by(
        "kind = \"performance-degradation\", threshold = 80.0",
        "strategy = \"traffic-splitting\"\nprogressive = false\nsplit = 50",
    )
    .await;
    let reason = web_then(&host, "/sleep?ms=150").await;
    let (observed, sample) = figures(&reason, "performance degradation", "% is above 80 %");
    assert!(observed > 80.0 && sample >= 20, "{reason}");
    assert!(reason.contains("the stable version"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_memory_fires() {
    let host = judged_by("kind = \"memory\", threshold = 16777216", "").await;
    let reason = web_then(&host, "/memory?mib=24").await;
    let (observed, bytes) = figures(&reason, "memory peak", "MiB is above 16.0 MiB");
    assert!((24.0..64.0).contains(&observed), "{reason}");
    assert!(bytes > 24 << 20 && reason.contains("requests"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_custom_metric_fires() {
    let trigger = "kind = \"custom-metric\", name = \"checks\", threshold = 20.0";
    let host = judged_by(trigger, "").await;
    host.deploy("agent", &variant(TOOL, 1), 1).await;
    let ask = || Ask::post("/agent", "metric ratio checks 3 10");
    let load = Load::start(host.gateway, 2, vec![ask()]);
    host.drop_agent("agent", &variant(TOOL, 2));
    let reason = taken_back(&host, ask()).await;
    load.finish().await;
    let (observed, sample) = figures(&reason, "metric checks at", "% is above 20 %");
    assert!((observed - 30.0).abs() < 0.01 && sample >= 20, "{reason}");
}

/// A version that is healthy when it comes in, under a strategy, and not any more once it serves.
async fn ill_after_the_swap(strategy: &str) {
    let host = judged_by(
        "kind = \"health-check-failure\"",
        &format!("strategy = \"{strategy}\""),
    )
    .await;
    let data = host.elsewhere().join("seen");
    fs::create_dir(&data).unwrap();
    host.configure(
        "agent",
        "[grants]\ndirs = [{ host = \"../seen\", guest = \"/data\" }]\n",
    );
    host.deploy("agent", &variant(TOOL, 1), 1).await;
    let ask = || Ask::post("/agent", "echo hi");
    let load = Load::start(host.gateway, 2, vec![ask()]);
    host.deploy("agent", UNHEALTHY, 2).await;
    put(&data, "down", b"");
    let reason = taken_back(&host, ask()).await;
    let (observed, sample) = figures(&reason, "health check success rate", "% is below 50 %");
    assert!(observed < 50.0 && sample >= 3, "{reason}");
    let records = load.finish().await;
    assert!(records.iter().any(|record| record.version() == Some(2)));
    assert!(records.iter().all(|record| record.reply.is_ok()));
    let status = host.admin.status("agent").await.unwrap();
    assert_eq!(status["stable"]["number"], 1, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_health_check_failure_fires() {
    ill_after_the_swap("graceful").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_immediate_goes_back_from_a_version_that_is_unhealthy_after_the_swap() {
    ill_after_the_swap("immediate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_thresholds_that_mean_nothing_are_refused_in_the_configuration() {
    let host = Caxton::start().await;
    host.deploy("agent", &variant(WEB, 1), 1).await;
    let cases = [
        ("kind = \"error-rate\", threshold = nan", "number"),
        (
            "kind = \"error-rate\", threshold = -1.0",
            "less than the minimum of 0",
        ),
        (
            "kind = \"error-rate\", threshold = 101.0",
            "greater than the maximum of 100",
        ),
    ];
    for (trigger, part) in cases {
        let policies = format!(
            "[rollback]\npolicies = [{{ name = \"thresholds\", settings = {{ triggers = [{{ {trigger} }}] }} }}]\n"
        );
        host.configure("agent", &policies);
        let told = |status: &Value| {
            let attention = status["attention"].as_array();
            let texts = attention.into_iter().flatten();
            let error = status["last_error"].as_str().unwrap_or_default();
            texts
                .filter_map(|entry| entry["text"].as_str())
                .chain([error])
                .any(|text| text.contains(part))
        };
        host.admin.until("agent", trigger, told).await;
        assert_eq!(host.version_at("/agent/").await, 1, "{trigger}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_the_same_traffic_under_two_policies_ends_otherwise() {
    let host = Caxton::start().await;
    for (name, threshold) in [("strict", "5.0"), ("lenient", "95.0")] {
        host.configure(
            name,
            &format!(
                "[reload]\nbake = \"3s\"\n[rollback]\npolicies = [{{ name = \"thresholds\", settings = {{ triggers = \
                 [{{ kind = \"error-rate\", threshold = {threshold} }}] }} }}]\n"
            ),
        );
        host.deploy(name, &variant(WEB, 1), 1).await;
    }
    let asks = ["/strict/", "/lenient/"].map(Ask::get).to_vec();
    let load = Load::start(host.gateway, 2, asks);
    for name in ["strict", "lenient"] {
        host.drop_agent(name, FLAKY);
    }
    let ends = async |name: &str, status: &str| {
        let newest = |result: &Value| result["from"] != Value::Null && result["status"] == status;
        host.admin.until_result(name, status, newest).await
    };
    let strict = ends("strict", "rolled-back").await;
    let lenient = ends("lenient", "completed").await;
    assert_eq!(strict["to"], 1, "{strict}");
    assert_eq!(
        (&lenient["to"], &lenient["evidence"]),
        (&json!(2), &json!("sufficient")),
        "{lenient}"
    );
    load.finish().await;
}
