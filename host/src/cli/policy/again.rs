//! What `replay` and `backtest` share: a policy that is asked again.

use caxton_runtime::policy::PolicyRuntime;

use super::{find, kit, settings};
use crate::cli::failure::Failure;
use crate::cli::text::{Paint, Tone, harmless};
use crate::replay::{ReplayError, SkippedReload, Subject};

/// The policy that `text` names, with the settings that were written to lie over those that it had.
pub(super) async fn subject(
    runtime: &PolicyRuntime,
    text: &str,
    written: Option<&str>,
) -> Result<Subject, Failure> {
    let found = find::find(text)?;
    let (policy, _) = kit::load(runtime, &found).await?;
    Ok(Subject {
        policy,
        settings: written.map(settings::written).transpose()?,
        own: settings::beside(&found)?,
        recorded_as: None,
    })
}

/// The failure of a command for an error of the library.
pub(super) fn failed(error: ReplayError) -> Failure {
    match error {
        ReplayError::Records(error) => Failure::No(error.to_string()),
        ReplayError::OtherKind(text) => Failure::Usage(text),
    }
}

/// The failure of a command that could ask nothing in all the records. `skipped` was told before.
pub(super) fn nothing(skipped: &[SkippedReload], settings_given: bool, what: &str) -> Failure {
    let Some(refused) = skipped.iter().find(|skipped| skipped.settings_refused) else {
        return Failure::No(if skipped.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; why is said above")
        });
    };
    if settings_given {
        Failure::Usage(format!("{what}: with these settings {}", refused.reason))
    } else {
        Failure::No(format!("{what}; why is said above"))
    }
}

/// Reloads of which nothing could be asked, a line for each.
pub(super) fn skipped_lines(skipped: &[SkippedReload], paint: Paint) -> String {
    let line = |skipped: &SkippedReload| {
        format!(
            "{} {}: {}: {}\n",
            skipped.agent,
            skipped.reload,
            paint.tone(Tone::Busy, "skipped"),
            harmless(&skipped.reason)
        )
    };
    skipped.iter().map(line).collect()
}
