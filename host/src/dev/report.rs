//! Events in, lines out: one for each save, and one for whatever a person who works on an agent has to know.
//!
//! A save is followed by its identity: the files are taken, a reload begins with them, its version comes up, and traffic goes to
//! it. The time that is told is from when the file was written until then, both on the host's own record.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::{Paint, Tone, harmless, sentence, span};
use crate::events::Event;

/// Versions of one agent that are remembered on their way in; a newer one takes the place of the oldest.
const MAX_COMING: usize = 16;

/// Builds whose component is not seen to serve yet; the oldest is forgotten.
const MAX_BUILDS: usize = 16;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
    tone: Tone,
}

impl Line {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, tone }
    }

    /// As it is printed. Nothing in it acts on a terminal but the colour.
    pub(crate) fn painted(&self, paint: Paint) -> String {
        format!("{}\n", paint.tone(self.tone, &harmless(&self.text)))
    }
}

/// Where the bytes of a component came from, for who built them a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Build {
    /// When the source was saved, in milliseconds since the epoch, or what else it is counted from.
    pub from: u64,
    /// In a word.
    pub since: &'static str,
    /// How long building took, in milliseconds.
    pub took: u64,
}

/// What is known of each agent.
#[derive(Debug)]
pub(crate) struct Report {
    /// When the host began.
    began: u64,
    agents: BTreeMap<String, Agent>,
    /// By the digest of the component.
    builds: Vec<(String, Build)>,
}

#[derive(Debug, Default)]
struct Agent {
    serving: Option<u64>,
    taken: Option<(Identity, Option<u64>)>,
    coming: Vec<Coming>,
}

/// Digests of component and configuration, as events have them.
type Identity = (String, String);

/// A version on its way in.
#[derive(Debug)]
struct Coming {
    reload: String,
    number: u64,
    identity: Identity,
    written_at: Option<u64>,
    /// How long it compiled; none where its code was there.
    compile: Option<u64>,
}

impl Report {
    /// Of a host that began then, in milliseconds since the epoch.
    pub(crate) fn new(began: u64) -> Self {
        Self {
            began,
            agents: BTreeMap::new(),
            builds: Vec::new(),
        }
    }

    /// Who answers for this agent meanwhile.
    pub(crate) fn still(&self, name: &str) -> String {
        self.agents
            .get(name)
            .map_or_else(|| Agent::default().still(), Agent::still)
    }

    /// A component of this digest was built.
    pub(crate) fn built(&mut self, digest: String, build: Build) {
        self.builds.retain(|(other, _)| *other != digest);
        self.builds.push((digest, build));
        let beyond = self.builds.len().saturating_sub(MAX_BUILDS);
        self.builds.drain(..beyond);
    }

    /// What there is to say about what happened.
    pub(crate) fn take_in(&mut self, event: &Event) -> Option<Line> {
        let Some(name) = event.agent.as_ref().map(ToString::to_string) else {
            return unnamed(event);
        };
        let agent = self.agents.entry(name.clone()).or_default();
        let reason = || text(event, "reason").unwrap_or_else(|| "no reason was told".to_owned());
        match event.kind.as_str() {
            "taken" => agent.take(&name, event, self.began, &mut self.builds),
            "reload-started" => {
                agent.begin(event);
                None
            }
            "prepared" => {
                agent.prepared(event);
                None
            }
            "swapped" => agent.swap(&name, event, &mut self.builds),
            "status-changed" if text(event, "to").as_deref() == Some("failed") => {
                let reload = event.reload.map(|id| id.to_string());
                let failed = agent
                    .coming
                    .iter()
                    .find(|c| Some(&c.reload) == reload.as_ref());
                let who = match failed {
                    Some(coming) => format!("{name} v{}", coming.number),
                    None => name,
                };
                let text = format!("{who} does not come in: {}; {}", reason(), agent.still());
                Some(Line::new(Tone::Bad, text))
            }
            "refused" => {
                let text = format!("{name} is refused: {}; {}", reason(), agent.still());
                Some(Line::new(Tone::Bad, text))
            }
            "stopped" => {
                *agent = Agent::default();
                Some(Line::new(
                    Tone::Busy,
                    format!("{name} stopped: {}", reason()),
                ))
            }
            "health-failed" | "waiting" | "not-recorded" | "crash-loop" | "state-lost"
            | "order-failed" | "calls-cut" | "fault" => {
                let (text, tone) = sentence(&event.kind, &event.fields);
                Some(Line::new(tone, format!("{name}: {text}")))
            }
            _ => None,
        }
    }
}

