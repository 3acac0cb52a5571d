//! Values for tests, and waiting for facts.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caxton_rollout::{
    AgentName, Aside, Content as Made, Digest, EndingMemory, Evidence, HotReloadId,
    HotReloadResult, HotReloadStatus, Identity, Memory, Moment, Outcome, Past, PolicyMode,
    ReloadMemory, ReloadMetrics, ResourceUsage, ReturnMemory, Strategy, Version, VersionMemory,
    VersionNumber,
};
use caxton_store::{
    BlobKind, Content, Journal, Limits, Opened, Pin, RecordBatch, SnapshotRow, Store,
};

pub fn agent(name: &str) -> AgentName {
    name.parse().unwrap()
}

pub fn number(number: u64) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub fn id(bits: u128) -> HotReloadId {
    HotReloadId::from_random_bits(bits)
}

/// A digest that is no file's.
pub fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

pub fn identity(byte: u8) -> Identity {
    Identity {
        component: digest(byte),
        config: digest(byte ^ 0xff),
    }
}

pub fn version(n: u64, made_of: Identity) -> VersionMemory {
    VersionMemory {
        number: number(n),
        content: Made {
            identity: made_of,
            size: 1000 + n,
            has_health: n.is_multiple_of(2),
            stateful: n.is_multiple_of(3),
        },
        reload: id(n.into()),
        created_at: Moment(1_700_000_000_000 + n),
        usage: (n % 2 == 1).then_some(ResourceUsage {
            memory_peak: 1 << 20,
            fuel: (n.is_multiple_of(3)).then_some(77),
            requests: 12,
            failures: 1,
            mean_response_us: Some(250),
        }),
    }
}

pub fn past(bits: u128, n: u64) -> Arc<Past> {
    Arc::new(Past {
        result: HotReloadResult {
            id: id(bits),
            status: HotReloadStatus::Completed,
            strategy: Strategy::TrafficSplitting,
            from: VersionNumber::new(n - 1),
            to: Some(number(n)),
            started_at: Moment(1_700_000_000_000 + n),
            completed_at: Moment(1_700_000_001_000 + n),
            rollback_reason: None,
            error: (n.is_multiple_of(2)).then(|| "it's \"quoted\"\nand more ü".to_owned()),
            error_kind: None,
            evidence: Evidence::Sufficient,
            metrics: ReloadMetrics {
                requests_processed: n,
                average_response_time_ms: Some(0.1 + 0.2),
                error_rate_percentage: Some(0.1),
                ..ReloadMetrics::default()
            },
            state: None,
            lost_requests: 0,
        },
        version: Version {
            number: number(n),
            digest: digest(n as u8),
            config_digest: digest(n as u8 ^ 0xff),
            size: 1000 + n,
        },
        outcome: Outcome::Completed,
    })
}

pub fn new_memory(name: &str) -> Memory {
    Memory {
        agent: agent(name),
        next: Some(VersionNumber::FIRST),
        wanted: None,
        serving: None,
        permanent: None,
        kept: Vec::new(),
        versions: Vec::new(),
        reload: None,
        endings: Vec::new(),
        history: Vec::new(),
        removed_at: None,
        last_error: None,
        rollbacks: Vec::new(),
    }
}

/// An agent in the middle of its life: three versions, a reload that goes on, a quarantine, a history.
pub fn memory(name: &str, seed: u8) -> Memory {
    let bits = |n: u128| n + (u128::from(seed) << 64);
    Memory {
        next: Some(number(5)),
        wanted: Some(identity(4)),
        serving: Some(number(3)),
        permanent: Some(number(3)),
        kept: vec![number(2), number(1)],
        versions: (1..=4).map(|n| version(n, identity(n as u8))).collect(),
        reload: Some(ReloadMemory {
            id: id(bits(4)),
            number: number(4),
            stable: Some(number(3)),
            status: HotReloadStatus::InProgress,
            strategy: Strategy::TrafficSplitting,
            stage: Some(2),
            split: 25,
            started_at: Moment(1_700_000_000_004),
            returning: (seed % 2 == 1).then(|| ReturnMemory {
                target: number(3),
                aside: Some(Aside::Quarantined),
                reason: "too many failures".to_owned(),
            }),
        }),
        endings: vec![EndingMemory {
            identity: identity(9),
            aside: Aside::Quarantined,
            reason: "blamed".to_owned(),
            since: Moment(1_700_000_000_009),
            again_at: None,
            blocks: true,
            tries: 1,
        }],
        history: (1..=3).rev().map(|n| past(bits(n.into()), n)).collect(),
        removed_at: None,
        last_error: Some("something".to_owned()),
        rollbacks: vec![Moment(1_700_000_000_100)],
        ..new_memory(name)
    }
}

pub fn content(name: &str, made_of: Identity) -> Content {
    Content {
        agent: agent(name),
        identity: made_of,
        config: digest(0x77),
        shown: "[limits]\nmemory = \"64 MiB\"\n".to_owned(),
        size: 1234,
        taken_at: Moment(1_700_000_000_000),
    }
}

pub fn pin(policy: &str, bytes: Digest) -> Pin {
    Pin {
        policy: policy.to_owned(),
        kind: "rollback-policy".to_owned(),
        mode: PolicyMode::Enforce,
        digest: bytes,
        settings: "{\"a\":1}".to_owned(),
    }
}

