//! Carries the core's commands out. What takes time runs as a task and comes back as an event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caxton_rollout::{
    AgentName, Command, Event, Happened, HealthOutcome, HotReloadStatus, Identity, Memory, Notice,
    Ticket, Traffic, VersionNumber,
};
use caxton_runtime::{Inspection, PrepareError, Version};
use caxton_store::{BlobKind, Blobs, Reply};
use serde_json::json;

use super::agent::Live;
use super::checkpoints::Checkpoints;
use super::rest::Waking;
use super::{Controller, Done, Untold, judging};
use crate::published::{Copies, Rates};
use crate::snapshots::Whose;

/// How long calls that were cut may take to end before their count is told all the same: less than the core waits for.
const CUT_WAIT: Duration = Duration::from_secs(10);

/// What came of bringing a version up.
pub(super) struct Prepared {
    pub agent: AgentName,
    pub ticket: Ticket,
    pub number: VersionNumber,
    pub identity: Identity,
    pub result: Result<Arc<Version>, NotPrepared>,
}

/// Why a version is not up.
pub(super) struct NotPrepared {
    error: String,
    hosts_fault: bool,
}

/// The component as it was once dropped.
async fn bytes_of(blobs: Blobs, identity: Identity) -> Result<Arc<[u8]>, NotPrepared> {
    let get = move || blobs.get(BlobKind::Component, identity.component);
    let got = tokio::task::spawn_blocking(get).await;
    let got = got.map_err(|error| error.to_string());
    got.and_then(|got| got.map_err(|error| error.to_string()))
        .map_err(|error| NotPrepared {
            error: format!("{error}; copy the same file into the agents directory again"),
            hosts_fault: true,
        })
}

impl From<PrepareError> for NotPrepared {
    fn from(error: PrepareError) -> Self {
        Self {
            error: error.to_string(),
            hosts_fault: error.is_hosts_fault(),
        }
    }
}