/// What is about no agent: the directory, or a file that can be none.
fn unnamed(event: &Event) -> Option<Line> {
    let told = [
        "refused",
        "polling",
        "directory-lost",
        "directory-found",
        "policy-refused",
    ];
    told.contains(&event.kind.as_str()).then(|| {
        let (text, tone) = sentence(&event.kind, &event.fields);
        Line::new(tone, text)
    })
}

impl Agent {
    fn take(
        &mut self,
        name: &str,
        event: &Event,
        began: u64,
        builds: &mut Vec<(String, Build)>,
    ) -> Option<Line> {
        let identity = identity(event)?;
        let written_at = number(event, "written_at");
        self.taken = Some((identity.clone(), written_at));
        let same = event
            .fields
            .get("serving")
            .is_some_and(|serving| serving == true);
        let built = builds.iter().position(|(digest, _)| *digest == identity.0);
        let built = built.filter(|_| same).map(|at| builds.remove(at).1);
        // What lies there since before the host began is no save.
        let is_new = written_at >= Some(began);
        (same && is_new).then(|| {
            let built = built.map(|build| format!(" (build {})", span(build.took)));
            let built = built.unwrap_or_default();
            let text = format!("{name}: nothing changed{built}; {}", self.still());
            Line::new(Tone::Plain, text)
        })
    }

    fn begin(&mut self, event: &Event) -> Option<()> {
        let identity = identity(event)?;
        let taken = self.taken.as_ref().filter(|taken| taken.0 == identity);
        let coming = Coming {
            reload: event.reload?.to_string(),
            number: number(event, "to")?,
            written_at: taken.and_then(|taken| taken.1),
            identity,
            compile: None,
        };
        self.coming.push(coming);
        let beyond = self.coming.len().saturating_sub(MAX_COMING);
        self.coming.drain(..beyond);
        Some(())
    }

    fn prepared(&mut self, event: &Event) {
        let number_of = number(event, "number");
        let compiled = text(event, "code").as_deref() == Some("compiled");
        let of = |coming: &&mut Coming| Some(coming.number) == number_of;
        if let Some(coming) = self.coming.iter_mut().rev().find(of) {
            coming.compile = number(event, "compile_ms").filter(|_| compiled);
        }
    }

    fn swap(
        &mut self,
        name: &str,
        event: &Event,
        builds: &mut Vec<(String, Build)>,
    ) -> Option<Line> {
        let to = number(event, "to");
        self.serving = to;
        let Some(to) = to else {
            return Some(Line::new(Tone::Bad, format!("{name} serves no more")));
        };
        let at = self.coming.iter().rposition(|coming| coming.number == to);
        let Some(coming) = at.map(|at| self.coming.remove(at)) else {
            return Some(Line::new(Tone::Good, format!("{name} v{to} serves")));
        };
        let component = &coming.identity.0;
        let built = builds.iter().position(|(digest, _)| digest == component);
        let built = built.map(|at| builds.remove(at).1);
        let when = since(event.at.0, &coming, built);
        Some(Line::new(Tone::Good, format!("{name} v{to} serves{when}")))
    }

    /// Who answers meanwhile.
    fn still(&self) -> String {
        match self.serving {
            Some(number) => format!("v{number} serves on"),
            None => "no version of it serves yet".to_owned(),
        }
    }
}

/// How long it took, and what of that was spent on what.
fn since(now: u64, coming: &Coming, built: Option<Build>) -> String {
    let compile = coming.compile.map(span);
    if let Some(Build { from, since, took }) = built {
        let whole = span(now.saturating_sub(from));
        let compile = compile.map(|compile| format!(", compile {compile}"));
        let (took, compile) = (span(took), compile.unwrap_or_default());
        return format!(", {whole} after the {since} (build {took}{compile})");
    }
    let Some(written_at) = coming.written_at else {
        return String::new();
    };
    let whole = span(now.saturating_sub(written_at));
    let compile = compile.map(|compile| match (&whole, compile.strip_suffix(" ms")) {
        // In the same unit it is not said twice.
        (whole, Some(compile)) if whole.ends_with(" ms") => format!(" (compile {compile})"),
        _ => format!(" (compile {compile})"),
    });
    format!(", {whole} after the write{}", compile.unwrap_or_default())
}

fn identity(event: &Event) -> Option<Identity> {
    Some((text(event, "component")?, text(event, "config")?))
}

fn text(event: &Event, key: &str) -> Option<String> {
    event.fields.get(key)?.as_str().map(str::to_owned)
}

