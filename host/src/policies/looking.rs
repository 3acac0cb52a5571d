//! Looks into one policy's pair of files.

use std::sync::Arc;

use bytes::Bytes;
use caxton_rollout::Digest;
use caxton_runtime::policy::Stage;
use caxton_watch::Content;

use super::again::Pair;
use super::shelf::Present;
use super::validate::{self, Refused, validate};
use super::{Policies, Settings, settings};
use crate::clock::Clock;
use crate::config::ConfigError;

/// Looks into one pair of files; a refusal comes with the file that is wrong.
pub(super) async fn look(
    policies: &Policies,
    name: &str,
    pair: &Pair,
    clock: Clock,
) -> Result<Present, (String, Refused)> {
    let Pair { component, config } = pair;
    let (wasm, toml) = (format!("{name}.wasm"), format!("{name}.toml"));
    if policies.embedded.iter().any(|policy| policy.name == name) {
        let reason = format!(
            "{wasm}: `{name}` is the name of a policy in the binary; rename the file, and name it so in the configuration"
        );
        return Err((wasm, Refused::at(Stage::Read, reason)));
    }
    let wrong = |refused: Refused| {
        let of_settings = config.is_some() && refused.stage == Stage::Settings;
        let file = if of_settings { &toml } else { &wasm };
        let reason = if refused.reason.starts_with(file.as_str()) {
            refused.reason
        } else {
            format!("{file}: {}", refused.reason)
        };
        (file.clone(), Refused { reason, ..refused })
    };
    let own = read_settings(&toml, config.as_ref()).map_err(wrong)?;
    let digest = Digest::new(component.digest);
    let same = policies.lock().same(name, digest);
    let (policy, bytes) = match same {
        Some((policy, bytes)) => {
            validate::try_settings(&policy, &own).await.map_err(wrong)?;
            (policy, bytes)
        }
        None => {
            let bytes = Arc::clone(&component.bytes);
            let loaded = validate(&policies.runtime, name, Arc::clone(&bytes), &own).await;
            let policy = loaded.map_err(wrong)?;
            (policy, Bytes::from_owner(bytes))
        }
    };
    Ok(Present {
        policy,
        settings: own,
        since: clock.now(),
        bytes,
    })
}

fn read_settings(file: &str, config: Option<&Content>) -> Result<Settings, Refused> {
    let wrong = |error: String| Refused::at(Stage::Settings, error);
    let text = config.map_or(Ok(""), |content| std::str::from_utf8(&content.bytes));
    let text = text.map_err(|error| wrong(format!("{file}: not UTF-8 text: {error}")))?;
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| wrong(ConfigError::parsing(file, text, &error).to_string()))?;
    settings::as_json(&table).map_err(wrong)
}