impl Controller {
    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::Pin {
                agent,
                ticket,
                reload,
                strategy,
                rollback,
                continues,
            } => {
                let mut held = Vec::new();
                if let Some(entry) = self.agents.get_mut(&agent) {
                    // An answer that comes after `Unpin` finds no place and is dropped.
                    entry.pinned.entry(reload).or_default();
                    let before = continues.and_then(|id| entry.held_before.get(&id));
                    held = before.cloned().unwrap_or_default();
                }
                let modes = rollback.iter().map(|call| (call.name.clone(), call.mode));
                self.recorder.pins(&agent, reload, modes.collect());
                let pin = judging::pin(Arc::clone(&self.policies), strategy, rollback, held);
                self.spawn(async move {
                    let result = pin.await;
                    Done::Pinned {
                        agent,
                        ticket,
                        reload,
                        result,
                    }
                });
            }
            Command::Unpin { agent, reload } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    entry.let_go(reload);
                }
                self.recorder.unpinned(reload);
            }
            Command::Plan { .. } | Command::Judge { .. } => self.ask_policies(command),
            Command::Prepare {
                agent,
                ticket,
                number,
                identity,
            } => self.prepare(agent, ticket, number, identity),
            Command::CheckHealth {
                agent,
                ticket,
                number,
            } => self.check_health(agent, ticket, number),
            Command::Route { agent, traffic } => self.route(&agent, traffic),
            Command::HandOver {
                agent,
                ticket,
                to,
                source,
                timeout,
            } => self.hand_over(agent, ticket, to, source, timeout),
            Command::Drain {
                agent,
                ticket,
                number,
            } => self.drain(agent, ticket, number),
            Command::Cut {
                agent,
                ticket,
                number,
            } => self.cut(agent, ticket, number),
            Command::Unload { agent, number } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    // What it did since the last tick is judged no more, and counted all the same.
                    if let Some(live) = entry.live.get(&number) {
                        self.telemetry.called(&agent, &live.version.take_window());
                    }
                    entry.unload(number);
                }
            }
            Command::Forget { agent, identity } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    entry.materials.remove(&identity);
                    entry.states.forget(identity);
                }
            }
            // Recorded already, before anything of it was carried out.
            Command::Remember { memory, ticket } => self.remember(*memory, ticket),
            Command::Decided(_) => {}
            Command::Tell(notice) => self.tell_notice(&notice),
            Command::Finished { agent, result } => {
                self.rewritten.insert(agent.clone());
                self.recorder.ended(self.clock.now(), &agent, &result);
                self.telemetry.ended(&agent, &result);
                self.spans.ended(&result);
                let fields = serde_json::to_value(&result).unwrap_or_default();
                let now = self.clock.now();
                self.tell_at(now, "finished", Some(agent), Some(result.id), fields);
            }
        }
    }

    /// Hands what is remembered to the journal, and its answer to the core where a move waits for it.
    fn remember(&mut self, memory: Memory, ticket: Option<Ticket>) {
        if memory.is_nothing() {
            return self.store.journal.forget(&memory.agent);
        }
        let (done, agent) = (self.done.clone(), memory.agent.clone());
        let reply = ticket.map(|ticket| -> Reply {
            Box::new(move |result| {
                // The controller is gone only when the host stops.
                let _ = done.send(Done::Event(Event::Written {
                    agent,
                    ticket,
                    result,
                }));
            })
        });
        self.store.journal.remember(memory, reply);
    }

    fn prepare(
        &mut self,
        agent: AgentName,
        ticket: Ticket,
        number: VersionNumber,
        identity: Identity,
    ) {
        let Some(entry) = self.agents.get_mut(&agent) else {
            return;
        };
        let Some(material) = entry.materials.get(&identity) else {
            // The core asks only for content that it did not tell to forget.
            let error = format!(
                "the configuration of version {number} cannot be read any more: copy {agent}.wasm and {agent}.toml into the agents \
                 directory again"
            );
            return self.tell_core_later(Event::PrepareFailed {
                agent,
                ticket,
                error,
                hosts_fault: true,
            });
        };
        // Checked when it was taken; since then the host may have been started with other folders, or in another environment.
        let allowed = self.folders.allow(&material.config.dirs);
        let spec = allowed.map_err(|error| (error, false)).and_then(|()| {
            let spec = material.spec(&agent, number, &self.folders.agents, |name| {
                std::env::var_os(name)
            });
            spec.map_err(|error| (error, true))
        });
        let spec = match spec {
            Ok(spec) => spec,
            Err((error, hosts_fault)) => {
                return self.tell_core_later(Event::PrepareFailed {
                    error: format!("{agent}.toml: {error}"),
                    agent,
                    ticket,
                    hosts_fault,
                });
            }
        };
        let runtime = Arc::clone(&self.runtime);
        let blobs = self.store.blobs.clone();
        let done = self.done.clone();
        let name = agent.clone();
        // Where nothing serves there is nobody to hand state over: what the last process left is taken up.
        let wakes = material.stateful && entry.traffic.is_none();
        let waking = wakes.then(|| Waking {
            whose: Whose {
                agent: agent.clone(),
                number,
                identity,
            },
            permanent: self.fleet.view(&agent).and_then(|view| view.permanent),
            states: Arc::clone(&entry.states),
            snapshots: self.snapshots.clone(),
            clock: self.clock,
            within: material.config.reload.gate_timeout,
        });
        let preparing = Arc::clone(&self.preparing);
        let telemetry = self.telemetry.clone();
        let task = self.tasks.spawn(async move {
            // It is never closed.
            let turn = preparing.acquire().await;
            let begun = Instant::now();
            let mut result = match bytes_of(blobs, identity).await {
                Ok(bytes) => runtime
                    .prepare(bytes, spec)
                    .await
                    .map_err(NotPrepared::from),
                Err(not) => Err(not),
            };
            drop(turn);
            if let Ok(version) = &result {
                telemetry.prepared(&name, version.code_source(), begun.elapsed());
            }
            if let Ok(version) = &result
                && let Some(waking) = waking
            {
                match waking.wake(version).await {
                    // The controller is gone only when the host stops.
                    Ok(Some(lost)) => drop(done.send(Done::State(lost))),
                    Ok(None) => {}
                    Err(error) => {
                        result = Err(NotPrepared {
                            error,
                            hosts_fault: false,
                        });
                    }
                }
            }
            let prepared = Prepared {
                agent: name,
                ticket,
                number,
                identity,
                result,
            };
            let _ = done.send(Done::Prepared(prepared));
        });
        entry.preparing.insert(number, (ticket, task));
    }

    pub(super) fn on_prepared(&mut self, prepared: Prepared) {
        let Prepared {
            agent,
            ticket,
            number,
            identity,
            result,
        } = prepared;
        let Some(entry) = self.agents.get_mut(&agent) else {
            return;
        };
        // Unloaded meanwhile: nobody waits for it, and it is dropped here.
        if entry.preparing.get(&number).is_none_or(|p| p.0 != ticket) {
            return;
        }
        entry.preparing.remove(&number);
        let mut up = None;
        let whose = agent.clone();
        let event = match (result, entry.materials.get(&identity)) {
            (Ok(version), Some(material)) => {
                let code = version.code_source().as_str();
                tracing::debug!(%agent, code, "version {number} is up");
                let compile_ms = version.compile_time().as_millis();
                let compile_ms = u64::try_from(compile_ms).unwrap_or(u64::MAX);
                up = Some(json!({ "number": number, "code": code, "compile_ms": compile_ms }));
                tell_passed_over(&agent, number, version.inspection());
                let live = Live {
                    // What it woke with is on disk.
                    checkpoints: Checkpoints::known(&version),
                    version,
                    identity,
                    mirror: Arc::default(),
                    copies: Copies::default(),
                    rates: Rates::default(),
                    material: Arc::clone(material),
                    draining: None,
                };
                entry.live.insert(number, live);
                Event::Prepared { agent, ticket }
            }
            (Ok(_), None) => Event::PrepareFailed {
                agent,
                ticket,
                error: format!("version {number} was forgotten while it was prepared"),
                hosts_fault: true,
            },
            (Err(NotPrepared { error, hosts_fault }), _) => Event::PrepareFailed {
                error: format!("{agent}.wasm: {error}"),
                hosts_fault,
                agent,
                ticket,
            },
        };
        if let Some(fields) = up {
            self.tell("prepared", Some(whose), fields);
        }
        self.step(event);
    }

    fn check_health(&mut self, agent: AgentName, ticket: Ticket, number: VersionNumber) {
        let Some(live) = self.live(&agent, number) else {
            return;
        };
        let version = Arc::clone(&live.version);
        let timeout = live.material.config.health.timeout;
        self.spawn_event(async move {
            let outcome = match version.check_health(timeout).await {
                caxton_runtime::HealthOutcome::Passed | caxton_runtime::HealthOutcome::Absent => {
                    HealthOutcome::Passed
                }
                caxton_runtime::HealthOutcome::Failed(reason) => HealthOutcome::Failed(reason),
                caxton_runtime::HealthOutcome::Busy => HealthOutcome::Busy,
            };
            Event::Health {
                agent,
                ticket,
                outcome,
            }
        });
    }

    fn route(&mut self, agent: &AgentName, traffic: Option<Traffic>) {
        let Some(entry) = self.agents.get_mut(agent) else {
            return;
        };
        let left = entry.serving().filter(|_| traffic.is_none());
        let left = left.and_then(|number| entry.live.get(&number));
        let resting = left.filter(|live| live.version.is_stateful()).map(|live| {
            let within = live.material.config.reload.gate_timeout;
            (Arc::clone(&live.version), within)
        });
        let listened = entry.traffic.and_then(|before| before.listener);
        entry.traffic = traffic;
        let listener = traffic.and_then(|traffic| traffic.listener);
        let candidate = traffic
            .and_then(|traffic| traffic.split)
            .map(|split| split.candidate);
        let serving = traffic.map(|traffic| traffic.serving);
        for (number, live) in &mut entry.live {
            let number = Some(*number);
            if number == listened && number != listener {
                // All that it has are copies, which nobody waits for.
                live.version.cut();
            }
            live.version.listen(number == listener);
            if [serving, candidate, listener].contains(&number) {
                if let Some(drain) = live.draining.take() {
                    drain.abort();
                }
                live.version.open();
            } else if live.version.is_stateful() {
                // Whoever read the table before must not change what was saved, nor answer from what was left.
                live.version.close();
            }
        }
        let gate = Arc::clone(&entry.gate);
        self.reroute();
        gate.open();
        if let Some((version, within)) = resting {
            self.put_to_rest(agent, version, within);
        }
    }

    fn drain(&mut self, agent: AgentName, ticket: Ticket, number: VersionNumber) {
        let Some(live) = self.live(&agent, number) else {
            return;
        };
        let version = Arc::clone(&live.version);
        let name = agent.clone();
        let task = self.spawn_event(async move {
            version.drained().await;
            Event::Drained { agent, ticket }
        });
        if let Some(live) = self.live(&name, number) {
            live.draining = Some(task);
        }
    }

    fn cut(&mut self, agent: AgentName, ticket: Ticket, number: VersionNumber) {
        let Some(live) = self.live(&agent, number) else {
            return;
        };
        let version = Arc::clone(&live.version);
        // Here and not in the task: after the swap not one moment more.
        let before = version.calls_cut();
        version.cut();
        self.spawn_event(async move {
            // A version that serves again meanwhile may never be empty: the count does not wait for that.
            let _ = tokio::time::timeout(CUT_WAIT, version.drained()).await;
            // Counted as they ended: one that ran at the cut may have been answered all the same.
            let calls = version.calls_cut().saturating_sub(before);
            Event::Cut {
                agent,
                ticket,
                calls,
            }
        });
    }

    pub(super) fn live(&mut self, agent: &AgentName, number: VersionNumber) -> Option<&mut Live> {
        self.agents.get_mut(agent)?.live.get_mut(&number)
    }

    fn tell_notice(&mut self, notice: &Notice) {
        // One moment, wherever it is read.
        let now = self.clock.now();
        self.recorder.told(now, notice);
        self.store.journal.told(now, notice);
        self.spans.told(notice);
        if let Happened::RolledBack { cause, .. } = &notice.what {
            self.telemetry.rolled_back(&notice.agent, *cause);
        }
        let mut fields = serde_json::to_value(&notice.what).unwrap_or_default();
        let kind = fields
            .as_object_mut()
            .and_then(|object| object.remove("kind"));
        let kind = kind.as_ref().and_then(|kind| kind.as_str());
        let agent = Some(notice.agent.clone());
        self.untold.push(Untold {
            at: now,
            agent,
            reload: notice.reload,
            kind: kind.unwrap_or("notice").to_owned(),
            fields,
            notice: Some(notice.clone()),
        });
    }
}

