//! Somebody outside of the host, whom agents call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers each request with the same head, and counts connections: each is for one request.
pub(crate) struct Outside {
    pub(crate) address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Outside {
    /// Answers with 200.
    pub(crate) async fn start() -> Self {
        Self::answering("200 OK").await
    }

    /// `head` is a status line without the version, and may have headers behind it.
    pub(crate) async fn answering(head: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<str> =
            format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into();
        let reached = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reached);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut piece).await {
                            Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
                            _ => return,
                        }
                    }
                    // Whoever asked may be gone; it was counted all the same.
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, reached }
    }

    /// Connections so far.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}
