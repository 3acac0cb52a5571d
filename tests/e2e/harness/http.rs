//! A caller that sees everything: status, version, bytes, and whether the reply ended as a reply must.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What came back, from the head on.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The bytes that came.
    pub(crate) body: Vec<u8>,
    /// Why the body ended before its end; none where it is whole.
    pub(crate) broken: Option<String>,
}

impl Reply {
    /// The version that says it answered.
    pub(crate) fn version(&self) -> Option<u64> {
        self.headers
            .get("x-caxton-version")?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A whole answer of status 200.
    pub(crate) fn is_good(&self) -> bool {
        self.status == 200 && self.broken.is_none()
    }

    async fn read(mut response: hyper::Response<hyper::body::Incoming>) -> Self {
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(frame) = response.body_mut().frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Err(error) => {
                    broken = Some(format!("{error:?}"));
                    break;
                }
            }
        }
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
            broken,
        }
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    address: SocketAddr,
    send: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("connect: {error}"))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (send, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let driver = tokio::spawn(async move {
            // What goes wrong on a connection is seen by whoever waits for its reply.
            let _ = connection.await;
        });
        Ok(Self {
            address,
            send,
            driver,
        })
    }

    /// Whether another request can be sent.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.send.ready().await.is_ok()
    }

    /// Sends and reads to the end. An error: not even a head came back.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Reply, String> {
        Ok(Reply::read(self.head(ask).await?).await)
    }

    /// Sends and reads the head.
    pub(crate) async fn head(
        &mut self,
        ask: &Ask,
    ) -> Result<hyper::Response<hyper::body::Incoming>, String> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(&ask.path)
            .header("host", self.address.to_string());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(ask.body.clone()))
            .map_err(|error| error.to_string())?;
        // After a reply is read, the connection may take a moment until it is ready for the next request.
        self.send
            .ready()
            .await
            .map_err(|error| format!("{error:?}"))?;
        self.send
            .send_request(request)
            .await
            .map_err(|error| format!("{error:?}"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One request on a connection of its own.
pub(crate) async fn once(address: SocketAddr, ask: Ask) -> Result<Reply, String> {
    Connection::open(address).await?.ask(&ask).await
}