fn number(event: &Event, key: &str) -> Option<u64> {
    event.fields.get(key).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use caxton_rollout::{AgentName, HotReloadId, Moment};
    use serde_json::json;

    use super::*;
    use crate::events::EventLog;

    struct Told {
        log: EventLog,
        report: Report,
        lines: Vec<String>,
        serves: Option<String>,
    }

    impl Told {
        fn new() -> Self {
            Self {
                log: EventLog::new(),
                report: Report::new(500),
                lines: Vec::new(),
                serves: None,
            }
        }

        fn tell(&mut self, at: u64, reload: Option<u128>, kind: &str, fields: Value) {
            let agent = AgentName::try_new("hello").unwrap();
            let reload = reload.map(HotReloadId::from_random_bits);
            let event: Arc<Event> = self.log.push(Moment(at), Some(agent), reload, kind, fields);
            let line = self.report.take_in(&event);
            self.lines.extend(line.map(|line| line.text));
        }

        fn taken(&mut self, component: &str, written_at: u64) {
            let serving = self.serves.as_deref() == Some(component);
            let fields = json!({"component": component, "config": "c", "written_at": written_at, "serving": serving});
            self.tell(written_at + 5, None, "taken", fields);
        }

        fn begins(&mut self, at: u64, component: &str, to: u64) {
            let fields = json!({"from": to - 1, "to": to, "component": component, "config": "c"});
            self.tell(at, Some(u128::from(to)), "reload-started", fields);
        }

        fn up(&mut self, at: u64, to: u64, code: &str, compile_ms: u64) {
            let fields = json!({"number": to, "code": code, "compile_ms": compile_ms});
            self.tell(at, None, "prepared", fields);
            self.tell(
                at,
                Some(u128::from(to)),
                "swapped",
                json!({"from": to - 1, "to": to}),
            );
        }
    }

    #[test]
    fn a_save_is_one_line_with_its_times() {
        let mut told = Told::new();
        told.taken("a", 1_000);
        told.begins(1_006, "a", 7);
        told.up(1_083, 7, "compiled", 71);
        told.taken("b", 2_000);
        told.begins(2_006, "b", 8);
        told.up(3_910, 8, "compiled", 1_800);
        told.taken("a", 5_000);
        told.begins(5_006, "a", 9);
        told.up(5_030, 9, "disk", 0);
        assert_eq!(
            told.lines,
            [
                "hello v7 serves, 83 ms after the write (compile 71)",
                "hello v8 serves, 1.9 s after the write (compile 1.8 s)",
                "hello v9 serves, 30 ms after the write",
            ]
        );
    }

    #[test]
    fn what_was_built_is_told_from_the_save_of_its_source() {
        let mut told = Told::new();
        let build = Build {
            from: 900,
            since: "save",
            took: 1_900,
        };
        told.report.built("a".to_owned(), build);
        told.taken("a", 2_810);
        told.begins(2_820, "a", 3);
        told.up(3_000, 3, "compiled", 71);
        assert_eq!(
            told.lines,
            ["hello v3 serves, 2.1 s after the save (build 1.9 s, compile 71 ms)"]
        );
        assert!(told.report.builds.is_empty());
    }

    #[test]
    fn what_does_not_come_in_says_why_and_who_serves_on() {
        let mut told = Told::new();
        told.tell(
            1,
            None,
            "refused",
            json!({"file": "hello.toml", "reason": "hello.toml: line 2: no"}),
        );
        told.taken("a", 1_000);
        told.begins(1_006, "a", 6);
        told.up(1_083, 6, "compiled", 71);
        told.taken("b", 2_000);
        told.begins(2_006, "b", 7);
        let failed = json!({"from": "preparing", "to": "failed", "reason": "hello.wasm: it traps"});
        told.tell(2_050, Some(7), "status-changed", failed);
        told.serves = Some("a".to_owned());
        told.taken("a", 3_000);
        // It lay there before the host began.
        told.taken("a", 400);
        told.tell(
            4_000,
            None,
            "stopped",
            json!({"reason": "its file is gone"}),
        );
        assert_eq!(
            told.lines[0],
            "hello is refused: hello.toml: line 2: no; no version of it serves yet"
        );
        assert_eq!(
            told.lines[2..],
            [
                "hello v7 does not come in: hello.wasm: it traps; v6 serves on",
                "hello: nothing changed; v6 serves on",
                "hello stopped: its file is gone",
            ]
        );
    }
}
