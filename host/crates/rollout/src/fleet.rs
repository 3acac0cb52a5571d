//! All agents: who an event is about, who may prepare a version now, and when something is due.

use std::collections::{BTreeMap, BTreeSet};

use crate::agent::Agent;
use crate::asks::Waits;
use crate::mint::{Cx, Mint};
use crate::reload::{Progress, Reload};
use crate::{
    AgentName, AgentView, Command, Event, Happened, HotReloadId, HotReloadResult, Memory, Moment,
    Order, OrderError, Remembered, Ticket, VersionNumber, Window,
};

/// How many removed agents are remembered at most. Their history and the numbers of their versions are small; names
/// that come and go by the thousand are a program's, not a person's.
const MAX_REMOVED: usize = 1_000;

/// What the fleet as a whole is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetSettings {
    /// How many versions are prepared or started at once, over all agents; at least one is.
    pub max_reloads: usize,
    /// Where identifiers and policies' seeds come from.
    pub seed: u64,
}

/// Every agent of a host. See the crate's own words for what it promises.
#[derive(Debug, Clone)]
pub struct Fleet {
    agents: BTreeMap<AgentName, Agent>,
    mint: Mint,
    max_reloads: usize,
    now: Moment,
    /// Agents whose reload holds a slot.
    holding: BTreeSet<AgentName>,
    /// Agents whose reload waits for one: first deployments first, then by how long they wait.
    waiting: BTreeMap<AgentName, (bool, Moment)>,
    wakeups: BTreeSet<(Moment, AgentName)>,
    wakeup_of: BTreeMap<AgentName, Moment>,
    /// Agents without a file, by when it went.
    removed: BTreeSet<(Moment, AgentName)>,
}

impl Fleet {
    /// A fleet without agents.
    #[must_use]
    pub fn new(settings: FleetSettings) -> Self {
        Self {
            agents: BTreeMap::new(),
            mint: Mint::new(settings.seed),
            max_reloads: settings.max_reloads.max(1),
            now: Moment::default(),
            holding: BTreeSet::new(),
            waiting: BTreeMap::new(),
            wakeups: BTreeSet::new(),
            wakeup_of: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// A fleet as a start finds it: every agent with what is remembered of it. The answer brings the permanent versions up, and
    /// they are routed to as soon as they are ready, before the directory was looked at; a reload that went on has ended as
    /// cancelled and begins again when the directory asks for the same content.
    #[must_use]
    pub fn restore(
        settings: FleetSettings,
        now: Moment,
        remembered: Vec<Remembered>,
    ) -> (Self, Vec<Command>) {
        let (mut fleet, mut out) = (Self::new(settings), Vec::new());
        fleet.now = now;
        for Remembered { memory, settings } in remembered {
            if memory.is_nothing() {
                continue;
            }
            let name = memory.agent.clone();
            let (agent, went_on) = Agent::restored(now, memory, settings);
            fleet.agents.insert(name.clone(), agent);
            fleet.with(&name, &mut out, |agent, cx| agent.come_back(cx, went_on));
        }
        fleet.grant(&mut out);
        for _ in MAX_REMOVED..fleet.removed.len() {
            fleet.forget_removed(&mut out);
        }
        (fleet, out)
    }

    /// Whether a permanent version is still on its way up after a start; one that could not be brought up is not.
    #[must_use]
    pub fn comes_up(&self) -> bool {
        self.agents.values().any(Agent::comes_up)
    }

    /// What is to be remembered of an agent now.
    #[must_use]
    pub fn memory(&self, agent: &AgentName) -> Option<Memory> {
        self.agents.get(agent).map(Agent::memory)
    }

    /// Takes in what happened, and answers with what is to be done about it, in this order.
    ///
    /// Time that goes back is taken for time that stands still. Events about agents that are not known are ignored,
    /// except for [`Event::Wanted`] and [`Event::Disabled`], which make them known.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Command> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        if let Some(name) = event.agent().cloned() {
            if matches!(event, Event::Wanted { .. } | Event::Disabled { .. }) {
                let new = || Agent::new(name.clone());
                self.agents.entry(name.clone()).or_insert_with(new);
            }
            self.with(&name, &mut out, |agent, cx| agent.step(cx, event));
        }
        self.wake(&mut out);
        self.grant(&mut out);
        self.forget_removed(&mut out);
        out
    }

