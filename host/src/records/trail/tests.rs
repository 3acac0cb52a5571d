//! The lines of made-up reloads, driven by the core itself, and what a reader makes of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    Arm, Command, Content, Event, Explanation, FaultKind, Fleet, FleetSettings, Identity, Measure,
    Order, PolicyRef, RollbackSettings, Settings, Stage, Step, Strategy, Verdict, VersionNumber,
};
use caxton_runtime::policy::Policy;

use super::*;
use crate::replay::recorded;

const TICK: u64 = 1_000;

fn content(byte: u8) -> Content {
    let digest = Digest::new([byte; 32]);
    Content {
        identity: Identity {
            component: digest,
            config: digest,
        },
        size: 10,
        has_health: false,
        stateful: false,
    }
}

fn settings() -> Arc<Settings> {
    let policy = |name: &str, mode| PolicyRef {
        name: name.to_owned(),
        mode,
        settings: "{}".to_owned(),
    };
    let mut settings = Settings {
        rollback: RollbackSettings {
            policies: vec![
                policy("judge", PolicyMode::Enforce),
                policy("watcher", PolicyMode::Monitor),
            ],
            ..RollbackSettings::default()
        },
        ..Settings::default()
    };
    settings.reload.strategy = Strategy::TrafficSplitting;
    settings.reload.stages = vec![Stage {
        split: 10,
        at_least: Duration::from_secs(60),
        at_least_requests: 0,
        needs_operator: true,
    }];
    settings.reload.deadline = Duration::from_secs(100 * 60 * 60);
    Arc::new(settings)
}

/// What the policies were handed in one round, as it really was.
#[derive(Debug, PartialEq, Clone)]
struct Handed {
    context: Context,
    metrics: ReloadMetrics,
    windows: Arc<[Window]>,
    states: BTreeMap<String, Arc<[u8]>>,
}

/// A question that is on its way.
struct Open {
    ticket: Ticket,
    tick: u64,
    with_strategy: bool,
    with_monitors: bool,
    due: u64,
}

/// A core with one reload, its trail, and all that happened.
struct World {
    fleet: Fleet,
    agent: AgentName,
    reload: Option<HotReloadId>,
    trail: Option<Trail>,
    random: fastrand::Rng,
    now: u64,
    tick: u64,
    asked: Option<Ticket>,
    open: VecDeque<Open>,
    monitors: VecDeque<Open>,
    handed: BTreeMap<u64, Handed>,
    /// When each round was asked.
    at_of: BTreeMap<u64, u64>,
    lines: Vec<u8>,
    /// Whether answers and states vary.
    varied: bool,
    /// Who answers instead.
    real: Option<Real>,
    /// How many ticks monitors take where nothing varies.
    slow: u64,
}

/// Policies of the binary, in the places of the judge and of the strategy policy.
struct Real {
    runtime: tokio::runtime::Runtime,
    judge: Policy,
    strategy: Policy,
}

impl Real {
    fn judged_by(judge: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let policies = recorded::runtime();
        let (judge, strategy) = runtime.block_on(async {
            (
                recorded::embedded(&policies, judge, "judge").await,
                recorded::embedded(&policies, "standard", "standard").await,
            )
        });
        Self {
            runtime,
            judge,
            strategy,
        }
    }

    fn judge(&self, handed: &Handed) -> Said<RollbackAnswer> {
        let state = &handed.states["judge"];
        let call = self.judge.evaluate(
            "{}",
            &handed.context,
            &handed.metrics,
            &handed.windows,
            state,
        );
        said("judge", self.runtime.block_on(call).answer)
    }

    fn next(&self, fit: bool, handed: &Handed) -> Said<StrategyAnswer> {
        let state = &handed.states["standard"];
        let call = self.strategy.next(
            "{}",
            &handed.context,
            fit,
            &handed.metrics,
            &handed.windows,
            state,
        );
        said("standard", self.runtime.block_on(call).answer)
    }
}

