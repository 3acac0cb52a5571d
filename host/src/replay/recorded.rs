//! Makes records for tests: real policies over made-up windows, written as the recorder writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caxton_rollout::{
    Action, Arm, Bucket, Context, Decided, Digest, Fault, HotReloadId, Judgement,
    LATENCY_BOUNDS_US, Moment, Phase, Plan, PolicyMode, ReloadMetrics, RollbackAnswer, Series,
    Stage, Step, Strategy, StrategyAnswer, Version, VersionNumber, Window, combine,
};
use caxton_runtime::policy::{Call, Policy, PolicyKind, PolicyLimits, PolicyRuntime};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::records::{
    Answered, Asked, Began, Called, FORMAT, Facts, Monitored, Planned, Record, Standing, Tick,
};

/// When recorded reloads begin.
pub(crate) const BEGAN: u64 = 1_795_474_081_000;

const TICK_MS: u64 = 1_000;

/// The runtime of a test.
pub(crate) fn runtime() -> PolicyRuntime {
    PolicyRuntime::new(PolicyLimits::default()).unwrap()
}

/// The policy in the binary called `name`, under another one.
pub(crate) async fn embedded(runtime: &PolicyRuntime, name: &str, under: &str) -> Policy {
    for (known, bytes) in crate::policies::embedded() {
        let known: &str = known;
        if known == name {
            return runtime.load(under, bytes.to_vec()).await.unwrap();
        }
    }
    panic!("no policy {name} in this binary")
}

/// One of the binary's policies, compiled once for all tests.
pub(crate) async fn policy(name: &str) -> Policy {
    static POLICIES: OnceCell<[Policy; 2]> = OnceCell::const_new();
    let all = POLICIES.get_or_init(async || {
        let runtime = runtime();
        let named = async |name| embedded(&runtime, name, name).await;
        [named("standard").await, named("thresholds").await]
    });
    let found = all.await.iter().find(|policy| policy.name() == name);
    found.cloned().unwrap()
}

/// One interval: failures and requests of the candidate, then of the stable version.
pub(crate) type Traffic = ((u64, u64), (u64, u64));

/// A reload under way, and its records so far.
pub(crate) struct Recording {
    pub(crate) lines: Vec<Record>,
    began: Moment,
    judge: (Policy, Value),
    monitor: Option<(Policy, Value)>,
    strategy: Policy,
    states: BTreeMap<String, Vec<u8>>,
    context: Context,
    series: Series,
    windows: u64,
    tick: u64,
    ended: bool,
}

impl Recording {
    /// A split with stages of 10 and 50 per cent, judged by `thresholds` with these settings.
    pub(crate) async fn begin(number: u64, settings: Value) -> Self {
        Self::judged_by(number, (policy("thresholds").await, settings), None).await
    }

    pub(crate) async fn judged_by(
        number: u64,
        judge: (Policy, Value),
        monitor: Option<(Policy, Value)>,
    ) -> Self {
        let began = Moment(BEGAN + number * 60_000);
        let reload = HotReloadId::from_random_bits(u128::from(number) << 120 | 7);
        let strategy = policy("standard").await;
        let context = context(reload);
        let asked = |policy: &Policy, settings: &Value, mode| Asked {
            policy: policy.name().to_owned(),
            kind: policy.kind(),
            mode,
            digest: policy.digest(),
            settings: settings.clone(),
        };
        let mut policies = vec![
            asked(&strategy, &json!({}), PolicyMode::Enforce),
            asked(&judge.0, &judge.1, PolicyMode::Enforce),
        ];
        if let Some((policy, settings)) = &monitor {
            assert_eq!(policy.kind(), PolicyKind::Rollback);
            policies.push(asked(policy, settings, PolicyMode::Monitor));
        }
        let configured = plan();
        let call = strategy.begin("{}", &context, &configured).await;
        let lines = vec![
            Record::Began(Began {
                format: FORMAT.to_owned(),
                reload,
                agent: "shop".parse().unwrap(),
                at: began,
                policies,
            }),
            Record::Facts(Box::new(Facts {
                at: began,
                context: context.clone(),
            })),
            Record::Planned(Box::new(Planned {
                at: began,
                standing: Standing::of(&context),
                configured,
                call: called(&strategy, call, &[], |_| Vec::new()),
            })),
        ];
        let context = Context {
            phase: Phase::InProgress,
            stages: 2,
            split: 10,
            ..context
        };
        Self {
            lines,
            began,
            judge,
            monitor,
            strategy,
            states: BTreeMap::new(),
            context,
            series: Series::default(),
            windows: 0,
            tick: 0,
            ended: false,
        }
    }

