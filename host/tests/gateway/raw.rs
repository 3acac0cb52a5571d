//! A client that hides nothing: it sends the bytes that a test gives it and reads replies off the socket itself.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How a reply came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its head promised.
    Whole,
    /// The connection was closed too early.
    Short,
    /// The connection was reset.
    Reset,
}

/// A reply as it stood on the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The field `name` of a JSON body.
    pub fn json(&self, name: &str) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body.get(name).cloned().unwrap()
    }
}

/// One connection.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(DEADLINE, TcpStream::connect(address)).await;
        Self {
            stream: stream.unwrap().unwrap(),
            unread: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await;
        sent.unwrap().unwrap();
    }

    /// Sends as long as anyone takes it.
    pub async fn send_if_wanted(&mut self, bytes: impl AsRef<[u8]>) {
        let _refused = timeout(DEADLINE, self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// A request without a body, and its reply.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
            .await;
        self.reply().await
    }

    /// A POST with this body, and its reply.
    pub async fn post(&mut self, path: &str, body: &str) -> Reply {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
        self.send(head + body).await;
        self.reply().await
    }

    pub async fn reply(&mut self) -> Reply {
        self.read(false).await.unwrap()
    }

    /// The reply to HEAD: a head and nothing else.
    pub async fn head_reply(&mut self) -> Reply {
        self.read(true).await.unwrap()
    }

    /// The head of a reply whose body the test reads itself.
    pub async fn head(&mut self) -> Reply {
        let (status, headers) = self.read_head().await.unwrap();
        Reply {
            status,
            headers,
            body: Vec::new(),
            end: End::Short,
        }
    }

    /// The end of the connection, and what came before it.
    pub async fn closed(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.more().await {
                Ok(true) => {}
                Ok(false) => return (std::mem::take(&mut self.unread), End::Short),
                Err(end) => return (std::mem::take(&mut self.unread), end),
            }
        }
    }

    /// The next chunk of a chunked body; `None` for the last.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, End> {
        let line = self.until(b"\r\n").await?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap(), 16).unwrap();
        let mut data = self.exactly(length + 2).await?;
        data.truncate(length);
        Ok((length > 0).then_some(data))
    }

    async fn read(&mut self, bodiless: bool) -> Option<Reply> {
        let (status, headers) = self.read_head().await?;
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
            end: End::Whole,
        };
        if bodiless || status == 204 || status == 304 {
            return Some(reply);
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.end = loop {
                match self.chunk().await {
                    Ok(Some(data)) => reply.body.extend(data),
                    Ok(None) => break End::Whole,
                    Err(end) => break end,
                }
            };
        } else if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            match self.exactly(length).await {
                Ok(body) => reply.body = body,
                Err(end) => reply.end = end,
            }
        } else {
            (reply.body, reply.end) = self.closed().await;
            if reply.end == End::Short {
                reply.end = End::Whole;
            }
        }
        Some(reply)
    }

    async fn read_head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let head = self.until(b"\r\n\r\n").await.ok()?;
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((status.parse().unwrap(), headers.collect()))
    }

    async fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = self
                .unread
                .windows(mark.len())
                .position(|window| window == mark)
            {
                let rest = self.unread.split_off(at + mark.len());
                let mut found = std::mem::replace(&mut self.unread, rest);
                found.truncate(at);
                return Ok(found);
            }
            if !self.more().await? {
                return Err(End::Short);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        while self.unread.len() < length {
            if !self.more().await? {
                return Err(End::Short);
            }
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    async fn more(&mut self) -> Result<bool, End> {
        let mut bytes = vec![0; 64 << 10];
        let read = timeout(DEADLINE, self.stream.read(&mut bytes)).await;
        match read.expect("nothing came and the connection stays open") {
            Ok(length) => {
                self.unread.extend_from_slice(&bytes[..length]);
                Ok(length > 0)
            }
            Err(_) => Err(End::Reset),
        }
    }
}
