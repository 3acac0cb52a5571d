//! What is known of the files in the policies directory: the last good one of each name, what is wrong with newer ones, and
//! who uses what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use caxton_rollout::{AgentName, Attention, Digest, Moment};
use caxton_runtime::policy::{Policy, Stage};

use super::settings::Settings;
use super::view::{Origin, PolicyState, PolicyView};

/// Refused files of which the first so many are shown.
const SHOWN_MAX: usize = 100;

/// A policy that reloads can have.
pub(super) struct Present {
    pub(super) policy: Policy,
    /// What its own file says.
    pub(super) settings: Settings,
    pub(super) since: Moment,
    /// The component: few, and put on disk when a reload holds it.
    pub(super) bytes: Bytes,
}

/// A file that is not taken.
pub(super) struct RefusedFile {
    /// Of the policy that it would be, where it could be one.
    pub(super) name: Option<String>,
    pub(super) stage: Stage,
    pub(super) reason: String,
    pub(super) since: Moment,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Shelf {
    present: BTreeMap<String, Present>,
    /// By file, what was found wrong with a content that was read: NAME.wasm and NAME.toml may both be wrong. It stands until
    /// there is another content, whatever the watcher says of the file meanwhile.
    refused: BTreeMap<String, RefusedFile>,
    /// By file, those that are not read. The watcher says when one is fine again.
    unread: BTreeMap<String, RefusedFile>,
    /// Names whose newest file is being looked into, since when.
    compiling: BTreeMap<String, Moment>,
    lost: Option<(String, Moment)>,
    /// By agent: names in its configuration, and digests that its reloads hold.
    users: BTreeMap<AgentName, (BTreeSet<String>, BTreeSet<Digest>)>,
}

impl Shelf {
    pub(super) fn present(&self, name: &str) -> Option<(Policy, Settings)> {
        let found = self.present.get(name)?;
        Some((found.policy.clone(), found.settings.clone()))
    }

    /// The policy with this component, if that is what is there under this name.
    pub(super) fn same(&self, name: &str, component: Digest) -> Option<(Policy, Bytes)> {
        let found = self.present.get(name)?;
        (found.policy.digest() == component).then(|| (found.policy.clone(), found.bytes.clone()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.present.keys().map(String::as_str)
    }

    /// Whether nothing came of this name so far, good or bad.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        !self.present.contains_key(name) && self.refusal(name).is_none()
    }

    pub(super) fn is_compiling(&self, name: &str) -> bool {
        self.compiling.contains_key(name)
    }

    pub(super) fn refusal(&self, name: &str) -> Option<&str> {
        let refused = self.refused_of(name)?;
        Some(&refused.reason)
    }

    fn refused_of(&self, name: &str) -> Option<&RefusedFile> {
        let of = |refused: &&RefusedFile| refused.name.as_deref() == Some(name);
        self.refusals().map(|(_, refused)| refused).find(of)
    }

    /// What is wrong with each file as it is now.
    fn refusals(&self) -> impl Iterator<Item = (&String, &RefusedFile)> {
        let read = self.refused.iter();
        let read = read.filter(|(file, _)| !self.unread.contains_key(*file));
        self.unread.iter().chain(read)
    }

    pub(super) fn held(&self, digest: Digest) -> Option<Bytes> {
        let mut present = self.present.values();
        present
            .find(|present| present.policy.digest() == digest)
            .map(|present| present.bytes.clone())
    }

    pub(super) fn used(
        &mut self,
        agent: &AgentName,
        names: BTreeSet<String>,
        held: BTreeSet<Digest>,
    ) {
        if names.is_empty() && held.is_empty() {
            self.users.remove(agent);
        } else {
            self.users.insert(agent.clone(), (names, held));
        }
    }

    pub(super) fn users(&self, name: &str, digest: Option<Digest>) -> Vec<AgentName> {
        self.users
            .iter()
            .filter(|(_, (names, held))| {
                names.contains(name) || digest.is_some_and(|digest| held.contains(&digest))
            })
            .map(|(agent, _)| agent.clone())
            .collect()
    }

    /// Its newest file is being looked into. What the watcher said is wrong with the other file of the pair stands.
    pub(super) fn begin(&mut self, name: &str, now: Moment) {
        self.compiling.insert(name.to_owned(), now);
    }

    /// Nothing is looked into any more.
    pub(super) fn end(&mut self, name: &str) {
        self.compiling.remove(name);
    }

    pub(super) fn put(&mut self, name: &str, present: Present) {
        self.end(name);
        self.forget_refusals(name);
        self.present.insert(name.to_owned(), present);
    }

    /// The newest content of its files is not taken.
    pub(super) fn refuse(&mut self, file: String, refused: RefusedFile) {
        if let Some(name) = &refused.name {
            self.end(name);
            self.forget_refusals(name);
        }
        self.refused.insert(file, refused);
    }

    /// Forgets what was wrong with an earlier content of its files.
    fn forget_refusals(&mut self, name: &str) {
        self.refused
            .retain(|_, refused| refused.name.as_deref() != Some(name));
    }

    /// The watcher does not read the file.
    pub(super) fn refuse_to_read(&mut self, file: String, refused: RefusedFile) {
        self.unread.insert(file, refused);
    }

    /// The watcher would read it again. Where it has the content that was read last, that is not delivered again, and what
    /// was wrong with it still is.
    pub(super) fn clear(&mut self, file: &str) {
        self.unread.remove(file);
    }

    /// Whether reloads could have it.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.end(name);
        self.forget_refusals(name);
        self.present.remove(name).is_some()
    }

