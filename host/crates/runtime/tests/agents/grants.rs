//! What an agent reaches outside of itself, and what a copy of a call does not.

use crate::{Kept, PATIENCE, http, runtime, soon, text, version};
use bytes::Bytes;
use caxton_runtime::{
    AgentSpec, CallError, CallInfo, DirGrant, Instances, Outbound, Runtime, RuntimeOptions, Version,
};
use caxton_test_artifacts::{REACHING, WEB, WEB_P3};
use http_body_util::Empty;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers every request with 200 and counts them.
async fn server() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match connection.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            counted.fetch_add(1, SeqCst);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = connection.write_all(answer).await;
        }
    });
    (address, count)
}

fn granted(spec: &mut AgentSpec, dir: &std::path::Path, write: bool, origins: &[String]) {
    spec.dirs = vec![DirGrant {
        host: dir.into(),
        guest: "/data".into(),
        write,
    }];
    spec.outbound = Outbound::Origins(origins.iter().map(|text| text.parse().unwrap()).collect());
    spec.limits.request_timeout = PATIENCE;
}

/// What the agent says came of its call and of its line in the file.
async fn reach(version: &Version, url: &str, info: CallInfo) -> String {
    let request = http::Request::get("/")
        .header("host", "a")
        .header("x-call", url)
        .body(Empty::<Bytes>::new())
        .unwrap();
    text(soon(http(version, request, info)).await.unwrap())
        .await
        .unwrap()
}

fn lines(dir: &tempfile::TempDir) -> usize {
    let text = std::fs::read_to_string(dir.path().join("calls")).unwrap_or_default();
    text.lines().count()
}

#[tokio::test]
async fn an_agent_reaches_what_it_was_granted_and_nothing_else() {
    let (address, count) = server().await;
    let (other, others) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let version = version(REACHING, |spec| {
        granted(spec, dir.path(), true, std::slice::from_ref(&url));
    })
    .await;
    let said = reach(&version, &format!("{url}/x"), CallInfo::default()).await;
    assert_eq!(said, "called: 200\nfile: written\nlines: 1\n");
    for elsewhere in [
        format!("http://{other}/"),
        format!("https://{address}/"),
        format!("http://localhost:{}/", address.port()),
        format!("http://{address}@{other}/"),
    ] {
        let said = reach(&version, &elsewhere, CallInfo::default()).await;
        assert!(
            said.contains("HttpRequestDenied") || said.contains("Invalid"),
            "{said}"
        );
    }
    assert_eq!((count.load(SeqCst), others.load(SeqCst)), (1, 0));
    assert_eq!(lines(&dir), 5);
}

#[tokio::test]
async fn nothing_is_granted_unless_it_is_written_down() {
    let (address, count) = server().await;
    let version = version(REACHING, |_| {}).await;
    let said = reach(&version, &format!("http://{address}/"), CallInfo::default()).await;
    assert!(said.contains("HttpRequestDenied"), "{said}");
    assert!(!said.contains("written"), "{said}");
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test]
async fn a_directory_is_read_only_unless_it_says_otherwise_and_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("calls"), "one\ntwo\n").unwrap();
    let readable = version(REACHING, |spec| granted(spec, dir.path(), false, &[])).await;
    let said = reach(&readable, "", CallInfo::default()).await;
    assert!(
        said.contains("lines: 2") && !said.contains("written"),
        "{said}"
    );
    let mut spec = AgentSpec::new("a", 1);
    granted(&mut spec, &dir.path().join("gone"), false, &[]);
    let missing = runtime().prepare(REACHING.into(), spec).await.unwrap_err();
    assert!(missing.to_string().contains("gone"), "{missing}");
}

#[tokio::test]
async fn the_hosts_own_address_is_refused_under_every_name() {
    let (address, count) = server().await;
    let runtime = Runtime::new(RuntimeOptions {
        instances: 4,
        forbidden: vec![address],
        ..RuntimeOptions::default()
    })
    .unwrap();
    let port = address.port();
    let names = ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"];
    let urls = names.map(|name| format!("http://{name}:{port}"));
    let dir = tempfile::tempdir().unwrap();
    let mut spec = AgentSpec::new("a", 1);
    granted(&mut spec, dir.path(), true, &urls);
    let version = runtime.prepare(REACHING.into(), spec).await.unwrap();
    for url in urls {
        let said = reach(&version, &url, CallInfo::default()).await;
        assert!(said.contains("HttpRequestDenied"), "{url}: {said}");
    }
    assert_eq!(count.load(SeqCst), 0);
}

