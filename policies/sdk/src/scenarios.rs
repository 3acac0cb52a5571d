//! Scenario files (`caxton-scenarios/1`): metric series and the verdicts that they must give.
//!
//! They are read and run as `caxton policy test` does it, so that a file means the same in both. What is only for strategy policies
//! (`plan`, `fit`) is unknown here.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Arm, Context, ReloadMetrics, RollbackPolicy, Window, component, settings};

#[path = "expect.rs"]
mod expect;

use expect::{Blamed, Decision, Expected, Said, Wanted};

/// Length of a tick where none is written.
const TICK_MS: u64 = 1_000;

/// Length of a baseline of which only the counts are written.
const BASELINE_MS: u64 = 600_000;

/// What the four numbers of a tick are.
const COLUMNS: [&str; 4] = [
    "candidate_failures",
    "candidate_requests",
    "stable_failures",
    "stable_requests",
];

/// A tick in which a policy did not decide as its scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The scenario's id.
    pub scenario: String,
    /// What was expected, and what came.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, rename = "note")]
    _note: Value,
    tick_ms: Option<u64>,
    ticks_are: Option<Vec<String>>,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    id: String,
    #[serde(default, rename = "title")]
    _title: String,
    #[serde(default, rename = "why")]
    _why: String,
    tick_ms: Option<u64>,
    settings: Option<Value>,
    baseline: Option<Value>,
    #[serde(default)]
    context: Map<String, Value>,
    #[serde(default)]
    expect: Expected,
    ticks: Vec<Value>,
}

/// One tick, read.
#[derive(Default)]
struct Tick {
    window: Window,
    split_written: bool,
    /// Fields of the context that are different from here on.
    context: Map<String, Value>,
    expect: Option<Wanted>,
}

/// Runs each scenario of a file through a policy, tick by tick until it goes back, with its state as the host keeps it.
///
/// A tick is four numbers (candidate failures and requests, stable failures and requests) or an object with the contract's field
/// names. The windows are handed over as they are written: the host would merge the oldest beyond 120.
///
/// # Errors
/// The file cannot be read, a scenario expects nothing, or its settings are refused.
pub fn run<P: RollbackPolicy>(text: &str) -> Result<(usize, Vec<Difference>), String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.format != "caxton-scenarios/1" {
        return Err(format!(
            "the format is {:?}, not caxton-scenarios/1",
            file.format
        ));
    }
    if file.ticks_are.is_some_and(|columns| columns != COLUMNS) {
        return Err(format!(
            "ticks_are: only {} can be read",
            COLUMNS.join(", ")
        ));
    }
    if file.scenarios.is_empty() {
        return Err("scenarios: there are none".to_owned());
    }
    let tick_ms = file.tick_ms.unwrap_or(TICK_MS);
    let mut differences = Vec::new();
    for scenario in &file.scenarios {
        let found = scenario
            .run::<P>(tick_ms)
            .map_err(|error| format!("{}: {error}", scenario.id))?;
        differences.extend(found.into_iter().map(|message| Difference {
            scenario: scenario.id.clone(),
            message,
        }));
    }
    Ok((file.scenarios.len(), differences))
}

impl Scenario {
    fn run<P: RollbackPolicy>(&self, tick_ms: u64) -> Result<Vec<String>, String> {
        let ticks = self.ticks(tick_ms)?;
        let mut asked = self.begin::<P>(&ticks)?;
        let mut differences = Vec::new();
        let mut last: Option<Said> = None;
        for (number, tick) in (1_u64..).zip(ticks) {
            if let Some(last) = last.as_ref().filter(|said| said.is_over()) {
                if let Some(wanted) = tick.expect {
                    differences.push(format!(
                        "tick {number}: not asked any more after {last}, expected {wanted}"
                    ));
                }
                continue;
            }
            let (wanted, said) = asked.tick::<P>(number, tick)?;
            if let Some(wanted) = wanted.filter(|wanted| !wanted.is_met(&said)) {
                differences.push(format!("{said}, expected {wanted}"));
            }
            if let Some(expected) = self.expect.unmet_at(&said) {
                differences.push(format!("{said}, expected {expected}"));
            }
            last = Some(said);
        }
        differences.extend(last.and_then(|last| self.expect.unmet_at_the_end(&last)));
        Ok(differences)
    }

    fn ticks(&self, tick_ms: u64) -> Result<Vec<Tick>, String> {
        let tick_ms = self.tick_ms.unwrap_or(tick_ms);
        if tick_ms == 0 {
            return Err("tick_ms: a tick lasts at least one millisecond".to_owned());
        }
        let mut ticks = Vec::with_capacity(self.ticks.len());
        let mut began = 0;
        for (number, written) in (1_u64..).zip(&self.ticks) {
            let tick = Tick::read(written, began, tick_ms)
                .map_err(|error| format!("tick {number}: {error}"))?;
            began = tick.window.end_ms;
            ticks.push(tick);
        }
        if ticks.is_empty() {
            return Err("ticks: there are none".to_owned());
        }
        self.expect
            .check()
            .map_err(|error| format!("expect: {error}"))?;
        if self.expect.is_empty() && ticks.iter().all(|tick| tick.expect.is_none()) {
            return Err(
                "expect: nothing is expected: give never, final, rollback_between_ticks, or expect at a tick"
                    .to_owned(),
            );
        }
        Ok(ticks)
    }

