//! A host that is killed again and again under load, in the middle of reloads of all strategies, and looked at each time.
//!
//! What must hold after each kill: the permanent version serves; nothing that was told is forgotten; no answer comes from a version
//! that was rolled back, and none from a candidate before its reload has begun anew; what counts does not go back behind what it had
//! saved; the journal is whole.

mod after;
mod aim;
mod autopsy;
pub mod dropped;
pub mod judge;
pub mod plan;
mod report;
pub mod seen;
mod wal;
pub mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use caxton_test_artifacts::Manner;
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinHandle;

use self::aim::{Aim, Trigger};
use self::autopsy::Autopsy;
use self::judge::{Ledger, Life};
use self::plan::{AGENTS, CONFIG};
use self::seen::Notebook;
use self::work::Deployer;
use crate::host::Host;
use crate::traffic::{Ask, Traffic};
pub use plan::Plan;
pub use report::Report;

/// A status was hit if the kill came this soon after it was seen.
const RIGHT_AFTER: Duration = Duration::from_millis(20);

/// A host is let live at least this long before the aim counts, so that not everything is hit in the first reload.
const ARMED_WITHIN: Duration = Duration::from_millis(700);

/// Once in so many kills nothing is aimed at.
const BY_CHANCE: u32 = 6;

/// Once in so many kills the next host is killed, too, while it starts.
const WHILE_STARTING: u32 = 8;

/// So often what nothing names is removed: builds of their own for hours would fill a disk.
const COLLECT_EVERY: u32 = 20;

/// Kills the host as the plan says.
///
/// # Errors
/// The trial itself cannot go on; what must not be of the host is in the report.
pub async fn measure(plan: Plan) -> Result<Report> {
    let mut trial = Trial::begin(plan).await?;
    for kill in 1..=trial.plan.times {
        let done = trial.live_and_die(kill).await;
        if let Err(error) = done {
            let words = trial.host.last_words();
            let text =
                format!("the trial cannot go on: {error:#}; the host's last words:\n{words}");
            trial.report.violations.push((kill, text));
            break;
        }
        if kill.is_multiple_of(10) {
            let found = trial.report.violations.len();
            eprintln!("{kill} kills, {found} violations");
        }
    }
    if !trial.report.violations.is_empty() {
        eprintln!("left as it is: {}", trial.host.keep().display());
    }
    Ok(trial.report)
}

struct Trial {
    plan: Plan,
    host: Host,
    deployer: Deployer,
    traffic: Traffic,
    rng: Rng,
    ledger: Ledger,
    report: Report,
    /// When the present host's agents had all answered.
    ready: Instant,
    /// What they had to serve first.
    permanent: BTreeMap<String, u64>,
    /// What the agent that counts had saved before the present host.
    saved: Option<u64>,
    /// Reloads that were interrupted before the present host.
    interrupted: BTreeMap<(String, String), u64>,
}

/// What goes on beside the traffic while a host lives.
struct Bustle {
    tasks: Vec<JoinHandle<()>>,
    follower: JoinHandle<()>,
    aimer: Option<std::thread::JoinHandle<()>>,
}

impl Trial {
    async fn begin(plan: Plan) -> Result<Self> {
        let mut host = Host::launch(plan.binary.clone(), CONFIG)?;
        host.up().await?;
        let deployer = Deployer::into(&host.agents());
        for agent in &AGENTS {
            host.configure(agent.name, agent.config)?;
            let build = deployer.make(agent, Manner::Good)?;
            deployer.put(agent.name, &build.bytes)?;
        }
        let asks: Vec<Ask> = AGENTS.iter().map(plan::Agent::ask).collect();
        let traffic = Traffic::start(&asks, plan.clients, plan.pause);
        let mut trial = Self {
            report: Report::expecting(plan.each_at_least),
            rng: Rng::with_seed(plan.seed),
            ready: Instant::now(),
            permanent: AGENTS.iter().map(|a| (a.name.to_owned(), 1)).collect(),
            saved: None,
            interrupted: BTreeMap::new(),
            ledger: Ledger::default(),
            plan,
            host,
            deployer,
            traffic,
        };
        trial.until_all_serve().await?;
        trial.traffic.at(&trial.host.gateway);
        Ok(trial)
    }

