//! Many agents for a long time: constant load, a reload somewhere all the time, and faults thrown in.
//!
//! Nothing may be lost but what immediate reloads cut and count, and nothing may grow. *Flat* is this: the median of the samples in
//! the last fifth of the time is at most a tenth (memory) or a twentieth (files, threads) above the median in the second fifth. The
//! first fifth is left out, because caches and the allocator fill in it; medians, because a version that is compiled at the moment of
//! a sample takes tens of megabytes and gives them back. A leak of one kibibyte for each request or reload would show as a
//! multiple.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use caxton_test_artifacts::{Manner, POLICY_FAULTY};
use fastrand::Rng;
use serde_json::json;

use crate::admin::number;
use crate::figures::{Figures, at, size_of};
use crate::host::{Host, beside_this_program};
use crate::kill::dropped::Builds;
use crate::kill::judge::{Ledger, Life, Requests};
use crate::kill::plan::{AGENTS, Agent};
use crate::kill::seen::{Notebook, is_terminal};
use crate::kill::work::Deployer;
use crate::traffic::{Ask, Traffic};

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long.
    pub time: Duration,
    /// Agents; a fifth of each kind.
    pub agents: u32,
    /// Between two reloads.
    pub every: Duration,
}

/// Between two requests of an agent's client.
const PAUSE: Duration = Duration::from_millis(40);

/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(5);

/// Between two lines of the table.
const LINES: u32 = 60;

/// By how much memory may be larger at the end: see above.
const MEMORY: f64 = 1.10;

/// The same for files and threads, with two to spare: a few are few.
const COUNTS: f64 = 1.05;

