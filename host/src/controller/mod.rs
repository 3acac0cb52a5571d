//! The one task between the edges and the core: facts in, commands out, nothing decided here.
//!
//! It owns the core, the contents and the live versions. Everything that may take time runs as a task beside it and
//! comes back as an event; the task is owned and ends with the controller. The request path never waits for it: the
//! gateway reads the routing table that is stored here, whole, in one store.

pub(crate) mod agent;
mod asking;
mod checkpoints;
mod execute;
pub(crate) mod files;
mod handover;
mod intake;
mod judging;
mod look;
mod measure;
mod policy_news;
mod recall;
mod rest;
mod show;
mod showing;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton_rollout::{
    AgentName, Attention, Command, Event, Fault, Fleet, FleetSettings, HotReloadId,
    HotReloadResult, Moment, Notice, OrderError, Ticket,
};
use caxton_runtime::Runtime;
use caxton_store::{Act, Store, Written};
use caxton_watch::Watcher;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::agent::{Agent, Pinned, Refused};
use self::checkpoints::StateNews;
use self::execute::Prepared;
use self::handover::Moved;
use self::intake::Inspected;
use self::judging::Heard;
pub use self::recall::Recalled;
pub(crate) use self::recall::known;
use self::showing::{Answer, Unshown};
use crate::clock::Clock;
use crate::config::RouteConfig;
use crate::events::EventLog;
use crate::folders::Folders;
use crate::handle::{ControllerHandle, Ordered};
use crate::logs::AgentLogs;
use crate::policies::{Policies, PolicyNews};
use crate::published::{AgentStatus, Published};
use crate::records::Recorder;
use crate::routes::RoutingTable;
use crate::snapshots::Snapshots;
use crate::telemetry::Telemetry;
use crate::telemetry::spans::ReloadSpans;

/// Components that are parsed at once; parsing one of 18 MB takes a core for a tenth of a second.
const INSPECTIONS: usize = 2;

/// How long a host that stops waits until agents have saved their state: well beyond what each of them may take.
const REST_WAIT: Duration = Duration::from_secs(60);

/// Versions that are brought up at once. At a start with a thousand agents all would be: each needs a thread to read its
/// component, the component in memory, and memory that the allocator does not give back. It is more than there are reloads at once,
/// so that a version to go back to does not wait for those that are compiled.
const PREPARING: usize = 16;

/// Agents' files that are put into the store at once: a disk syncs a few as fast as many.
const STORING: usize = 4;

/// How often files are looked into again that could not be stored.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// When there is nothing to wait for, look again after this; it only has to be long.
const IDLE: Duration = Duration::from_secs(3600);

/// What a task came back with.
enum Done {
    Event(Event),
    Heard(Heard),
    Inspected(Inspected),
    Prepared(Prepared),
    Moved(Moved),
    State(StateNews),
    Pinned {
        agent: AgentName,
        ticket: Ticket,
        reload: HotReloadId,
        result: Result<Pinned, Fault>,
    },
}

/// An event that is told once what it is about is shown.
struct Untold {
    at: Moment,
    agent: Option<AgentName>,
    reload: Option<HotReloadId>,
    kind: String,
    fields: Value,
    /// What the log says of it, where the core told it.
    notice: Option<Notice>,
}

/// What the controller is made of.
pub struct Parts {
    /// Brings agents up.
    pub runtime: Arc<Runtime>,
    /// Finds policies.
    pub policies: Arc<Policies>,
    /// What happens in the policies directory.
    pub policy_news: mpsc::Receiver<PolicyNews>,
    /// What the directory says.
    pub watcher: Watcher,
    /// Where the gateway reads its routes.
    pub routes: Arc<ArcSwap<RoutingTable>>,
    /// Where decisions are told.
    pub events: Arc<EventLog>,
    /// What agents print.
    pub logs: Arc<AgentLogs>,
    /// Where they are kept, with what they rest on.
    pub recorder: Recorder,
    /// What outlives this process.
    pub store: Store,
    /// What earlier ones left, of each agent.
    pub recalled: Vec<Recalled>,
    /// What of it could not be read: one sentence each.
    pub damage: Vec<String>,
    /// Told when every permanent version that is remembered serves again, or is known not to come up.
    pub settled: oneshot::Sender<()>,
    /// The tables under every agent's own.
    pub defaults: toml::Table,
    /// Agents are as dev mode has them, whatever their configurations say.
    pub dev: bool,
    /// How often traffic is summed up.
    pub tick: Duration,
    /// Bounds and seed of the core.
    pub fleet: FleetSettings,
    /// The host's time.
    pub clock: Clock,
    /// What is counted for whoever watches from outside.
    pub telemetry: Telemetry,
    /// Where the watched directory is, and where the state of stopped agents is kept.
    pub(crate) folders: Folders,
}

