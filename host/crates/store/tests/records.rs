//! Decision records: in order, from their beginning on, and where some are lost, that is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use caxton_rollout::Moment;
use caxton_store::RecordsOf;
use common::*;

#[tokio::test]
async fn records_are_kept_in_order_from_their_beginning_on() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let journal = &store.journal;
    assert!(journal.record(batch("a", id(1), &["{\"n\":0}", "{\"n\":1}"], true, false)));
    assert!(journal.record(batch("a", id(2), &["never begun"], false, true)));
    assert!(journal.record(batch("a", id(1), &["{\"n\":2}"], false, true)));
    journal.records_over(id(1));
    assert!(journal.flush().await);
    let reader = journal.reader().unwrap();
    let lines = reader.lines(id(1), 0, 100).unwrap();
    assert_eq!(lines, ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(reader.lines(id(1), 1, 1).unwrap(), ["{\"n\":1}"]);
    assert!(reader.lines(id(2), 0, 100).unwrap().is_empty());
    let listed = reader.records().unwrap();
    assert_eq!(
        listed,
        [RecordsOf {
            agent: agent("a"),
            reload: id(1),
            began: Moment(1_700_000_000_000),
            changed: Moment(1_700_000_000_000),
            lines: 3,
            bytes: 21,
        }]
    );
    stop(store).await;
}

#[tokio::test]
async fn where_lines_of_a_reload_are_lost_its_records_say_so_before_the_result() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let journal = &store.journal;
    assert!(journal.record(batch("a", id(1), &["begun"], true, false)));
    assert!(journal.flush().await);
    // Somebody writes into it: the next line has its place taken.
    let rows = rusqlite::Connection::open(data.path().join("journal.sqlite3")).unwrap();
    let sql =
        "INSERT INTO records (reload, line, at, text) SELECT reload, 2, 0, 'mine' FROM recordings";
    rows.execute_batch(sql).unwrap();
    assert!(journal.record(batch("a", id(1), &["lost", "lost, too"], false, false)));
    assert!(journal.record(batch("a", id(1), &["after it"], false, false)));
    assert!(journal.flush().await);
    assert_eq!(journal.attention()[0].kind, "records-lost");
    rows.execute_batch("DELETE FROM records WHERE line = 2")
        .unwrap();
    assert!(journal.record(batch("a", id(1), &["the result"], false, true)));
    assert!(journal.record(batch("a", id(1), &["amended"], false, true)));
    assert!(journal.flush().await);
    let lines = journal.reader().unwrap().lines(id(1), 0, 100).unwrap();
    assert_eq!(
        lines,
        [
            "begun",
            r#"{"record":"full","at":1700000000000}"#,
            "the result",
            "amended"
        ]
    );
    // A reload that begins now is recorded whole: it is over.
    assert_eq!(journal.attention().len(), 1);
    assert!(journal.record(batch("a", id(2), &["begun"], true, false)));
    assert!(journal.flush().await);
    assert!(journal.attention().is_empty());
    stop(store).await;
}

#[tokio::test]
async fn records_that_find_no_room_are_refused_and_told() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let journal = &store.journal;
    let line = "x".repeat(1 << 20);
    // More than fits at once, whatever the disk does.
    assert!(!journal.record(batch("a", id(1), &[line.as_str(); 40], true, false)));
    let attention = journal.attention();
    assert_eq!(attention[0].kind, "records-lost");
    assert!(
        attention[0].text.contains("40 lines so far"),
        "{attention:?}"
    );
    for n in 0..100 {
        // What fits is written meanwhile, and gives its room back.
        let small = batch("a", id(n), &[line.as_str(); 2], true, false);
        while !journal.record(small.clone()) {
            assert!(journal.flush().await);
        }
    }
    assert!(journal.flush().await);
    stop(store).await;
}
