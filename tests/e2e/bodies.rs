//! An answer is finished when its body is: what breaks off in the middle never looks whole, and counts.

use caxton_test_artifacts::WEB;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Ask, Caxton, Setup, epoch_ms, variant};

/// Guests that begin an answer and do not finish it.
const PATHS: [&str; 3] = [
    "/web/trap-mid-body?after=100",
    "/web/stall-mid-body",
    "/web/drop-body",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_never_a_complete_answer_and_counts_as_a_failure() {
    let host = baking().await;
    for path in PATHS {
        let reply = host.get(path).await;
        assert_eq!((reply.status, reply.version()), (200, Some(2)), "{path}");
        assert!(
            reply.broken.is_some(),
            "{path}: looks whole: {:?}",
            reply.text()
        );
        assert_eq!(reply.text(), "first\n", "{path}: what was said arrives");
        assert_never_ends_cleanly(&host, path).await;
    }
    // A guest that ends right after its first words may be quicker than its head is on its way.
    let reply = host.get("/web/trap-mid-body").await;
    assert!(reply.status == 502 || reply.broken.is_some(), "{reply:?}");
    assert_eq!(host.version_at("/web/").await, 2);
    let metrics = figures(&host).await;
    // Each path once through the client and once byte by byte, the quick one, and a good call.
    assert_eq!(metrics["requests-failed"], 7, "{metrics}");
    assert_eq!(metrics["requests-processed"], 8, "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_and_slow_senders_do_not_count_against_the_version() {
    let host = baking().await;
    // Asks for more than all buffers on the way hold, and takes none of it until the host gives up.
    let mut reader = raw(
        &host,
        "GET /web/big?bytes=60000000 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    host.admin.until_in_flight("web", 1).await;
    // Announces a body and never sends it whole.
    let head = "POST /web/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf of it";
    let mut sender = raw(&host, head).await;
    host.admin.until_in_flight("web", 2).await;
    // Goes away in the middle.
    let leaver = raw(
        &host,
        "GET /web/stream?chunks=100000&gap=10 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    host.admin.until_in_flight("web", 3).await;
    drop(leaver);
    host.admin.until_in_flight("web", 0).await;
    let mut rest = Vec::new();
    // However these connections end is no matter here.
    let _ = reader.read_to_end(&mut rest).await;
    assert!(
        rest.len() < 60_000_000,
        "the slow reader got everything: nothing was shown"
    );
    let _ = sender.read_to_end(&mut Vec::new()).await;
    assert_eq!(host.version_at("/web/").await, 2);
    let metrics = figures(&host).await;
    assert_eq!(metrics["requests-failed"], 0, "{metrics}");
}

/// A host on which version 2 bakes, so that what it does is measured.
async fn baking() -> Caxton {
    let judging = "[[defaults.rollback.policies]]\nname = \"thresholds\"\nsettings = { minimum_sample = 1000 }\n";
    let setup = Setup::defaults(&format!("[defaults.reload]\nbake = \"1h\"\n{judging}"));
    let host = Caxton::start_with(setup).await;
    let limits = "[limits]\nidle_timeout = \"700ms\"\nreply_body = \"100MiB\"\n";
    host.configure("web", limits);
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    host
}

/// Ends the bake, and hands back what was measured of version 2 until then.
async fn figures(host: &Caxton) -> Value {
    host.admin.until_in_flight("web", 0).await;
    // Calls are counted when their interval ends. An answer of the policy may be to a question from before; the one
    // after it is to a question from after it, and that comes with the end of an interval.
    let mut after = epoch_ms();
    for _ in 0..2 {
        let asked = |status: &Value| {
            status["verdicts"][0]["at"]
                .as_f64()
                .is_some_and(|at| at > after)
        };
        let status = host.admin.until("web", "judged again", asked).await;
        after = status["verdicts"][0]["at"].as_f64().unwrap();
    }
    host.admin.must("web", "rollback").await;
    let result = host
        .admin
        .until_result("web", "rolled back", |result| {
            result["status"] == json!("rolled-back")
        })
        .await;
    result["metrics"].clone()
}

async fn raw(host: &Caxton, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.gateway).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Looks at the bytes: a chunked body that ends has an empty chunk at its end.
async fn assert_never_ends_cleanly(host: &Caxton, path: &str) {
    let mut stream = raw(host, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let mut bytes = Vec::new();
    // A reset is as good an ending as a close here.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
    assert!(
        text.to_lowercase().contains("transfer-encoding: chunked"),
        "{path}: {text}"
    );
    assert!(
        !text.ends_with("0\r\n\r\n"),
        "{path}: ends as if it were whole: {text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    let mut stream = raw(
        &host,
        "POST /web/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await;
    let mut seen = String::new();
    for piece in ["first", "second", "third"] {
        stream
            .write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())
            .await
            .unwrap();
        // The piece comes back before the next one is sent: nobody waits for the whole.
        let echoed = async {
            let mut buffer = [0; 1024];
            while !seen.contains(piece) {
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the reply ended early: {seen}");
                seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        tokio::time::timeout(crate::harness::PATIENCE, echoed)
            .await
            .expect(piece);
    }
    let whole = host.ask(Ask::post("/web/echo", vec![b'y'; 300_000])).await;
    assert!(
        whole.is_good() && whole.body == vec![b'y'; 300_000],
        "{} bytes, {:?}",
        whole.body.len(),
        whole.broken
    );
}
