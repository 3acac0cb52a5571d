//! What the lines of one reload are: pure, so that what a reader makes of them can be compared with what happened.
//!
//! It takes in what the controller knows, in the order in which it happens, and gives lines out. What must hold: from the
//! lines alone a reader finds, for every round in them, the windows, the context and the states that the policies were
//! handed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caxton_rollout::{
    AgentName, Context, Decided, Digest, Fault, HotReloadId, Moment, Plan, PolicyCall, PolicyMode,
    ReloadMetrics, RollbackAnswer, Series, StrategyAnswer, Ticket, Window,
};
use caxton_runtime::policy::PolicyLog;
use serde_json::Value;

use super::news::{all_repeat, is_quiet, repeats};
use super::{
    Answered, Asked, Began, Called, FORMAT, Facts, Monitored, Planned, Record, Standing, Tick,
};

/// Rounds that are held for the answers that still come, beside the one that monitors are answering.
const ROUNDS_HELD: usize = 4;

/// How many rounds later a reader still knows a round that monitors speak of: more than there are while one is waited for.
pub(super) const ROUNDS_READ_BACK: usize = 128;

/// Events that are held until the reload has its policies: it begins, it waits, and little more.
const TOLD_HELD: usize = 32;

/// What came of asking a policy.
#[derive(Debug, Clone)]
pub(crate) struct Said<T> {
    /// Whom.
    pub policy: String,
    /// Of the component that was asked; of nothing where there was none.
    pub digest: Digest,
    /// What it answered.
    pub answer: Result<T, Fault>,
    /// Units of fuel used.
    pub fuel: u64,
    /// Time taken.
    pub duration: Duration,
    /// What it said meanwhile.
    pub log: PolicyLog,
    /// What was corrected.
    pub notes: Vec<String>,
}

/// What the policies are asked in one round.
pub(crate) struct Question<'a> {
    pub ticket: Ticket,
    pub context: &'a Context,
    pub metrics: &'a ReloadMetrics,
    pub windows: &'a [Window],
    pub calls: Vec<&'a PolicyCall>,
}

/// A round that was asked.
struct Round {
    ticket: Ticket,
    tick: u64,
    context: Context,
    metrics: ReloadMetrics,
    windows: u64,
    /// What each policy was handed as state.
    handed: BTreeMap<String, Arc<[u8]>>,
    /// How many of its windows there are up to the last one in which something ended.
    busy: u64,
    stands: Stands,
    /// Policies that monitor were asked, have not answered, and were asked nothing since.
    monitored: bool,
}

/// Whether a round stands in the file.
enum Stands {
    /// It was not answered yet, or so late that a later one stands there: it never will.
    Not,
    /// It was decided and says nothing new: it is written only if those that monitor say something.
    Held(Box<Tick>),
    /// It was the last of so many.
    There(usize),
}

/// See the module's documentation.
pub(super) struct Trail {
    agent: AgentName,
    reload: HotReloadId,
    modes: BTreeMap<String, PolicyMode>,
    began: bool,
    /// Events from before it had its policies.
    told: Vec<Value>,
    /// What a reader has once it has read all windows; before the first round, what it will get.
    series: Series,
    /// How many windows were written.
    windows: u64,
    asked: bool,
    measured_until: u64,
    ticks: u64,
    /// How many rounds stand in the file.
    written: usize,
    rounds: VecDeque<Round>,
    facts: Option<Context>,
    /// What each policy's last call in the file left.
    states: BTreeMap<String, Arc<[u8]>>,
    /// How many windows there are up to the last one in which something ended.
    busy: u64,
    /// As they were written last.
    last: Option<Tick>,
    monitored: Option<Monitored>,
}

/// What the policies that enforce said in one round.
pub(crate) struct Judged {
    pub ticket: Ticket,
    pub rollback: Vec<Said<RollbackAnswer>>,
    pub strategy: Option<Said<StrategyAnswer>>,
    /// What the strategy policy was told.
    pub fit: bool,
}