/// What a person who watches the log wants to know at once; the rest is in the event stream.
pub(super) fn log(notice: &Notice) {
    let agent = &notice.agent;
    match &notice.what {
        Happened::Swapped { to: Some(to), .. } => tracing::info!(%agent, "version {to} serves"),
        Happened::Completed { number, evidence } => {
            tracing::info!(%agent, ?evidence, "version {number} is permanent");
        }
        Happened::RolledBack {
            from, to, reason, ..
        } => tracing::warn!(%agent, "rolled back from version {from} to {to}: {reason}"),
        Happened::Fault { fault, .. } => tracing::warn!(%agent, "{fault}"),
        Happened::Quarantined { reason, .. } => tracing::warn!(%agent, "quarantined: {reason}"),
        Happened::SetAside { reason, .. } => tracing::warn!(%agent, "set aside: {reason}"),
        Happened::HealthFailed { number, reason } => {
            tracing::warn!(%agent, "version {number} is not healthy: {reason}");
        }
        Happened::Stopped { reason } => tracing::info!(%agent, "stopped: {reason}"),
        Happened::Restored {
            permanent,
            candidate,
            became,
        } => log_restored(agent, *permanent, candidate.zip(*became)),
        Happened::BegunAgain { number, .. } => {
            tracing::info!(%agent, "the reload of version {number} begins again from its first stage");
        }
        Happened::NotRecorded { reason } => tracing::error!(%agent, "waits: {reason}"),
        Happened::CrashLoop {
            number,
            reason,
            follows,
        } => tracing::error!(%agent, "version {number} keeps crashing: {reason}; {follows}"),
        other => tracing::debug!(%agent, ?other),
    }
}

