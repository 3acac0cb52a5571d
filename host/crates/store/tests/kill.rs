//! A host that is killed at any moment: what it acknowledged is there and whole.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use caxton_rollout::Memory;
use caxton_store::BlobKind;
use common::*;

/// One life of a host that is killed: as much as it can, each thing told once it is acknowledged.
async fn live(data: &Path) -> ! {
    let (store, opened) = open(data);
    assert_eq!(opened.damage, Vec::<String>::new());
    let mut count = opened
        .agents
        .first()
        .map_or(0, |agent| counted(&agent.memory));
    loop {
        count += 1;
        let bytes = count.to_string().repeat(1_000);
        let made_of = put_content(&store, "a", bytes.as_bytes());
        let component = made_of.identity.component;
        let state = store.blobs.put(BlobKind::State, bytes.as_bytes()).unwrap();
        store.journal.saved(snapshot("a", 1 + count % 4, state));
        store.journal.taken(made_of);
        store
            .journal
            .record(batch("a", id(count.into()), &["{}", "{}"], true, true));
        let mut memory = memory("a", 1);
        memory.last_error = Some(count.to_string());
        memory.versions[0].content.identity.component = component;
        remember(&store.journal, memory).await.unwrap();
        println!("acknowledged {count}");
    }
}

fn counted(memory: &Memory) -> u64 {
    memory.last_error.as_ref().unwrap().parse().unwrap()
}

#[tokio::test]
async fn killed_at_any_moment_everything_that_was_acknowledged_is_there_and_whole() {
    if let Some(folder) = folder_of_the_child() {
        live(&folder).await;
    }
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..50_u64 {
        let mut child = child(
            "killed_at_any_moment_everything_that_was_acknowledged_is_there_and_whole",
            data.path(),
            &[],
            "exec \"$@\"",
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        // Some moments after the start, some in the middle of the start.
        let (pid, wait) = (
            child.id(),
            Duration::from_micros(kill * kill * 173 % 90_000),
        );
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            line.strip_prefix("acknowledged ")
                .and_then(|number| number.parse::<u64>().ok())
        });
        let killer = |wait| {
            std::thread::spawn(move || {
                std::thread::sleep(wait);
                let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
                assert!(kill.unwrap().success());
            })
        };
        let mut killing = (kill % 5 == 4).then(|| killer(wait));
        for number in numbers {
            acknowledged = number;
            killing.get_or_insert_with(|| killer(wait));
        }
        killing.unwrap().join().unwrap();
        child.wait().unwrap();
        let (store, opened) = open(data.path());
        assert_eq!(opened.damage, Vec::<String>::new());
        if let Some(agent) = opened.agents.first() {
            let found = counted(&agent.memory);
            assert!(found >= acknowledged, "{found} of {acknowledged}");
            for content in &agent.contents {
                store
                    .blobs
                    .get(BlobKind::Component, content.identity.component)
                    .unwrap();
                store.blobs.get(BlobKind::Config, content.config).unwrap();
            }
            for snapshot in &agent.snapshots {
                store.blobs.get(BlobKind::State, snapshot.blob).unwrap();
            }
            // Each of them left records: none is missing in between.
            let reader = store.journal.reader().unwrap();
            let recorded: BTreeSet<_> = reader
                .records()
                .unwrap()
                .iter()
                .map(|of| of.reload)
                .collect();
            for count in 1..=found {
                assert!(recorded.contains(&id(count.into())), "{count} of {found}");
            }
            assert_eq!(reader.lines(id(found.into()), 0, 10).unwrap(), ["{}", "{}"]);
        } else {
            assert_eq!(acknowledged, 0);
        }
        stop(store).await;
    }
    assert!(acknowledged > 50, "{acknowledged} in all");
}