/// See the module's documentation.
pub struct Controller {
    fleet: Fleet,
    clock: Clock,
    folders: Arc<Folders>,
    snapshots: Snapshots,
    runtime: Arc<Runtime>,
    policies: Arc<Policies>,
    policy_news: mpsc::Receiver<PolicyNews>,
    routes: Arc<ArcSwap<RoutingTable>>,
    published: Arc<ArcSwap<Published>>,
    events: Arc<EventLog>,
    logs: Arc<AgentLogs>,
    recorder: Recorder,
    store: Store,
    /// How far the journal is.
    written: watch::Receiver<Written>,
    /// What a start has to do first.
    begin: Vec<Command>,
    /// Who waits for the permanent versions to be up after the start.
    settled: Option<oneshot::Sender<()>>,
    /// What of the journal could not be read.
    damage: Vec<Attention>,
    untold: Vec<Untold>,
    answers: Vec<Answer>,
    unshown: Unshown,
    defaults: Arc<toml::Table>,
    dev: bool,
    tick: Duration,
    measured_until: Moment,
    agents: BTreeMap<AgentName, Agent>,
    /// Files that were looked into, of all agents: an agent that is forgotten and comes back begins no count anew.
    inspections: u64,
    /// How often a policy came or went.
    policy_changes: u64,
    /// Agents whose files are to be looked into again: what they were refused for may have changed.
    look_again: BTreeSet<AgentName>,
    /// When files are looked into again that could not be stored.
    store_again_at: Moment,
    /// As they were published last.
    shown: BTreeMap<AgentName, Arc<AgentStatus>>,
    /// The newest of each agent, whether they were published or not.
    histories: BTreeMap<AgentName, Arc<[HotReloadResult]>>,
    /// Agents that must be published anew.
    changed: BTreeSet<AgentName>,
    /// Of those, agents whose history has changed.
    rewritten: BTreeSet<AgentName>,
    /// In the order in which they came to serve it: who claims a route first keeps it.
    claims: Vec<(AgentName, RouteConfig)>,
    /// Refused files whose names cannot be agents.
    strangers: BTreeMap<String, Refused>,
    directory_lost: Option<(String, Moment)>,
    /// Why the directory is only listed.
    polling: Option<(String, Moment)>,
    /// The watcher has ended.
    deaf: bool,
    watcher: Watcher,
    orders: mpsc::Receiver<Ordered>,
    done: mpsc::UnboundedSender<Done>,
    /// Bounded by the commands that wait for an answer: a few per agent.
    finished: mpsc::UnboundedReceiver<Done>,
    tasks: JoinSet<()>,
    /// States that are being saved: the host does not end before they are.
    resting: JoinSet<()>,
    inspecting: Arc<Semaphore>,
    storing: Arc<Semaphore>,
    preparing: Arc<Semaphore>,
    telemetry: Telemetry,
    spans: ReloadSpans,
}