/// One line for each agent that a start finds.
fn log_restored(
    agent: &AgentName,
    permanent: Option<VersionNumber>,
    went_on: Option<(VersionNumber, HotReloadStatus)>,
) {
    let serves = match permanent {
        Some(number) => format!("version {number} is permanent and comes up"),
        None => "no version was permanent".to_owned(),
    };
    match went_on {
        None => tracing::info!(%agent, "remembered: {serves}"),
        Some((number, HotReloadStatus::RolledBack)) => {
            tracing::warn!(%agent, "remembered: {serves}; version {number} was on its way back when the host ended, and is rolled back");
        }
        Some((number, HotReloadStatus::Completed)) => {
            tracing::info!(%agent, "remembered: {serves}; version {number} is watched as unproven no more");
        }
        Some((number, _)) => {
            tracing::info!(%agent, "remembered: {serves}; the reload of version {number} went on when the host ended, and begins again when \
                                    its file is still there");
        }
    }
}

/// A component with several contracts is called through one of them, and who wrote it should know which.
fn tell_passed_over(agent: &AgentName, number: VersionNumber, inspection: &Inspection) {
    if inspection.passed_over.is_empty() {
        return;
    }
    let others: Vec<&str> = inspection.passed_over.iter().map(|c| c.as_str()).collect();
    tracing::info!(
        %agent,
        "version {number} is called through {}, the newest contract that it exports, and not through {}",
        inspection.contract.as_str(),
        others.join(" or ")
    );
}
