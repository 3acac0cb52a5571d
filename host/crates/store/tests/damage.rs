//! Damaged journals: what can be read is taken over, what is lost is said, and nothing panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use caxton_store::{OpenError, Opened, Store};
use common::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const PAGE: usize = 4096;

/// Opens it, whatever it is, and does something with it.
async fn used(data: &Path) -> Result<Opened, OpenError> {
    let (store, opened) = Store::open(data, limits())?;
    let _ = remember(&store.journal, memory("new", 1)).await;
    if let Ok(reader) = store.journal.reader() {
        let _ = (
            reader.records(),
            reader.acts(None, 10),
            reader.events(None, 10),
        );
        let _ = reader.lines(id(1), 0, 10);
    }
    let _ = store.journal.collect().await;
    let _ = store.journal.stop().await;
    Ok(opened)
}

#[tokio::test]
async fn whichever_page_is_torn_the_rest_is_read_and_what_is_lost_is_said() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), 8).await;
    let bytes = fs::read(journal(whole.path())).unwrap();
    let pages = bytes.len() / PAGE;
    assert!(pages > 20, "{pages} pages");
    let mut best = 0;
    for page in 0..pages {
        let data = tempfile::tempdir().unwrap();
        let mut torn = bytes.clone();
        // As a disk leaves it: half of the page is from another time.
        torn[page * PAGE + 50..(page + 1) * PAGE - 100].fill(0xa5);
        fs::write(journal(data.path()), &torn).unwrap();
        let (store, opened) = open(data.path());
        assert!(opened.agents.len() <= 8, "page {page}");
        best = best.max(opened.agents.len());
        let told = opened.damage.join("\n");
        let lost_none = opened.agents.len() == 8
            && opened.agents.iter().all(|agent| {
                let name = agent.memory.agent.as_ref();
                agent.memory == memory(name, name[6..].parse().unwrap())
            });
        if opened.damage.is_empty() {
            // Nothing stood in what was torn.
            assert!(lost_none, "page {page}");
            stop(store).await;
            continue;
        }
        assert!(
            lost_none
                || told.contains("were read")
                || told.contains("nothing of it could be read")
                || told.contains("make no sense"),
            "page {page}: {told}"
        );
        match aside(data.path()).first() {
            Some(aside) => assert!(fs::read(aside).unwrap() == torn, "page {page}"),
            // Only values were torn: the file as such is whole.
            None => assert!(told.contains("make no sense"), "page {page}: {told}"),
        }
        remember(&store.journal, memory("new", 99)).await.unwrap();
        stop(store).await;
        let (store, memories) = reopened(data.path());
        assert_eq!(memories.len(), opened.agents.len() + 1, "page {page}");
        stop(store).await;
    }
    assert_eq!(best, 8);
}

#[tokio::test]
async fn what_was_quarantined_stays_so_although_the_agent_s_row_is_lost() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path(), 30).await;
    let page = {
        let rows = rusqlite::Connection::open(journal(data.path())).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'agents'";
        rows.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let page = page as usize;
    let mut bytes = fs::read(journal(data.path())).unwrap();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0);
    fs::write(journal(data.path()), &bytes).unwrap();
    let (store, opened) = open(data.path());
    assert_eq!(opened.agents.len(), 30, "{:?}", opened.damage);
    for agent in &opened.agents {
        assert_eq!(agent.memory.endings[0].identity, identity(9));
        assert_eq!(agent.memory.next, Some(number(5)));
        assert_eq!(agent.memory.permanent, None);
    }
    assert!(
        opened
            .damage
            .iter()
            .any(|told| told.contains("what was quarantined stays out"))
    );
    stop(store).await;
}

#[tokio::test]
async fn a_file_that_is_empty_cut_short_or_something_else_is_put_aside() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), 10).await;
    let bytes = fs::read(journal(whole.path())).unwrap();
    let half = bytes.len() / PAGE / 2 * PAGE;
    let files: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("one byte", vec![b'S']),
        ("text", b"this is no database at all\n".repeat(1000)),
        ("half", bytes[..half].to_vec()),
        ("half a page more", bytes[..half + 1000].to_vec()),
        ("zeros", vec![0; bytes.len()]),
    ];
    for (what, file) in files {
        let data = tempfile::tempdir().unwrap();
        fs::write(journal(data.path()), &file).unwrap();
        let (store, opened) = open(data.path());
        assert!(!opened.damage.is_empty(), "{what}");
        assert!(fs::read(&aside(data.path())[0]).unwrap() == file, "{what}");
        remember(&store.journal, memory("new", 1)).await.unwrap();
        stop(store).await;
        let (store, memories) = reopened(data.path());
        assert_eq!(memories.len(), opened.agents.len() + 1, "{what}");
        stop(store).await;
    }
}

