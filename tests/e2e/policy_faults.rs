//! Each way in which a policy can be at fault. Where its word counts, the reload stands still and serves as it did; where it
//! only watches, the reload goes as it would without it, and the fault is there to be read.

use caxton_test_artifacts::{POLICY_FAULTY, STRATEGY_FAULTY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Event, Load, Setup, put, variant, wait_for};

/// What a policy is asked to get wrong, the kinds of fault that this may be told as, and words of the message.
type Wrong = (&'static str, &'static [&'static str], &'static str);

/// A busy machine may end a loop by its time before its fuel.
const ENDLESS: &[&str] = &["out-of-fuel", "out-of-time"];
const NONSENSE: &[&str] = &["nonsense"];

const OF_ROLLBACK: [Wrong; 7] = [
    ("trap", &["trap"], "unreachable"),
    ("loop", ENDLESS, ""),
    ("wait", ENDLESS, ""),
    ("allocate", &["out-of-memory"], "64 MiB"),
    ("error", &["error"], "was asked to fail"),
    ("nan", NONSENSE, "not finite"),
    ("big-state", NONSENSE, "a state of 8388608 bytes"),
];

const OF_STRATEGY: [Wrong; 10] = [
    ("trap", &["trap"], "unreachable"),
    ("loop", ENDLESS, ""),
    ("allocate", &["out-of-memory"], "64 MiB"),
    ("error", &["error"], "was asked to fail"),
    ("nan", NONSENSE, "not finite"),
    ("big-state", NONSENSE, "a state of 8388608 bytes"),
    ("split-over", NONSENSE, "a split of 200 per cent"),
    ("split-100", NONSENSE, "a split of 100 per cent"),
    ("promote", NONSENSE, "without enough evidence"),
    ("raise", NONSENSE, "without enough evidence"),
];

/// A fifth of the traffic, for as long as no policy says that there is evidence.
const STAGE: &str =
    "strategy = \"traffic-splitting\"\nstages = [{ split = 20, at_least = \"0s\" }]\n";

/// Rounds in which nothing goes forward after the operator was told.
const FAULTS_SHOWN: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_policy_at_fault_keeps_the_stage_as_it_is() {
    let host = with_faulty_policies("100ms").await;
    for (word, ..) in OF_ROLLBACK {
        let judged = format!(
            "[reload]\n{STAGE}[rollback]\npolicies = [{}]\n",
            faulty(word)
        );
        host.configure(word, &judged);
    }
    let load = second_versions(&host, &OF_ROLLBACK.map(|(word, ..)| word)).await;
    for wrong in OF_ROLLBACK {
        // A call that only waits takes all of its five seconds: once is enough of that.
        if wrong.0 == "wait" {
            first_fault(&host, wrong.0).await;
            stood_still(&host, wrong, "faulty").await;
        } else {
            stands_still(&host, wrong, "faulty").await;
        }
        let judgements = ticks(&host, wrong.0).await;
        for tick in &judgements {
            assert_eq!(tick["decided"]["judgement"]["verdict"], "fault", "{tick}");
        }
    }
    all_good(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_policy_at_fault_keeps_the_stage_as_it_is() {
    let host = with_faulty_policies("100ms").await;
    for (word, ..) in OF_STRATEGY {
        let without_evidence = ["promote", "raise"].contains(&word);
        let verdict = if without_evidence {
            "undecided"
        } else {
            "proceed"
        };
        host.configure(word, &led_by(word, verdict));
    }
    let load = second_versions(&host, &OF_STRATEGY.map(|(word, ..)| word)).await;
    for wrong in OF_STRATEGY {
        stands_still(&host, wrong, "leading").await;
    }
    all_good(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_policy_that_flips_between_shares_ends_at_the_lower_one() {
    let host = with_faulty_policies("100ms").await;
    host.configure("web", &led_by("flip-flop", "proceed"));
    let load = second_versions(&host, &["web"]).await;
    let status = attention(&host, "web", "policy-faulty").await;
    let text = said(&status, "policy-faulty");
    assert!(text.contains("back and forth between shares"), "{text}");
    assert_eq!(status["split"], 5, "{status}");
    assert_eq!(status["stable"]["number"], 1, "{status}");
    let shares = ticks(&host, "web").await;
    let shares = shares.iter().map(|tick| &tick["decided"]["action"]);
    let shares: Vec<_> = shares.filter(|action| action["do"] == "share").collect();
    let percents = shares.iter().map(|share| &share["percent"]);
    assert_eq!(percents.collect::<Vec<_>>(), [30, 5, 30, 5, 30, 5]);
    nothing_ended(&host, "web").await;
    all_good(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleep_takes_no_time_and_a_flood_of_lines_is_cut_and_counted() {
    let host = with_faulty_policies("100ms").await;
    let bake = "[reload]\nbake = \"300ms\"\n";
    for word in ["slow", "log-flood"] {
        let judged = format!("{bake}[rollback]\npolicies = [{}]\n", faulty(word));
        host.configure(word, &judged);
    }
    host.configure(
        "leader",
        &format!("{bake}{}", leading("log-flood", "proceed")),
    );
    let agents = ["slow", "log-flood", "leader"];
    let load = second_versions(&host, &agents).await;
    for agent in agents {
        let result = ended(&host, agent).await;
        assert_eq!(
            (&result["status"], &result["evidence"]),
            (&json!("completed"), &json!("sufficient")),
            "{agent}: {result}"
        );
        assert_eq!(host.events.count(agent, "fault"), 0, "{agent}");
        let ticks = ticks(&host, agent).await;
        let flooded = match agent {
            "slow" => continue,
            "leader" => &ticks[0]["strategy"],
            _ => &ticks[0]["rollback"][0],
        };
        flood_is_bounded(flooded);
    }
    all_good(load).await;
}

/// Ten thousand lines of six thousand bytes: 64 are kept, each cut at 4 KiB.
fn flood_is_bounded(call: &Value) {
    let lines = call["log"]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 64);
    let longest = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap().len());
    assert_eq!(longest.max(), Some(4096));
    assert_eq!(call["log"]["dropped"], 10_000 - 64);
    assert!(!call["answer"]["ok"].is_null(), "{}", call["answer"]);
}

/// A tick of a second, as hosts have it: a call that is given five seconds outlasts some of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_monitor_does_the_reload_goes_as_without_it() {
    let host = with_faulty_policies("1s").await;
    let others = ["log-flood", "slow", "hold", "rollback", "undecided"];
    let words = OF_ROLLBACK.iter().map(|(word, ..)| *word).chain(others);
    let words: Vec<&str> = words.collect();
    let judged = |more: &str| {
        format!(
            "[reload]\n{STAGE}bake = \"6s\"\n[rollback]\npolicies = \
             [{more}{{ name = \"judge\", settings = {{ fault = \"proceed\" }} }}]\n"
        )
    };
    host.configure("control", &judged(""));
    for word in &words {
        let monitor = faulty(word).replace("settings", "mode = \"monitor\", settings");
        host.configure(word, &judged(&format!("{monitor}, ")));
    }
    let agents: Vec<&str> = words.iter().copied().chain(["control"]).collect();
    let load = second_versions(&host, &agents).await;
    let control = course(&host, "control").await;
    assert_eq!(
        control[0],
        json!(["completed", 1, 2, "sufficient", null, null, 0])
    );
    assert_eq!(control[1..], [json!("promote"), json!("complete")]);
    for word in &words {
        assert_eq!(course(&host, word).await, control, "{word}");
    }
    for (word, kinds, says) in OF_ROLLBACK {
        let fault = first_fault(&host, word).await;
        assert_eq!(fault["enforcing"], false, "{fault}");
        is_of(&fault["fault"], &fault["message"], kinds, says);
        let call = monitored(&host, word).await;
        let fault = &call["answer"]["fault"];
        is_of(&fault["fault"], &fault["message"], kinds, says);
    }
    for word in others {
        assert_eq!(host.events.count(word, "fault"), 0, "{word}");
    }
    flood_is_bounded(&monitored(&host, "log-flood").await);
    all_good(load).await;
}

async fn with_faulty_policies(tick: &str) -> Caxton {
    let setup = Setup::default();
    let host = setup
        .host
        .replace("tick = \"100ms\"", &format!("tick = \"{tick}\""));
    let defaults = String::new();
    let host = Caxton::start_with(Setup {
        host,
        defaults,
        ..setup
    })
    .await;
    for (name, policy) in [
        ("faulty", POLICY_FAULTY),
        ("judge", POLICY_FAULTY),
        ("leading", STRATEGY_FAULTY),
    ] {
        put(&host.policies(), &format!("{name}.wasm"), policy);
    }
    host
}

/// An entry of a list of rollback policies.
fn faulty(word: &str) -> String {
    format!("{{ name = \"faulty\", settings = {{ fault = \"{word}\" }} }}")
}

fn led_by(word: &str, verdict: &str) -> String {
    format!("[reload]\n{STAGE}{}", leading(word, verdict))
}

/// The rest of a `[reload]` table that `leading` leads, and a judge that always says the same.
fn leading(word: &str, verdict: &str) -> String {
    format!(
        "policy = \"leading\"\npolicy_settings = {{ fault = \"{word}\" }}\n[rollback]\npolicies = \
         [{{ name = \"judge\", settings = {{ fault = \"{verdict}\" }} }}]\n"
    )
}

/// Drops a first and a second version of each agent, which were configured before; requests to all of them from the first on.
async fn second_versions(host: &Caxton, agents: &[&str]) -> Load {
    for agent in agents {
        host.drop_agent(agent, &variant(WEB, 1));
    }
    for agent in agents {
        host.swapped(agent, 1).await;
    }
    // Unhurried, so that what there is of the machine is left to the policies.
    let asks = agents
        .iter()
        .map(|agent| Ask::get(format!("/{agent}/sleep?ms=20")));
    let load = Load::start(host.gateway, 2, asks.collect());
    for agent in agents {
        host.drop_agent(agent, &variant(WEB, 2));
    }
    load
}

/// No caller noticed anything.
async fn all_good(load: Load) {
    let records = load.finish().await;
    assert!(!records.is_empty());
    for record in records {
        assert!(record.is_good(), "{}", record.told());
    }
}

/// The policy was at fault four times in a row, the operator was told, and nothing moved forward or back.
async fn stands_still(host: &Caxton, wrong: Wrong, policy: &str) {
    let (agent, ..) = wrong;
    let status = attention(host, agent, "policy-faulty").await;
    let text = said(&status, "policy-faulty");
    assert!(text.contains("faults in a row"), "{text}");
    let told = |event: &Event| event.is(agent, "fault") && event.json["in_a_row"] == FAULTS_SHOWN;
    host.events.first(agent, told).await;
    stood_still(host, wrong, policy).await;
}

/// The policy was at fault, and nothing moved forward or back.
async fn stood_still(host: &Caxton, (agent, kinds, says): Wrong, policy: &str) {
    let status = host.admin.status(agent).await.unwrap();
    assert_eq!(
        status["reload"]["status"], "in-progress",
        "{agent}: {status}"
    );
    assert_eq!(status["stable"]["number"], 1, "{agent}: {status}");
    assert_eq!(status["split"], 20, "{agent}: {status}");
    let fault = first_fault(host, agent).await;
    assert_eq!(
        (&fault["policy"], &fault["enforcing"]),
        (&json!(policy), &json!(true))
    );
    is_of(&fault["fault"], &fault["message"], kinds, says);
    for tick in ticks(host, agent).await {
        assert_eq!(tick["decided"]["action"]["do"], "stay", "{agent}: {tick}");
    }
    nothing_ended(host, agent).await;
}

fn is_of(kind: &Value, message: &Value, kinds: &[&str], says: &str) {
    let (kind, message) = (kind.as_str().unwrap(), message.as_str().unwrap());
    assert!(kinds.contains(&kind), "{kind}: {message}");
    assert!(message.contains(says), "{kind}: {message}");
}

/// The second version was neither promoted nor taken back.
async fn nothing_ended(host: &Caxton, agent: &str) {
    let all = host.events.all();
    assert!(
        !all.iter().any(|event| event.swaps(agent, 2)),
        "{agent}: promoted"
    );
    let history = host.admin.history(agent).await;
    assert!(
        history.iter().all(|result| result["from"].is_null()),
        "{history:?}"
    );
}

async fn attention(host: &Caxton, agent: &str, kind: &str) -> Value {
    let has = |status: &Value| !said(status, kind).is_empty();
    host.admin.until(agent, kind, has).await
}

/// The text of the entry of this kind in `attention`; empty where there is none.
pub(crate) fn said(status: &Value, kind: &str) -> String {
    let entries = status["attention"].as_array().cloned().unwrap_or_default();
    let entry = entries.iter().find(|entry| entry["kind"] == kind);
    entry
        .and_then(|entry| entry["text"].as_str())
        .unwrap_or_default()
        .to_owned()
}

async fn first_fault(host: &Caxton, agent: &str) -> Value {
    let what = format!("{agent}: a fault");
    let told = host.events.first(&what, |event| event.is(agent, "fault"));
    told.await.json
}

/// What became of the second version.
async fn ended(host: &Caxton, agent: &str) -> Value {
    let of_second = |result: &Value| !result["from"].is_null();
    host.admin
        .until_result(agent, "the second version's end", of_second)
        .await
}

/// How the second version ended, and every decision on the way that was not to stay.
async fn course(host: &Caxton, agent: &str) -> Vec<Value> {
    let result = ended(host, agent).await;
    let keys = [
        "status",
        "from",
        "to",
        "evidence",
        "rollback_reason",
        "error",
        "lost_requests",
    ];
    let mut course = vec![Value::Array(keys.map(|key| result[key].clone()).to_vec())];
    let ticks = ticks(host, agent).await;
    let acts = ticks
        .iter()
        .map(|tick| tick["decided"]["action"]["do"].clone());
    course.extend(acts.filter(|act| act != "stay"));
    course
}

/// The lines of this kind in the records of the agent's second version.
async fn lines(host: &Caxton, agent: &str, kind: &str) -> Vec<Value> {
    let reply = host.admin.records(&format!("agent={agent}")).await;
    assert!(reply.is_good(), "{agent}: {}", reply.text());
    let text = reply.text();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["record"] == kind).collect()
}

/// The rounds; first deployments have none.
pub(crate) async fn ticks(host: &Caxton, agent: &str) -> Vec<Value> {
    wait_for(&format!("{agent}: records"), async || {
        let ticks = lines(host, agent, "tick").await;
        (!ticks.is_empty()).then_some(ticks)
    })
    .await
}

/// What the one that monitors said first.
async fn monitored(host: &Caxton, agent: &str) -> Value {
    wait_for(&format!("{agent}: the monitor's word"), async || {
        let lines = lines(host, agent, "monitored").await;
        lines.first().map(|line| line["rollback"][0].clone())
    })
    .await
}