impl World {
    fn new(seed: u64, varied: bool) -> Self {
        Self::judged(seed, varied, None)
    }

    fn judged(seed: u64, varied: bool, real: Option<Real>) -> Self {
        let mut world = Self {
            fleet: Fleet::new(FleetSettings {
                max_reloads: 5,
                seed,
            }),
            agent: "shop".parse().unwrap(),
            reload: None,
            trail: None,
            random: fastrand::Rng::with_seed(seed),
            now: 1_000_000,
            tick: 0,
            asked: None,
            open: VecDeque::new(),
            monitors: VecDeque::new(),
            handed: BTreeMap::new(),
            at_of: BTreeMap::new(),
            lines: Vec::new(),
            varied,
            real,
            slow: 0,
        };
        world.wanted(1);
        for _ in 0..5 {
            world.measure(0, 0);
        }
        world.wanted(2);
        assert_eq!(
            world.fleet.view(&world.agent).unwrap().split,
            10,
            "the reload is in its first stage"
        );
        world
    }

    fn at(&self) -> Moment {
        Moment(self.now)
    }

    fn wanted(&mut self, byte: u8) {
        let event = Event::Wanted {
            agent: self.agent.clone(),
            content: content(byte),
            settings: settings(),
        };
        self.step(event);
    }

    fn write(&mut self, records: Vec<Record>) {
        for record in records {
            serde_json::to_writer(&mut self.lines, &record).unwrap();
            self.lines.push(b'\n');
        }
    }

    fn step(&mut self, event: Event) {
        let measured = matches!(event, Event::Measured { .. });
        let commands = self.fleet.step(Moment(self.now), event);
        if measured
            && let Some((reload, window)) = self.fleet.measured(&self.agent)
            && Some(reload) == self.reload
        {
            let lines = self.trail.as_mut().unwrap().measured(window);
            self.write(lines);
        }
        self.execute(commands);
    }

