//! Whether some bytes can be put in charge of reloads: every stage that there is, in order, in one function.

use std::sync::Arc;

use caxton_rollout::FaultKind;
use caxton_runtime::policy::{Policy, PolicyRuntime, Stage};

use super::Settings;

/// Why a policy is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Where its validation stopped; everything before was fine.
    pub stage: Stage,
    /// What is wrong, and what to do.
    pub reason: String,
    /// Whether it is no more than that time ran out, which may be the host's doing: the same may be taken the next time.
    pub out_of_time: bool,
}

impl Refused {
    pub(super) fn at(stage: Stage, reason: impl ToString) -> Self {
        Self {
            stage,
            reason: reason.to_string(),
            out_of_time: false,
        }
    }

    fn out_of_time(self, out_of_time: bool) -> Self {
        Self {
            out_of_time,
            ..self
        }
    }
}

/// Takes `bytes` as the policy `name` with the `settings` that stand in its own file, none where it has none.
///
/// Required settings may be missing from that file, because agents lay theirs over it; the trial, which needs whole
/// settings, is left out then.
///
/// # Errors
/// The first stage that it does not pass, with the reason.
pub async fn validate(
    runtime: &PolicyRuntime,
    name: &str,
    bytes: Arc<[u8]>,
    settings: &Settings,
) -> Result<Policy, Refused> {
    let loaded = runtime.load(name, bytes).await;
    let policy = loaded.map_err(|refusal| {
        let out_of_time = refusal.reason.is_out_of_time();
        Refused::at(refusal.reason.stage(), refusal.reason).out_of_time(out_of_time)
    })?;
    try_settings(&policy, settings).await?;
    Ok(policy)
}

/// The stages that look at the settings, for a policy that passed those before.
pub(super) async fn try_settings(policy: &Policy, settings: &Settings) -> Result<(), Refused> {
    let settings = serde_json::Value::Object(settings.clone()).to_string();
    if policy.lacks_settings(&settings).await {
        return Ok(());
    }
    let checked = policy.check_settings(&settings).await;
    checked.map_err(|error| {
        let out_of_time = error.is_out_of_time();
        Refused::at(Stage::Settings, error).out_of_time(out_of_time)
    })?;
    policy.trial(&settings).await.map_err(|fault| {
        let reason = format!(
            "asked about a made-up reload with plain traffic, it failed: {}",
            fault.message
        );
        Refused::at(Stage::Trial, reason).out_of_time(fault.kind == FaultKind::OutOfTime)
    })
}
