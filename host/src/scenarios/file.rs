//! Scenario files: `caxton-scenarios/1`.

use caxton_rollout::{Arm, Context, Digest, Phase, Version, VersionNumber, Window};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{Problem, ScenarioError};
use super::expect::{Expect, Wanted};
use super::{lay, tick};

/// What stands in `format` of every file.
pub const FORMAT: &str = "caxton-scenarios/1";

/// Length of a tick where none is written: the host's own, one second.
const TICK_MS: u64 = 1_000;

/// Length of a baseline of which only the counts are written: as long as the host remembers.
const BASELINE_MS: u64 = 600_000;

/// One course of events, and what a policy is expected to make of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Short, and different from the others' of its file.
    pub id: String,
    /// What happens in it.
    pub title: String,
    /// Why that verdict is right.
    pub why: String,
    /// What the policy is handed as settings.
    pub settings: Map<String, Value>,
    /// What is expected over the whole.
    pub expect: Expect,
    /// What a strategy policy is handed as configured; fields laid over the defaults.
    pub(super) plan: Map<String, Value>,
    pub(super) ticks: Vec<Tick>,
}

/// One tick: what is measured in it, and where the reload stands after it.
#[derive(Debug, Clone)]
pub(super) struct Tick {
    pub window: Window,
    pub split_written: bool,
    pub context: Context,
    pub expect: Option<Wanted>,
    pub fit: bool,
}

impl Scenario {
    /// What is expected at each tick.
    pub(super) fn expected(&self) -> Vec<Option<&Wanted>> {
        self.ticks.iter().map(|tick| tick.expect.as_ref()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, rename = "note")]
    _note: Value,
    tick_ms: Option<u64>,
    ticks_are: Option<Vec<String>>,
    scenarios: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    settings: Map<String, Value>,
    tick_ms: Option<u64>,
    #[serde(default)]
    baseline: Option<Map<String, Value>>,
    #[serde(default)]
    context: Map<String, Value>,
    #[serde(default)]
    plan: Map<String, Value>,
    #[serde(default)]
    expect: Expect,
    ticks: Vec<Value>,
}

/// The scenarios of a file; `file` is its name in errors.
///
/// # Errors
/// It is no scenario file, or a scenario in it says what cannot be.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let whole = |problem| ScenarioError {
        file: file.to_owned(),
        scenario: None,
        problem,
    };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| whole(Problem::at("", format!("it is not JSON: {error}"))))?;
    let read = read_file(value).map_err(whole)?;
    let tick_ms = read.tick_ms.unwrap_or(TICK_MS);
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (index, value) in read.scenarios.into_iter().enumerate() {
        let id = value
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty());
        let name = id.map_or_else(|| format!("number {}", index + 1), str::to_owned);
        let wrong = |problem| ScenarioError {
            file: file.to_owned(),
            scenario: Some(name.clone()),
            problem,
        };
        let scenario = scenario(value, tick_ms).map_err(wrong)?;
        if scenarios.iter().any(|other| other.id == scenario.id) {
            return Err(wrong(Problem::at(
                "id",
                "another scenario of this file has it",
            )));
        }
        scenarios.push(scenario);
    }
    Ok(scenarios)
}

fn read_file(value: Value) -> Result<File, Problem> {
    match value.get("format") {
        Some(Value::String(format)) if format == FORMAT => {}
        Some(other) => {
            let message = format!("it is {other}, and {FORMAT:?} is what can be read");
            return Err(Problem::at("format", message));
        }
        None => {
            let message =
                format!("it is missing: a scenario file begins with \"format\": {FORMAT:?}");
            return Err(Problem::at("format", message));
        }
    }
    let file: File = lay::read(value, "")?;
    debug_assert_eq!(file.format, FORMAT);
    if let Some(columns) = file
        .ticks_are
        .as_ref()
        .filter(|columns| **columns != tick::COLUMNS)
    {
        let message = format!(
            "they are {}, and only {} can be read; leave it out and write ticks as objects for anything else",
            columns.join(", "),
            tick::COLUMNS.join(", ")
        );
        return Err(Problem::at("ticks_are", message));
    }
    if file.tick_ms == Some(0) {
        return Err(Problem::at(
            "tick_ms",
            "a tick lasts at least one millisecond",
        ));
    }
    if file.scenarios.is_empty() {
        return Err(Problem::at("scenarios", "there are none"));
    }
    Ok(file)
}

fn scenario(value: Value, tick_ms: u64) -> Result<Scenario, Problem> {
    let written: Written = lay::read(value, "")?;
    if written.id.is_empty() {
        return Err(Problem::at("id", "it is empty"));
    }
    if written.tick_ms == Some(0) {
        return Err(Problem::at(
            "tick_ms",
            "a tick lasts at least one millisecond",
        ));
    }
    let tick_ms = written.tick_ms.unwrap_or(tick_ms);
    let mut read = Vec::with_capacity(written.ticks.len());
    let mut began = 0;
    for (index, value) in written.ticks.iter().enumerate() {
        let tick = tick::read(value, began, tick_ms, &format!("ticks[{index}]"))?;
        began = tick.window.end_ms;
        read.push(tick);
    }
    let mut base = default_context(&read);
    if let Some(baseline) = &written.baseline {
        base.baseline = Some(self::baseline(baseline, "baseline")?);
    }
    let base = laid(&base, &written.context, "context")?;
    let scenario = Scenario {
        id: written.id,
        title: written.title,
        why: written.why,
        settings: written.settings,
        expect: written.expect,
        plan: written.plan,
        ticks: ticks(base, &written.context, read)?,
    };
    checked(scenario)
}

