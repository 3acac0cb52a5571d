//! Where that which is waited for stands, from what the host shows and tells. Nothing here asks anybody.

use serde_json::Value;

use super::Until;
use crate::cli::phase;
use crate::cli::show::short;
use crate::cli::views::{Agent, Ended, Happened, RefusedFile};

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// On its way: how far, in words.
    Going(String),
    /// There.
    Reached,
    /// It will not come there by itself.
    Ended {
        /// A word for tools.
        outcome: &'static str,
        /// Why.
        reason: String,
    },
}

/// The bytes that are waited for.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub digest: String,
    pub size: u64,
}

/// What is waited for, and what is known of it so far.
pub(super) struct Watched {
    /// None: whatever goes on.
    file: Option<Component>,
    until: Until,
    number: Option<u64>,
    reload: Option<String>,
    /// The host has noticed the file.
    noticed: bool,
    /// The last refusal of a file of the agent since it is waited.
    refused: Option<String>,
    served: bool,
    completed: bool,
}

impl Watched {
    pub(super) fn new(file: Option<Component>, until: Until) -> Self {
        Self {
            file,
            until,
            number: None,
            reload: None,
            noticed: false,
            refused: None,
            served: false,
            completed: false,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.number
    }

    pub(super) fn digest(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.digest.as_str())
    }

    pub(super) fn reload(&self) -> Option<&str> {
        self.reload.as_deref()
    }

    /// Something happened to the agent. What came and went between two looks is known from here only.
    pub(super) fn hear(&mut self, happened: &Happened) {
        let Some(Component { digest, .. }) = &self.file else {
            return;
        };
        let text = |key: &str| happened.fields.get(key).and_then(Value::as_str);
        let number = |key: &str| happened.fields.get(key).and_then(Value::as_u64);
        let is_it = |key: &str| number(key).is_some() && number(key) == self.number;
        match happened.kind.as_str() {
            "reload-started" if text("component") == Some(digest) => {
                self.noticed = true;
                self.number = number("to");
                self.reload = text("reload").map(str::to_owned).or(self.reload.take());
            }
            "refused" => self.refused = text("reason").map(str::to_owned),
            "swapped" if is_it("to") => self.served = true,
            "share" if is_it("number") => self.served = true,
            "completed" if is_it("number") => self.completed = true,
            _ => {}
        }
    }

    /// What the host shows of the agent now; none where it does not know it.
    pub(super) fn look(&mut self, agent: Option<&Agent>, history: &[Ended]) -> Standing {
        let Some(agent) = agent else {
            return Standing::Going("the host does not know it yet".to_owned());
        };
        match self.file.clone() {
            Some(file) => self.look_for(&file, agent, history),
            None => self.look_at(agent, history),
        }
    }

    fn is_reached(&self) -> bool {
        match self.until {
            Until::Serving => self.served || self.completed,
            Until::Completed => self.completed,
        }
    }

    fn look_for(&mut self, file: &Component, agent: &Agent, history: &[Ended]) -> Standing {
        let digest = file.digest.as_str();
        if let Some(stable) = agent.stable.as_ref().filter(|v| v.digest == digest) {
            self.number = Some(stable.number);
            self.completed = true;
        }
        let candidate = agent.candidate.as_ref().filter(|v| v.digest == digest);
        if let Some(candidate) = candidate {
            self.noticed = true;
            self.number = Some(candidate.number);
            self.reload = agent.reload.as_ref().map(|reload| reload.id.clone());
            self.served |= agent.split > 0 || agent.serving == Some(candidate.number);
        }
        if self.is_reached() {
            return Standing::Reached;
        }
        if candidate.is_some() || self.goes_back(agent) {
            return Standing::Going(going(agent));
        }
        let refused = agent
            .refused
            .iter()
            .find(|file| file.digest.as_deref() == Some(digest));
        if let Some(refused) = refused {
            return ended("refused", refused.error.clone());
        }
        match &agent.wanted {
            Some(wanted) if wanted.digest == digest => {
                self.noticed = true;
                self.wanted_and_not_coming(agent, history)
            }
            Some(wanted) if self.noticed => {
                let other = format!("other bytes came after it: {}", short(&wanted.digest));
                self.ended_badly(history)
                    .unwrap_or_else(|| ended("superseded", other))
            }
            None if self.noticed => {
                let gone = "its file was removed".to_owned();
                self.ended_badly(history)
                    .unwrap_or_else(|| ended("stopped", gone))
            }
            _ => self.unnoticed(file, agent),
        }
    }