/// A runtime of its own with what its guests printed, and the version of `guest` that `set` changes.
async fn printing(
    guest: &[u8],
    set: impl FnOnce(&mut AgentSpec),
) -> (Arc<Runtime>, Arc<Kept>, Arc<Version>) {
    let kept = Arc::new(Kept::default());
    let runtime = Runtime::new(RuntimeOptions {
        instances: 4,
        log_sink: kept.clone(),
        ..RuntimeOptions::default()
    })
    .unwrap();
    let mut spec = AgentSpec::new("a", 1);
    set(&mut spec);
    let version = runtime.prepare(guest.into(), spec).await.unwrap();
    (runtime, kept, version)
}

async fn ask(version: &Version, path: &str, headers: [(&str, &str); 2]) -> String {
    let request = headers.iter().fold(
        http::Request::get(path).header("host", "a"),
        |request, (name, value)| request.header(*name, *value),
    );
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let reply = soon(http(version, request, CallInfo::default())).await;
    text(reply.unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_wasi_0_3_refuses_reaches_the_guest_as_its_error_and_the_log_once() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("granted");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(outer.path().join("secret"), "x").unwrap();
    std::fs::write(dir.join("own"), "x").unwrap();
    let (_runtime, kept, version) = printing(WEB_P3, |spec| granted(spec, &dir, false, &[])).await;
    for _ in 0..2 {
        let said = ask(
            &version,
            "/escape",
            [("x-open", "../secret"), ("x-name", "localhost")],
        )
        .await;
        assert_eq!(
            said,
            "opened: Err(ErrorCode::NotPermitted)\ntcp: Err(ErrorCode::AccessDenied)\nudp: \
             Err(ErrorCode::AccessDenied)\nfound: Err(ErrorCode::PermanentResolverFailure)\n"
        );
    }
    // What is granted, and what is not there, is no refusal.
    for (path, opened) in [("own", "Ok(())"), ("none", "Err(ErrorCode::NoEntry)")] {
        let said = ask(
            &version,
            "/escape",
            [("x-open", path), ("x-name", "localhost")],
        )
        .await;
        assert!(said.starts_with(&format!("opened: {opened}\n")), "{said}");
    }
    let said = ask(
        &version,
        "/reach",
        [("x-call", "http://10.1.2.3:81/path"), ("x", "")],
    )
    .await;
    assert!(said.contains("HttpRequestDenied"), "{said}");
    // Lines come in their order: this is the last one.
    let lines = kept.until("`http://10.1.2.3:81`").await;
    let wanted = [
        "caxton: refused: open-at `../secret`: ",
        "caxton: refused: a TCP socket: ",
        "caxton: refused: a UDP socket: ",
        "caxton: refused: to look up the name `localhost`: ",
        "caxton: refused: open-at `calls`: ",
        "caxton: refused: a request to `http://10.1.2.3:81`: ",
    ];
    let told: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    for start in wanted {
        let count = told.iter().filter(|text| text.starts_with(start)).count();
        assert_eq!(count, 1, "{start} in {told:#?}");
    }
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
}

#[tokio::test]
async fn each_function_of_the_file_system_that_takes_a_path_tells_its_refusal() {
    const FUNCTIONS: [&str; 11] = [
        "open-at",
        "stat-at",
        "metadata-hash-at",
        "readlink-at",
        "create-directory-at",
        "remove-directory-at",
        "unlink-file-at",
        "symlink-at",
        "rename-at",
        "link-at",
        "set-times-at",
    ];
    let dir = tempfile::tempdir().unwrap();
    let (_runtime, kept, version) =
        printing(REACHING, |spec| granted(spec, dir.path(), true, &[])).await;
    let said = ask(&version, "/", [("x-try", "each"), ("x-what", "../x")]).await;
    assert_eq!(said, format!("got: {}", FUNCTIONS.len()));
    let lines = kept.until("set-times-at").await;
    let told = |function: &str| {
        let start = format!("caxton: refused: {function} `../x`: ");
        lines.iter().any(|line| line.text.starts_with(&start))
    };
    let silent: Vec<_> = FUNCTIONS.iter().filter(|name| !told(name)).collect();
    assert!(silent.is_empty(), "{silent:?}");
    assert_eq!(lines.len(), FUNCTIONS.len());
}

#[tokio::test]
async fn a_guest_that_asks_for_ever_new_things_fills_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let (_runtime, kept, version) =
        printing(REACHING, |spec| granted(spec, dir.path(), false, &[])).await;
    for number in 0..100 {
        let path = format!("../{number}");
        let said = ask(&version, "/", [("x-try", "open"), ("x-what", &path)]).await;
        assert!(said.contains("not-permitted"), "{said}");
    }
    let lines = kept.until("further ones are not told").await;
    assert_eq!(lines.len(), 65);
}

