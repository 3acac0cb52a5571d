//! What the policies directory changes: events, and agents whose settings a policy refused are looked at again.

use std::collections::BTreeSet;

use caxton_rollout::AgentName;
use serde_json::json;

use super::Controller;
use crate::policies::PolicyNews;

impl Controller {
    pub(super) fn on_policy_news(&mut self, news: PolicyNews) {
        match news {
            PolicyNews::Loaded {
                name,
                kind,
                digest,
                version,
                from_cache,
            } => {
                tracing::info!(policy = name, %digest, "{kind} loaded: it counts from the next reload");
                let fields = json!({
                    "policy": name,
                    "decides": kind,
                    "digest": digest,
                    "version": version,
                    "from_cache": from_cache,
                });
                self.tell("policy-loaded", None, fields);
                self.look_again(&name);
            }
            PolicyNews::Refused {
                file,
                stage,
                reason,
            } => {
                let fields = json!({ "file": file, "stage": stage, "reason": reason });
                self.tell("policy-refused", None, fields);
            }
            PolicyNews::Gone { name } => {
                self.tell("policy-gone", None, json!({ "policy": name }));
                self.look_again(&name);
            }
            // Everything is shown anew after each piece of news.
            PolicyNews::Changed => {}
        }
    }

    /// Agents whose configuration was refused for what it says about this policy, which is another one now, wait for a place to
    /// be looked into again. Whoever is being looked into is found out by the count, see `on_inspected`.
    fn look_again(&mut self, policy: &str) {
        self.policy_changes += 1;
        let names = |entry: &super::Agent| {
            let again = entry.again.as_ref();
            again.is_some_and(|again| again.policies.contains(policy))
        };
        let agents = self.agents.iter().filter(|(_, entry)| names(entry));
        self.look_again.extend(agents.map(|(name, _)| name.clone()));
    }

    /// Tells the policies which of them an agent names and holds.
    pub(super) fn note_policies(&self, name: &AgentName) {
        let (names, held) = match self.agents.get(name) {
            None => (BTreeSet::new(), BTreeSet::new()),
            Some(entry) => {
                let pinned = entry.pinned.values().flat_map(|pinned| pinned.values());
                (
                    entry.policies.clone(),
                    pinned.map(|pinned| pinned.policy.digest()).collect(),
                )
            }
        };
        self.policies.used(name, names, held);
    }
}