    /// The host does not know the bytes. Those of a file that the watcher refuses it never will; whether it is this file is seen
    /// by its size, or by when it was refused: one that was refused before may be the one that this is copied over.
    fn unnoticed(&self, file: &Component, agent: &Agent) -> Standing {
        let mut unread = agent.refused.iter().filter(|file| file.digest.is_none());
        let is_it = |refused: &&RefusedFile| {
            refused.file.ends_with(".wasm") && refused.size == Some(file.size)
                || self.refused.as_ref() == Some(&refused.error)
        };
        match (unread.clone().find(is_it), unread.next()) {
            (Some(refused), _) => ended("refused", refused.error.clone()),
            (None, Some(other)) => Standing::Going(format!(
                "the host has not noticed the file yet, and refuses what is there: {}",
                other.error
            )),
            (None, None) => Standing::Going("the host has not noticed the file yet".to_owned()),
        }
    }

    /// The reload that brought it in is on its way back.
    fn goes_back(&self, agent: &Agent) -> bool {
        let reload = agent.reload.as_ref().map(|reload| &reload.id);
        reload.is_some() && reload == self.reload.as_ref()
    }

    fn wanted_and_not_coming(&self, agent: &Agent, history: &[Ended]) -> Standing {
        if let Some(why) = &agent.diverged {
            return self
                .ended_badly(history)
                .unwrap_or_else(|| ended(aside(agent), why.clone()));
        }
        if agent.state == "failed" {
            return self.ended_badly(history).unwrap_or_else(|| failed(agent));
        }
        Standing::Going("the file is noticed, and waits for its turn".to_owned())
    }

    /// How its reload ended, where that was not well. One that was cancelled may begin again, after a restart for example.
    fn ended_badly(&self, history: &[Ended]) -> Option<Standing> {
        let reload = self.reload.as_ref()?;
        let result = history.iter().find(|result| result.id == *reload)?;
        let outcome = match result.status.as_str() {
            "rolled-back" => "rolled-back",
            "failed" => "failed",
            _ => return None,
        };
        let reason = result.rollback_reason.as_ref().or(result.error.as_ref());
        let reason = reason.map_or("no reason is known", String::as_str);
        Some(ended(outcome, reason.to_owned()))
    }

    /// Whatever goes on with the agent.
    fn look_at(&mut self, agent: &Agent, history: &[Ended]) -> Standing {
        let serves = agent.state == "serving";
        if serves && self.until == Until::Serving {
            self.number = agent.serving;
            return Standing::Reached;
        }
        if let Some(reload) = &agent.reload {
            self.reload = Some(reload.id.clone());
            self.number = agent.candidate.as_ref().map(|candidate| candidate.number);
            return Standing::Going(going(agent));
        }
        if let Some(badly) = self.ended_badly(history) {
            return badly;
        }
        if let Some(refused) = agent.refused.first() {
            // No version was made of it.
            self.number = None;
            return ended("refused", refused.error.clone());
        }
        match (&agent.diverged, agent.state.as_str()) {
            (Some(why), _) => ended(aside(agent), why.clone()),
            (None, "failed") => failed(agent),
            (None, "stopped") if agent.enabled == Some(false) => {
                ended("stopped", "its configuration turns it off".to_owned())
            }
            (None, "stopped") => ended("stopped", "its file is gone".to_owned()),
            (None, "serving") => {
                self.number = agent.serving;
                Standing::Reached
            }
            _ => Standing::Going("it comes up".to_owned()),
        }
    }
}

fn ended(outcome: &'static str, reason: String) -> Standing {
    Standing::Ended { outcome, reason }
}

fn failed(agent: &Agent) -> Standing {
    let why = agent.last_error.clone();
    ended(
        "failed",
        why.unwrap_or_else(|| "no version of it serves".to_owned()),
    )
}

/// What keeps the file that is wanted out.
fn aside(agent: &Agent) -> &'static str {
    let wanted = agent.wanted.as_ref().map(|wanted| &wanted.digest);
    let entry = agent
        .quarantined
        .iter()
        .find(|entry| Some(&entry.digest) == wanted);
    match entry {
        Some(entry) if entry.blamed => "quarantined",
        Some(_) => "set-aside",
        None => "diverged",
    }
}