#[tokio::test]
async fn a_log_that_is_gone_takes_with_it_only_what_stood_in_it() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path(), 3).await;
    let copy = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    remember(&store.journal, memory("later", 1)).await.unwrap();
    for ending in ["", "-wal"] {
        let name = format!("journal.sqlite3{ending}");
        fs::copy(data.path().join(&name), copy.path().join(&name)).unwrap();
    }
    stop(store).await;
    let without = tempfile::tempdir().unwrap();
    fs::copy(journal(copy.path()), journal(without.path())).unwrap();
    let (store, memories) = reopened(copy.path());
    assert_eq!(memories.len(), 4);
    stop(store).await;
    let (store, memories) = reopened(without.path());
    assert_eq!(memories.len(), 3);
    stop(store).await;
}

#[tokio::test]
async fn a_journal_that_is_gone_although_artifacts_are_there_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    put_content(&store, "a", b"component");
    stop(store).await;
    fs::remove_file(journal(data.path())).unwrap();
    let (store, opened) = open(data.path());
    assert!(
        opened.damage[0].contains("is not there although"),
        "{:?}",
        opened.damage
    );
    stop(store).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The same cases in every run.
fn cases(count: u32) -> TestRunner {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config {
        cases: count,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn no_change_of_bytes_makes_it_panic() {
    let runtime = runtime();
    let whole = tempfile::tempdir().unwrap();
    runtime.block_on(filled(whole.path(), 6));
    let bytes = fs::read(journal(whole.path())).unwrap();
    let (size, page) = (bytes.len(), 0..bytes.len() / PAGE);
    // The header and the beginnings of pages say the most, so they are changed more often.
    let place = prop_oneof![
        1 => 0..100_usize,
        2 => (page, 0..64_usize).prop_map(|(page, at)| page * PAGE + at),
        2 => 0..size,
    ];
    let changes = prop::collection::vec((place, any::<u8>()), 1..12);
    let check = |changes: Vec<(usize, u8)>| {
        let data = tempfile::tempdir().unwrap();
        let mut changed = bytes.clone();
        for (at, byte) in changes {
            changed[at] = byte;
        }
        fs::write(journal(data.path()), &changed).unwrap();
        match runtime.block_on(used(data.path())) {
            Ok(opened) => prop_assert!(opened.agents.len() <= 6),
            Err(OpenError::TooNew { .. }) => {}
            // The application in its header is that of a backup.
            Err(OpenError::Unusable { problem, .. }) => prop_assert_eq!(problem, "it is a backup"),
        }
        Ok(())
    };
    cases(96).run(&changes, check).unwrap();
}

/// A value of any kind, as SQL.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("NULL".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-2..300_i64).prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        "[ -&(-~]{0,70}".prop_map(|text| format!("'{text}'")),
        "[0-9a-f]{64}".prop_map(|text| format!("'{text}'")),
        Just("'agent-1'".to_owned()),
        Just("'{}'".to_owned()),
        Just("'completed'".to_owned()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("CAST(x'{hex}' AS TEXT)")
        }),
    ]
}

#[test]
fn no_value_in_a_row_makes_it_panic_and_every_other_agent_is_as_it_was() {
    let runtime = runtime();
    let whole = tempfile::tempdir().unwrap();
    runtime.block_on(filled(whole.path(), 6));
    let columns: Vec<(String, String)> = {
        let rows = rusqlite::Connection::open(journal(whole.path())).unwrap();
        let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND m.name IN
                     ('agents', 'versions', 'contents', 'reloads', 'endings', 'pins', 'snapshots')";
        let mut columns = rows.prepare(sql).unwrap();
        let columns = columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        columns.unwrap().map(Result::unwrap).collect()
    };
    let changes = prop::collection::vec((prop::sample::select(columns), value()), 1..4);
    let check = |changes: Vec<((String, String), String)>| {
        let data = tempfile::tempdir().unwrap();
        fs::copy(journal(whole.path()), journal(data.path())).unwrap();
        let rows = rusqlite::Connection::open(journal(data.path())).unwrap();
        rows.pragma_update(None, "foreign_keys", false).unwrap();
        for ((table, column), value) in changes {
            let agent = if table == "agents" { "name" } else { "agent" };
            // Of a column that holds only some kinds of values, this may fail.
            let _ = rows.execute(
                &format!("UPDATE {table} SET {column} = {value} WHERE {agent} = 'agent-1'"),
                [],
            );
        }
        drop(rows);
        let opened = runtime.block_on(used(data.path())).unwrap();
        for seed in [0, 2, 3, 4, 5] {
            let expected = memory(&format!("agent-{seed}"), seed);
            let found = opened
                .agents
                .iter()
                .find(|agent| agent.memory.agent == expected.agent);
            prop_assert_eq!(found.map(|found| &found.memory), Some(&expected));
        }
        // What made no sense is told once, and is not there any more.
        let again = runtime.block_on(used(data.path())).unwrap();
        prop_assert_eq!(again.damage, Vec::<String>::new());
        Ok(())
    };
    cases(256).run(&changes, check).unwrap();
}