impl Controller {
    /// A controller that has not begun, and the way to it.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, ControllerHandle) {
        let (handle, orders, published) = ControllerHandle::new();
        let (done, finished) = mpsc::unbounded_channel();
        let now = parts.clock.now();
        let (remembered, agents): (Vec<_>, BTreeMap<_, _>) = parts
            .recalled
            .into_iter()
            .map(|recalled| {
                let name = recalled.agent().clone();
                let (remembered, entry) = recalled.split();
                (remembered, (name, entry))
            })
            .unzip();
        let (fleet, begin) = Fleet::restore(parts.fleet, now, remembered);
        let damage = parts.damage.into_iter().map(|text| Attention {
            kind: "journal-damaged",
            since: now,
            text,
            command: "restore a backup, or go on with what there is".to_owned(),
        });
        let controller = Self {
            fleet,
            begin,
            settled: Some(parts.settled),
            damage: damage.collect(),
            written: parts.store.journal.written(),
            measured_until: parts.clock.now(),
            clock: parts.clock,
            snapshots: Snapshots::within(parts.store.clone(), &parts.folders.data),
            store: parts.store,
            folders: Arc::new(parts.folders),
            runtime: parts.runtime,
            policies: parts.policies,
            policy_news: parts.policy_news,
            routes: parts.routes,
            published,
            events: parts.events,
            logs: parts.logs,
            recorder: parts.recorder,
            untold: Vec::new(),
            answers: Vec::new(),
            unshown: Unshown::default(),
            defaults: Arc::new(parts.defaults),
            dev: parts.dev,
            tick: parts.tick,
            changed: agents.keys().cloned().collect(),
            rewritten: agents.keys().cloned().collect(),
            agents,
            inspections: 0,
            policy_changes: 0,
            look_again: BTreeSet::new(),
            store_again_at: now,
            shown: BTreeMap::new(),
            histories: BTreeMap::new(),
            claims: Vec::new(),
            strangers: BTreeMap::new(),
            directory_lost: None,
            polling: None,
            deaf: false,
            watcher: parts.watcher,
            orders,
            done,
            finished,
            tasks: JoinSet::new(),
            resting: JoinSet::new(),
            inspecting: Arc::new(Semaphore::new(INSPECTIONS)),
            storing: Arc::new(Semaphore::new(STORING)),
            preparing: Arc::new(Semaphore::new(PREPARING)),
            telemetry: parts.telemetry,
            spans: ReloadSpans::default(),
        };
        (controller, handle)
    }

    /// Works until `stop`; then saves the state of those that keep any, and drops every version.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Before the directory is looked at: what was permanent serves again.
        let begin = std::mem::take(&mut self.begin);
        self.execute_all(begin);
        self.reroute();
        self.show_and_tell();
        loop {
            let wakeup = self.wakeup();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ordered) = self.orders.recv() => self.on_order(ordered),
                Some(done) = self.finished.recv() => self.on_done(done),
                look = look::next_look(&self.inspecting, &mut self.look_again, self.watcher.next(), self.deaf),
                    if !self.deaf || !self.look_again.is_empty() => self.on_look(look),
                Some(news) = self.policy_news.recv() => self.on_policy_news(news),
                Ok(()) = self.written.changed() => {
                    self.show_written();
                    self.tell_settled();
                    continue;
                }
                _ = ticks.tick() => {
                    self.measure();
                    self.store_again();
                    self.tidy_logs();
                }
                () = tokio::time::sleep_until(wakeup) => self.step(Event::Time),
                Some(_) = self.resting.join_next() => continue,
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!("a task of the host ended badly: {error}");
                    }
                    continue;
                }
            }
            self.show_and_tell();
            self.tell_settled();
        }
        if tokio::time::timeout(REST_WAIT, self.put_all_to_rest())
            .await
            .is_err()
        {
            tracing::error!("agents' state could not be saved in time: the disk does not answer");
        }
        self.tasks.shutdown().await;
        self.recorder.stop().await;
        self.show_written();
        // Joins a thread: not on one that others' tasks wait for.
        let watcher = self.watcher;
        let _ = tokio::task::spawn_blocking(move || drop(watcher)).await;
    }

    /// The start is over once nothing more is to come up, and what there is is shown.
    fn tell_settled(&mut self) {
        if self.settled.is_some()
            && !self.fleet.comes_up()
            && self.unshown.is_empty()
            && let Some(settled) = self.settled.take()
        {
            // Whoever waited has waited for long enough.
            let _ = settled.send(());
        }
    }

    fn on_deaf(&mut self) {
        self.deaf = true;
        self.directory_lost("the directory is not watched any more; restart the host".to_owned());
    }

    fn wakeup(&self) -> Instant {
        self.fleet.next_wakeup().map_or_else(
            || Instant::now() + IDLE,
            |moment| self.clock.instant(moment).into(),
        )
    }

    fn on_order(&mut self, ordered: Ordered) {
        let Ordered {
            agent,
            order,
            reply,
        } = ordered;
        let now = self.clock.now();
        let taken: Result<Vec<Command>, OrderError> = self.fleet.order(now, &agent, order);
        self.store.journal.acted(Act {
            at: now,
            agent: agent.clone(),
            order: order.to_string(),
            refused: taken.as_ref().err().map(ToString::to_string),
        });
        self.changed.insert(agent);
        let answer = taken.map(|commands| self.execute_all(commands));
        self.answers.push(Answer { to: reply, answer });
    }

    /// Files that could not be stored are looked into again from time to time.
    fn store_again(&mut self) {
        let now = self.clock.now();
        if now < self.store_again_at {
            return;
        }
        self.store_again_at = now.after(STORE_AGAIN);
        let unstored = self.agents.iter().filter(|(_, entry)| {
            let again = entry.again.as_ref();
            again.is_some_and(|again| again.unstored)
        });
        self.look_again
            .extend(unstored.map(|(name, _)| name.clone()));
    }

    /// What agents printed goes some time after the last of their versions.
    fn tidy_logs(&self) {
        let runs = |agent: &str| {
            let entry = self.agents.get(agent);
            entry.is_some_and(|entry| !entry.live.is_empty() || !entry.preparing.is_empty())
        };
        self.logs.tidy(self.clock.now(), runs);
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Event(event) => self.step(event),
            Done::Heard(heard) => self.on_heard(heard),
            Done::Inspected(inspected) => self.on_inspected(inspected),
            Done::Prepared(prepared) => self.on_prepared(prepared),
            Done::Moved(moved) => self.on_moved(moved),
            Done::State(news) => self.on_state_news(news),
            Done::Pinned {
                agent,
                ticket,
                reload,
                result,
            } => self.on_pinned(agent, ticket, reload, result),
        }
    }

    fn step(&mut self, event: Event) {
        let commands = self.tell_core(event);
        self.execute_all(commands);
    }

    /// For what is known while commands are carried out: those that follow it come first.
    fn tell_core_later(&self, event: Event) {
        // The controller is gone only when the host stops.
        let _ = self.done.send(Done::Event(event));
    }

    /// The only way to the core for events.
    fn tell_core(&mut self, event: Event) -> Vec<Command> {
        let now = self.clock.now();
        let measured = match &event {
            Event::Measured { agent, .. } => Some(agent.clone()),
            _ => None,
        };
        match event.agent() {
            Some(agent) => self.changed.insert(agent.clone()),
            // Time is about everyone.
            None => {
                self.changed.extend(self.agents.keys().cloned());
                true
            }
        };
        let commands = self.fleet.step(now, event);
        let measured = measured.and_then(|agent| self.fleet.measured(&agent));
        if let Some((reload, window)) = measured {
            self.recorder.measured(now, reload, window);
        }
        commands
    }

    fn execute_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            // An end of one agent's reload gives its slot to another agent, so a step can be about several.
            self.changed.insert(command.agent().clone());
            self.execute(command);
        }
    }

    fn spawn(&mut self, work: impl Future<Output = Done> + Send + 'static) -> AbortHandle {
        let done = self.done.clone();
        self.tasks.spawn(async move {
            let result = work.await;
            // The controller is gone only when the host stops.
            let _ = done.send(result);
        })
    }

    fn spawn_event(&mut self, work: impl Future<Output = Event> + Send + 'static) -> AbortHandle {
        self.spawn(async move { Done::Event(work.await) })
    }

    fn tell(&mut self, kind: &str, agent: Option<AgentName>, fields: Value) {
        self.tell_at(self.clock.now(), kind, agent, None, fields);
    }

    fn tell_at(
        &mut self,
        at: Moment,
        kind: &str,
        agent: Option<AgentName>,
        reload: Option<HotReloadId>,
        fields: Value,
    ) {
        self.untold.push(Untold {
            at,
            agent,
            reload,
            kind: kind.to_owned(),
            fields,
            notice: None,
        });
    }

    /// Builds the routing table anew and stores it: from this store on new requests see it.
    fn reroute(&mut self) {
        let agents = &self.agents;
        self.claims
            .retain(|(name, route)| agents.get(name).and_then(Agent::claim) == Some(route));
        let held: BTreeSet<_> = self.claims.iter().map(|(name, _)| name.clone()).collect();
        for (name, entry) in agents {
            if !held.contains(name)
                && let Some(route) = entry.claim()
            {
                self.claims.push((name.clone(), route.clone()));
            }
        }
        let first: BTreeSet<_> = self.claims.iter().map(|(name, _)| name).collect();
        let waiting = agents.keys().filter(|name| !first.contains(name));
        let order = self.claims.iter().map(|(name, _)| name).chain(waiting);
        let routes = order.filter_map(|name| Some(agents.get(name)?.route(name)));
        let table = RoutingTable::build(routes);
        let now = self.clock.now();
        for (name, entry) in &mut self.agents {
            let conflict = table.conflicts().iter().find(|c| c.agent == *name);
            let text = conflict.map(ToString::to_string);
            if entry.conflict.as_ref().map(|(text, _)| text) != text.as_ref() {
                entry.conflict = text.map(|text| (text, now));
                self.changed.insert(name.clone());
            }
        }
        self.routes.store(Arc::new(table));
    }
}