    fn execute(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Pin {
                    agent,
                    ticket,
                    reload,
                    rollback,
                    ..
                } => {
                    self.reload = Some(reload);
                    let mut trail = Trail::new(agent.clone(), reload);
                    trail.take_modes(rollback.iter().map(|c| (c.name.clone(), c.mode)).collect());
                    let lines = trail.began(self.at(), Vec::new());
                    self.trail = Some(trail);
                    self.write(lines);
                    self.step(Event::Pinned {
                        agent,
                        ticket,
                        result: Ok(()),
                    });
                }
                Command::Prepare { agent, ticket, .. } => {
                    self.step(Event::Prepared { agent, ticket });
                }
                Command::Remember {
                    memory,
                    ticket: Some(ticket),
                } => self.step(Event::Written {
                    agent: memory.agent,
                    ticket,
                    result: Ok(()),
                }),
                Command::Plan {
                    agent,
                    ticket,
                    context,
                    configured,
                    ..
                } => {
                    let at = self.at();
                    let said = said("standard", Ok(configured.clone()));
                    let trail = self.trail.as_mut().unwrap();
                    let lines = trail.planned(at, &context, configured.clone(), said);
                    self.write(lines);
                    self.step(Event::Planned {
                        agent,
                        ticket,
                        plan: Ok(configured),
                    });
                }
                Command::Judge {
                    ticket,
                    context,
                    metrics,
                    windows,
                    rollback,
                    strategy,
                    ..
                } => self.asked(ticket, *context, metrics, windows, &rollback, strategy),
                _ => {}
            }
        }
    }

    fn asked(
        &mut self,
        ticket: Ticket,
        context: Context,
        metrics: ReloadMetrics,
        windows: Arc<[Window]>,
        rollback: &[PolicyCall],
        strategy: Option<PolicyCall>,
    ) {
        let calls: Vec<&PolicyCall> = rollback.iter().chain(&strategy).collect();
        let states = calls.iter().map(|c| (c.name.clone(), Arc::clone(&c.state)));
        let handed = Handed {
            context: context.clone(),
            metrics: metrics.clone(),
            windows: Arc::clone(&windows),
            states: states.collect(),
        };
        self.tick += 1;
        self.asked = Some(ticket);
        self.handed.insert(self.tick, handed);
        self.at_of.insert(self.tick, self.now);
        let at = self.at();
        let question = Question {
            ticket,
            context: &context,
            metrics: &metrics,
            windows: &windows,
            calls,
        };
        let lines = self.trail.as_mut().unwrap().asked(at, &question).unwrap();
        self.write(lines);
        let wait = match self.random.u8(..) {
            _ if self.real.is_some() => 0,
            // So late that the core has just asked again.
            0..4 => 60,
            4..40 => self.random.u64(1..5),
            _ => 0,
        };
        self.open.push_back(Open {
            ticket,
            tick: self.tick,
            with_strategy: strategy.is_some(),
            with_monitors: rollback.iter().any(|call| call.mode == PolicyMode::Monitor),
            due: self.now + wait * TICK,
        });
    }

    /// One interval with these counts, and the answers that are due after it.
    fn measure(&mut self, stable: u64, candidate: u64) {
        let start = Moment(self.now);
        self.now += TICK;
        let measure = |number, requests: u64| Measure {
            number: VersionNumber::new(number).unwrap(),
            arm: Arm {
                requests,
                failures: requests / 3,
                latency_total_us: requests * 1_700,
                memory_mean: requests * 1_001,
                ..Arm::default()
            },
            callers: 0,
            failing_callers: 0,
            mirrored: None,
        };
        let versions = vec![measure(1, stable), measure(2, candidate)];
        self.step(Event::Measured {
            agent: self.agent.clone(),
            start,
            end: self.at(),
            versions,
        });
        while let Some(open) = self.due(true) {
            self.judge(open);
        }
        while let Some(open) = self.due(false) {
            self.monitor(open);
        }
    }

    fn due(&mut self, enforcing: bool) -> Option<Open> {
        let now = self.now;
        let line = if enforcing {
            &mut self.open
        } else {
            &mut self.monitors
        };
        let place = line.iter().position(|open| open.due <= now)?;
        line.remove(place)
    }

    fn answer(&mut self, policy: &str, tick: u64) -> Said<RollbackAnswer> {
        if let Some(real) = self.real.as_ref().filter(|_| policy == "judge") {
            return real.judge(&self.handed[&tick]);
        }
        let before = self.handed[&tick].states[policy].to_vec();
        if self.varied && self.random.u8(..) < 20 {
            return said(policy, Err(fault(policy)));
        }
        let changes = self.varied && self.random.bool();
        let state = if changes {
            vec![self.random.u8(..); self.random.usize(..4)]
        } else {
            before
        };
        let answer = RollbackAnswer {
            verdict: Verdict::Undecided,
            why: Explanation::default(),
            state,
        };
        said(policy, Ok(answer))
    }

    fn judge(&mut self, open: Open) {
        let rollback = vec![self.answer("judge", open.tick)];
        let judged = (rollback[0].policy.clone(), rollback[0].answer.clone());
        let judgement = caxton_rollout::combine(std::slice::from_ref(&judged));
        let fit = judgement.fit();
        let asks = open.with_strategy && judgement.asks_strategy();
        let strategy = asks.then(|| self.proposal(open.tick, fit));
        let event = Event::Judged {
            agent: self.agent.clone(),
            ticket: open.ticket,
            rollback: vec![judged],
            strategy: strategy.as_ref().map(|said| said.answer.clone()),
        };
        let commands = self.fleet.step(Moment(self.now), event);
        let decided = commands.iter().find_map(|command| match command {
            Command::Decided(decision) => Some(decision.outcome.clone()),
            _ => None,
        });
        let judged = Judged {
            ticket: open.ticket,
            rollback,
            strategy,
            fit,
        };
        let at = self.at();
        let lines = self.trail.as_mut().unwrap().judged(at, judged, decided);
        self.write(lines);
        self.execute(commands);
        if !open.with_monitors {
            return;
        }
        let wait = match self.random.u8(..) {
            _ if !self.varied => self.slow,
            // Far more rounds later than are held for those that enforce; and later than anybody waits for.
            0..8 => 40,
            8..12 => 70,
            _ => self.random.u64(..3),
        };
        self.monitors.push_back(Open {
            due: self.now + wait * TICK,
            ..open
        });
    }

    fn proposal(&mut self, tick: u64, fit: bool) -> Said<StrategyAnswer> {
        if let Some(real) = &self.real {
            return real.next(fit, &self.handed[&tick]);
        }
        let state = if self.varied {
            vec![self.random.u8(..)]
        } else {
            Vec::new()
        };
        let answer = StrategyAnswer {
            step: Step::Wait,
            why: Explanation::default(),
            next_check: self.varied.then(|| Duration::from_secs(3)),
            state,
        };
        said("standard", Ok(answer))
    }

    fn monitor(&mut self, open: Open) {
        let said = vec![self.answer("watcher", open.tick)];
        let event = Event::Monitored {
            agent: self.agent.clone(),
            ticket: open.ticket,
            rollback: vec![(said[0].policy.clone(), said[0].answer.clone())],
        };
        let at = self.at();
        let trail = self.trail.as_mut().unwrap();
        let lines = trail.monitored(at, open.ticket, said);
        self.write(lines);
        self.step(event);
    }

    fn share(&mut self, percent: u8) {
        let order = Order::SetSplit { percent };
        let at = self.at();
        let commands = self.fleet.order(at, &self.agent.clone(), order).unwrap();
        self.execute(commands);
    }
}