impl Trail {
    pub(super) fn new(agent: AgentName, reload: HotReloadId) -> Self {
        Self {
            agent,
            reload,
            modes: BTreeMap::new(),
            began: false,
            told: Vec::new(),
            series: Series::default(),
            windows: 0,
            asked: false,
            measured_until: 0,
            ticks: 0,
            written: 0,
            rounds: VecDeque::new(),
            facts: None,
            states: BTreeMap::new(),
            busy: 0,
            last: None,
            monitored: None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.began
    }

    pub(super) fn take_modes(&mut self, modes: BTreeMap<String, PolicyMode>) {
        self.modes = modes;
    }

    /// How the reload asks this policy.
    pub(super) fn mode(&self, policy: &str) -> PolicyMode {
        self.modes
            .get(policy)
            .copied()
            .unwrap_or(PolicyMode::Enforce)
    }

    /// Whether policies that monitor were asked about a round and have not answered.
    pub(super) fn awaits_monitors(&self) -> bool {
        self.rounds.iter().any(|round| round.monitored)
    }

    /// It has its policies.
    pub(super) fn began(&mut self, at: Moment, policies: Vec<Asked>) -> Vec<Record> {
        if std::mem::replace(&mut self.began, true) {
            return Vec::new();
        }
        let mut lines = vec![Record::Began(Began {
            format: FORMAT.to_owned(),
            reload: self.reload,
            agent: self.agent.clone(),
            at,
            policies,
        })];
        let told = std::mem::take(&mut self.told);
        lines.extend(told.into_iter().map(|event| Record::Told { event }));
        lines
    }

    pub(super) fn told(&mut self, event: Value) -> Vec<Record> {
        if self.began {
            return vec![Record::Told { event }];
        }
        if self.told.len() < TOLD_HELD {
            self.told.push(event);
        }
        Vec::new()
    }

    pub(super) fn planned(
        &mut self,
        at: Moment,
        context: &Context,
        configured: Plan,
        said: Said<Plan>,
    ) -> Vec<Record> {
        // Where an operator pushed it past policies that are not there, nobody is held.
        let mut lines = self.began(at, Vec::new());
        let standing = self.standing(at, context, &mut lines);
        // A plan leaves no state, and is asked for without one.
        let call = called(said, None, None);
        lines.push(Record::Planned(Box::new(Planned {
            at,
            standing,
            configured,
            call,
        })));
        lines
    }

    /// The interval that was measured last; the same one again changes nothing.
    pub(super) fn measured(&mut self, window: &Window) -> Vec<Record> {
        if window.end_ms <= self.measured_until {
            return Vec::new();
        }
        self.measured_until = window.end_ms;
        self.series.push(window.clone());
        if !self.asked {
            return Vec::new();
        }
        self.windows += 1;
        if !is_quiet(window) {
            self.busy = self.windows;
        }
        vec![Record::Window(Box::new(window.clone()))]
    }

    /// A round is asked, after the interval that it is about was measured.
    ///
    /// # Errors
    /// The windows are not those that a reader will find.
    pub(super) fn asked(
        &mut self,
        at: Moment,
        question: &Question<'_>,
    ) -> Result<Vec<Record>, &'static str> {
        if self.series.windows() != question.windows {
            return Err("the policies are shown other windows than were measured");
        }
        let mut lines = self.began(at, Vec::new());
        if !std::mem::replace(&mut self.asked, true) {
            // So few that none of them is merged again by whoever pushes them.
            self.windows = self.series.windows().len() as u64;
            let windows = self.series.windows().iter().cloned();
            lines.extend(windows.map(|window| Record::Window(Box::new(window))));
        }
        self.ticks += 1;
        let monitored = |call: &&PolicyCall| call.mode == PolicyMode::Monitor;
        let monitored = question.calls.iter().any(monitored);
        if monitored {
            // Whoever did not answer until now is not waited for any more.
            self.rounds
                .iter_mut()
                .for_each(|round| round.monitored = false);
        }
        let handed = |call: &&PolicyCall| (call.name.clone(), Arc::clone(&call.state));
        self.rounds.push_back(Round {
            ticket: question.ticket,
            tick: self.ticks,
            context: question.context.clone(),
            metrics: question.metrics.clone(),
            windows: self.windows,
            handed: question.calls.iter().map(handed).collect(),
            busy: self.busy,
            stands: Stands::Not,
            monitored,
        });
        let others = self.rounds.iter().filter(|round| !round.monitored).count();
        if others > ROUNDS_HELD
            && let Some(first) = self.rounds.iter().position(|round| !round.monitored)
        {
            self.rounds.remove(first);
        }
        Ok(lines)
    }

    /// The policies that enforce have answered, and this came of it.
    pub(super) fn judged(
        &mut self,
        at: Moment,
        judged: Judged,
        decided: Option<Decided>,
    ) -> Vec<Record> {
        let Judged {
            ticket,
            rollback,
            strategy,
            fit,
        } = judged;
        let Some(place) = self.place(ticket) else {
            return Vec::new();
        };
        let Some(round) = self.rounds.get(place) else {
            return Vec::new();
        };
        if self.is_overtaken(round.tick) {
            return Vec::new();
        }
        let call = |said| self.called(said, &round.handed, |answer: &RollbackAnswer| &answer.state);
        let tick = Tick {
            tick: round.tick,
            at,
            standing: Standing::of(&round.context),
            metrics: round.metrics.clone(),
            windows: round.windows,
            rollback: rollback.into_iter().map(call).collect(),
            strategy: strategy.map(|said| {
                self.called(said, &round.handed, |answer: &StrategyAnswer| &answer.state)
            }),
            fit,
            decided,
        };
        let is_nothing_new = |last: &Tick| round.busy <= last.windows && repeats(&tick, last);
        if !self.last.as_ref().is_some_and(is_nothing_new) {
            let mut lines = self.write_monitored();
            lines.extend(self.write(tick, place));
            return lines;
        }
        if let Some(round) = self.rounds.get_mut(place) {
            round.stands = Stands::Held(Box::new(tick));
        }
        Vec::new()
    }