    /// Takes an operator's order, and answers with what is to be done about it.
    ///
    /// # Errors
    /// The agent is not known, or the order cannot be followed now. Nothing has changed then.
    pub fn order(
        &mut self,
        now: Moment,
        agent: &AgentName,
        order: Order,
    ) -> Result<Vec<Command>, OrderError> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        let taken = self.with(agent, &mut out, |agent, cx| agent.order(cx, order));
        taken.unwrap_or_else(|| {
            Err(OrderError::AgentNotFound {
                agent: agent.clone(),
            })
        })?;
        self.wake(&mut out);
        self.grant(&mut out);
        Ok(out)
    }

    /// When [`Event::Time`] is to be sent, unless something else happens before; always after the last step.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Moment> {
        self.wakeups.first().map(|(due, _)| *due)
    }

    /// One agent as people see it.
    #[must_use]
    pub fn view(&self, agent: &AgentName) -> Option<AgentView> {
        self.agents.get(agent).map(|agent| agent.view(self.now))
    }

    /// All agents as people see them, by name.
    #[must_use]
    pub fn views(&self) -> Vec<AgentView> {
        self.agents
            .values()
            .map(|agent| agent.view(self.now))
            .collect()
    }

    /// The interval that was measured last for the reload that goes on; for the records, which keep each as it was.
    #[must_use]
    pub fn measured(&self, agent: &AgentName) -> Option<(HotReloadId, &Window)> {
        let reload = self.agents.get(agent)?.reload.as_ref()?;
        Some((reload.id, reload.series.newest()?))
    }

    /// Whether an answer to this [`Command::Pin`] is one that is waited for.
    #[must_use]
    pub fn awaits_pins(&self, agent: &AgentName, ticket: Ticket) -> bool {
        let reload = self
            .agents
            .get(agent)
            .and_then(|agent| agent.reload.as_ref());
        let pending = |reload: &Reload| match &reload.progress {
            Progress::Pending { pinned } => pinned.waits_for(ticket),
            _ => false,
        };
        reload.is_some_and(pending)
    }

    /// The results of an agent's reloads, newest first, at most 50.
    #[must_use]
    pub fn history(&self, agent: &AgentName) -> Option<Vec<HotReloadResult>> {
        let agent = self.agents.get(agent)?;
        Some(
            agent
                .history
                .iter()
                .map(|past| past.result.clone())
                .collect(),
        )
    }

    /// The versions of an agent that are prepared or being prepared, and not unloaded since.
    #[must_use]
    pub fn live(&self, agent: &AgentName) -> Vec<VersionNumber> {
        self.agents
            .get(agent)
            .map_or_else(Vec::new, |agent| agent.versions.live().collect())
    }

    fn with<T>(
        &mut self,
        name: &AgentName,
        out: &mut Vec<Command>,
        act: impl FnOnce(&mut Agent, &mut Cx<'_>) -> T,
    ) -> Option<T> {
        let agent = self.agents.get_mut(name)?;
        let mut cx = Cx {
            now: self.now,
            agent: name.clone(),
            start: out.len(),
            out,
            mint: &mut self.mint,
            deeds: Vec::new(),
        };
        let done = act(agent, &mut cx);
        self.index(name);
        Some(done)
    }

    /// Notes what the agent waits for and when it is to be woken.
    fn index(&mut self, name: &AgentName) {
        let Some(agent) = self.agents.get(name) else {
            return;
        };
        if let Some(before) = self.wakeup_of.remove(name) {
            self.wakeups.remove(&(before, name.clone()));
        }
        if let Some(due) = agent.next_wakeup(self.now) {
            self.wakeups.insert((due, name.clone()));
            self.wakeup_of.insert(name.clone(), due);
        }
        if agent.holds_slot() {
            self.holding.insert(name.clone());
        } else {
            self.holding.remove(name);
        }
        match agent.waits_for_slot() {
            Some(rank) => self.waiting.insert(name.clone(), rank),
            None => self.waiting.remove(name),
        };
        self.removed.retain(|(_, removed)| removed != name);
        if let Some(at) = agent.removed_at {
            self.removed.insert((at, name.clone()));
        }
    }

    /// Whoever is due is due, whatever the event was about.
    fn wake(&mut self, out: &mut Vec<Command>) {
        let due = self.wakeups.iter().take_while(|(due, _)| *due <= self.now);
        let names: Vec<AgentName> = due.map(|(_, name)| name.clone()).collect();
        for name in names {
            self.with(&name, out, |agent, cx| agent.step(cx, Event::Time));
        }
    }

    /// Gives free slots to those that wait; the rest is told to.
    fn grant(&mut self, out: &mut Vec<Command>) {
        while self.holding.len() < self.max_reloads {
            let first = self
                .waiting
                .iter()
                .min_by_key(|(name, rank)| (**rank, (*name).clone()));
            let Some(name) = first.map(|(name, _)| name.clone()) else {
                break;
            };
            self.with(&name, out, Agent::take_slot);
        }
        let untold = |name: &&AgentName| {
            self.agents
                .get(*name)
                .is_some_and(|agent| !agent.was_told_to_wait())
        };
        let names: Vec<AgentName> = self.waiting.keys().filter(untold).cloned().collect();
        for name in names {
            self.with(&name, out, Agent::tell_waiting);
        }
    }

    /// Beyond the bound those whose file has been gone for longest are forgotten, once nothing of them lives.
    fn forget_removed(&mut self, out: &mut Vec<Command>) {
        if self.removed.len() <= MAX_REMOVED {
            return;
        }
        let dead = |name: &AgentName| {
            self.agents
                .get(name)
                .is_some_and(|agent| agent.versions.live().next().is_none())
        };
        let Some((at, name)) = self.removed.iter().find(|(_, name)| dead(name)).cloned() else {
            return;
        };
        self.removed.remove(&(at, name.clone()));
        if let Some(due) = self.wakeup_of.remove(&name) {
            self.wakeups.remove(&(due, name.clone()));
        }
        let contents = self
            .agents
            .remove(&name)
            .map(|agent| agent.contents)
            .unwrap_or_default();
        for identity in contents {
            out.push(Command::Forget {
                agent: name.clone(),
                identity,
            });
        }
        out.push(Command::Remember {
            memory: Box::new(Memory {
                removed_at: Some(at),
                ..Memory::nothing(name)
            }),
            ticket: None,
        });
    }
}

