//! Steady traffic: clients that write down what became of every request, and wait while there is no host.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request that clients repeat.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The agent.
    pub agent: String,
    /// The path at the gateway.
    pub path: String,
    /// With POST; otherwise GET.
    pub post: bool,
}

/// What became of one request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whom it asked.
    pub agent: String,
    /// When it was sent.
    pub sent: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The same on the wall clock in milliseconds, as the host writes moments.
    pub ended_at: u64,
    /// The version that says it answered.
    pub version: Option<u64>,
    /// 0 where not even a head came.
    pub status: u16,
    /// The body, as far as it came.
    pub text: String,
    /// Why it is not whole.
    pub broken: Option<String>,
}

impl Answer {
    /// Whole, with 200.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status == 200 && self.broken.is_none()
    }
}

/// The wall clock in milliseconds.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Traffic that runs until this is dropped.
pub struct Traffic {
    gateway: watch::Sender<Option<String>>,
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<Vec<Answer>>,
    /// Requests under way.
    running: AtomicUsize,
    ended: AtomicBool,
}

impl Traffic {
    /// For each of the asks a number of clients, each with a pause between two requests. They wait for a gateway.
    #[must_use]
    pub fn start(asks: &[Ask], clients: usize, pause: Duration) -> Self {
        let (gateway, watched) = watch::channel(None);
        let shared = Arc::<Shared>::default();
        let clients = asks
            .iter()
            .flat_map(|ask| std::iter::repeat_n(ask, clients))
            .map(|ask| {
                let (ask, gateway, shared) = (ask.clone(), watched.clone(), Arc::clone(&shared));
                tokio::spawn(client(ask, gateway, shared, pause))
            })
            .collect();
        Self {
            gateway,
            shared,
            clients,
        }
    }

    /// From now on at this gateway.
    pub fn at(&self, gateway: &str) {
        self.gateway.send_replace(Some(gateway.to_owned()));
    }

    /// Begins no more requests, and returns once those under way have ended.
    pub async fn rest(&self) {
        self.gateway.send_replace(None);
        while self.shared.running.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What has ended since the last time, in the order in which it ended.
    #[must_use]
    pub fn take(&self) -> Vec<Answer> {
        let mut answers = self.shared.answers.lock();
        let answers = answers.as_deref_mut();
        let mut taken = answers.map(std::mem::take).unwrap_or_default();
        taken.sort_by_key(|answer| answer.ended);
        taken
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for client in &self.clients {
            client.abort();
        }
    }
}

async fn client(
    ask: Ask,
    mut gateway: watch::Receiver<Option<String>>,
    shared: Arc<Shared>,
    pause: Duration,
) {
    let http = crate::client();
    while !shared.ended.load(Ordering::SeqCst) {
        // Counted before the gateway is looked at, so that nobody takes this client for one that rests.
        shared.running.fetch_add(1, Ordering::SeqCst);
        let at = gateway.borrow_and_update().clone();
        if let Some(at) = &at {
            let answer = request(&http, at, &ask).await;
            let mut answers = shared
                .answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            answers.push(answer);
        }
        shared.running.fetch_sub(1, Ordering::SeqCst);
        match at {
            Some(_) => tokio::time::sleep(pause).await,
            None => {
                if gateway.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn request(http: &reqwest::Client, gateway: &str, ask: &Ask) -> Answer {
    let url = format!("http://{gateway}{}", ask.path);
    let request = if ask.post {
        http.post(url)
    } else {
        http.get(url)
    };
    let mut answer = Answer {
        agent: ask.agent.clone(),
        sent: Instant::now(),
        ended: Instant::now(),
        ended_at: 0,
        version: None,
        status: 0,
        text: String::new(),
        broken: None,
    };
    match request.send().await {
        Ok(reply) => {
            answer.status = reply.status().as_u16();
            let version = reply.headers().get("x-caxton-version");
            answer.version = version.and_then(|v| v.to_str().ok()?.parse().ok());
            match reply.text().await {
                Ok(text) => answer.text = text,
                Err(error) => answer.broken = Some(format!("{error:?}")),
            }
        }
        Err(error) => answer.broken = Some(format!("{error:?}")),
    }
    answer.ended = Instant::now();
    answer.ended_at = now_ms();
    answer
}