    /// The policies that monitor have answered.
    pub(super) fn monitored(
        &mut self,
        at: Moment,
        ticket: Ticket,
        rollback: Vec<Said<RollbackAnswer>>,
    ) -> Vec<Record> {
        let Some(place) = self.place(ticket) else {
            return Vec::new();
        };
        let Some(round) = self.rounds.get_mut(place) else {
            return Vec::new();
        };
        round.monitored = false;
        let tick = round.tick;
        let (stands, handed) = (
            std::mem::replace(&mut round.stands, Stands::Not),
            round.handed.clone(),
        );
        let call = |said| self.called(said, &handed, |answer: &RollbackAnswer| &answer.state);
        let monitored = Monitored {
            tick,
            at,
            rollback: rollback.into_iter().map(call).collect(),
        };
        let repeats = |last: &Monitored| all_repeat(&monitored.rollback, &last.rollback);
        let mut lines = match stands {
            Stands::There(written) if self.written - written < ROUNDS_READ_BACK => Vec::new(),
            Stands::Held(held)
                if !self.is_overtaken(tick) && !self.monitored.as_ref().is_some_and(repeats) =>
            {
                self.write(*held, place)
            }
            Stands::There(_) | Stands::Held(_) | Stands::Not => return Vec::new(),
        };
        for call in &monitored.rollback {
            self.believe(call, &handed);
        }
        lines.push(Record::Monitored(monitored.clone()));
        self.monitored = Some(monitored);
        lines
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.rounds.iter().position(|round| round.ticket == ticket)
    }

    /// A later round stands in the file: what a reader knows by then is not what this one was asked with.
    fn is_overtaken(&self, tick: u64) -> bool {
        self.last.as_ref().is_some_and(|last| last.tick > tick)
    }

    /// The round that monitors are answering cannot be written after a later one. It repeats the last that stands there, so that
    /// nothing that a reader believes changes by it.
    fn write_monitored(&mut self) -> Vec<Record> {
        let waits = |round: &Round| round.monitored && matches!(round.stands, Stands::Held(_));
        let Some(place) = self.rounds.iter().position(waits) else {
            return Vec::new();
        };
        let stands = self.rounds.get_mut(place).map(|round| &mut round.stands);
        match stands.map(|stands| std::mem::replace(stands, Stands::Not)) {
            Some(Stands::Held(held)) if !self.is_overtaken(held.tick) => self.write(*held, place),
            _ => Vec::new(),
        }
    }

    fn write(&mut self, tick: Tick, place: usize) -> Vec<Record> {
        let mut lines = Vec::new();
        let Some(round) = self.rounds.get_mut(place) else {
            return lines;
        };
        self.written += 1;
        round.stands = Stands::There(self.written);
        let (context, handed) = (round.context.clone(), round.handed.clone());
        self.standing(tick.at, &context, &mut lines);
        for call in &tick.rollback {
            self.believe(call, &handed);
        }
        if let Some(call) = &tick.strategy {
            self.believe(call, &handed);
        }
        lines.push(Record::Tick(Box::new(tick.clone())));
        self.last = Some(tick);
        lines
    }

    /// What changes of the context from round to round; the rest is written where it changed.
    fn standing(&mut self, at: Moment, context: &Context, lines: &mut Vec<Record>) -> Standing {
        let standing = Standing::of(context);
        let known = self.facts.as_ref().map(|facts| standing.over(facts));
        if known.as_ref() != Some(context) {
            self.facts = Some(context.clone());
            lines.push(Record::Facts(Box::new(Facts {
                at,
                context: context.clone(),
            })));
        }
        standing
    }

    fn called<T>(
        &self,
        said: Said<T>,
        handed: &BTreeMap<String, Arc<[u8]>>,
        state: impl Fn(&T) -> &Vec<u8>,
    ) -> Called<T> {
        let empty = Arc::default();
        let got: &Arc<[u8]> = handed.get(&said.policy).unwrap_or(&empty);
        let believed = self.states.get(&said.policy).unwrap_or(&empty);
        let given = (got != believed).then(|| STANDARD.encode(got));
        let left = said.answer.as_ref().ok().map(state);
        let left = left.filter(|left| left.as_slice() != got.as_ref());
        let left = left.map(|left| STANDARD.encode(left));
        called(said, given, left)
    }

    /// Takes in what a reader takes from this call.
    fn believe<T>(&mut self, call: &Called<T>, handed: &BTreeMap<String, Arc<[u8]>>) {
        let left = call.state.as_ref().map(|text| STANDARD.decode(text));
        let state: Arc<[u8]> = match left {
            Some(Ok(bytes)) => bytes.into(),
            _ => handed.get(&call.policy).cloned().unwrap_or_default(),
        };
        self.states.insert(call.policy.clone(), state);
    }
}

fn called<T>(said: Said<T>, given: Option<String>, state: Option<String>) -> Called<T> {
    Called {
        policy: said.policy,
        digest: said.digest,
        answer: match said.answer {
            Ok(answer) => Answered::Ok(answer),
            Err(fault) => Answered::Fault(fault),
        },
        given,
        state,
        fuel: said.fuel,
        duration_us: u64::try_from(said.duration.as_micros()).unwrap_or(u64::MAX),
        log: said.log,
        notes: said.notes,
    }
}

#[cfg(test)]
mod tests;
