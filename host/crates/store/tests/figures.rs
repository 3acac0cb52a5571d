//! Figures, printed: run with `--ignored --nocapture`. Nothing is asserted of speed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::time::Instant;

use common::*;

#[tokio::test]
#[ignore = "it prints figures and checks nothing"]
async fn how_long_things_take() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let mut times = Vec::new();
    for count in 0..300 {
        let mut next = memory("one", 1);
        next.last_error = Some(count.to_string());
        let began = Instant::now();
        remember(&store.journal, next).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap();
    println!(
        "one memory, acknowledged: p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );

    for together in [10, 100, 1_000] {
        let began = Instant::now();
        let rounds = 10;
        for round in 0..rounds {
            let asked = (0..together).map(|n: usize| {
                let mut next = memory(&format!("agent-{n}"), 1);
                let reload = next.reload.as_mut().unwrap();
                reload.id = id(n as u128);
                reload.split = u8::try_from(round % 100).unwrap();
                next.history.clear();
                {
                    let journal = store.journal.clone();
                    async move { remember(&journal, next).await }
                }
            });
            for answer in futures(asked).await {
                answer.unwrap();
            }
        }
        let each = began.elapsed() / u32::try_from(rounds * together).unwrap();
        println!("{together} memories at once, each acknowledged: {each:?} each");
    }

    let line = "x".repeat(1_000);
    let began = Instant::now();
    for n in 0..1_000 {
        while !store
            .journal
            .record(batch("a", id(n), &[line.as_str(); 20], true, true))
        {
            tokio::task::yield_now().await;
        }
    }
    assert!(store.journal.flush().await);
    println!(
        "20,000 lines of decision records of 1,000 bytes: {:?}",
        began.elapsed()
    );
    stop(store).await;

    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    for n in 0..1_000_u128 {
        let name = format!("agent-{n}");
        let mut next = memory(&name, 1);
        next.reload = None;
        next.history = (0..50)
            .map(|at| past(n * 1_000 + at, 1 + (at as u64 % 4)))
            .collect();
        store.journal.taken(content(&name, identity(4)));
        store.journal.remember(next, None);
    }
    let began = Instant::now();
    assert!(store.journal.flush().await);
    println!(
        "1,000 agents with a history of 50 written: {:?}",
        began.elapsed()
    );
    stop(store).await;
    let size = std::fs::metadata(data.path().join("journal.sqlite3"))
        .unwrap()
        .len();
    let began = Instant::now();
    let (store, opened) = open(data.path());
    println!(
        "1,000 agents loaded from {size} bytes: {:?}",
        began.elapsed()
    );
    assert_eq!(opened.agents.len(), 1_000);
    stop(store).await;
}

/// All of them, begun before any is waited for.
async fn futures<T: Send + 'static>(
    all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}