#[tokio::test]
async fn what_a_guest_asks_for_is_told_in_a_few_words() {
    let dir = tempfile::tempdir().unwrap();
    let (_runtime, kept, version) =
        printing(REACHING, |spec| granted(spec, dir.path(), false, &[])).await;
    let long = format!("../{}", "x".repeat(3_000));
    ask(&version, "/", [("x-try", "open"), ("x-what", &long)]).await;
    let line = kept.until("xxx").await.remove(0).text;
    assert!(line.len() < 400 && line.contains('…'), "{line}");
}

#[tokio::test]
async fn a_listener_is_told_that_it_is_for_listening() {
    let (address, count) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let (_runtime, kept, version) = printing(REACHING, |spec| {
        granted(spec, dir.path(), true, std::slice::from_ref(&url));
    })
    .await;
    version.listen(true);
    let info = CallInfo {
        mirrored: true,
        ..CallInfo::default()
    };
    reach(&version, &url, info).await;
    let told = kept.until("a request to").await.remove(0).text;
    let wanted = "a version that only listens reaches nobody";
    assert!(told.ends_with(wanted), "{told}");
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test]
async fn a_listener_hears_and_changes_nothing() {
    let (address, count) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let info = CallInfo {
        mirrored: true,
        ..CallInfo::default()
    };
    for mode in [
        Instances::Fresh,
        Instances::Reused { reuse: 99 },
        Instances::Single,
    ] {
        let version = version(REACHING, |spec| {
            granted(spec, dir.path(), true, std::slice::from_ref(&url));
            spec.instances = Some(mode);
        })
        .await;
        let before = (count.load(SeqCst), lines(&dir));
        assert!(
            reach(&version, &url, CallInfo::default())
                .await
                .contains("written")
        );
        version.listen(true);
        for _ in 0..3 {
            let said = reach(&version, &url, info).await;
            assert!(
                said.contains("HttpRequestDenied") && !said.contains("written"),
                "{said}"
            );
        }
        soon(version.drained()).await;
        let (window, copies) = (version.take_window(), version.take_mirrored());
        assert_eq!((window.requests, copies.requests), (1, 3), "{mode:?}");
        assert!(copies.memory_peak > 0 && copies.latency.last().unwrap().count == 3);
        assert_eq!(
            (count.load(SeqCst), lines(&dir)),
            (before.0 + 1, before.1 + 1)
        );
        version.listen(false);
        assert!(
            reach(&version, &url, CallInfo::default())
                .await
                .contains("called: 200")
        );
    }
}

#[tokio::test]
async fn a_listener_keeps_its_grants_where_that_is_asked_for() {
    let (address, count) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let version = version(REACHING, |spec| {
        granted(spec, dir.path(), true, std::slice::from_ref(&url));
        spec.grants_to_listener = true;
    })
    .await;
    version.listen(true);
    let info = CallInfo {
        mirrored: true,
        ..CallInfo::default()
    };
    let said = reach(&version, &url, info).await;
    assert!(
        said.contains("called: 200") && said.contains("written"),
        "{said}"
    );
    assert_eq!((count.load(SeqCst), lines(&dir)), (1, 1));
}

#[tokio::test]
async fn a_copy_is_in_flight_like_any_call_and_counts_on_its_own() {
    let version = version(WEB, |spec| spec.limits.concurrency = 1).await;
    let info = CallInfo {
        mirrored: true,
        ..CallInfo::default()
    };
    let late = version.admit(info).unwrap_err();
    assert_eq!(late, CallError::Closed, "it does not listen");
    version.listen(true);
    let admission = version.admit(info).unwrap();
    assert_eq!(version.in_flight(), 1);
    assert!(version.admit(info).is_err(), "full");
    assert_eq!(version.take_window().in_flight, 0);
    assert_eq!(version.take_mirrored().in_flight, 1);
    drop(admission);
    soon(version.drained()).await;
    assert_eq!(
        (
            version.take_window().not_counted,
            version.take_mirrored().not_counted
        ),
        (0, 0)
    );
}