pub fn snapshot(name: &str, n: u64, blob: Digest) -> SnapshotRow {
    SnapshotRow {
        agent: agent(name),
        number: number(n),
        identity: identity(n as u8),
        taken_at: Moment(1_700_000_000_000 + n),
        cause: "checkpoint".to_owned(),
        format: "count/1".to_owned(),
        saved_by: digest(n as u8),
        saved_by_number: number(n),
        blob,
        size: 12,
    }
}

pub fn batch(
    name: &str,
    reload: HotReloadId,
    lines: &[&str],
    begins: bool,
    ends: bool,
) -> RecordBatch {
    RecordBatch {
        agent: agent(name),
        reload,
        at: Moment(1_700_000_000_000),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        begins,
        ends,
    }
}

pub fn open(data: &Path) -> (Store, Opened) {
    Store::open(data, limits()).unwrap()
}

/// Under which nothing is too old: what tests hand over is from long ago.
pub fn limits() -> Limits {
    let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    Limits {
        records_age: century,
        events_age: century,
        ..Limits::default()
    }
}

/// Opens it again and gives the memories that it has.
pub fn reopened(data: &Path) -> (Store, Vec<Memory>) {
    let (store, opened) = open(data);
    assert_eq!(opened.damage, Vec::<String>::new());
    let memories = opened
        .agents
        .into_iter()
        .map(|agent| agent.memory)
        .collect();
    (store, memories)
}

pub async fn stop(store: Store) {
    assert!(store.journal.stop().await, "everything is written");
}

/// Remembers, and waits for the answer.
pub async fn remember(journal: &Journal, memory: Memory) -> Result<(), String> {
    let (done, answer) = tokio::sync::oneshot::channel();
    journal.remember(
        memory,
        Some(Box::new(move |result| {
            let _ = done.send(result);
        })),
    );
    answer.await.expect("there is an answer")
}

/// Waits until something is so, for a generous time.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A component with its configuration as blobs, and the content that names them.
pub fn put_content(store: &Store, name: &str, bytes: &[u8]) -> Content {
    let component = store.blobs.put(BlobKind::Component, bytes).unwrap();
    let config = store.blobs.put(BlobKind::Config, bytes).unwrap();
    Content {
        config,
        ..content(
            name,
            Identity {
                component,
                config: digest(1),
            },
        )
    }
}

/// Where this stands, the test is the child of itself, and this is its folder.
pub const CHILD: &str = "CAXTON_STORE_CHILD";

pub fn folder_of_the_child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Runs a test of the same file again, behind a script of the shell that ends in `exec "$@"`.
pub fn child(test: &str, folder: &Path, wrapper: &[&str], script: &str) -> Command {
    let mut command = Command::new(wrapper.first().copied().unwrap_or("sh"));
    let shell = if wrapper.is_empty() { &[][..] } else { &["sh"] };
    command
        .args(wrapper.iter().skip(1))
        .args(shell)
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder);
    command
}

/// An agent each of whose parts names bytes of its own, and what it needs.
pub async fn everything_named(store: &Store) -> Memory {
    let taken = |what: &str| {
        let content = put_content(store, "a", what.as_bytes());
        store.journal.taken(content.clone());
        content.identity
    };
    let mut memory = memory("a", 1);
    memory.wanted = Some(taken("wanted"));
    memory.versions = vec![
        version(1, taken("kept")),
        version(2, taken("also kept")),
        version(3, taken("permanent")),
        version(4, taken("candidate")),
    ];
    for ending in &mut memory.endings {
        ending.identity = taken("quarantined");
    }
    let reload = memory.reload.as_ref().unwrap().id;
    let policy = store.blobs.put(BlobKind::Policy, b"policy").unwrap();
    store
        .journal
        .pinned(&memory.agent, reload, vec![pin("own", policy)]);
    let state = store.blobs.put(BlobKind::State, b"state").unwrap();
    store.journal.saved(snapshot("a", 3, state));
    store
        .journal
        .record(batch("a", reload, &["{}"], true, false));
    remember(&store.journal, memory.clone()).await.unwrap();
    memory
}

pub fn journal(data: &Path) -> PathBuf {
    data.join("journal.sqlite3")
}

/// A journal of some agents, everything of it in one file.
pub async fn filled(data: &Path, agents: u8) {
    let (store, _) = open(data);
    for seed in 0..agents {
        let name = format!("agent-{seed}");
        let journal = &store.journal;
        journal.taken(content(&name, identity(4)));
        let memory = memory(&name, seed);
        let reload = memory.reload.as_ref().unwrap().id;
        journal.pinned(&memory.agent, reload, vec![pin("evidence", digest(7))]);
        journal.saved(snapshot(&name, 3, digest(5)));
        let line = format!("{{\"filler\":\"{}\"}}", "x".repeat(2000));
        journal.record(batch(&name, reload, &[line.as_str(); 8], true, false));
        journal.remember(memory, None);
    }
    stop(store).await;
}

/// Journals that were put aside.
pub fn aside(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| {
            let path = path.to_string_lossy();
            path.contains(".damaged-") && !path.ends_with("-wal") && !path.ends_with("-shm")
        })
        .collect()
}
