//! What the journal has, read and looked after over the surface.

use caxton_store::{Act, RecordBatch};

use super::*;

#[tokio::test]
async fn records_that_take_several_pieces_come_line_by_line_as_they_were_handed_over() {
    let surface = Surface::start().await;
    let reload = HotReloadId::from_random_bits(1);
    let lines: Vec<String> = (0..3_000)
        .map(|n| {
            json!({ "record": "told", "event": { "n": n, "text": "x".repeat(n % 700) } })
                .to_string()
        })
        .collect();
    for (at, piece) in lines.chunks(100).enumerate() {
        assert!(surface.journal.record(RecordBatch {
            agent: name("hello"),
            reload,
            at: Moment(5),
            lines: piece.to_vec(),
            begins: at == 0,
            ends: false,
        }));
    }
    let reply = surface.ask("GET /api/v1/records", "", "").await;
    let got: Vec<&str> = reply
        .0
        .lines()
        .filter(|line| line.starts_with("{\"event\""))
        .collect();
    assert_eq!(got.len(), lines.len());
    assert!(got.iter().zip(&lines).all(|(got, line)| got == line));
    surface.stop().await;
}

#[tokio::test]
async fn orders_are_read_newest_first_of_one_agent_or_of_all() {
    let surface = Surface::start().await;
    // What is older than three months is kept no longer.
    let now = crate::clock::Clock::start().now().0;
    for (at, agent, refused) in [
        (now, "hello", None),
        (now + 1, "till", Some("nobody is there")),
    ] {
        surface.journal.acted(Act {
            at: Moment(at),
            agent: name(agent),
            order: "pause".to_owned(),
            refused: refused.map(str::to_owned),
        });
    }
    let get = async |query: &str| {
        let reply = surface
            .ask(&format!("GET /api/v1/acts{query}"), "", "")
            .await;
        let body = reply.0.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str::<Value>(body).unwrap()
    };
    let of_till =
        json!({"at": now + 1, "agent": "till", "order": "pause", "refused": "nobody is there"});
    let of_hello = json!({"at": now, "agent": "hello", "order": "pause", "refused": null});
    assert_eq!(get("").await, json!([of_till, of_hello]));
    assert_eq!(get("?agent=hello").await, json!([of_hello]));
    assert_eq!(get("?agent=nobody").await, json!([]));
    assert_eq!(get("?agent=No").await["error"], "agent-not-found");
    assert_eq!(get("?of=hello").await["error"], "unprocessable");
    surface.stop().await;
}

#[tokio::test]
async fn a_backup_goes_where_nothing_is_and_nothing_is_watched_or_the_hosts_own() {
    let surface = Surface::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let data = surface.data_dir.path();
    std::fs::write(elsewhere.path().join("there"), "mine").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(data, elsewhere.path().join("link")).unwrap();
    let ask = async |body: Value| {
        surface
            .ask(
                "POST /api/v1/backup",
                "content-type: application/json\r\n",
                &body.to_string(),
            )
            .await
    };
    let to = |path: std::path::PathBuf| json!({ "path": path });
    for (body, status, says) in [
        (json!({}), "422", "`path` says where"),
        (json!({"path": "b.db"}), "422", "is not absolute"),
        (json!({"path": "/"}), "422", "names no file"),
        (json!({"path": "/tmp/.."}), "422", "names no file"),
        (json!({"file": "/b.db"}), "422", "unknown field `file`"),
        (to(elsewhere.path().join("no/b.db")), "422", "mkdir -p"),
        (
            to(elsewhere.path().join("there/b.db")),
            "422",
            "has no folder",
        ),
        (to(data.join("b.db")), "422", "inside the data directory"),
        (
            to(elsewhere.path().join("link/b.db")),
            "422",
            "inside the data directory",
        ),
        (
            to(elsewhere.path().join("there")),
            "409",
            "is there already",
        ),
    ] {
        let reply = ask(body.clone()).await;
        let head = format!("HTTP/1.1 {status}");
        assert!(
            reply.0.starts_with(&head) && reply.0.contains(says),
            "{body}: {}",
            reply.0
        );
    }
    assert_eq!(
        std::fs::read(elsewhere.path().join("there")).unwrap(),
        b"mine"
    );

    let file = elsewhere.path().join("b.db");
    let reply = ask(to(file.clone())).await;
    assert!(reply.0.starts_with("HTTP/1.1 200"), "{}", reply.0);
    assert!(std::fs::metadata(&file).unwrap().len() > 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(ask(to(file)).await.0.starts_with("HTTP/1.1 409"));

    let reply = surface.ask("POST /api/v1/gc", "", "").await;
    assert!(
        reply.0.starts_with("HTTP/1.1 200") && reply.0.contains("\"records\":0"),
        "{}",
        reply.0
    );
    let reply = surface.ask("POST /api/v1/gc", "", "{\"all\": true}").await;
    assert!(reply.0.starts_with("HTTP/1.1 422"), "{}", reply.0);
    surface.stop().await;
}
