//! How long requests wait while the state of an agent moves from one version to the next.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use caxton_test_artifacts::{STATEFUL, with_section};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::host::Host;

/// Without bake and warm-up: what is measured is the hand-over, not a configured wait.
const CONFIG: &str = "[defaults.reload]\nbake = \"0s\"\nwarm_up = \"0s\"\n";

/// The agent's name; it counts its calls and answers with the count.
const AGENT: &str = "counter";

/// Between two looks at which version answers.
const LOOK: Duration = Duration::from_millis(1);

/// How long one reload may take before the measurement is given up.
const DEADLINE: Duration = Duration::from_secs(60);

/// How it is called while it is reloaded.
pub struct Load {
    /// Reloads, each with its own digest.
    pub reloads: u32,
    /// Clients, each with one connection that is kept and one request at a time.
    pub clients: u32,
    /// Between two reloads, so that there are requests that meet none.
    pub pause: Duration,
}

/// One request, as its client saw it.
struct Request {
    begun: Instant,
    ended: Instant,
    /// The version and the count that were answered; none where there was no good answer.
    answer: Option<Answer>,
}

#[derive(Clone, Copy)]
struct Answer {
    version: u32,
    count: u64,
}

/// From the last answer of the old version to the first one of the new: whoever waited at the gate was under way in it.
struct Swap {
    from: Instant,
    to: Instant,
}

/// Prints how long requests took that overlapped a hand-over, how long all others did, and how many were lost.
///
/// # Errors
/// A reload does not come in.
pub async fn measure(load: Load) -> Result<()> {
    let host = Host::start(CONFIG).await?;
    host.drop_in(AGENT, STATEFUL)?;
    host.answered_by_post(AGENT, 1).await?;

    let (stop, stopped) = watch::channel(false);
    let (seen, newest) = watch::channel(1);
    let clients: Vec<_> = (0..load.clients)
        .map(|_| client(&host, stopped.clone(), seen.clone()))
        .collect();
    for round in 0..load.reloads {
        tokio::time::sleep(load.pause).await;
        let bytes = with_section(STATEFUL, "round", round.to_string().as_bytes());
        host.drop_in(AGENT, &bytes)?;
        answered(&newest, round + 2).await?;
    }
    tokio::time::sleep(load.pause).await;
    stop.send_replace(true);

    let mut requests = Vec::new();
    for client in clients {
        requests.extend(client.await?);
    }
    report(&load, &requests);
    Ok(())
}

/// Waits until some client had an answer of this version.
async fn answered(newest: &watch::Receiver<u32>, version: u32) -> Result<()> {
    let given_up = Instant::now() + DEADLINE;
    while *newest.borrow() < version {
        if Instant::now() > given_up {
            bail!("version {version} of {AGENT} did not answer in {DEADLINE:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn client(
    host: &Host,
    stopped: watch::Receiver<bool>,
    seen: watch::Sender<u32>,
) -> JoinHandle<Vec<Request>> {
    let url = format!("http://{}/{AGENT}", host.gateway);
    tokio::spawn(async move {
        let client = crate::client();
        let mut requests = Vec::new();
        while !*stopped.borrow() {
            let begun = Instant::now();
            // A request without a good answer is lost, whatever the reason: it is counted and not looked into.
            let answer = ask(&client, &url).await.ok();
            let ended = Instant::now();
            if let Some(Answer { version, .. }) = answer {
                seen.send_if_modified(|newest| {
                    let newer = version > *newest;
                    *newest = version.max(*newest);
                    newer
                });
            }
            requests.push(Request {
                begun,
                ended,
                answer,
            });
        }
        requests
    })
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<Answer> {
    let reply = client.post(url).send().await?.error_for_status()?;
    let version = reply.headers().get("x-caxton-version");
    let version = version.context("no version")?.to_str()?.parse()?;
    let count = reply.text().await?.parse()?;
    Ok(Answer { version, count })
}

fn report(load: &Load, requests: &[Request]) {
    let swaps: Vec<_> = (2..=load.reloads + 1)
        .filter_map(|version| swap(requests, version))
        .collect();
    let (mut during, mut others) = (Vec::new(), Vec::new());
    for request in requests {
        let took = request.ended - request.begun;
        if swaps.iter().any(|swap| swap.overlaps(request)) {
            during.push(took);
        } else {
            others.push(took);
        }
    }
    let lost = requests.iter().filter(|r| r.answer.is_none()).count();
    let mut counts: Vec<_> = requests.iter().filter_map(|r| r.answer).collect();
    counts.sort_unstable_by_key(|answer| answer.count);
    let doubled = counts
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if a.count == b.count))
        .count();

    println!(
        "{} graceful reloads of an agent with state, {} KiB component, {} clients, {} requests",
        swaps.len(),
        STATEFUL.len() / 1024,
        load.clients,
        requests.len()
    );
    during.sort_unstable();
    others.sort_unstable();
    println!(
        "  longest wait at the gate, as a client saw it   {:>7.1} ms",
        at(&during, 100)
    );
    print("overlapping a hand-over", &during);
    print("all others", &others);
    println!("  lost {lost}, counts answered twice {doubled}");
}

/// The swap to this version; none where no client had an answer of it.
fn swap(requests: &[Request], version: u32) -> Option<Swap> {
    let answered = |request: &&Request, by: u32| request.answer.is_some_and(|a| a.version == by);
    let to = requests.iter().filter(|r| answered(r, version));
    let to = to.map(|r| r.ended).min()?;
    let from = requests.iter().filter(|r| answered(r, version - 1));
    let from = from.map(|r| r.ended).max()?;
    // Two clients may read their answers in the other order than they were given.
    Some(Swap {
        from: from.min(to),
        to: to.max(from),
    })
}

impl Swap {
    fn overlaps(&self, request: &Request) -> bool {
        request.begun <= self.to && request.ended >= self.from
    }
}

fn at(sorted: &[Duration], share: usize) -> f64 {
    let index = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(index)
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn print(what: &str, sorted: &[Duration]) {
    println!(
        "  {what:<24} {:>7} requests   p50 {:>7.2} ms   p99 {:>7.2} ms   max {:>7.2} ms",
        sorted.len(),
        at(sorted, 50),
        at(sorted, 99),
        at(sorted, 100)
    );
}
