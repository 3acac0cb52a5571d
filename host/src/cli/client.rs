//! A client of the admin surface.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::args::Connection;
use super::failure::Failure;
use crate::admin::{Announcement, AnnouncementError, Token, call};

/// Without a setting, where `caxton run` keeps what is its own.
pub const DEFAULT_DATA_DIR: &str = ".caxton";

/// The host is on this machine or near it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For an answer that ends; the host itself gives up after 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// Talks to one host.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: Token,
    found: Found,
}

/// How the address came to be known, for saying what to do when it leads nowhere.
#[derive(Debug)]
enum Found {
    Announced { data_dir: PathBuf, pid: u32 },
    Environment,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
}

impl Client {
    /// The host that the command line, or else the environment, names.
    ///
    /// # Errors
    /// None is announced there, or only half of what is needed is given.
    pub fn find(connection: &Connection) -> Result<Self, Failure> {
        let from_environment =
            |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(data_dir) = &connection.data_dir {
            return Self::announced(data_dir);
        }
        match (
            from_environment("CAXTON_ADMIN"),
            from_environment("CAXTON_TOKEN"),
        ) {
            (Some(address), Some(token)) => Self::new(&address, token.into(), Found::Environment),
            (Some(_), None) => {
                let problem = "CAXTON_ADMIN is set and CAXTON_TOKEN is not: set both, or neither";
                Err(Failure::Usage(problem.to_owned()))
            }
            (None, _) => {
                let data_dir = from_environment("CAXTON_DATA_DIR");
                Self::announced(Path::new(data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR)))
            }
        }
    }

    fn announced(data_dir: &Path) -> Result<Self, Failure> {
        let announcement = Announcement::read(data_dir).map_err(|error| match error {
            AnnouncementError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Failure::Unreachable(format!(
                    "no host is running with the data directory {}\nstart one with `caxton run`, or name another \
                     with --data-dir",
                    data_dir.display()
                ))
            }
            other => Failure::Unreachable(format!(
                "{other}\nis it another user's host, or not a host's data directory? name another with --data-dir"
            )),
        })?;
        let found = Found::Announced {
            data_dir: data_dir.to_owned(),
            pid: announcement.pid,
        };
        Self::new(
            &reachable(announcement.address, None).to_string(),
            announcement.token,
            found,
        )
    }

    fn new(address: &str, token: Token, found: Found) -> Result<Self, Failure> {
        let bare = address
            .strip_prefix("http://")
            .unwrap_or(address)
            .trim_end_matches('/');
        // A proxy for the web has no business between this command and the host.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Failure::Unreachable(format!("no HTTP client here: {}", because(&error)))
            })?;
        Ok(Self {
            http,
            address: bare.to_owned(),
            token,
            found,
        })
    }

    /// Reads something under `/api/v1`.
    ///
    /// # Errors
    /// The host cannot be reached, or says no.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.request(Method::GET, path).timeout(ANSWER_TIMEOUT);
        self.value(self.send(request).await?).await
    }

    /// The same, for what need not be there.
    ///
    /// # Errors
    /// The host cannot be reached, or says no for another reason.
    pub async fn get_if_there(&self, path: &str) -> Result<Option<Value>, Failure> {
        let request = self.request(Method::GET, path).timeout(ANSWER_TIMEOUT);
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.value(self.taken(response).await?).await.map(Some)
    }

    /// Gives an order to an agent.
    ///
    /// # Errors
    /// The host cannot be reached, or says no.
    pub async fn order(&self, agent: &str, order: &str, body: &Value) -> Result<Value, Failure> {
        let path = format!("agents/{agent}/{order}");
        let request = self
            .request(Method::POST, &path)
            .json(body)
            .timeout(ANSWER_TIMEOUT);
        self.value(self.send(request).await?).await
    }

    /// Orders something of the host itself, and waits for as long as it takes.
    ///
    /// # Errors
    /// The host cannot be reached, says no, or did not get to its end.
    pub async fn upkeep(&self, what: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::POST, what).json(body);
        let response = self.send(request).await?;
        let began = response.status() == StatusCode::ACCEPTED;
        let ended = self.value(response).await?;
        // What fails after the answer has begun cannot say so with its status.
        match ended.get("error").and(ended.get("message")) {
            Some(Value::String(message)) if began => Err(Failure::No(message.clone())),
            _ => Ok(ended),
        }
    }

    /// Events as JSON lines, as they come.
    ///
    /// # Errors
    /// The host cannot be reached, or says no.
    pub async fn events(&self, since: u64, follow: bool) -> Result<Response, Failure> {
        let path = format!("events?since={since}&follow={follow}");
        self.send(self.request(Method::GET, &path)).await
    }

    /// Something under `/api/v1` that may be long, as it comes.
    ///
    /// # Errors
    /// The host cannot be reached, or says no.
    pub async fn stream(&self, path: &str) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Something under `/api/v1` that is no JSON, of at most `max` bytes.
    ///
    /// # Errors
    /// The host cannot be reached, says no, or sends more.
    pub async fn bytes(&self, path: &str, max: u64) -> Result<Vec<u8>, Failure> {
        let mut response = self.stream(path).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
                return Err(self.stranger(&format!("it sends more than {max} bytes for {path}")));
            }
        }
        Ok(bytes)
    }

    /// A request to an agent's version on trial: what it answers, or what the host answers in its place.
    ///
    /// # Errors
    /// The host cannot be reached, or there is no such version that may be called.
    pub async fn call_candidate(
        &self,
        agent: &str,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Failure> {
        let mut request = self
            .request(Method::POST, &format!("agents/{agent}/call"))
            .header(call::METHOD, method.as_str())
            .header(call::PATH, path);
        for (name, value) in headers {
            request = request.header(format!("{}{name}", call::TO_AGENT), value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        // Whatever has reached the version names it.
        if response.headers().contains_key("x-caxton-version") {
            return Ok(response);
        }
        self.taken(response).await
    }

    /// Where the host's gateway is.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn gateway(&self) -> Result<SocketAddr, Failure> {
        #[derive(Deserialize)]
        struct Host {
            gateway: SocketAddr,
        }
        let host: Host = self.read(self.get("host").await?)?;
        let same_machine_as = self.address.parse::<SocketAddr>().ok();
        Ok(reachable(host.gateway, same_machine_as))
    }

    /// A request to an address that is not the admin surface's; it carries no token.
    pub fn elsewhere(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// What stands in an answer.
    ///
    /// # Errors
    /// It is not what a host of this version answers.
    pub fn read<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, Failure> {
        serde_json::from_value(value).map_err(|error| self.stranger(&error.to_string()))
    }

    /// The failure for a connection that broke.
    pub(super) fn lost(&self, error: &reqwest::Error) -> Failure {
        let reason = because(error);
        Failure::Unreachable(match &self.found {
            Found::Announced { data_dir, pid } if error.is_connect() => format!(
                "the host with the data directory {} (process {pid}) does not answer at {}: {reason}\nif it was \
                 killed, start it again with `caxton run`",
                data_dir.display(),
                self.address
            ),
            Found::Environment if error.is_connect() => {
                format!(
                    "no host answers at {}, which CAXTON_ADMIN names: {reason}",
                    self.address
                )
            }
            _ => format!(
                "the connection to the host at {} broke off: {reason}",
                self.address
            ),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}/api/v1/{path}", self.address))
            .bearer_auth(self.token.reveal())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        self.taken(response).await
    }

    /// An answer that is not no.
    async fn taken(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let Ok(Refusal { message }) = serde_json::from_slice(&body) else {
            return Err(self.stranger(&format!("it answered {status}")));
        };
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.shut_out(&message),
            _ => Failure::No(message),
        })
    }

    async fn value(&self, response: Response) -> Result<Value, Failure> {
        let bytes = response.bytes().await.map_err(|error| self.lost(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.stranger(&error.to_string()))
    }

    fn shut_out(&self, message: &str) -> Failure {
        match &self.found {
            Found::Environment => {
                Failure::Usage(format!("the host at {} refuses: {message}", self.address))
            }
            Found::Announced { data_dir, .. } => Failure::Unreachable(format!(
                "another host answers at {}, which {} announces: {message}\nif that host was killed, start it again \
                 with `caxton run`",
                self.address,
                data_dir.display()
            )),
        }
    }

    fn stranger(&self, what: &str) -> Failure {
        Failure::Unreachable(format!(
            "what answers at {} is no caxton host that this command knows: {what}",
            self.address
        ))
    }
}

/// Where to connect for an address that is listened on: "every address" is none to connect to.
fn reachable(listening: SocketAddr, same_machine_as: Option<SocketAddr>) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let loopback = if listening.is_ipv4() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(
        same_machine_as.map_or(loopback, |known| known.ip()),
        listening.port(),
    )
}

/// The last cause, which is the one that names the trouble.
fn because(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