    /// So many rounds with so much traffic in each; none after the end.
    pub(crate) async fn rounds(&mut self, count: usize, traffic: Traffic) {
        for _ in 0..count {
            if !self.ended {
                self.round(traffic).await;
            }
        }
    }

    async fn round(&mut self, traffic: Traffic) {
        self.tick += 1;
        self.context.elapsed_ms += TICK_MS;
        self.context.stage_elapsed_ms += TICK_MS;
        self.window(traffic);
        let metrics = metrics(self.series.windows());
        let standing = Standing::of(&self.context);
        let (judge, settings) = self.judge.clone();
        let answer = self.evaluate(&judge, &settings, &metrics).await;
        let judged = [(judge.name().to_owned(), result(&answer))];
        let judgement = combine(&judged);
        let mut next = None;
        if judgement.asks_strategy() {
            next = Some(self.next(judgement.fit(), &metrics).await);
        }
        let fit = judgement.fit();
        let decided = self.decide(judgement, next.as_ref());
        self.lines.push(Record::Tick(Box::new(Tick {
            tick: self.tick,
            at: self.now(),
            standing,
            metrics: metrics.clone(),
            windows: self.windows,
            rollback: vec![answer],
            strategy: next,
            fit,
            decided: Some(decided),
        })));
        if let Some((monitor, settings)) = self.monitor.clone() {
            let answer = self.evaluate(&monitor, &settings, &metrics).await;
            self.lines.push(Record::Monitored(Monitored {
                tick: self.tick,
                at: self.now(),
                rollback: vec![answer],
            }));
        }
    }

    fn now(&self) -> Moment {
        Moment(self.began.0 + self.context.elapsed_ms)
    }

    fn window(&mut self, ((failures, requests), (stable_failures, stable)): Traffic) {
        let baking = self.context.phase == Phase::Baking;
        let window = Window {
            start_ms: self.context.elapsed_ms - TICK_MS,
            end_ms: self.context.elapsed_ms,
            split_wanted: self.context.split,
            split_actual: Some(33.3),
            stable: (!baking).then(|| arm(stable_failures, stable)),
            candidate: Some(arm(failures, requests)),
            ..Window::default()
        };
        self.series.push(window.clone());
        self.windows += 1;
        self.lines.push(Record::Window(Box::new(window)));
    }

    async fn evaluate(
        &mut self,
        policy: &Policy,
        settings: &Value,
        metrics: &ReloadMetrics,
    ) -> Called<RollbackAnswer> {
        let state = self.states.get(policy.name()).cloned().unwrap_or_default();
        let settings = settings.to_string();
        let windows = self.series.windows();
        let call = policy
            .evaluate(&settings, &self.context, metrics, windows, &state)
            .await;
        if let Ok(answer) = &call.answer {
            self.states
                .insert(policy.name().to_owned(), answer.state.clone());
        }
        called(policy, call, &state, |answer| answer.state.clone())
    }

    async fn next(&mut self, fit: bool, metrics: &ReloadMetrics) -> Called<StrategyAnswer> {
        let windows = self.series.windows();
        let call = self
            .strategy
            .next("{}", &self.context, fit, metrics, windows, &[])
            .await;
        called(&self.strategy, call, &[], |answer| answer.state.clone())
    }

    fn decide(&mut self, judgement: Judgement, next: Option<&Called<StrategyAnswer>>) -> Decided {
        let step = next.and_then(|next| match &next.answer {
            Answered::Ok(answer) => Some(answer.step.clone()),
            Answered::Fault(_) => None,
        });
        let held = self.context.stage_elapsed_ms < 3 * TICK_MS;
        let mut clamps = Vec::new();
        let action = match (&judgement, &step) {
            (Judgement::Rollback { blame, .. }, _) => {
                self.ended = true;
                Action::RollBack {
                    to: VersionNumber::new(1).unwrap(),
                    blame: Some(*blame),
                    guard: false,
                }
            }
            (Judgement::Hold { why, .. }, _) => Action::Hold {
                reason: why.summary.clone(),
            },
            (_, Some(Step::Advance)) if held => {
                clamps.push("it stays until the stage has lasted 3 s".to_owned());
                Action::Stay
            }
            (_, Some(Step::Advance)) => self.advance(),
            _ => Action::Stay,
        };
        Decided {
            judgement,
            step,
            action,
            clamps,
        }
    }

    fn advance(&mut self) -> Action {
        self.context.stage_elapsed_ms = 0;
        if self.context.stage == 1 {
            self.context.phase = Phase::Baking;
            self.context.split = 100;
            return Action::Promote;
        }
        self.context.stage = 1;
        self.context.split = 50;
        Action::Share {
            percent: 50,
            stage: 1,
        }
    }