    fn begin<P: RollbackPolicy>(&self, ticks: &[Tick]) -> Result<Asked, String> {
        let settings = self
            .settings
            .as_ref()
            .map_or_else(|| "{}".to_owned(), Value::to_string);
        settings::check::<P::Settings>(&settings, P::check)
            .map_err(|problems| format!("settings: {problems:?}"))?;
        let mut fields = self.context.clone();
        if let Some(baseline) = &self.baseline {
            fields.entry("baseline").or_insert_with(|| baseline.clone());
        }
        fields
            .entry("split")
            .or_insert_with(|| default_split(ticks).into());
        let asked = Asked {
            settings,
            fields,
            metrics: ReloadMetrics::default(),
            windows: Vec::new(),
            state: Vec::new(),
        };
        asked.context(0)?;
        Ok(asked)
    }
}

/// The candidate's share where none is written: none where it hears copies, half where the stable version answers at any tick, and
/// otherwise all.
fn default_split(ticks: &[Tick]) -> u8 {
    let mut windows = ticks.iter().map(|tick| &tick.window);
    let answers = |arm: &Option<Arm>| arm.as_ref().is_some_and(|arm| arm.requests > 0);
    if windows.clone().any(|window| window.mirrored.is_some()) {
        0
    } else if windows.any(|window| answers(&window.stable)) {
        50
    } else {
        100
    }
}

/// What the host keeps between two calls.
struct Asked {
    settings: String,
    /// What is written of the context.
    fields: Map<String, Value>,
    metrics: ReloadMetrics,
    windows: Vec<Window>,
    state: Vec<u8>,
}

impl Asked {
    /// Asks at one tick; what was expected of it comes back with what was said.
    fn tick<P: RollbackPolicy>(
        &mut self,
        number: u64,
        tick: Tick,
    ) -> Result<(Option<Wanted>, Said), String> {
        let mut window = tick.window;
        self.fields.extend(tick.context);
        let context = self.context(window.end_ms)?;
        if !tick.split_written {
            window.split_wanted = context.split;
        }
        if let Some(arm) = &window.candidate {
            self.count(arm);
        }
        self.windows.push(window);
        let answer = component::evaluate::<P>(
            &self.settings,
            &context,
            &self.metrics,
            &self.windows,
            &self.state,
        )?;
        self.state = answer.state;
        let said = Said {
            tick: number,
            decision: Decision::of(&answer.verdict),
            blame: Blamed::of(&answer.verdict),
            code: answer.why.code,
        };
        Ok((tick.expect, said))
    }

    fn context(&self, elapsed_ms: u64) -> Result<Context, String> {
        let mut fields = self.fields.clone();
        let baseline = fields
            .remove("baseline")
            .filter(|written| !written.is_null())
            .map(|written| baseline(&written))
            .transpose()?;
        fields
            .entry("elapsed-ms")
            .or_insert_with(|| elapsed_ms.into());
        let context: Context = read(Value::Object(fields))?;
        Ok(Context {
            baseline,
            ..context
        })
    }

    /// Different callers do not add up over windows: the largest of the windows is what they surely come to.
    fn count(&mut self, arm: &Arm) {
        let metrics = &mut self.metrics;
        metrics.requests_processed = metrics.requests_processed.saturating_add(arm.requests);
        metrics.requests_failed = metrics.requests_failed.saturating_add(arm.failures);
        metrics.memory_usage_peak = metrics.memory_usage_peak.max(arm.memory_peak);
        metrics.callers = metrics.callers.max(arm.callers);
        metrics.failing_callers = metrics.failing_callers.max(arm.failing_callers);
    }
}

impl Tick {
    /// Reads a tick that begins where the one before it ended, unless it says otherwise.
    fn read(written: &Value, began: u64, tick_ms: u64) -> Result<Self, String> {
        if let Value::Array(_) = written {
            let counts: [u64; 4] = read(written.clone())?;
            let [failures, requests, stable_failures, stable_requests] = counts;
            let window = Window {
                start_ms: began,
                end_ms: began.saturating_add(tick_ms),
                stable: (stable_requests > 0).then(|| arm(stable_failures, stable_requests)),
                candidate: Some(arm(failures, requests)),
                ..Window::default()
            };
            return Ok(Self {
                window,
                ..Self::default()
            });
        }
        let mut fields: Map<String, Value> = read(written.clone())?;
        let expect: Option<Wanted> = fields.remove("expect").map(read).transpose()?;
        if expect.as_ref().is_some_and(Wanted::is_empty) {
            return Err("expect: it expects nothing: give a decision or a code".to_owned());
        }
        let context = fields.remove("context").map(read).transpose()?;
        let start_ms = match fields.get("start-ms") {
            Some(written) => read(written.clone())?,
            None => began,
        };
        fields.insert("start-ms".to_owned(), start_ms.into());
        fields
            .entry("end-ms")
            .or_insert_with(|| start_ms.saturating_add(tick_ms).into());
        let split_written = fields.contains_key("split-wanted");
        let window: Window = read(Value::Object(fields))?;
        if window.start_ms < began || window.end_ms <= window.start_ms {
            return Err(format!(
                "it goes from {} to {} ms, and the one before it ended at {began} ms",
                window.start_ms, window.end_ms
            ));
        }
        Ok(Self {
            window,
            split_written,
            context: context.unwrap_or_default(),
            expect,
        })
    }
}

/// The stable version before the reload: two counts, or a window.
fn baseline(written: &Value) -> Result<Window, String> {
    if written.get("requests").is_none() {
        return read(written.clone());
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Counts {
        failures: u64,
        requests: u64,
    }
    let counts: Counts = read(written.clone())?;
    Ok(Window {
        end_ms: BASELINE_MS,
        stable: Some(arm(counts.failures, counts.requests)),
        ..Window::default()
    })
}

fn arm(failures: u64, requests: u64) -> Arm {
    Arm {
        requests,
        failures,
        ..Arm::default()
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    let told = value.to_string();
    serde_json::from_value(value).map_err(|error| format!("{error} in {told}"))
}

#[cfg(test)]
#[path = "scenarios_tests.rs"]
mod tests;
