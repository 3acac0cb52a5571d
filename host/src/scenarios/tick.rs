//! One tick as a file writes it, and as the window that a policy is shown.

use caxton_rollout::{Arm, Bucket, LATENCY_BOUNDS_US, Window};
use serde_json::{Map, Value};

use super::error::Problem;
use super::expect::Wanted;
use super::lay;

/// What the four numbers of a tick are.
pub(super) const COLUMNS: [&str; 4] = [
    "candidate_failures",
    "candidate_requests",
    "stable_failures",
    "stable_requests",
];

/// The keys of a tick that are not its window's.
const BESIDE: [&str; 3] = ["expect", "context", "fit"];

/// One tick, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub window: Window,
    /// The split was written, and is not the context's.
    pub split_written: bool,
    pub split_actual_written: bool,
    /// Fields of the context that are different from here on.
    pub context: Map<String, Value>,
    pub expect: Option<Wanted>,
    /// What a strategy policy is told as `fit`.
    pub fit: Option<bool>,
}

/// Reads one tick. `began` is the end of the one before it.
pub(super) fn read(
    value: &Value,
    began: u64,
    tick_ms: u64,
    path: &str,
) -> Result<Written, Problem> {
    let mut written = match value {
        Value::Array(_) => Written {
            window: numbers(value, path)?,
            ..Written::default()
        },
        Value::Object(fields) => object(fields, path)?,
        _ => {
            let right = format!(
                "a tick is four numbers [{}] or an object",
                COLUMNS.join(", ")
            );
            return Err(Problem::at(path, right));
        }
    };
    let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
    let window = &mut written.window;
    if !has("start-ms") {
        window.start_ms = began;
    }
    if !has("end-ms") {
        window.end_ms = window.start_ms.saturating_add(tick_ms);
    }
    if window.start_ms < began || window.end_ms <= window.start_ms {
        return Err(Problem::at(
            path,
            format!(
                "it goes from {} to {} ms, and the one before it ended at {began} ms",
                window.start_ms, window.end_ms
            ),
        ));
    }
    if !written.split_actual_written {
        window.split_actual = share(window);
    }
    Ok(written)
}

fn numbers(value: &Value, path: &str) -> Result<Window, Problem> {
    let numbers: Vec<u64> = lay::read(value.clone(), path)?;
    let &[failures, requests, stable_failures, stable_requests] = numbers.as_slice() else {
        let right = format!(
            "it has {} numbers, and a tick has four: {}",
            numbers.len(),
            COLUMNS.join(", ")
        );
        return Err(Problem::at(path, right));
    };
    Ok(Window {
        candidate: Some(checked(plain(failures, requests), path)?),
        stable: match (stable_failures, stable_requests) {
            (0, 0) => None,
            (failures, requests) => Some(checked(plain(failures, requests), path)?),
        },
        ..Window::default()
    })
}

fn plain(failures: u64, requests: u64) -> Arm {
    Arm {
        requests,
        failures,
        ..Arm::default()
    }
}

fn object(fields: &Map<String, Value>, path: &str) -> Result<Written, Problem> {
    let mut window = fields.clone();
    let mut beside = |key: &str| window.remove(key).filter(|value| !value.is_null());
    let [expect, context, fit] = BESIDE.map(&mut beside);
    let expect: Option<Wanted> = expect
        .map(|value| lay::read(value, &lay::below(path, "expect")))
        .transpose()?;
    if expect.as_ref().is_some_and(Wanted::is_empty) {
        let here = lay::below(path, "expect");
        return Err(Problem::at(
            &here,
            "it expects nothing: give a decision or a code",
        ));
    }
    let context = context.map(|value| lay::read(value, &lay::below(path, "context")));
    let fit = fit.map(|value| lay::read(value, &lay::below(path, "fit")));
    let has = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
    Ok(Written {
        window: self::window(&window, path)?,
        split_written: has("split-wanted"),
        split_actual_written: has("split-actual"),
        context: context.transpose()?.unwrap_or_default(),
        expect,
        fit: fit.transpose()?,
    })
}

