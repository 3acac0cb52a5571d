//! What the host says: polled, and heard of at once through its events. A host that goes away is looked for until it is
//! back; it is found anew each time, since a host that was started again has another address and another token.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::state::{Ask, News, Said};
use crate::cli::args::Connection;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::lines::Lines;
use crate::cli::text::Tone;
use crate::cli::time::now_ms;
use crate::cli::views::{Agent, Happened, HostAttention};

/// Between two looks when nothing happens.
const LOOK_EACH: Duration = Duration::from_millis(500);

/// Between two looks however much happens.
const LOOK_AT_MOST_EACH: Duration = Duration::from_millis(100);

/// A host that takes longer to say what it does has stopped, for whoever watches.
const PATIENCE: Duration = Duration::from_secs(3);

/// Before events are asked for again.
const RECONNECT: Duration = Duration::from_millis(500);

/// News that may wait to be drawn; whoever brings more waits, too.
const WAITING: usize = 256;

/// News as they come. Everything behind it ends with this value.
pub(super) struct Feed {
    news: mpsc::Receiver<News>,
    /// Two that never end, and a short one for each order, which brings its news itself.
    tasks: JoinSet<Option<News>>,
}

impl Feed {
    pub(super) fn start(connection: &Connection) -> Self {
        let (to, news) = mpsc::channel(WAITING);
        let hint = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(look_again_and_again(
            connection.clone(),
            to.clone(),
            Arc::clone(&hint),
        ));
        tasks.spawn(follow_again_and_again(connection.clone(), to, hint));
        Self { news, tasks }
    }

    /// The next news. Safe to cancel.
    ///
    /// # Errors
    /// A part of this command failed in a way that it should not.
    pub(super) async fn next(&mut self) -> Result<News, Failure> {
        tokio::select! {
            Some(news) = self.news.recv() => Ok(news),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Some(news)) => Ok(news),
                Ok(None) | Err(_) => Err(broken()),
            },
            else => Err(broken()),
        }
    }

    /// News that are there already.
    pub(super) fn ready(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Gives an order; what becomes of it is news.
    pub(super) fn order(&mut self, connection: &Connection, ask: Ask) {
        let connection = connection.clone();
        self.tasks
            .spawn(async move { Some(order(&connection, &ask).await) });
    }
}

fn broken() -> Failure {
    Failure::No("a part of `caxton top` ended that should not: please report this".to_owned())
}

async fn order(connection: &Connection, ask: &Ask) -> News {
    let order = ask.order.name();
    let body = json!({});
    let taken = match Client::find(connection) {
        Ok(client) => client.order(&ask.agent, order, &body).await,
        Err(failure) => Err(failure),
    };
    let (text, tone) = match taken {
        Ok(taken) => {
            let order = taken.get("order").and_then(Value::as_str).unwrap_or(order);
            (format!("{}: {order} is under way", ask.agent), Tone::Good)
        }
        Err(failure) => (failure.to_string(), Tone::Bad),
    };
    News::Ordered(Said {
        text,
        tone,
        at: now_ms(),
    })
}

async fn look_again_and_again(
    connection: Connection,
    to: mpsc::Sender<News>,
    hint: Arc<Notify>,
) -> Option<News> {
    let mut client = None;
    loop {
        let looked = timeout(PATIENCE, look(&connection, &mut client)).await;
        let looked = looked.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Failure::Unreachable(format!(
                "the host does not answer within {seconds} s"
            )))
        });
        let news = looked.unwrap_or_else(|failure| {
            client = None;
            News::Lost {
                why: failure.to_string(),
                at: now_ms(),
            }
        });
        if to.send(news).await.is_err() {
            return None;
        }
        sleep(LOOK_AT_MOST_EACH).await;
        // Sooner when something happened.
        let _ = timeout(LOOK_EACH - LOOK_AT_MOST_EACH, hint.notified()).await;
    }
}

async fn look(connection: &Connection, client: &mut Option<Client>) -> Result<News, Failure> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::find(connection)?),
    };
    let agents: Vec<Agent> = client.read(client.get("agents").await?)?;
    let host: HostAttention = client.read(client.get("host").await?)?;
    Ok(News::Seen {
        agents,
        host: host.attention,
    })
}

async fn follow_again_and_again(
    connection: Connection,
    to: mpsc::Sender<News>,
    hint: Arc<Notify>,
) -> Option<News> {
    // A host that was started again counts from 1 again; it notices that the position is not its own.
    let mut position = 0;
    loop {
        // Why it ended is told by the look that fails as well.
        let _ = follow(&connection, &mut position, &to, &hint).await;
        if to.is_closed() {
            return None;
        }
        sleep(RECONNECT).await;
    }
}

async fn follow(
    connection: &Connection,
    position: &mut u64,
    to: &mpsc::Sender<News>,
    hint: &Notify,
) -> Result<(), Failure> {
    let client = Client::find(connection)?;
    let mut lines = Lines::of(client.events(*position, true).await?);
    while let Some(line) = lines.next(&client).await? {
        // What cannot be read is passed over: the next look shows the state as it is.
        let Ok(event) = serde_json::from_str::<Happened>(&line) else {
            continue;
        };
        if let Some(seq) = event.fields.get("seq").and_then(Value::as_u64) {
            *position = seq;
        }
        if to.send(News::Happened(event)).await.is_err() {
            return Ok(());
        }
        hint.notify_one();
    }
    Ok(())
}