fn said<T>(policy: &str, answer: Result<T, Fault>) -> Said<T> {
    Said {
        policy: policy.to_owned(),
        digest: Digest::new([9; 32]),
        answer,
        fuel: 7,
        duration: Duration::from_micros(3),
        log: PolicyLog::default(),
        notes: Vec::new(),
    }
}

fn fault(policy: &str) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind: FaultKind::Trap,
        message: "it trapped".to_owned(),
    }
}

/// What a reader knows, from the lines alone.
#[derive(Default)]
struct Read {
    windows: Vec<Window>,
    facts: Option<Context>,
    states: BTreeMap<String, Vec<u8>>,
    ticks: Vec<Tick>,
    monitored: Vec<Monitored>,
}

impl Read {
    /// Reads all lines and holds each round against what was really handed over.
    fn all(lines: &[u8], handed: &BTreeMap<u64, Handed>) -> Self {
        let mut read = Self::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line).unwrap() {
                Record::Window(window) => read.windows.push(*window),
                Record::Facts(facts) => read.facts = Some(facts.context),
                Record::Tick(tick) => {
                    read.is_as_handed(&tick, &handed[&tick.tick]);
                    for call in &tick.rollback {
                        read.follow(call, &handed[&tick.tick]);
                    }
                    if let Some(call) = &tick.strategy {
                        read.follow(call, &handed[&tick.tick]);
                    }
                    read.ticks.push(*tick);
                }
                Record::Monitored(monitored) => {
                    let known = read.ticks.iter().any(|tick| tick.tick == monitored.tick);
                    assert!(known, "a monitor speaks of a round that is there");
                    for call in &monitored.rollback {
                        read.follow(call, &handed[&monitored.tick]);
                    }
                    read.monitored.push(monitored);
                }
                _ => {}
            }
        }
        read
    }

    fn is_as_handed(&self, tick: &Tick, handed: &Handed) {
        let mut series = Series::default();
        let shown = usize::try_from(tick.windows).unwrap();
        for window in &self.windows[..shown] {
            series.push(window.clone());
        }
        assert_eq!(series.windows(), &*handed.windows, "round {}", tick.tick);
        let context = tick.standing.over(self.facts.as_ref().unwrap());
        assert_eq!(context, handed.context, "round {}", tick.tick);
        assert_eq!(tick.metrics, handed.metrics, "round {}", tick.tick);
    }

    fn follow<T>(&mut self, call: &Called<T>, handed: &Handed) {
        let decode = |text: &String| STANDARD.decode(text).unwrap();
        let chained = self.states.get(&call.policy).cloned().unwrap_or_default();
        let got = call.given.as_ref().map_or(chained, decode);
        assert_eq!(got, handed.states[&call.policy].to_vec());
        let left = call.state.as_ref().map_or(got, decode);
        self.states.insert(call.policy.clone(), left);
    }
}

