//! The one task between the edges and the core: facts in, commands out, nothing decided here.
//!
//! It owns the core, the contents and the live versions. Everything that may take time runs as a task beside it and
//! comes back as an event; the task is owned and ends with the controller. The request path never waits for it: the
//! gateway reads the routing table that is stored here, whole, in one store.

mod agent;
mod asking;
mod execute;
mod handover;
mod intake;
mod judging;
mod look;
mod measure;
mod policy_news;
mod rest;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton_rollout::{
    AgentName, Command, Event, Fault, Fleet, FleetSettings, HotReloadId, Moment, OrderError, Ticket,
};
use caxton_runtime::Runtime;
use caxton_watch::Watcher;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::agent::{Agent, Pinned, Refused};
use self::execute::Prepared;
use self::handover::Moved;
use self::intake::Inspected;
use self::judging::Heard;
use crate::clock::Clock;
use crate::config::RouteConfig;
use crate::events::EventLog;
use crate::folders::Folders;
use crate::handle::{ControllerHandle, Ordered};
use crate::policies::{Policies, PolicyNews};
use crate::published::{AgentStatus, Published};
use crate::records::Recorder;
use crate::routes::RoutingTable;
use crate::snapshots::Snapshots;

/// Components that are parsed at once; parsing one of 18 MB takes a core for a tenth of a second.
const INSPECTIONS: usize = 2;

/// When there is nothing to wait for, look again after this; it only has to be long.
const IDLE: Duration = Duration::from_secs(3600);

/// What a task came back with.
enum Done {
    Event(Event),
    Heard(Heard),
    Inspected(Inspected),
    Prepared(Prepared),
    Moved(Moved),
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
    /// Where they are kept, with what they rest on.
    pub recorder: Recorder,
    /// The tables under every agent's own.
    pub defaults: toml::Table,
    /// How often traffic is summed up.
    pub tick: Duration,
    /// Bounds and seed of the core.
    pub fleet: FleetSettings,
    /// The host's time.
    pub clock: Clock,
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
    recorder: Recorder,
    untold: Vec<Untold>,
    defaults: Arc<toml::Table>,
    tick: Duration,
    measured_until: Moment,
    agents: BTreeMap<AgentName, Agent>,
    /// Files that were looked into, of all agents: an agent that is forgotten and comes back begins no count anew.
    inspections: u64,
    /// How often a policy came or went.
    policy_changes: u64,
    /// Agents that were refused for what they say about a policy that has changed since.
    look_again: BTreeSet<AgentName>,
    /// As they were published last.
    shown: BTreeMap<AgentName, Arc<AgentStatus>>,
    /// Agents that must be published anew.
    changed: BTreeSet<AgentName>,
    /// Of those, agents whose history has changed.
    rewritten: BTreeSet<AgentName>,
    /// In the order in which they came to serve it: who claims a route first keeps it.
    claims: Vec<(AgentName, RouteConfig)>,
    /// Refused files whose names cannot be agents.
    strangers: BTreeMap<String, Refused>,
    directory_lost: Option<(String, Moment)>,
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
}

impl Controller {
    /// A controller that has not begun, and the way to it.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, ControllerHandle) {
        let (handle, orders, published) = ControllerHandle::new();
        let (done, finished) = mpsc::unbounded_channel();
        let controller = Self {
            fleet: Fleet::new(parts.fleet),
            measured_until: parts.clock.now(),
            clock: parts.clock,
            snapshots: Snapshots::within(&parts.folders.data),
            folders: Arc::new(parts.folders),
            runtime: parts.runtime,
            policies: parts.policies,
            policy_news: parts.policy_news,
            routes: parts.routes,
            published,
            events: parts.events,
            recorder: parts.recorder,
            untold: Vec::new(),
            defaults: Arc::new(parts.defaults),
            tick: parts.tick,
            agents: BTreeMap::new(),
            inspections: 0,
            policy_changes: 0,
            look_again: BTreeSet::new(),
            shown: BTreeMap::new(),
            changed: BTreeSet::new(),
            rewritten: BTreeSet::new(),
            claims: Vec::new(),
            strangers: BTreeMap::new(),
            directory_lost: None,
            deaf: false,
            watcher: parts.watcher,
            orders,
            done,
            finished,
            tasks: JoinSet::new(),
            resting: JoinSet::new(),
            inspecting: Arc::new(Semaphore::new(INSPECTIONS)),
        };
        (controller, handle)
    }

    /// Works until `stop`; then saves the state of those that keep any, and drops every version.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wakeup = self.wakeup();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ordered) = self.orders.recv() => self.on_order(ordered),
                Some(done) = self.finished.recv() => self.on_done(done),
                look = look::next_look(&self.inspecting, &mut self.look_again, self.watcher.next(), self.deaf),
                    if !self.deaf || !self.look_again.is_empty() => self.on_look(look),
                Some(news) = self.policy_news.recv() => self.on_policy_news(news),
                _ = ticks.tick() => self.measure(),
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
        }
        self.put_all_to_rest().await;
        self.tasks.shutdown().await;
        self.recorder.stop().await;
        // Joins a thread: not on one that others' tasks wait for.
        let watcher = self.watcher;
        let _ = tokio::task::spawn_blocking(move || drop(watcher)).await;
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
        self.changed.insert(agent);
        let answer = taken.map(|commands| self.execute_all(commands));
        self.show_and_tell();
        // Whoever asked may have gone; the order stands.
        let _ = reply.send(answer);
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Event(event) => self.step(event),
            Done::Heard(heard) => self.on_heard(heard),
            Done::Inspected(inspected) => self.on_inspected(inspected),
            Done::Prepared(prepared) => self.on_prepared(prepared),
            Done::Moved(moved) => self.on_moved(moved),
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
        self.tell_reload(kind, agent, None, fields);
    }

    fn tell_reload(
        &mut self,
        kind: &str,
        agent: Option<AgentName>,
        reload: Option<HotReloadId>,
        fields: Value,
    ) {
        self.untold.push(Untold {
            at: self.clock.now(),
            agent,
            reload,
            kind: kind.to_owned(),
            fields,
        });
    }

    /// Shows what changed, then tells of it: whoever hears of something finds it when they look.
    fn show_and_tell(&mut self) {
        self.publish();
        for Untold {
            at,
            agent,
            reload,
            kind,
            fields,
        } in self.untold.drain(..)
        {
            self.events.push(at, agent, reload, &kind, fields);
        }
    }

    /// Builds the routing table anew and stores it: from this store on new requests see it.
    fn reroute(&mut self) {
        let agents = &self.agents;
        self.claims
            .retain(|(name, route)| agents.get(name).and_then(Agent::claim) == Some(route));
        for (name, entry) in agents {
            let holds = self.claims.iter().any(|(claims, _)| claims == name);
            if let Some(route) = entry.claim().filter(|_| !holds) {
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
