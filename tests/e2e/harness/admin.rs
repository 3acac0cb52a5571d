//! The operator: reads what the host says about itself and gives orders, over its HTTP surface.

use std::net::SocketAddr;

use serde_json::Value;

use super::http::{Ask, Connection, Reply, once};
use super::time::wait_for;

/// A way to a host's admin surface.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Admin {
    fn signed(&self, ask: Ask) -> Ask {
        ask.with("authorization", format!("Bearer {}", self.token))
    }

    async fn get(&self, path: &str) -> Reply {
        let ask = self.signed(Ask::get(format!("/api/v1/{path}")));
        once(self.address, ask)
            .await
            .unwrap_or_else(|error| panic!("the admin surface: {path}: {error}"))
    }

    async fn json(&self, path: &str) -> Option<Value> {
        let reply = self.get(path).await;
        if reply.status == 404 {
            return None;
        }
        assert!(reply.is_good(), "{path}: {} {}", reply.status, reply.text());
        Some(serde_json::from_slice(&reply.body).unwrap())
    }

    /// The host itself.
    pub(crate) async fn host(&self) -> Value {
        self.json("host").await.unwrap()
    }

    /// One agent; none while the host does not know it.
    pub(crate) async fn status(&self, agent: &str) -> Option<Value> {
        self.json(&format!("agents/{agent}")).await
    }

    /// How the agent's reloads ended, newest first.
    pub(crate) async fn history(&self, agent: &str) -> Vec<Value> {
        match self.json(&format!("agents/{agent}/history")).await {
            Some(Value::Array(results)) => results,
            _ => Vec::new(),
        }
    }

    /// Decision records, as they come.
    pub(crate) async fn records(&self, query: &str) -> Reply {
        self.get(&format!("records?{query}")).await
    }

    /// Gives an order and hands back what came of it.
    pub(crate) async fn order(&self, agent: &str, order: &str, body: Value) -> Reply {
        let ask = Ask::post(format!("/api/v1/agents/{agent}/{order}"), body.to_string());
        let ask = self.signed(ask.with("content-type", "application/json"));
        once(self.address, ask).await.unwrap()
    }

    /// Gives an order that must be taken.
    pub(crate) async fn must(&self, agent: &str, order: &str) {
        let reply = self.order(agent, order, serde_json::json!({})).await;
        assert!(
            reply.is_good(),
            "{order} {agent}: {} {}",
            reply.status,
            reply.text()
        );
    }

    /// Waits for a status of the agent that `look` likes.
    pub(crate) async fn until(
        &self,
        agent: &str,
        what: &str,
        look: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let what = format!("{agent}: {what}");
        let found = wait_for(&what, async || {
            last = self.status(agent).await.unwrap_or_default();
            look(&last).then(|| last.clone())
        });
        found.await
    }

    /// Waits until the newest result of the agent is one that `look` likes.
    pub(crate) async fn until_result(
        &self,
        agent: &str,
        what: &str,
        look: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_for(&format!("{agent}: {what}"), async || {
            self.history(agent)
                .await
                .into_iter()
                .next()
                .filter(|result| look(result))
        })
        .await
    }

    /// Waits until so many calls of the agent run.
    pub(crate) async fn until_in_flight(&self, agent: &str, calls: u64) {
        self.until(agent, &format!("{calls} in flight"), |status| {
            status["in_flight"] == calls
        })
        .await;
    }

    /// A connection on which the events come, one JSON object a line, from the first one on.
    pub(crate) async fn follow(&self) -> (Connection, hyper::body::Incoming) {
        let mut connection = Connection::open(self.address).await.unwrap();
        let ask = self.signed(Ask::get("/api/v1/events?since=0&follow=true"));
        let response = connection.head(&ask).await.unwrap();
        assert_eq!(response.status(), 200, "events");
        (connection, response.into_body())
    }
}