    /// The reload ends so.
    pub(crate) fn end(&mut self, status: &str, reason: Option<&str>) {
        let rolled_back = status == "rolled-back";
        self.lines.push(Record::Told {
            event: json!({"seq": 9, "at": self.now(), "kind": "status-changed", "to": status, "reason": reason}),
        });
        self.lines.push(Record::Ended {
            result: json!({
                "status": status, "strategy": "traffic-splitting", "from": 1, "to": 2, "started_at": self.began,
                "completed_at": self.now(), "rollback_reason": reason.filter(|_| rolled_back),
                "error": null, "evidence": if rolled_back { "none" } else { "sufficient" }, "lost_requests": 0
            }),
        });
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        text(&self.lines)
    }
}

/// Records as a file.
pub(crate) fn text(lines: &[Record]) -> String {
    let line = |record| format!("{}\n", serde_json::to_string(record).unwrap());
    lines.iter().map(line).collect()
}

/// A good version until its bake, then one failure in three: `thresholds` takes it back.
pub(crate) async fn taken_back(number: u64) -> Recording {
    let mut recording = Recording::begin(number, json!({})).await;
    recording.rounds(4, ((0, 8), (1, 60))).await;
    recording.rounds(4, ((0, 9), (1, 9))).await;
    recording.rounds(30, ((3, 9), (0, 9))).await;
    recording.end(
        "rolled-back",
        Some("thresholds: the error rate was too high"),
    );
    recording
}

fn called<T>(
    policy: &Policy,
    call: Call<T>,
    handed: &[u8],
    state: impl Fn(&T) -> Vec<u8>,
) -> Called<T> {
    let left = call.answer.as_ref().ok().map(state);
    Called {
        policy: policy.name().to_owned(),
        digest: policy.digest(),
        given: None,
        state: left
            .filter(|left| left != handed)
            .map(|left| STANDARD.encode(left)),
        fuel: call.fuel,
        duration_us: 300,
        log: call.log,
        notes: call.notes,
        answer: match call.answer {
            Ok(answer) => Answered::Ok(answer),
            Err(fault) => Answered::Fault(fault),
        },
    }
}

fn result(call: &Called<RollbackAnswer>) -> Result<RollbackAnswer, Fault> {
    match &call.answer {
        Answered::Ok(answer) => Ok(answer.clone()),
        Answered::Fault(fault) => Err(fault.clone()),
    }
}

fn context(reload: HotReloadId) -> Context {
    let version = |number| Version {
        number: VersionNumber::new(number).unwrap(),
        digest: Digest::new([7; 32]),
        config_digest: Digest::new([8; 32]),
        size: 70_000,
    };
    Context {
        reload_id: reload.to_string(),
        deadline_ms: None,
        paused: false,
        agent: "shop".to_owned(),
        stable: Some(version(1)),
        candidate: version(2),
        stateful: false,
        phase: Phase::Starting,
        stage: 0,
        stages: 0,
        stage_elapsed_ms: 0,
        elapsed_ms: 0,
        split: 0,
        baseline: None,
        history: Vec::new(),
        seed: 42,
    }
}

fn plan() -> Plan {
    let stage = |split| Stage {
        split,
        at_least: Duration::from_secs(3),
        at_least_requests: 0,
        needs_operator: false,
    };
    Plan {
        strategy: Strategy::TrafficSplitting,
        warm_up: Duration::ZERO,
        drain: Duration::from_secs(60),
        stages: vec![stage(10), stage(50)],
        bake: Duration::from_secs(300),
        keep_previous: Duration::from_secs(900),
        preserve_state: true,
        why: caxton_rollout::Explanation::default(),
    }
}

fn arm(failures: u64, requests: u64) -> Arm {
    let bucket = |up_to_us| Bucket {
        up_to_us,
        count: if up_to_us < 7_500 { 0 } else { requests },
    };
    Arm {
        requests,
        failures,
        callers: requests,
        failing_callers: failures,
        latency_total_us: requests * 6_100,
        latency: LATENCY_BOUNDS_US.into_iter().map(bucket).collect(),
        health_passed: 1,
        health_total: 1,
        ..Arm::default()
    }
}

fn metrics(windows: &[Window]) -> ReloadMetrics {
    let arms = || {
        windows
            .iter()
            .filter_map(|window| window.candidate.as_ref())
    };
    let requests: u64 = arms().map(|arm| arm.requests).sum();
    let failures: u64 = arms().map(|arm| arm.failures).sum();
    ReloadMetrics {
        requests_processed: requests,
        requests_failed: failures,
        error_rate_percentage: Some((failures as f64 * 100.0 / requests as f64) as f32),
        // A figure whose digits do not end.
        average_response_time_ms: Some(0.1 + requests as f64 / 3.0),
        ..ReloadMetrics::default()
    }
}