const CONFIG: &str = "\
[host]
policies = \"policies\"
tick = \"200ms\"
settle = \"50ms\"
rescan = \"1s\"
remove_grace = \"1s\"
[defaults.reload]
warm_up = \"150ms\"
bake = \"2s\"
keep_previous = \"2s\"
deadline = \"10s\"
[defaults.rollback]
policies = [{ name = \"thresholds\", settings = { minimum_sample = 10 } }]
breaker = { count = 0 }
";

/// What some agents are judged by: a policy that fails whenever it is asked, in ways that change.
const JUDGED_BY_A_FAULTY_ONE: &str = "\
[rollback]
policies = [{ name = \"thresholds\", settings = { minimum_sample = 10 } }, { name = \"faulty\", mode = \"MODE\" }]
";

struct Soak {
    plan: Plan,
    host: Host,
    deployer: Deployer,
    names: Vec<(String, &'static Agent)>,
    rng: Rng,
    seen: Notebook,
    ledger: Ledger,
    read: usize,
    requests: Requests,
    violations: Vec<String>,
    samples: Vec<Figures>,
    begun: Instant,
}

/// Does it, and prints what came of it; whether everything is as it must be.
///
/// # Errors
/// It cannot be done.
pub async fn measure(plan: Plan) -> Result<bool> {
    let mut soak = Soak::begin(plan).await?;
    let asks: Vec<Ask> = soak
        .names
        .iter()
        .map(|(name, kind)| kind.ask_of(name))
        .collect();
    let traffic = Traffic::start(&asks, 1, PAUSE);
    traffic.at(&soak.host.gateway);
    println!(
        "minute   requests   resident KiB   files   threads   data files   data MiB   journal KiB"
    );
    let mut waiting = Vec::new();
    let (mut next_sample, mut next_line) = (soak.begun + SAMPLE, 0);
    while soak.begun.elapsed() < plan.time {
        tokio::time::sleep(plan.every).await;
        soak.disturb().await;
        if Instant::now() < next_sample {
            continue;
        }
        next_sample += SAMPLE;
        soak.samples.push(Figures::of(soak.host.pid())?);
        // Answers are judged one round later: then whatever was told of their versions has arrived.
        let answers = std::mem::replace(&mut waiting, traffic.take());
        soak.judge(&answers);
        let seconds = u32::try_from(soak.begun.elapsed().as_secs()).unwrap_or(u32::MAX);
        if seconds >= next_line {
            soak.line();
            next_line += LINES;
        }
    }
    traffic.rest().await;
    tokio::time::sleep(SAMPLE).await;
    soak.judge(&waiting);
    soak.judge(&traffic.take());
    soak.line();
    Ok(soak.end())
}

impl Soak {
    async fn begin(plan: Plan) -> Result<Self> {
        let mut host = Host::launch_over(beside_this_program("caxton")?, CONFIG, |agents| {
            let policies = agents.with_file_name("policies");
            std::fs::create_dir(&policies)?;
            std::fs::write(policies.join("faulty.toml"), fault(0))?;
            Ok(std::fs::write(policies.join("faulty.wasm"), POLICY_FAULTY)?)
        })?;
        host.up().await?;
        let deployer = Deployer::into(&host.agents());
        let kinds = AGENTS.iter().cycle().take(plan.agents as usize);
        let names: Vec<_> = kinds
            .enumerate()
            .map(|(place, kind)| (format!("{}-{place:02}", kind.name), kind))
            .collect();
        for (place, (name, kind)) in names.iter().enumerate() {
            let judged = match place % 10 {
                3 => JUDGED_BY_A_FAULTY_ONE.replace("MODE", "enforce"),
                7 => JUDGED_BY_A_FAULTY_ONE.replace("MODE", "monitor"),
                _ => String::new(),
            };
            host.configure(name, &format!("{}{judged}", kind.config))?;
            deployer.put(name, &deployer.make(kind, Manner::Good)?.bytes)?;
        }
        let seen = Notebook::default();
        let (mut events, _reader) = host.admin.follow().await?;
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                noted.open().tell(event);
            }
        });
        let soak = Self {
            plan,
            deployer,
            names,
            rng: Rng::with_seed(11),
            seen,
            ledger: Ledger::default(),
            read: 0,
            requests: Requests::default(),
            violations: Vec::new(),
            samples: Vec::new(),
            begun: Instant::now(),
            host,
        };
        soak.until_all_serve().await?;
        Ok(Self {
            begun: Instant::now(),
            ..soak
        })
    }

    async fn until_all_serve(&self) -> Result<()> {
        loop {
            let agents = self.host.admin.list("agents").await?;
            let serving = agents
                .iter()
                .filter(|a| a.get("stable").is_some_and(|s| !s.is_null()));
            if serving.count() == self.names.len() {
                return Ok(());
            }
            anyhow::ensure!(
                self.begun.elapsed() < Duration::from_secs(600),
                "not all agents serve: {}",
                self.host.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One reload, or something that goes wrong.
    async fn disturb(&mut self) {
        let Some((name, kind)) = self.rng.choice(&self.names).cloned() else {
            return;
        };
        let made = match self.rng.u8(..100) {
            0..66 => self.deployer.make(kind, Manner::Good),
            66..76 => self.deployer.make(kind, Manner::Failing),
            76..82 => self.deployer.make(kind, Manner::Trapping),
            82..86 => {
                let refused = self.deployer.put(&name, b"\0asm and no more");
                return self.note(refused);
            }
            86..90 => {
                let gone = self.host.agents().join(format!("{name}.wasm"));
                // It may be gone already.
                let _ = std::fs::remove_file(gone);
                tokio::time::sleep(self.plan.every).await;
                self.deployer.make(kind, Manner::Good)
            }
            90..93 => {
                let settings = self.host.folder().join("policies/faulty.toml");
                let written = std::fs::write(settings, fault(self.rng.usize(..)));
                return self.note(written.map_err(Into::into));
            }
            _ => {
                let orders = ["rollback", "abort", "promote", "retry", "resume"];
                let order = self.rng.choice(orders).unwrap_or("resume");
                let path = format!("agents/{name}/{order}");
                // Most are refused, since nothing goes on that they could be about.
                let sent = self.host.admin.post(&path, &json!({})).await;
                return self.note(sent.map(drop));
            }
        };
        let put = made.and_then(|build| self.deployer.put(&name, &build.bytes));
        self.note(put);
    }

    fn note(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.violations.push(format!("{error:#}"));
        }
    }

    fn judge(&mut self, answers: &[crate::traffic::Answer]) {
        let seen = self.seen.open();
        let new = seen.events.get(self.read..).unwrap_or_default();
        // Operators let contents in again here, so that a quarantine may end; the rest must hold.
        let told = self.ledger.read(new);
        let told = told
            .into_iter()
            .filter(|text| !text.contains("quarantined content"));
        self.violations.extend(told);
        self.read = seen.events.len();
        let life = Life {
            permanent: self
                .names
                .iter()
                .map(|(name, _)| (name.clone(), 1))
                .collect(),
            ready: self.begun,
            killed: Instant::now() + self.plan.time,
            recorded: Default::default(),
        };
        let (ledger, requests) = (&mut self.ledger, &mut self.requests);
        let judged = self
            .deployer
            .look(|builds: &Builds| ledger.judge(&life, &seen, answers, builds, requests));
        self.violations.extend(judged);
    }

    fn line(&self) {
        let Some(now) = self.samples.last() else {
            return;
        };
        let (files, bytes) = size_of(&self.host.data_dir());
        let journal = ["", "-wal"].map(|end| {
            let file = self.host.data_dir().join(format!("journal.sqlite3{end}"));
            std::fs::metadata(file).map_or(0, |data| data.len())
        });
        println!(
            "{:>6.1}   {:>8}   {:>12}   {:>5}   {:>7}   {:>10}   {:>8}   {:>11}",
            self.begun.elapsed().as_secs_f64() / 60.0,
            self.requests.good,
            now.resident_kib,
            now.files,
            now.threads,
            files,
            bytes >> 20,
            journal.iter().sum::<u64>() >> 10
        );
    }

    fn end(mut self) -> bool {
        let r = self.requests;
        println!(
            "requests: {} answered, {} failed by a version that fails on purpose, {} cut by immediate reloads, {} lost",
            r.good, r.by_version, r.cut_by_immediate, r.lost
        );
        let (mut ended, mut told_cut, mut faults) = (BTreeMap::<String, u32>::new(), 0, 0);
        for told in &self.seen.open().events {
            match (told.status(), told.kind()) {
                (Some(status), _) if is_terminal(status) => {
                    *ended.entry(status.to_owned()).or_default() += 1;
                }
                (_, "calls-cut") => told_cut += number(&told.json, "calls").unwrap_or_default(),
                (_, "fault") => faults += 1,
                _ => {}
            }
        }
        println!(
            "reloads: {ended:?}; faults of policies: {faults}; calls that the host tells it cut: {told_cut}"
        );
        if r.cut_by_immediate > told_cut {
            self.violations.push(format!(
                "clients saw {} calls cut, the host tells {told_cut}",
                r.cut_by_immediate
            ));
        }
        self.flat("resident KiB", MEMORY, |f| f.resident_kib);
        self.flat("files", COUNTS, |f| f.files);
        self.flat("threads", COUNTS, |f| f.threads);
        println!("violations: {}", self.violations.len());
        for violation in self.violations.iter().take(30) {
            println!("  {violation}");
        }
        if !self.violations.is_empty() {
            println!("left as it is: {}", self.host.keep().display());
        }
        self.violations.is_empty()
    }

    fn flat(&mut self, what: &str, at_most: f64, figure: impl Fn(&Figures) -> u64) {
        let fifth = (self.samples.len() / 5).max(1);
        let median = |from: usize| {
            let samples = self.samples.iter().skip(from).take(fifth);
            let mut samples: Vec<u64> = samples.map(&figure).collect();
            samples.sort_unstable();
            at(&samples, 50)
        };
        let (then, now) = (
            median(fifth),
            median(self.samples.len() - fifth.min(self.samples.len())),
        );
        let ratio = now as f64 / then.max(1) as f64;
        println!("{what}: median of the second fifth {then}, of the last {now}, ratio {ratio:.3}");
        if ratio > at_most && now > then + 2 {
            self.violations.push(format!(
                "{what} grew by the factor {ratio:.3}: at most {at_most}"
            ));
        }
    }
}

/// How the faulty policy fails next.
fn fault(turn: usize) -> String {
    let faults = ["trap", "loop", "error", "undecided"];
    let fault = faults.get(turn % faults.len()).unwrap_or(&"trap");
    format!("fault = \"{fault}\"\n")
}