    /// Waits until every agent has a permanent version, and answers.
    async fn until_all_serve(&mut self) -> Result<()> {
        let given_up = Instant::now() + Duration::from_secs(120);
        loop {
            let agents = self.host.admin.list("agents").await?;
            let serving = agents
                .iter()
                .filter(|a| a.get("stable").is_some_and(|s| !s.is_null()));
            if serving.count() == AGENTS.len() {
                self.ready = Instant::now();
                return Ok(());
            }
            if Instant::now() > given_up {
                bail!("not all agents serve: {agents:#?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn live_and_die(&mut self, kill: u32) -> Result<()> {
        let aim = if kill.is_multiple_of(BY_CHANCE) {
            Aim::Chance
        } else {
            self.report.least(&mut self.rng)
        };
        let (seen, trigger) = (Notebook::default(), Trigger::default());
        let bustle = self.bustle(&aim, &seen, &trigger).await?;
        if kill.is_multiple_of(COLLECT_EVERY) {
            let (status, answer) = self.host.admin.post("gc", &json!({})).await?;
            if status != 200 {
                self.violation(kill, format!("gc: {status} {answer}"));
            }
        }
        let armed_after = ARMED_WITHIN.mul_f64(self.rng.f64());
        tokio::time::sleep(armed_after).await;
        trigger.arm();
        let longest = match aim {
            Aim::Chance => self.plan.longest_life.mul_f64(self.rng.f64() / 3.0),
            _ => self.plan.longest_life,
        };
        // Where what is aimed at does not come, the moment is as good as any other.
        let _ = tokio::time::timeout(longest, trigger.pulled()).await;
        let (killed, killed_at) = (Instant::now(), SystemTime::now());
        self.host.kill()?;
        self.report.kills += 1;
        self.traffic.rest().await;
        trigger.end();
        bustle.end().await;
        self.look(kill, &aim, &seen, killed, killed_at).await
    }

    /// Looks at what was left, starts the next host, and holds it against what was seen of this one.
    async fn look(
        &mut self,
        kill: u32,
        aim: &Aim,
        seen: &Notebook,
        killed: Instant,
        killed_at: SystemTime,
    ) -> Result<()> {
        let found = {
            let seen = seen.open();
            let found = Autopsy::of(&self.host.data_dir(), killed_at, &seen)?;
            let last = right_before(aim, &seen, killed);
            self.report.hit(last.as_deref(), &found);
            self.report.looked_for +=
                (seen.events.iter().filter(|told| told.lasts()).count() + seen.taken.len()) as u64;
            found
        };
        let mut violations = found.violations.clone();
        {
            let (seen, answers) = (seen.open(), self.traffic.take());
            violations.extend(self.ledger.read(&seen.events));
            let life = Life {
                permanent: std::mem::take(&mut self.permanent),
                ready: self.ready,
                killed,
                recorded: recorded(&found),
            };
            let (ledger, requests) = (&mut self.ledger, &mut self.report.requests);
            violations.extend(
                self.deployer
                    .look(|builds| ledger.judge(&life, &seen, &answers, builds, requests)),
            );
            violations.extend(ledger.counts_on(&answers, self.saved));
            violations.extend(after::permanent(&found, &seen));
            violations.extend(judge::jumps(&seen));
            violations.extend(judge::renumbered(&seen, &self.interrupted));
        }
        for violation in violations {
            self.violation(kill, violation);
        }
        if kill.is_multiple_of(WHILE_STARTING) {
            self.kill_while_starting().await?;
        }
        self.start_again(kill, &found, seen).await
    }

    async fn kill_while_starting(&mut self) -> Result<()> {
        self.host.launch_again()?;
        let usual = self.report.announced.last().copied().unwrap_or_default();
        tokio::time::sleep(usual.mul_f64(self.rng.f64() * 1.5)).await;
        self.host.kill()?;
        self.report.kills += 1;
        self.report.while_starting += 1;
        Ok(())
    }

    async fn start_again(&mut self, kill: u32, found: &Autopsy, seen: &Notebook) -> Result<()> {
        let (launched, launched_at) = (Instant::now(), SystemTime::now());
        self.host.launch_again()?;
        self.host.up().await?;
        let announced = launched.elapsed();
        self.traffic.at(&self.host.gateway);
        let agents = after::all_listed(&self.host.admin, found).await?;
        let ready = after::all_answer(&self.host.gateway).await?;
        self.ready = ready;
        self.report.announced.push(announced);
        self.report.starts.push(ready - launched);
        if ready - launched > self.plan.start_within {
            let text = format!(
                "all agents answered only {:?} after the start",
                ready - launched
            );
            self.violation(kill, text);
        }
        self.permanent = found
            .agents
            .iter()
            .filter_map(|(agent, standing)| Some((agent.clone(), standing.permanent?)))
            .collect();
        self.interrupted = interrupted(found);
        self.saved = found.agents.get("counter").and_then(|agent| agent.count);
        let mut violations = after::statuses(&agents, found, &self.ledger);
        for agent in &AGENTS {
            let path = format!("agents/{}/history", agent.name);
            let history = self.host.admin.list(&path).await.context("history")?;
            let seen = seen.open();
            violations.extend(after::history(agent.name, &history, found, &seen));
            self.report.looked_for += history.len() as u64;
        }
        let left = autopsy::leftovers(&self.host.data_dir(), launched_at);
        violations.extend(left.into_iter().map(|file| format!("left over: {file}")));
        for violation in violations {
            self.violation(kill, violation);
        }
        Ok(())
    }

    async fn bustle(&mut self, aim: &Aim, seen: &Notebook, trigger: &Trigger) -> Result<Bustle> {
        let (mut events, reader) = self.host.admin.follow().await?;
        let wanted = match aim {
            Aim::Status(status) => Some((*status).to_owned()),
            _ => None,
        };
        let (noted, pulled) = (seen.clone(), trigger.clone());
        let follower = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let status = noted.open().tell(event);
                if status.is_some() && status == wanted {
                    pulled.pull();
                }
            }
        });
        let (what, data, pulled) = (aim.clone(), self.host.data_dir(), trigger.clone());
        let aimer = std::thread::spawn(move || aim::watch(&what, &data, &pulled));
        let work = self.deployer.clone().work(seen.clone(), self.rng.fork());
        let orders = work::order(self.host.admin.clone(), seen.clone(), self.rng.fork());
        Ok(Bustle {
            tasks: vec![tokio::spawn(work), tokio::spawn(orders), reader],
            follower,
            aimer: Some(aimer),
        })
    }