fn checked(scenario: Scenario) -> Result<Scenario, Problem> {
    if scenario.ticks.is_empty() {
        return Err(Problem::at("ticks", "there are none"));
    }
    let expect = &scenario.expect;
    if expect.last.as_ref().is_some_and(Wanted::is_empty) {
        return Err(Problem::at(
            "expect.final",
            "it expects nothing: give a decision or a code",
        ));
    }
    if let Some((from, to)) = expect.rollback_between_ticks
        && (from == 0 || to < from)
    {
        let message = format!("[{from}, {to}] is no span of ticks: they are numbered from 1");
        return Err(Problem::at("expect.rollback_between_ticks", message));
    }
    if *expect == Expect::default() && scenario.ticks.iter().all(|tick| tick.expect.is_none()) {
        return Err(Problem::at(
            "expect",
            "nothing is expected: give never, final, rollback_between_ticks, or expect at a tick",
        ));
    }
    Ok(scenario)
}

/// Fields of a context over `base`. A baseline may be two counts.
fn laid(base: &Context, fields: &Map<String, Value>, path: &str) -> Result<Context, Problem> {
    let mut rest = fields.clone();
    let baseline = match rest.remove("baseline") {
        None => base.baseline.clone(),
        Some(Value::Null) => None,
        Some(Value::Object(written)) => Some(baseline(&written, &lay::below(path, "baseline"))?),
        Some(_) => {
            let here = lay::below(path, "baseline");
            return Err(Problem::at(
                &here,
                "give { \"failures\": 5, \"requests\": 1000 }, or a window",
            ));
        }
    };
    let context = lay::over(base, &rest, path)?;
    if context.split > 100 {
        let here = lay::below(path, "split");
        return Err(Problem::at(&here, "a share is 0 to 100 per cent"));
    }
    Ok(Context {
        baseline,
        ..context
    })
}

/// The context at each tick. What a tick writes holds from there on; time passes by itself, unless it is written.
fn ticks(
    base: Context,
    written: &Map<String, Value>,
    read: Vec<tick::Written>,
) -> Result<Vec<Tick>, Problem> {
    let mut fields = written.clone();
    let mut context = base;
    let mut stage_began = 0;
    let mut ticks = Vec::with_capacity(read.len());
    for (index, mut tick) in read.into_iter().enumerate() {
        if !tick.context.is_empty() {
            let before = (context.phase, context.stage, context.split);
            context = laid(&context, &tick.context, &format!("ticks[{index}].context"))?;
            if before != (context.phase, context.stage, context.split) {
                stage_began = tick.window.start_ms;
            }
            fields.append(&mut tick.context);
        }
        if !fields.contains_key("elapsed-ms") {
            context.elapsed_ms = tick.window.end_ms;
        }
        if !fields.contains_key("stage-elapsed-ms") {
            context.stage_elapsed_ms = tick.window.end_ms.saturating_sub(stage_began);
        }
        if !tick.split_written {
            tick.window.split_wanted = context.split;
        }
        ticks.push(Tick {
            window: tick.window,
            split_written: tick.split_written,
            context: context.clone(),
            expect: tick.expect,
            fit: tick.fit.unwrap_or(true),
        });
    }
    Ok(ticks)
}

/// The stable version before the reload: two counts, or a window.
fn baseline(fields: &Map<String, Value>, path: &str) -> Result<Window, Problem> {
    let counts = fields
        .keys()
        .all(|key| key == "failures" || key == "requests");
    let mut window = if counts {
        Window {
            stable: Some(tick::arm(fields, path)?),
            ..Window::default()
        }
    } else {
        tick::window(fields, path)?
    };
    if window.end_ms <= window.start_ms {
        window.end_ms = window.start_ms.saturating_add(BASELINE_MS);
    }
    Ok(window)
}

/// A reload in its middle: the candidate has all traffic, unless a tick has stable traffic or copies in it. Where the phase matters,
/// a scenario writes it.
fn default_context(ticks: &[tick::Written]) -> Context {
    let mut windows = ticks.iter().map(|tick| &tick.window);
    let answers = |arm: &Option<Arm>| arm.as_ref().is_some_and(|arm| arm.requests > 0);
    let (split, stages) = if windows.clone().any(|window| window.mirrored.is_some()) {
        (0, 0)
    } else if windows.any(|window| answers(&window.stable)) {
        (50, 1)
    } else {
        (100, 0)
    };
    context(Phase::InProgress, split, stages)
}

/// A made-up reload of version 2 over version 1, a moment after it began.
#[must_use]
pub fn context(phase: Phase, split: u8, stages: u32) -> Context {
    Context {
        reload_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        deadline_ms: None,
        paused: false,
        agent: "agent".to_owned(),
        stable: Some(version(1)),
        candidate: version(2),
        stateful: false,
        phase,
        stage: 0,
        stages,
        stage_elapsed_ms: 0,
        elapsed_ms: 0,
        split,
        baseline: None,
        history: Vec::new(),
        seed: 1,
    }
}

fn version(number: u8) -> Version {
    Version {
        number: VersionNumber::new(number.into()).unwrap_or(VersionNumber::FIRST),
        digest: Digest::new([number; 32]),
        config_digest: Digest::new([0; 32]),
        size: 100_000,
    }
}