/// A window from an object with the contract's field names, all of which may be left out.
pub(super) fn window(fields: &Map<String, Value>, path: &str) -> Result<Window, Problem> {
    let mut rest = fields.clone();
    let mut arm = |name: &str| match rest.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(written)) => arm(&written, &lay::below(path, name)).map(Some),
        Some(_) => {
            let right = "an arm is an object, for example { \"requests\": 10, \"failures\": 1 }";
            Err(Problem::at(&lay::below(path, name), right))
        }
    };
    let (stable, candidate, mirrored) = (arm("stable")?, arm("candidate")?, arm("mirrored")?);
    // Laid over a window with arms, so that an unknown key is told all the names that there are.
    let plain = lay::over(&Window::default(), &rest, path)?;
    let copies = mirrored.as_ref().map_or(0, |arm| arm.requests);
    if plain.mirrored_mismatches > copies {
        return Err(Problem::at(
            &lay::below(path, "mirrored-mismatches"),
            format!(
                "{} of {copies} copies cannot differ",
                plain.mirrored_mismatches
            ),
        ));
    }
    if plain.split_wanted > 100 {
        let here = lay::below(path, "split-wanted");
        return Err(Problem::at(&here, "a share is 0 to 100 per cent"));
    }
    Ok(Window {
        stable,
        candidate,
        mirrored,
        ..plain
    })
}

/// One version's counts, all of which may be left out.
pub(super) fn arm(fields: &Map<String, Value>, path: &str) -> Result<Arm, Problem> {
    let mut arm = lay::over(&Arm::default(), fields, path)?;
    if !arm.latency.is_empty() {
        arm.latency = buckets(&arm, &lay::below(path, "latency"))?;
    }
    arm.custom.sort_by(|a, b| a.name.cmp(&b.name));
    checked(arm, path)
}

/// The counts at the bounds that the host measures with: as many as the written bounds say were no slower.
fn buckets(arm: &Arm, path: &str) -> Result<Vec<Bucket>, Problem> {
    let rise = |pair: &[Bucket]| match pair {
        [a, b] => a.up_to_us < b.up_to_us && a.count <= b.count,
        _ => true,
    };
    let last = arm.latency.last().map_or(0, |bucket| bucket.count);
    if !arm.latency.windows(2).all(rise) || last > arm.requests {
        return Err(Problem::at(
            path,
            format!(
                "bounds rise, counts are those of all requests that took at most so long, and there are {} requests",
                arm.requests
            ),
        ));
    }
    let at = |bound: u64| {
        let below = arm
            .latency
            .iter()
            .rev()
            .find(|bucket| bucket.up_to_us <= bound);
        match bound {
            u64::MAX => arm.requests,
            _ => below.map_or(0, |bucket| bucket.count),
        }
    };
    let bucket = |bound| Bucket {
        up_to_us: bound,
        count: at(bound),
    };
    Ok(LATENCY_BOUNDS_US.map(bucket).to_vec())
}

/// The parts of a whole are no more than the whole.
fn checked(arm: Arm, path: &str) -> Result<Arm, Problem> {
    let others = arm.rejected.saturating_add(arm.unavailable);
    let parts = [
        ("failures", arm.failures, "requests", arm.requests),
        (
            "failures",
            arm.failures.saturating_add(others),
            "requests",
            arm.requests,
        ),
        (
            "traps",
            arm.traps.saturating_add(arm.deadlines),
            "failures",
            arm.failures,
        ),
        (
            "failing-callers",
            arm.failing_callers,
            "callers",
            arm.callers,
        ),
        (
            "health-passed",
            arm.health_passed.into(),
            "health-total",
            arm.health_total.into(),
        ),
    ];
    match parts.into_iter().find(|(_, part, _, whole)| part > whole) {
        None => Ok(arm),
        Some(("failures", part, _, whole)) if others > 0 => Err(Problem::at(
            path,
            format!(
                "failures, rejected and unavailable are {part} of {whole} requests: no request counts twice"
            ),
        )),
        Some((name, part, of, whole)) => Err(Problem::at(
            path,
            format!("{part} {name} of {whole} {of} cannot be"),
        )),
    }
}

/// Per cent of the counted requests that the candidate answered.
fn share(window: &Window) -> Option<f32> {
    let requests = |arm: &Option<Arm>| arm.as_ref().map_or(0, |arm| arm.requests);
    let candidate = requests(&window.candidate);
    let all = candidate.saturating_add(requests(&window.stable));
    (all > 0).then(|| (candidate as f64 * 100.0 / all as f64) as f32)
}