#[test]
fn the_lines_alone_give_what_every_policy_was_handed() {
    let (mut late, mut given, mut slow) = (0, 0, 0);
    for seed in 0..6 {
        let mut world = World::new(seed, true);
        for _ in 0..400 {
            if world.random.u8(..) < 12 {
                let percent = world.random.u8(1..99);
                world.share(percent);
            }
            // So little that intervals with both versions and with one take turns: then newest windows are merged, too.
            let (stable, candidate) = (world.random.u64(..2), world.random.u64(..2));
            world.measure(stable, candidate);
        }
        let read = Read::all(&world.lines, &world.handed);
        assert!(world.tick > 100, "{} rounds", world.tick);
        assert!(read.ticks.len() > 100, "{} rounds", read.ticks.len());
        assert!(read.monitored.len() > 20, "{}", read.monitored.len());
        late += read.ticks.iter().filter(|t| t.decided.is_none()).count();
        let monitors = read.monitored.iter().flat_map(|m| &m.rollback);
        let judges = read.ticks.iter().flat_map(|t| &t.rollback);
        let calls = judges.chain(monitors);
        given += calls.filter(|call| call.given.is_some()).count();
        let round = |m: &&Monitored| world.at_of[&m.tick] + 30 * TICK < m.at.0;
        slow += read.monitored.iter().filter(round).count();
        assert!(read.windows.len() >= 400, "each interval");
        let ends = |pair: &[Window]| pair[0].end_ms == pair[1].start_ms;
        assert!(read.windows.windows(2).all(ends), "without a gap");
        let ticks = read.ticks.windows(2);
        assert!(
            ticks
                .map(|t| (&t[0], &t[1]))
                .all(|(a, b)| a.tick < b.tick && a.windows <= b.windows)
        );
    }
    assert_ne!(
        given, 0,
        "a policy was asked before its last answer was there"
    );
    assert_ne!(slow, 0, "what a slow monitor said is there");
    assert_ne!(late, 0, "answers that came too late to count are there");
}

#[test]
fn what_came_before_the_first_round_stands_as_it_was_merged() {
    let mut world = World::new(1, false);
    let mut trail = Trail::new(world.agent.clone(), world.reload.unwrap());
    let mut series = Series::default();
    for second in 0..500 {
        let window = Window {
            start_ms: second * TICK,
            end_ms: (second + 1) * TICK,
            ..Window::default()
        };
        series.push(window.clone());
        assert!(trail.measured(&window).is_empty(), "nobody was asked yet");
    }
    // A ticket and a context as the core makes them.
    world.measure(1, 1);
    let handed = world.handed[&1].clone();
    let question = Question {
        ticket: world.asked.unwrap(),
        context: &handed.context,
        metrics: &handed.metrics,
        windows: series.windows(),
        calls: Vec::new(),
    };
    let lines = trail.asked(Moment(1), &question).unwrap();
    let windows = lines.iter().filter(|r| matches!(r, Record::Window(_)));
    assert_eq!(windows.count(), caxton_rollout::MAX_WINDOWS);
    assert!(matches!(lines[0], Record::Began(_)), "a file begins so");
    let other = Question {
        windows: &[],
        ..question
    };
    assert!(trail.asked(Moment(2), &other).is_err());
}