impl Agent {
    fn holds_slot(&self) -> bool {
        let holds = |reload: &Reload| reload.has_slot && !reload.waits_for_others();
        self.reload.as_ref().is_some_and(holds)
    }

    /// Lower ranks go first; none where no slot is waited for.
    fn waits_for_slot(&self) -> Option<(bool, Moment)> {
        let reload = self.reload.as_ref()?;
        let waits = reload.waits_for(true) == Some(Waits::Slot);
        let wants = waits && !reload.has_slot && self.has_room();
        wants.then_some((!reload.is_first(), reload.started))
    }

    fn take_slot(&mut self, cx: &mut Cx<'_>) {
        if let Some(reload) = self.reload.as_mut() {
            debug_assert!(matches!(reload.progress, Progress::Pending { .. }));
            reload.has_slot = true;
        }
        self.pass_time(cx);
        self.advance(cx, Vec::new());
    }

    fn was_told_to_wait(&self) -> bool {
        self.reload
            .as_ref()
            .is_some_and(|reload| reload.told_waiting)
    }

    /// Says once what a reload waits for, where that is neither its own nor a policy's doing.
    pub(crate) fn tell_waiting(&mut self, cx: &mut Cx<'_>) {
        let room = self.has_room();
        let untold = self.reload.as_mut().filter(|reload| !reload.told_waiting);
        let Some(reload) = untold else { return };
        if let Some(waits @ (Waits::Slot | Waits::Older)) = reload.waits_for(room) {
            reload.told_waiting = true;
            cx.tell(
                Some(reload.id),
                Happened::Waiting {
                    reason: waits.text(),
                },
            );
        }
    }
}
