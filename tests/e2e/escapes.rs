//! An agent that tries what it was not granted: it is refused each time, and its log says so.

use std::fs;
use std::os::unix::fs::symlink;

use caxton_test_artifacts::REACHING;

use crate::harness::{Ask, Caxton, Outside, wait_for};

/// What nobody may read.
const SECRET: &str = "the secret";

async fn attempt(host: &Caxton, kind: &str, what: &str) -> String {
    let ask = Ask::get("/thief/").with("x-try", kind).with("x-what", what);
    let reply = host.ask(ask).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

/// What the agent's log says, once it holds `last`.
async fn log_with(host: &Caxton, last: &str) -> String {
    wait_for("a line of the log", async || {
        let output = host.command(&["logs", "thief", "-n", "1000"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains(last).then_some(text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outside_of_the_granted_directories_are_refused_and_told() {
    let host = Caxton::start().await;
    let outside = host.elsewhere();
    let granted = outside.join("granted");
    fs::create_dir_all(granted.join("x")).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    fs::write(granted.join("own"), "its own").unwrap();
    let absolute = outside.join("secret");
    let absolute = absolute.to_str().unwrap();
    symlink("../secret", granted.join("link-out")).unwrap();
    symlink(absolute, granted.join("link-absolute")).unwrap();
    symlink("own", granted.join("link-in")).unwrap();
    host.configure(
        "thief",
        "[grants]\ndirs = [{ host = \"../granted\", guest = \"/data\", write = true }]\n",
    );
    host.deploy("thief", REACHING, 1).await;

    for path in ["/data/own", "/data/link-in"] {
        assert_eq!(attempt(&host, "read", path).await, "got: \"its own\"");
    }
    for (kind, path, told) in [
        ("read", "/data/../secret", "`../secret`"),
        ("read", "/data/link-out", "`link-out`"),
        ("read", "/data/link-absolute", "`link-absolute`"),
        ("open", "../secret", "`../secret`"),
        ("open", "x/../../secret", "`x/../../secret`"),
        ("open", absolute, absolute),
        ("link", "../secret", "open-at `link`"),
    ] {
        let said = attempt(&host, kind, path).await;
        assert!(said.starts_with("refused: "), "{kind} {path}: {said}");
        let log = log_with(&host, told).await;
        assert!(log.contains("caxton: refused: open-at"), "{log}");
    }
    // The library of the agent's own language knows of no directory for this one, so that nobody is asked.
    let said = attempt(&host, "read", absolute).await;
    assert!(said.starts_with("refused: "), "{said}");
    // Once, though it was tried twice.
    let log = log_with(&host, "open-at `link`").await;
    assert_eq!(log.matches("open-at `../secret`").count(), 1, "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_that_are_not_granted_are_refused_by_name_address_port_and_redirect() {
    let host = Caxton::start().await;
    let others = Outside::start().await;
    let other = others.address;
    let leads_away = format!("302 Found\r\nlocation: http://{other}/");
    let friends = Outside::answering(&leads_away).await;
    let plains = Outside::start().await;
    let (friend, plain) = (friends.address, plains.address);
    host.configure(
        "thief",
        &format!(
            "[grants]\noutbound = [\"http://{friend}\", \"http://{plain}\", \"http://{}\"]\n",
            host.admin.address
        ),
    );
    host.deploy("thief", REACHING, 1).await;

    let said = attempt(&host, "call", &format!("http://{plain}/")).await;
    assert_eq!(said, "got: 200");
    assert_eq!(plains.reached(), 1);
    let port = plain.port();
    for (url, told) in [
        // By name, by another address, by port, by scheme, behind a user that looks like a host, by redirect.
        (
            format!("http://localhost:{port}/a-key-in-the-path"),
            format!("`http://localhost:{port}`"),
        ),
        (
            format!("http://127.0.0.2:{port}/"),
            format!("`http://127.0.0.2:{port}`"),
        ),
        (
            format!("http://127.0.0.1:{}/", other.port()),
            format!("`http://{other}`"),
        ),
        (format!("https://{plain}/"), format!("`https://{plain}`")),
        (format!("http://{friend}/"), format!("`http://{other}`")),
        (
            format!("http://{}/", host.admin.address),
            "an address of the host itself".to_owned(),
        ),
    ] {
        let said = attempt(&host, "call", &url).await;
        assert_eq!(said, "refused: ErrorCode::HttpRequestDenied", "{url}");
        let log = log_with(&host, &told).await;
        assert!(log.contains("caxton: refused: a request to"), "{log}");
    }
    let said = attempt(&host, "call", &format!("http://{plain}@{other}/")).await;
    assert!(said.starts_with("refused: "), "{said}");
    // What stands in a user, a password or a path may be secret.
    let log = log_with(&host, "of the host itself").await;
    assert!(!log.contains('@') && !log.contains("a-key"), "{log}");
    let reached = [&plains, &friends, &others].map(Outside::reached);
    assert_eq!(reached, [1, 1, 0], "one redirect, and nobody where it led");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_what_was_granted_and_sockets_are_refused_and_told() {
    let host = Caxton::start().await;
    host.configure("thief", "[grants]\nenv = { MINE = \"yes\" }\n");
    host.deploy("thief", REACHING, 1).await;
    // The host has more than this, PATH for one.
    assert_eq!(
        attempt(&host, "environment", "").await,
        "got: [(\"MINE\", \"yes\")]"
    );
    let outside = Outside::start().await;
    for (kind, what, told) in [
        ("listen", "127.0.0.1:0", "a TCP socket"),
        ("connect", &outside.address.to_string(), "a TCP socket"),
        ("udp", "127.0.0.1:0", "a UDP socket"),
        ("look-up", "localhost", "to look up the name `localhost`"),
    ] {
        let said = attempt(&host, kind, what).await;
        assert!(said.starts_with("refused: "), "{kind}: {said}");
        let log = log_with(&host, told).await;
        assert_eq!(log.matches(told).count(), 1, "{log}");
    }
    assert_eq!(outside.reached(), 0);
}