#[test]
fn rounds_that_say_nothing_new_are_left_out_and_their_windows_are_not() {
    let mut world = World::new(3, false);
    for _ in 0..3 {
        world.measure(4, 1);
    }
    let before = Read::all(&world.lines, &world.handed);
    // Some rounds were answered late; all others stand there.
    let busy = before.ticks.len();
    let (rounds, windows) = (world.tick, before.windows.len());
    for _ in 0..200 {
        world.measure(0, 0);
    }
    let quiet = Read::all(&world.lines, &world.handed);
    assert_eq!(quiet.windows.len(), windows + 200);
    assert!(world.tick > rounds + 50, "it was judged on");
    let decided = |read: &Read| read.ticks.iter().filter(|t| t.decided.is_some()).count();
    assert!(
        decided(&quiet) <= busy + 3,
        "{} of {} rounds stand there",
        quiet.ticks.len(),
        world.tick
    );
    world.now += 100 * TICK;
    for _ in 0..5 {
        world.measure(0, 1);
    }
    let again = Read::all(&world.lines, &world.handed);
    assert!(again.ticks.len() > quiet.ticks.len(), "and says so again");
}

/// However late it comes. What it repeats about a round that said nothing new is left out with that round.
#[test]
fn what_a_slow_monitor_says_stands_there_with_its_round() {
    for quiet in [false, true] {
        let mut world = World::new(6, false);
        world.measure(4, 1);
        world.slow = 50;
        let before = Read::all(&world.lines, &world.handed).monitored.len();
        for second in 0..55 {
            let load = u64::from(!quiet || second > 30);
            world.measure(4 * load, load);
        }
        let read = Read::all(&world.lines, &world.handed);
        let written = usize::from(!quiet);
        assert_eq!(read.monitored.len(), before + written, "quiet: {quiet}");
        for said in read.monitored.iter().skip(before) {
            assert_eq!(said.at.0, world.at_of[&said.tick] + 50 * TICK);
        }
        let trail = world.trail.as_ref().unwrap();
        assert!(trail.rounds.len() <= ROUNDS_HELD + 1);
    }
}

#[test]
fn an_hour_without_traffic_takes_few_rounds_though_the_state_changes_in_each() {
    let mut world = World::judged(5, false, Some(Real::judged_by("evidence")));
    for _ in 0..5 {
        world.measure(9, 1);
    }
    let before = Read::all(&world.lines, &world.handed).ticks.len();
    let (asked, bytes) = (world.tick, world.lines.len());
    for _ in 0..60 * 60 {
        world.measure(0, 0);
    }
    let asked = world.tick - asked;
    assert!(asked > 3_000, "it was judged on: {asked}");
    let states = |tick: u64| world.handed[&tick].states["judge"].to_vec();
    assert_ne!(
        states(world.tick),
        states(world.tick - 1),
        "it notes something each time"
    );
    let quiet = Read::all(&world.lines, &world.handed).ticks.len() - before;
    assert!(quiet <= 5, "{quiet} of {asked} rounds stand there");
    let bytes = world.lines.len() - bytes;
    assert!(bytes < 3_600 * 1_000, "{bytes} bytes for an hour");
    // And what it says next can be asked again: it got what was not in the file before.
    for _ in 0..5 {
        world.measure(9, 1);
    }
    let read = Read::all(&world.lines, &world.handed);
    let next = &read.ticks[before + quiet];
    assert!(next.rollback[0].given.is_some(), "{next:?}");
}

#[test]
fn what_is_told_before_there_are_policies_comes_after_the_first_line() {
    let world = World::new(4, false);
    let mut trail = Trail::new(world.agent.clone(), world.reload.unwrap());
    for n in 0..100 {
        assert!(trail.told(n.into()).is_empty());
    }
    let lines = trail.began(Moment(5), Vec::new());
    assert!(matches!(lines[0], Record::Began(_)));
    assert_eq!(lines.len(), 1 + TOLD_HELD);
    assert!(trail.began(Moment(6), Vec::new()).is_empty());
    assert_eq!(trail.told(1.into()), [Record::Told { event: 1.into() }]);
}