    pub(super) fn lose(&mut self, why: Option<(String, Moment)>) {
        self.lost = why;
    }

    /// What waits for a person. A directory that is not there is no matter while nothing came from it.
    pub(super) fn attention(&self, folder: &Path) -> Vec<Attention> {
        let lost = self.lost.iter().map(|(why, since)| Attention {
            kind: "policies-directory-vanished",
            since: *since,
            text: format!("{why}; the policies that came from it stay in force"),
            command: format!("restore {}", folder.display()),
        });
        let refused = self.refusals().take(SHOWN_MAX);
        let refused = refused.map(|(file, refused)| Attention {
            kind: "policy-refused",
            since: refused.since,
            text: refused.reason.clone(),
            command: format!("replace {}", folder.join(file).display()),
        });
        lost.chain(refused).collect()
    }

    pub(super) fn has_files(&self) -> bool {
        !self.present.is_empty()
    }

    pub(super) fn views(&self) -> impl Iterator<Item = PolicyView> {
        let refused = self.refusals();
        let refused = refused.filter_map(|(_, refused)| refused.name.as_deref());
        let names: BTreeSet<&str> = refused
            .chain(self.names())
            .chain(self.compiling.keys().map(String::as_str))
            .collect();
        names.into_iter().map(|name| self.view(name))
    }

    fn view(&self, name: &str) -> PolicyView {
        let present = self.present.get(name);
        let refused = self.refused_of(name);
        let policy = present.map(|present| &present.policy);
        let state = match (present, refused) {
            (Some(_), _) => PolicyState::Ready,
            (None, Some(_)) if !self.is_compiling(name) => PolicyState::Refused,
            (None, _) => PolicyState::Compiling,
        };
        let since = present.map(|present| present.since);
        let since = since.or(refused.map(|refused| refused.since));
        PolicyView {
            name: name.to_owned(),
            kind: policy.map(Policy::kind),
            origin: Origin::File,
            digest: policy.map(Policy::digest),
            size: policy.map(Policy::size),
            version: policy.map(|policy| policy.info().version.clone()),
            about: policy.map(|policy| policy.info().about.clone()),
            state,
            error: refused.map(|refused| refused.reason.clone()),
            stage: refused.map(|refused| refused.stage),
            since: since.or_else(|| self.compiling.get(name).copied()),
            used_by: self.users(name, policy.map(Policy::digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage) -> RefusedFile {
        RefusedFile {
            name: Some("mine".to_owned()),
            stage,
            reason: stage.to_string(),
            since: Moment(1),
        }
    }

    #[test]
    fn what_is_wrong_with_a_content_outlives_what_the_watcher_says_of_the_file() {
        let mut shelf = Shelf::default();
        let file = || "mine.wasm".to_owned();
        shelf.refuse(file(), refused(Stage::Contract));
        shelf.refuse_to_read(file(), refused(Stage::Read));
        assert_eq!(shelf.refusal("mine"), Some("read"));
        assert_eq!(shelf.attention(Path::new("policies")).len(), 1);
        assert_eq!(shelf.view("mine").stage, Some(Stage::Read));
        // The content that was read before is there again, and not delivered again.
        shelf.clear("mine.wasm");
        assert_eq!(shelf.refusal("mine"), Some("contract"));
        assert!(!shelf.is_unknown("mine"));
        assert_eq!(shelf.attention(Path::new("policies")).len(), 1);

        // Another content, and the other file of the pair.
        shelf.refuse_to_read("mine.toml".to_owned(), refused(Stage::Read));
        shelf.refuse(file(), refused(Stage::Imports));
        assert_eq!(shelf.refusals().count(), 2);
        shelf.remove("mine");
        assert_eq!(shelf.refusal("mine"), Some("read"));
        shelf.clear("mine.toml");
        assert!(shelf.is_unknown("mine"));
    }
}
