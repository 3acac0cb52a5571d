//! Steady traffic: clients that keep their connections and write down what became of every request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinHandle;

use super::http::{Ask, Connection, Reply};
use super::time::epoch_ms;

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) sent: Instant,
    /// Wall clock, as the host writes moments.
    pub(crate) sent_at: f64,
    pub(crate) ended_at: f64,
    /// An error: not even a head came back.
    pub(crate) reply: Result<Reply, String>,
}

impl Record {
    /// Answered whole with 200.
    pub(crate) fn is_good(&self) -> bool {
        self.reply.as_ref().is_ok_and(Reply::is_good)
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.reply.as_ref().ok()?.version()
    }

    /// For messages: everything but the body's bytes.
    pub(crate) fn told(&self) -> String {
        let what = match &self.reply {
            Err(error) => format!("no head: {error}"),
            Ok(reply) => format!(
                "{} from version {:?}, {} bytes, broken: {:?}",
                reply.status,
                reply.version(),
                reply.body.len(),
                reply.broken
            ),
        };
        format!(
            "{} sent at {:.0}, {:.0} ms: {what}",
            self.path,
            self.sent_at,
            self.ended_at - self.sent_at
        )
    }
}

/// Traffic that runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Record>>>,
}

impl Load {
    /// `clients` of them, each with one connection, each going round the `asks` from another place.
    pub(crate) fn start(address: SocketAddr, clients: usize, asks: Vec<Ask>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let asks: Arc<[Ask]> = asks.into();
        let clients = (0..clients)
            .map(|place| {
                let (stop, answered, asks) =
                    (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&asks));
                tokio::spawn(client(address, place, asks, stop, answered))
            })
            .collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Requests that have ended so far.
    pub(crate) fn ended(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Lets every client finish what it has begun; all records in the order in which they were sent.
    pub(crate) async fn finish(self) -> Vec<Record> {
        self.stop.store(true, Ordering::SeqCst);
        let mut records = Vec::new();
        for client in self.clients {
            records.extend(client.await.unwrap());
        }
        records.sort_by_key(|record| record.sent);
        records
    }
}

async fn client(
    address: SocketAddr,
    place: usize,
    asks: Arc<[Ask]>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<Record> {
    let mut records = Vec::new();
    let mut kept = None;
    // Places that are far apart, so that clients do not march in step.
    for ask in asks.iter().cycle().skip(place * 7) {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (sent, sent_at) = (Instant::now(), epoch_ms());
        let reply = on_kept(&mut kept, address, ask).await;
        // A connection that broke off is done; so is one on which the host said that it will close it.
        let closes = match &reply {
            Ok(reply) => {
                reply.broken.is_some()
                    || reply
                        .headers
                        .get("connection")
                        .is_some_and(|c| c == "close")
            }
            Err(_) => true,
        };
        if closes {
            kept = None;
        }
        records.push(Record {
            path: ask.path.clone(),
            sent,
            sent_at,
            ended_at: epoch_ms(),
            reply,
        });
        answered.fetch_add(1, Ordering::SeqCst);
    }
    records
}

async fn on_kept(
    kept: &mut Option<Connection>,
    address: SocketAddr,
    ask: &Ask,
) -> Result<Reply, String> {
    if let Some(connection) = kept
        && connection.is_open().await
    {
        return connection.ask(ask).await;
    }
    kept.insert(Connection::open(address).await?).ask(ask).await
}
