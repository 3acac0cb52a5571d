//! What happens in the demo, and what must come of it.

mod conclusion;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::clients::{CLIENTS, Clients, Counted};
use super::timeline::{Actor, Timeline};
use super::{AGENT, Stage};
use crate::cli::{DemoStrategy, Failure, Paint, Tone, print, sentence};
use crate::events::{Event, Follower};
use crate::host::Host;
use conclusion::Ending;

/// For each step. A machine that is busy with other things may be slow; one that takes longer is stuck.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// For a version before a policy of one's own, which may take for ever to decide: two of these and the rest are a minute.
const OWN_DEADLINE: Duration = Duration::from_secs(20);

/// Traffic before the second version, so that there is something to compare it with.
const BEFORE: u64 = 500;

/// The demo's course.
pub(super) struct Story<'a> {
    host: &'a Host,
    stage: &'a Stage,
    strategy: DemoStrategy,
    /// A policy of one's own, which may decide as it likes.
    own: Option<&'a str>,
    events: Follower,
    timeline: Timeline,
    paint: Paint,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        host: &'a Host,
        stage: &'a Stage,
        strategy: DemoStrategy,
        own: Option<&'a str>,
        paint: Paint,
    ) -> Self {
        let events = host.events().follow(0);
        Self {
            host,
            stage,
            strategy,
            own,
            events,
            timeline: Timeline::begin(paint),
            paint,
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It went otherwise than it is told, or the output is closed.
    pub(super) async fn tell(mut self) -> Result<(), Failure> {
        self.introduce()?;
        self.first_version().await?;
        let clients = Clients::start(self.host.gateway(), AGENT);
        self.timeline.entry(
            Actor::Clients,
            Tone::Plain,
            &format!(
                "{CLIENTS} clients begin to call it without a pause, each over one connection"
            ),
        )?;
        self.traffic(&clients).await?;
        let good = self.good_version(&clients).await?;
        let bad = self.bad_version(&clients).await?;
        let counted = clients.stop().await;
        self.conclude(&counted, &good, &bad)
    }

    fn introduce(&self) -> Result<(), Failure> {
        let title = "caxton demo: one agent, a good new version of it, and a bad one";
        print(&format!("{}\n\n", self.paint.tone(Tone::Strong, title)))?;
        let agents = self.stage.path().join("agents");
        self.timeline.line(
            "host",
            Tone::Plain,
            &format!("http://{}/, in this process", self.host.gateway()),
        )?;
        self.timeline
            .line("watches", Tone::Plain, &format!("{}", agents.display()))?;
        self.timeline
            .line("strategy", Tone::Plain, strategy_words(self.strategy))?;
        match self.own {
            Some(own) => {
                let text = format!("{own}, and nobody else");
                self.timeline.line("judged by", Tone::Plain, &text)
            }
            None => Ok(()),
        }
    }

    async fn first_version(&mut self) -> Result<(), Failure> {
        self.timeline
            .chapter("1  A file is dropped into the directory, and it serves")?;
        self.drop_in(1)?;
        self.until(
            "completed",
            "version 1 to serve",
            &["failed", "refused", "diverged"],
        )
        .await?;
        Ok(())
    }

    async fn traffic(&mut self, clients: &Clients) -> Result<(), Failure> {
        let deadline = Instant::now() + STEP_DEADLINE;
        while clients.so_far().all_answered() < BEFORE {
            if Instant::now() > deadline {
                return Err(Failure::No(format!(
                    "the clients did not get {BEFORE} answers of version 1 in a minute"
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn good_version(&mut self, clients: &Clients) -> Result<Ending, Failure> {
        self.timeline
            .chapter("2  A good second version takes its place, while the clients go on")?;
        let before = clients.so_far();
        self.drop_in(2)?;
        let ending = self
            .judged(
                "completed",
                "version 2 to become permanent",
                &["failed", "refused", "rolled-back", "cancelled", "diverged"],
            )
            .await?;
        self.tell_traffic(&before, &clients.so_far())?;
        Ok(ending)
    }

    async fn bad_version(&mut self, clients: &Clients) -> Result<Ending, Failure> {
        self.timeline.chapter(
            "3  A bad third version: it fails 3 calls in 10, and nobody has told the host",
        )?;
        let before = clients.so_far();
        self.drop_in(3)?;
        let ending = self
            .judged(
                "rolled-back",
                "version 3 to be taken back",
                &["failed", "refused", "completed", "cancelled", "diverged"],
            )
            .await?;
        self.tell_traffic(&before, &clients.so_far())?;
        Ok(ending)
    }

    /// How a version ends. Where a policy of one's own judges, it is free to end it otherwise than is `promised`, or not at all.
    async fn judged(
        &mut self,
        promised: &str,
        what: &str,
        bad: &[&str],
    ) -> Result<Ending, Failure> {
        let Some(own) = self.own else {
            let event = self.until(promised, what, bad).await?;
            return Ok(Ending::of(&event));
        };
        let verdicts = ["completed", "rolled-back"];
        let bad: Vec<&str> = bad
            .iter()
            .copied()
            .filter(|bad| !verdicts.contains(bad))
            .collect();
        let deadline = Instant::now() + OWN_DEADLINE;
        if let Some(event) = self.one_of(&verdicts, what, &bad, deadline).await? {
            return Ok(Ending::of(&event));
        }
        let seconds = OWN_DEADLINE.as_secs();
        let text = format!("{own} has not decided in {seconds} s, and the demo goes on without it");
        self.timeline.entry(Actor::Host, Tone::Busy, &text)?;
        Ok(Ending::Undecided)
    }

    fn drop_in(&self, number: usize) -> Result<(), Failure> {
        let text = format!("mv {AGENT}-v{number}.wasm agents/{AGENT}.wasm");
        self.timeline.entry(Actor::You, Tone::Strong, &text)?;
        self.stage
            .drop_in(number)
            .map_err(|error| Failure::No(format!("version {number} cannot be dropped: {error}")))
    }

    /// Tells what happens until an event of the kind `good`; one of the kinds, or a status, in `bad` ends the story.
    async fn until(&mut self, good: &str, what: &str, bad: &[&str]) -> Result<Arc<Event>, Failure> {
        let deadline = Instant::now() + STEP_DEADLINE;
        let reached = self.one_of(&[good], what, bad, deadline).await?;
        reached.ok_or_else(|| {
            let seconds = STEP_DEADLINE.as_secs();
            Failure::No(format!("the demo waited {seconds} s in vain for {what}"))
        })
    }

    /// The same for several kinds, and none of them when the time is up.
    async fn one_of(
        &mut self,
        good: &[&str],
        what: &str,
        bad: &[&str],
        deadline: Instant,
    ) -> Result<Option<Arc<Event>>, Failure> {
        let mut reload = None;
        loop {
            let Ok(events) = timeout_at(deadline, self.events.next()).await else {
                return Ok(None);
            };
            let mut reached = None;
            for event in events {
                self.tell_event(&event)?;
                let status = event.fields.get("to").and_then(Value::as_str);
                let status = status.filter(|_| event.kind == "status-changed");
                if event.kind == "reload-started" {
                    reload = event.reload;
                }
                // The last words about the reload before this one may still come.
                let is_ours = event.reload.is_none() || event.reload == reload;
                let is_bad = bad
                    .iter()
                    .any(|bad| event.kind == *bad || status == Some(*bad));
                // What follows the end that is waited for in the same moment is part of it.
                if is_ours && is_bad && reached.is_none() {
                    let (text, _) = sentence(&event.kind, &event.fields);
                    return Err(Failure::No(format!(
                        "the demo waited for {what}, and this happened instead: {text}"
                    )));
                }
                if is_ours && good.contains(&event.kind.as_str()) {
                    reached = Some(event);
                }
            }
            if reached.is_some() {
                return Ok(reached);
            }
        }
    }

    /// The events that a newcomer wants to see, in the words of someone who explains.
    fn tell_event(&self, event: &Event) -> Result<(), Failure> {
        let (mut text, mut tone) = sentence(&event.kind, &event.fields);
        let number = |key: &str| event.fields.get(key).and_then(Value::as_u64);
        let actor = match event.kind.as_str() {
            "reload-started" => {
                let to = number("to").unwrap_or_default();
                text = match number("from") {
                    None => format!("checks and compiles version {to}"),
                    Some(from) => format!(
                        "checks and compiles version {to}; version {from} serves on meanwhile"
                    ),
                };
                tone = Tone::Plain;
                Actor::Host
            }
            "swapped" => {
                text = self.swap_words(number("from"), number("to"));
                Actor::Host
            }
            "share" => {
                text = format!(
                    "version {} gets {} % of the requests",
                    number("number").unwrap_or_default(),
                    number("percent").unwrap_or_default()
                );
                Actor::Host
            }
            "listening" => {
                text = format!(
                    "version {} hears copies of the requests; its answers are judged and dropped",
                    number("number").unwrap_or_default()
                );
                Actor::Host
            }
            "completed" if number("number") == Some(1) => {
                text = "version 1 is permanent: there is nothing to compare it with".to_owned();
                Actor::Host
            }
            "completed" => {
                let proven =
                    event.fields.get("evidence").and_then(Value::as_str) == Some("sufficient");
                let why = match proven {
                    true => "the policy found enough for it",
                    false => "its time is over and the policy did not take it back",
                };
                let number = number("number").unwrap_or_default();
                text = format!("version {number} is permanent: {why}");
                Actor::Host
            }
            "rolled-back" => {
                text = format!(
                    "version {} is rolled back, version {} serves",
                    number("from").unwrap_or_default(),
                    number("to").unwrap_or_default()
                );
                Actor::Host
            }
            "verdict" => {
                text = text.strip_prefix("policy ").unwrap_or(&text).to_owned();
                Actor::Policy
            }
            "refused" | "calls-cut" | "fault" | "waiting" | "health-failed" => Actor::Host,
            "quarantined" => {
                text = "the same bytes will not be tried again by themselves".to_owned();
                tone = Tone::Plain;
                Actor::Host
            }
            _ => return Ok(()),
        };
        self.timeline.entry(actor, tone, &text)
    }

    fn swap_words(&self, from: Option<u64>, to: Option<u64>) -> String {
        match (from, to) {
            (_, None) => "no version serves".to_owned(),
            (None, Some(to)) => format!("version {to} serves"),
            (Some(from), Some(to)) if cuts_calls(self.strategy) => {
                format!("all requests go to version {to}; version {from} is cut")
            }
            (Some(from), Some(to)) => {
                format!("new requests go to version {to}; version {from} finishes what it has")
            }
        }
    }

    fn tell_traffic(&self, before: &Counted, after: &Counted) -> Result<(), Failure> {
        let lost = after.lost.saturating_sub(before.lost);
        let by_version: Vec<String> = (1_usize..)
            .zip(after.answered.iter().zip(&before.answered))
            .map(|(number, (after, before))| (number, after.saturating_sub(*before)))
            .filter(|(_, answered)| *answered > 0)
            .map(|(number, answered)| format!("version {number}: {answered}"))
            .collect();
        let text = format!("answers since then: {}; {lost} lost", by_version.join(", "));
        self.timeline.entry(
            Actor::Clients,
            if lost == 0 { Tone::Good } else { Tone::Bad },
            &text,
        )
    }
}

/// Whether a swap cuts the calls that are in flight on the old version. With every other strategy no request is lost.
fn cuts_calls(strategy: DemoStrategy) -> bool {
    strategy == DemoStrategy::Immediate
}

/// The strategy in a sentence.
fn strategy_words(strategy: DemoStrategy) -> &'static str {
    match strategy {
        DemoStrategy::Graceful => {
            "graceful: new requests go to the new version, the old one finishes what it has"
        }
        DemoStrategy::Immediate => {
            "immediate: all at once; calls in flight on the old version are cut and counted"
        }
        DemoStrategy::Parallel => {
            "parallel: the new version hears copies first, which nobody waits for; once it is found fit it takes over"
        }
        DemoStrategy::TrafficSplitting => {
            "traffic-splitting: both versions answer, the new one 10 % of the requests, then 50 %, then all"
        }
    }
}
