//! Where two answers differ, field by field.

use caxton_rollout::{Fault, FaultKind};
use caxton_runtime::policy::Call;
use serde::Serialize;
use serde_json::Value;

use crate::records::{Answered, Called};

/// Characters of a value that are shown: enough to see how it differs.
const SHOWN: usize = 160;

/// A field that is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The round; none for the plan.
    pub tick: Option<u64>,
    /// Which field, from the answer's root: `ok.why.findings[1].observed`.
    pub field: String,
    /// What was recorded, as JSON.
    pub recorded: String,
    /// What it is now, as JSON.
    pub now: String,
}

/// Whether a fault says something of the policy: what ran out of time did so by the clock on the wall, and a policy that
/// was missing or refused its settings was not asked.
pub(super) fn can_be_replayed(fault: &Fault) -> bool {
    !matches!(
        fault.kind,
        FaultKind::OutOfTime | FaultKind::Missing | FaultKind::Settings
    )
}

/// What the answer of a call is, as records write it.
pub(super) fn answered<T>(answer: Result<T, Fault>) -> Answered<T> {
    match answer {
        Ok(answer) => Answered::Ok(answer),
        Err(fault) => Answered::Fault(fault),
    }
}

/// All differences between a recorded call and the same call now, apart from the time that it took.
pub(super) fn between<T: Serialize + Clone>(
    tick: Option<u64>,
    recorded: &Called<T>,
    now: &Call<T>,
) -> Vec<Difference> {
    let mut found = Found {
        tick,
        differences: Vec::new(),
    };
    let answer = answered(now.answer.clone().map_err(|fault| Fault {
        // The name is whoever loaded it; that is no difference in the policy.
        policy: recorded.policy.clone(),
        ..fault
    }));
    found.values("", &json(&recorded.answer), &json(&answer));
    found.values("log", &json(&recorded.log), &json(&now.log));
    found.values("notes", &json(&recorded.notes), &json(&now.notes));
    found.values("fuel", &json(&recorded.fuel), &json(&now.fuel));
    found.differences
}

/// The difference between two states, where there is one.
pub(super) fn between_states(tick: Option<u64>, recorded: &[u8], now: &[u8]) -> Option<Difference> {
    let at = recorded.iter().zip(now).position(|(a, b)| a != b);
    let at = at.or((recorded.len() != now.len()).then(|| recorded.len().min(now.len())))?;
    let told = |state: &[u8]| format!("{} bytes, differing from byte {at}", state.len());
    Some(Difference {
        tick,
        field: "state".to_owned(),
        recorded: told(recorded),
        now: told(now),
    })
}

struct Found {
    tick: Option<u64>,
    differences: Vec<Difference>,
}

impl Found {
    fn values(&mut self, path: &str, recorded: &Value, now: &Value) {
        match (recorded, now) {
            (a, b) if a == b => {}
            (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
                for ((key, a), b) in a.iter().zip(b.values()) {
                    let separator = if path.is_empty() { "" } else { "." };
                    self.values(&format!("{path}{separator}{key}"), a, b);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{path}[{index}]"), a, b);
                }
            }
            (a, b) => {
                let field = if path.is_empty() { "answer" } else { path };
                self.differences.push(Difference {
                    tick: self.tick,
                    field: field.to_owned(),
                    recorded: shown(a),
                    now: shown(b),
                });
            }
        }
    }
}

fn json<T: Serialize>(value: &T) -> Value {
    // Answers are trees of texts and finite numbers with text keys: writing them cannot fail.
    serde_json::to_value(value).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}
