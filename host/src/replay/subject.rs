//! The policy that is asked again, and with which settings.

use caxton_runtime::policy::{Policy, PolicyKind, SettingsError};
use serde_json::Value;

use crate::policies::{self, Settings};
use crate::records::read::Unreadable;
use crate::records::{Asked, Began};

/// A policy that is asked again.
#[derive(Clone)]
pub struct Subject {
    /// The policy.
    pub policy: Policy,
    /// Laid over those that were recorded for it, or else over its own, key by key.
    pub settings: Option<Settings>,
    /// Its settings in reloads in which it was not asked.
    pub own: Settings,
    /// The name under which it was recorded; none for whichever fits.
    pub recorded_as: Option<String>,
}

/// Why records were not replayed to their end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The records.
    #[error(transparent)]
    Records(#[from] Unreadable),
    /// It is a policy of the other kind.
    #[error("{0}")]
    OtherKind(String),
}

impl Subject {
    /// The recorded policy whose place it takes: of the same bytes, or else of the same name, or else the only one of
    /// its kind. A name that was given decides.
    pub(super) fn counterpart<'a>(&self, began: &'a Began) -> Option<&'a Asked> {
        let mut kind = began
            .policies
            .iter()
            .filter(|asked| asked.kind == self.policy.kind());
        if let Some(name) = &self.recorded_as {
            return kind.find(|asked| asked.policy == *name);
        }
        let alike: Vec<&Asked> = kind.collect();
        let of_bytes = |asked: &&&Asked| asked.digest == self.policy.digest();
        let of_name = |asked: &&&Asked| asked.policy == self.policy.name();
        alike
            .iter()
            .find(|asked| of_bytes(asked) && of_name(asked))
            .or_else(|| alike.iter().find(of_bytes))
            .or_else(|| alike.iter().find(of_name))
            .or(match alike.as_slice() {
                [only] => Some(only),
                _ => None,
            })
            .copied()
    }

    /// The settings for a reload, as text, after the policy had a look at them.
    ///
    /// Settings that were recorded for other bytes under another name mean nothing to this policy.
    pub(super) async fn settings_for(
        &self,
        asked: Option<&Asked>,
    ) -> Result<String, SettingsError> {
        let recorded = asked.filter(|asked| {
            asked.digest == self.policy.digest() || asked.policy == self.policy.name()
        });
        let below = match recorded.map(|asked| &asked.settings) {
            Some(Value::Object(recorded)) => recorded,
            Some(_) | None => &self.own,
        };
        let settings = match &self.settings {
            Some(over) => policies::laid_over(below.clone(), over.clone()),
            None => below.clone(),
        };
        let settings = Value::Object(settings).to_string();
        self.policy.check_settings(&settings).await?;
        Ok(settings)
    }

    /// Why there is nothing in a reload that can be compared with it.
    pub(super) fn no_counterpart(&self, began: &Began) -> String {
        let kind = self.policy.kind();
        let names: Vec<&str> = began
            .policies
            .iter()
            .filter(|asked| asked.kind == kind)
            .map(|asked| asked.policy.as_str())
            .collect();
        match (names.as_slice(), &self.recorded_as) {
            ([], _) => format!("no {kind} was asked in it"),
            (names, Some(wanted)) => format!(
                "no {kind} {wanted} was asked in it; there are: {}",
                names.join(", ")
            ),
            (names, None) => format!(
                "several policies were asked in it, and none of them is {}: choose one with --as: {}",
                self.policy.name(),
                names.join(", ")
            ),
        }
    }

    /// Whether it decides when to go back.
    pub(super) fn is_rollback(&self) -> bool {
        self.policy.kind() == PolicyKind::Rollback
    }
}