fn going(agent: &Agent) -> String {
    let version = agent.candidate.as_ref().map(|v| format!("v{} ", v.number));
    let mut text = format!("{}{}", version.unwrap_or_default(), phase::short(agent));
    if let Some(reload) = &agent.reload {
        for reason in phase::reasons(reload) {
            // What is left of a time changes each second, and is for `status`.
            if !reason.contains(" are left of it") {
                text.push_str(&format!(", {reason}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::views::{Quarantined, Reload, Version, Wanted};
    use serde_json::json;

    const NEW: &str = "new";

    fn version(number: u64, digest: &str) -> Option<Version> {
        Some(Version {
            number,
            digest: digest.to_owned(),
        })
    }

    fn wanted(digest: &str) -> Option<Wanted> {
        Some(Wanted {
            digest: digest.to_owned(),
        })
    }

    /// v1 of the bytes `old` is permanent.
    fn quiet() -> Agent {
        Agent {
            state: "serving".to_owned(),
            stable: version(1, "old"),
            serving: Some(1),
            wanted: wanted("old"),
            ..Agent::default()
        }
    }

    fn coming(split: u8) -> Agent {
        Agent {
            candidate: version(2, NEW),
            wanted: wanted(NEW),
            split,
            reload: Some(Reload {
                id: "r2".to_owned(),
                status: "in-progress".to_owned(),
                strategy: "traffic-splitting".to_owned(),
                stages: 3,
                ..Reload::default()
            }),
            ..quiet()
        }
    }

    fn result(status: &str) -> Ended {
        Ended {
            id: "r2".to_owned(),
            status: status.to_owned(),
            rollback_reason: Some("it fails".to_owned()),
            ..Ended::default()
        }
    }

    fn for_file(until: Until) -> Watched {
        let file = Component {
            digest: NEW.to_owned(),
            size: 7,
        };
        Watched::new(Some(file), until)
    }

    fn going(text: &str) -> Standing {
        Standing::Going(text.to_owned())
    }

    fn outcome(standing: &Standing) -> &'static str {
        match standing {
            Standing::Ended { outcome, .. } => outcome,
            Standing::Reached => "reached",
            Standing::Going(_) => "going",
        }
    }

    #[test]
    fn a_file_is_followed_from_before_it_is_noticed_until_it_is_permanent() {
        let mut watched = for_file(Until::Completed);
        assert_eq!(
            watched.look(None, &[]),
            going("the host does not know it yet")
        );
        let unnoticed = going("the host has not noticed the file yet");
        assert_eq!(watched.look(Some(&quiet()), &[]), unnoticed);
        assert_eq!(
            watched.look(Some(&coming(0)), &[]),
            going("v2 stage 1 of 3")
        );
        assert_eq!(outcome(&watched.look(Some(&coming(50)), &[])), "going");
        let done = Agent {
            stable: version(2, NEW),
            wanted: wanted(NEW),
            ..quiet()
        };
        assert_eq!(watched.look(Some(&done), &[]), Standing::Reached);
        assert_eq!((watched.number(), watched.reload()), (Some(2), Some("r2")));
    }

    #[test]
    fn a_share_is_serving_and_copies_are_not() {
        let mut watched = for_file(Until::Serving);
        assert_eq!(outcome(&watched.look(Some(&coming(0)), &[])), "going");
        assert_eq!(watched.look(Some(&coming(5)), &[]), Standing::Reached);
    }

    #[test]
    fn what_came_and_went_between_two_looks_was_heard() {
        let mut watched = for_file(Until::Completed);
        let hear = |watched: &mut Watched, event: Value| {
            watched.hear(&serde_json::from_value(event).unwrap());
        };
        hear(&mut watched, json!({"kind": "completed", "number": 2}));
        hear(
            &mut watched,
            json!({"kind": "reload-started", "reload": "r2", "to": 2, "component": NEW}),
        );
        let replaced = Agent {
            stable: version(3, "newer"),
            wanted: wanted("newer"),
            ..quiet()
        };
        assert_eq!(outcome(&watched.look(Some(&replaced), &[])), "superseded");
        hear(&mut watched, json!({"kind": "completed", "number": 2}));
        assert_eq!(watched.look(Some(&replaced), &[]), Standing::Reached);
        assert_eq!(watched.reload(), Some("r2"));
    }

    #[test]
    fn how_it_ended_otherwise_is_said() {
        let aside = |blamed| Agent {
            wanted: wanted(NEW),
            diverged: Some("the file is put away".to_owned()),
            quarantined: vec![Quarantined {
                digest: NEW.to_owned(),
                blamed,
                ..Quarantined::default()
            }],
            ..quiet()
        };
        let mut fresh = for_file(Until::Completed);
        assert_eq!(outcome(&fresh.look(Some(&aside(true)), &[])), "quarantined");
        assert_eq!(outcome(&fresh.look(Some(&aside(false)), &[])), "set-aside");

        let mut watched = for_file(Until::Completed);
        watched.look(Some(&coming(5)), &[]);
        let returning = Agent {
            candidate: None,
            ..coming(0)
        };
        assert_eq!(outcome(&watched.look(Some(&returning), &[])), "going");
        let back = watched.look(Some(&aside(true)), &[result("rolled-back")]);
        assert_eq!(back, ended("rolled-back", "it fails".to_owned()));
        // A restart cancels a reload and begins it again.
        let again = Agent {
            wanted: wanted(NEW),
            ..quiet()
        };
        assert_eq!(
            outcome(&watched.look(Some(&again), &[result("cancelled")])),
            "going"
        );
        let removed = Agent {
            wanted: None,
            ..quiet()
        };
        assert_eq!(outcome(&watched.look(Some(&removed), &[])), "stopped");
    }

    #[test]
    fn a_refusal_of_these_bytes_ends_it_and_one_of_others_does_not() {
        let refused = |digest: &str| Agent {
            refused: vec![RefusedFile {
                digest: Some(digest.to_owned()),
                error: "it is no component".to_owned(),
                ..RefusedFile::default()
            }],
            ..quiet()
        };
        let mut watched = for_file(Until::Serving);
        assert_eq!(
            outcome(&watched.look(Some(&refused("other")), &[])),
            "going"
        );
        let told = watched.look(Some(&refused(NEW)), &[]);
        assert_eq!(told, ended("refused", "it is no component".to_owned()));
    }

    #[test]
    fn a_file_that_the_watcher_refuses_is_known_by_its_size_or_by_when_it_was_refused() {
        let refused = |size| Agent {
            refused: vec![RefusedFile {
                file: "web.wasm".to_owned(),
                size: Some(size),
                error: "it ends early".to_owned(),
                ..RefusedFile::default()
            }],
            ..quiet()
        };
        let refusal = ended("refused", "it ends early".to_owned());
        let mut watched = for_file(Until::Serving);
        let other = watched.look(Some(&refused(6)), &[]);
        assert!(
            matches!(&other, Standing::Going(text) if text.ends_with("refuses what is there: it ends early")),
            "{other:?}"
        );
        assert_eq!(watched.look(Some(&refused(7)), &[]), refusal);
        // A copy of it that was cut off.
        let told = json!({"kind": "refused", "file": "web.wasm", "reason": "it ends early"});
        watched.hear(&serde_json::from_value(told).unwrap());
        assert_eq!(watched.look(Some(&refused(6)), &[]), refusal);
        // It came after the file, which was taken.
        let taken = Agent {
            wanted: wanted(NEW),
            ..refused(6)
        };
        assert_eq!(outcome(&watched.look(Some(&taken), &[])), "going");
    }

    #[test]
    fn without_a_file_it_is_whatever_goes_on() {
        let mut watched = Watched::new(None, Until::Completed);
        assert_eq!(outcome(&watched.look(Some(&coming(5)), &[])), "going");
        let back = watched.look(Some(&quiet()), &[result("rolled-back")]);
        assert_eq!(outcome(&back), "rolled-back");
        let mut watched = Watched::new(None, Until::Serving);
        assert_eq!(watched.look(Some(&coming(5)), &[]), Standing::Reached);
        let mut watched = Watched::new(None, Until::Completed);
        assert_eq!(watched.look(Some(&quiet()), &[]), Standing::Reached);
        for state in ["failed", "stopped"] {
            let agent = Agent {
                state: state.to_owned(),
                ..Agent::default()
            };
            assert_eq!(outcome(&watched.look(Some(&agent), &[])), state);
        }
    }

    #[test]
    fn without_a_file_the_version_is_the_one_that_it_is_about() {
        let mut watched = Watched::new(None, Until::Completed);
        watched.look(Some(&coming(5)), &[]);
        assert_eq!(watched.number(), Some(2), "it comes in");
        watched.look(Some(&quiet()), &[result("rolled-back")]);
        assert_eq!(watched.number(), Some(2), "it was taken back");
        let refused = Agent {
            refused: vec![RefusedFile {
                digest: None,
                error: "it is empty".to_owned(),
                ..RefusedFile::default()
            }],
            ..quiet()
        };
        let mut watched = Watched::new(None, Until::Completed);
        watched.look(Some(&coming(5)), &[]);
        assert_eq!(outcome(&watched.look(Some(&refused), &[])), "refused");
        assert_eq!(watched.number(), None, "no version was made of the file");
        let mut watched = Watched::new(None, Until::Serving);
        watched.look(Some(&quiet()), &[]);
        assert_eq!(watched.number(), Some(1), "it serves");
    }
}