    fn violation(&mut self, kill: u32, text: String) {
        eprintln!("after kill {kill}: {text}");
        self.report.violations.push((kill, text));
    }
}

impl Bustle {
    async fn end(mut self) {
        // What the host sent before the kill is read to its end: it was told.
        if let Some(reader) = self.tasks.pop() {
            let _ = reader.await;
        }
        let _ = self.follower.await;
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            // An error is that it was aborted.
            let _ = task.await;
        }
        if let Some(aimer) = self.aimer.take() {
            let _ = aimer.join();
        }
    }
}

/// The status that was seen right before the kill; the one that was aimed at, if it is among several.
fn right_before(aim: &Aim, seen: &seen::Seen, killed: Instant) -> Option<String> {
    let lately: Vec<&str> = seen
        .events
        .iter()
        .filter(|told| killed.saturating_duration_since(told.seen) < RIGHT_AFTER)
        .filter_map(seen::Told::status)
        .collect();
    match aim {
        Aim::Status(status) if lately.contains(status) => Some((*status).to_owned()),
        _ => lately.last().map(|status| (*status).to_owned()),
    }
}

/// Reloads that went on and were not on their way back: agent and component, by number.
fn interrupted(found: &Autopsy) -> BTreeMap<(String, String), u64> {
    let going_on = found.agents.iter().filter_map(|(agent, standing)| {
        let reload = standing.going_on.as_ref()?;
        let comes_in = !["rolling-back", "completed"].contains(&reload.status.as_str());
        comes_in.then(|| ((agent.clone(), reload.component.clone()), reload.number))
    });
    going_on.collect()
}

/// Candidates that may have traffic by what the journal says.
fn recorded(found: &Autopsy) -> BTreeSet<(String, u64)> {
    let with_traffic = ["in-progress", "rolling-back"];
    let going_on = found.agents.iter().filter_map(|(agent, standing)| {
        let reload = standing.going_on.as_ref()?;
        with_traffic
            .contains(&reload.status.as_str())
            .then(|| (agent.clone(), reload.number))
    });
    let permanent = found
        .agents
        .iter()
        .filter_map(|(agent, standing)| Some((agent.clone(), standing.permanent?)));
    going_on.chain(permanent).collect()
}

/// The host that stands beside this program.
///
/// # Errors
/// There is none.
pub fn host_beside() -> Result<PathBuf> {
    crate::host::beside_this_program("caxton")
}
