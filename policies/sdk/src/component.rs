//! Between the component's exports and the traits: arguments in, answers out.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::rollback::exports::caxton::policy::rollback;
use crate::bindings::strategy::exports::caxton::policy::strategy;
use crate::{
    Context, Info, Plan, Problem, Problems, Reload, ReloadMetrics, RollbackPolicy, StrategyPolicy,
    Window, settings,
};

/// The most that the host keeps of a state, as the contract says.
const STATE_BYTES: usize = 64 << 10;

/// What a policy with these settings says about itself.
#[must_use]
pub fn describe<S: JsonSchema>(name: &str, version: &str, about: &str) -> Info {
    Info {
        name: name.to_owned(),
        version: version.to_owned(),
        about: about.to_owned(),
        settings_schema: settings::schema::<S>().to_string(),
    }
}

/// What is wrong with `settings`: everything that the schema says, and what `check` says where they can be read.
///
/// # Errors
/// Every problem found.
pub fn check_settings<S: DeserializeOwned + JsonSchema>(
    settings: &str,
    check: fn(&S, &mut Problems),
) -> Result<(), Vec<Problem>> {
    settings::check(settings, check)
}

/// One call of a rollback policy, from bytes to bytes.
///
/// # Errors
/// The settings cannot be read, or the state cannot be written so that it can be read again.
pub fn evaluate<P: RollbackPolicy>(
    settings: &str,
    context: &Context,
    metrics: &ReloadMetrics,
    windows: &[Window],
    state: &[u8],
) -> Result<rollback::Answer, String> {
    let settings: P::Settings = settings::read(settings)?;
    let mut state = remembered::<P::State>(state);
    let reload = Reload {
        context,
        metrics,
        windows,
    };
    let judgement = P::evaluate(&settings, &reload, &mut state);
    Ok(rollback::Answer {
        verdict: judgement.verdict,
        why: judgement.why,
        state: remember(&state)?,
    })
}

/// How a strategy policy begins a reload. The settings are checked once more: a plan made of wrong ones would go a long way.
///
/// # Errors
/// The settings cannot be read, or the policy finds a problem in them.
pub fn begin<P: StrategyPolicy>(
    settings: &str,
    context: &Context,
    configured: Plan,
) -> Result<Plan, String> {
    let settings: P::Settings = settings::read(settings)?;
    let mut problems = Problems::default();
    P::check(&settings, &mut problems);
    if let Some(problem) = problems.into_vec().first() {
        return Err(format!("settings: {}: {}", problem.path, problem.message));
    }
    Ok(P::begin(&settings, context, configured))
}

/// One step of a strategy policy, from bytes to bytes.
///
/// # Errors
/// The settings cannot be read, or the state cannot be written so that it can be read again.
pub fn next<P: StrategyPolicy>(
    settings: &str,
    reload: &Reload<'_>,
    fit: bool,
    state: &[u8],
) -> Result<strategy::Answer, String> {
    let settings: P::Settings = settings::read(settings)?;
    let mut state = remembered::<P::State>(state);
    let proposal = P::next(&settings, reload, fit, &mut state);
    Ok(strategy::Answer {
        step: proposal.step,
        why: proposal.why,
        next_check_ms: proposal.next_check_ms,
        state: remember(&state)?,
    })
}

/// What was remembered, or the beginning: for the first call, and where it cannot be read.
fn remembered<S: DeserializeOwned + Default>(bytes: &[u8]) -> S {
    if bytes.is_empty() || size_of::<S>() == 0 {
        return S::default();
    }
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        crate::log::warn(&format!(
            "the state could not be read and starts anew: {error}"
        ));
        S::default()
    })
}

/// The state as bytes that bring it back. What they would lose is told now: a policy that silently starts anew at every call
/// judges by nothing.
fn remember<S: Serialize + DeserializeOwned>(state: &S) -> Result<Vec<u8>, String> {
    if size_of::<S>() == 0 {
        return Ok(Vec::new());
    }
    let write = |state: &S| {
        serde_json::to_vec(state).map_err(|error| format!("the state cannot be written: {error}"))
    };
    let written = write(state)?;
    if written.len() > STATE_BYTES {
        return Err(format!(
            "the state has {} bytes and may have {STATE_BYTES}",
            written.len()
        ));
    }
    let unreadable = |error: serde_json::Error| {
        format!(
            "the state cannot be read again once it is written: {error} (a number that is not finite is written as null)"
        )
    };
    let again = write(&serde_json::from_slice(&written).map_err(unreadable)?)?;
    if again == written {
        return Ok(written);
    }
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(unreadable);
    if !is_same(&value(&written)?, &value(&again)?) {
        return Err(
            "the state is another one once it is written and read again (a number that is not finite is written as null)".to_owned(),
        );
    }
    Ok(written)
}

/// Whether two values are the same but for the last digits of numbers, which reading may round, and the order of sets.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b
                || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() <= 1e-12 * a.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            let are_same = |a: &[Value], b: &[Value]| {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
            };
            let sorted = |list: &[Value]| {
                let mut list = list.to_vec();
                list.sort_by_cached_key(Value::to_string);
                list
            };
            are_same(a, b) || are_same(&sorted(a), &sorted(b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_a_corrupt_one_is_the_beginning() {
        let written = remember(&vec![1.5, -2.0]).unwrap();
        assert_eq!(remembered::<Vec<f64>>(&written), [1.5, -2.0]);
        for bytes in [&b""[..], b"\xff\xfe", b"[1.5,", b"{}"] {
            assert!(remembered::<Vec<f64>>(bytes).is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn a_state_that_would_be_lost_is_a_visible_fault() {
        let lost = remember(&vec![1.0, f64::NAN]).unwrap_err();
        assert!(lost.contains("cannot be read again"), "{lost}");
        assert!(remember(&f64::INFINITY).is_err());
        let large = remember(&"x".repeat(STATE_BYTES - 1)).unwrap_err();
        assert!(large.contains("65537 bytes and may have 65536"), "{large}");
        assert!(remember(&"x".repeat(STATE_BYTES - 2)).is_ok());
    }

    /// Reads what is not finite as nothing.
    #[derive(Serialize, serde::Deserialize)]
    struct Forgiving {
        #[serde(deserialize_with = "or_zero")]
        sum: f64,
    }

    fn or_zero<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        serde::Deserialize::deserialize(from).map(Option::unwrap_or_default)
    }

    #[test]
    fn a_state_that_would_come_back_as_another_is_a_visible_fault() {
        let other = remember(&Forgiving { sum: f64::NAN }).unwrap_err();
        assert!(other.contains("another one"), "{other}");
        assert!(remember(&Forgiving { sum: 0.5 }).is_ok());
    }

    #[test]
    fn neither_last_digits_nor_the_order_of_a_set_are_a_loss() {
        let digits: Vec<f64> = (1..500_u32)
            .map(|n| (f64::from(n)).ln() * 1e-3_f64.powi((n % 9) as i32))
            .collect();
        remember(&digits).unwrap();
        let set: std::collections::HashSet<u32> = (0..100).collect();
        remember(&set).unwrap();
    }

    #[test]
    fn nothing_to_remember_takes_no_bytes() {
        assert!(remember(&()).unwrap().is_empty());
        remembered::<()>(b"whatever another version of the policy left");
    }
}
