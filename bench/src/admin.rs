//! The operator: reads what the host says about itself, and gives orders.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A way to a host's admin surface.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    base: String,
    token: String,
    client: reqwest::Client,
}

impl Admin {
    /// That of the host which announced these.
    #[must_use]
    pub fn at(address: &str, token: &str) -> Self {
        Self {
            base: format!("http://{address}/api/v1"),
            token: token.to_owned(),
            client: reqwest::Client::new(),
        }
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// There is no host, or nothing there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let ask = self.client.get(format!("{}/{path}", self.base));
        let reply = ask.bearer_auth(&self.token).send().await?;
        Ok(reply.error_for_status()?.json().await?)
    }

    /// The same, where it is a list.
    ///
    /// # Errors
    /// There is no host, or no list there.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path).await? {
            Value::Array(list) => Ok(list),
            other => bail!("{path}: not a list: {other}"),
        }
    }

    /// Sends a body; the status, and what was answered.
    ///
    /// # Errors
    /// There is no host.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let ask = self.client.post(format!("{}/{path}", self.base));
        let reply = ask.bearer_auth(&self.token).json(body).send().await?;
        let status = reply.status().as_u16();
        let text = reply.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Events from the first that the host remembers on, as they come. Ends with the host.
    ///
    /// # Errors
    /// There is no host.
    pub async fn follow(&self) -> Result<(mpsc::UnboundedReceiver<Value>, JoinHandle<()>)> {
        let url = format!("{}/events?since=0&follow=true", self.base);
        let ask = self.client.get(url);
        let reply = ask.bearer_auth(&self.token).send().await?;
        let mut reply = reply.error_for_status().context("events")?;
        let (send, receive) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let mut unread = Vec::new();
            while let Ok(Some(chunk)) = reply.chunk().await {
                unread.extend_from_slice(&chunk);
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    if let Ok(event) = serde_json::from_slice(&line)
                        && send.send(event).is_err()
                    {
                        return;
                    }
                }
            }
        });
        Ok((receive, reader))
    }
}

/// The text of a field; empty where there is none.
#[must_use]
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The number of a field.
#[must_use]
pub fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}
