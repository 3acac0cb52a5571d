//! Decision records: what the policies of one reload were told, what they said, and what was done, as JSON lines.
//!
//! A reload is a file of [`Record`]s in the order in which things happened; the first is [`Began`]. The host keeps its lines
//! in the journal and gives them out as such a file. A window stands in it once. The list of windows that a policy was shown
//! at a tick is what [`caxton_rollout::Series`] makes of all windows that stand before the tick, and what the context said
//! besides is in the [`Record::Facts`] before it, so that every call of a policy can be made again from the file alone.
//!
//! Windows stand in a file from the first round of judging on; those before it stand as they had been merged by then, which
//! gives the same list. A round says nothing new, and is left out, where no request, copy or health check has ended since
//! the last one that stands in the file, every policy says what it said then (verdict or step, why, log and notes), the same
//! was done, and the reload stays where it stood: a version that nobody calls is judged each second for a day. What the
//! policies left as state does not matter for that: one that notes how far it has read leaves another in every round. So
//! the state that a call got is not always what the call before it in the file left; where it is not, [`Called::given`]
//! says what it was, and every call that stands in a file can be made again exactly. Windows are not left out, and the
//! number of a round counts those that were. Answers that come after those to the next question are left out, too: they
//! count for nothing.
//!
//! Making lines is all that [`Recorder`] does; the journal writes them in the order in which they were handed over, so that
//! whoever waits for what came later has them on the disk, too. Nobody waits for the lines themselves: where there is no room
//! for them they are lost, and the reload's records end with [`Record::Full`] before them, so that no file says what did not
//! happen.

mod news;
mod reader;
mod recorder;
mod taken_over;
mod trail;

pub use self::reader::RecordsReader;
pub(crate) use self::reader::{Readable, Selection};
pub use self::recorder::Recorder;
pub(crate) use self::trail::{Judged, Question, Said};

pub mod read;

use caxton_rollout::{
    AgentName, Context, Decided, Digest, Fault, HotReloadId, Moment, Phase, Plan, PolicyMode,
    ReloadMetrics, RollbackAnswer, StrategyAnswer, Window,
};
use caxton_runtime::policy::{PolicyKind, PolicyLog};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands in `format` of every [`Began`].
pub const FORMAT: &str = "caxton-records/1";

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The reload has its policies.
    Began(Began),
    /// What the context says of the reload and does not change from tick to tick; again where it did change.
    Facts(Box<Facts>),
    /// The strategy policy was asked how the version is to come in.
    Planned(Box<Planned>),
    /// One more interval was measured.
    Window(Box<Window>),
    /// The policies that enforce were asked, and something was decided.
    Tick(Box<Tick>),
    /// The policies that only monitor were asked, after the decision of that tick.
    Monitored(Monitored),
    /// Something that the event stream told of this reload, with its own `kind` inside.
    Told {
        /// The event.
        event: Value,
    },
    /// The reload has a result; a later one replaces it.
    Ended {
        /// As `history` shows it.
        result: Value,
    },
    /// No more is kept of this reload but its end: the file has reached its bound, or lines were lost, which an event of the
    /// kind `records-lost` before it tells.
    Full {
        /// Since when.
        at: Moment,
    },
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Began {
    /// [`FORMAT`].
    pub format: String,
    /// The reload.
    pub reload: HotReloadId,
    /// The agent.
    pub agent: AgentName,
    /// When.
    pub at: Moment,
    /// Whom it asks.
    pub policies: Vec<Asked>,
}

/// A policy of a reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    /// Its name.
    pub policy: String,
    /// What it decides.
    pub kind: PolicyKind,
    /// Whether its answers count; a strategy policy's always do.
    pub mode: PolicyMode,
    /// Of its component.
    pub digest: Digest,
    /// What it is handed as settings.
    pub settings: Value,
}

/// A whole context, at one moment. Ages of earlier reloads grow with `elapsed-ms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// When.
    pub at: Moment,
    /// What a policy is told.
    pub context: Context,
}

/// What of a context changes from tick to tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// As in [`Context`].
    pub deadline_ms: Option<u64>,
    /// As in [`Context`].
    pub paused: bool,
    /// As in [`Context`].
    pub phase: Phase,
    /// As in [`Context`].
    pub stage: u32,
    /// As in [`Context`].
    pub stages: u32,
    /// As in [`Context`].
    pub stage_elapsed_ms: u64,
    /// As in [`Context`].
    pub elapsed_ms: u64,
    /// As in [`Context`].
    pub split: u8,
}

/// How the version is to come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Planned {
    /// When.
    pub at: Moment,
    /// Where the reload stood.
    pub standing: Standing,
    /// What the configuration says.
    pub configured: Plan,
    /// What the strategy policy says.
    pub call: Called<Plan>,
}

/// One round of judging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tick {
    /// From 1, one more with each round of this reload.
    pub tick: u64,
    /// When the answers were there.
    pub at: Moment,
    /// Where the reload stood when it was asked.
    pub standing: Standing,
    /// The figures that the policies were told.
    pub metrics: ReloadMetrics,
    /// How many [`Record::Window`]s of this file the policies were shown: all of the first so many.
    pub windows: u64,
    /// What the rollback policies that enforce said.
    pub rollback: Vec<Called<RollbackAnswer>>,
    /// What the strategy policy said, where it was asked.
    pub strategy: Option<Called<StrategyAnswer>>,
    /// What it was told as `fit`.
    pub fit: bool,
    /// What was done. None where the answers came too late to count.
    pub decided: Option<Decided>,
}

/// What policies said that have no say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Monitored {
    /// The [`Tick::tick`] whose inputs they were shown.
    pub tick: u64,
    /// When the answers were there.
    pub at: Moment,
    /// What they said.
    pub rollback: Vec<Called<RollbackAnswer>>,
}

/// One call of one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Called<T> {
    /// The policy.
    pub policy: String,
    /// Of the component that was asked.
    pub digest: Digest,
    /// What it answered, or how it failed to.
    pub answer: Answered<T>,
    /// What it got as `state`, in base64, where that is not what its call before this one in the file left: rounds between
    /// them were left out, or that answer came too late to count, or after the next question. At the first call it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What it left as `state` for its next call, in base64; none where that is what it got at this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Units of fuel used.
    pub fuel: u64,
    /// Time taken, in microseconds; varies from run to run, unlike the rest.
    pub duration_us: u64,
    /// What it said meanwhile.
    #[serde(default)]
    pub log: PolicyLog,
    /// What was corrected in its answer, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// An answer or a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered<T> {
    /// It answered.
    Ok(T),
    /// It did not.
    Fault(Fault),
}

impl Standing {
    /// The part of a context that it is.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Self {
            deadline_ms: context.deadline_ms,
            paused: context.paused,
            phase: context.phase,
            stage: context.stage,
            stages: context.stages,
            stage_elapsed_ms: context.stage_elapsed_ms,
            elapsed_ms: context.elapsed_ms,
            split: context.split,
        }
    }

    /// The whole context: this over what the facts said.
    #[must_use]
    pub fn over(self, facts: &Context) -> Context {
        let passed = self.elapsed_ms.saturating_sub(facts.elapsed_ms);
        let mut context = Context {
            deadline_ms: self.deadline_ms,
            paused: self.paused,
            phase: self.phase,
            stage: self.stage,
            stages: self.stages,
            stage_elapsed_ms: self.stage_elapsed_ms,
            elapsed_ms: self.elapsed_ms,
            split: self.split,
            ..facts.clone()
        };
        for attempt in &mut context.history {
            attempt.ended_ms_ago = attempt.ended_ms_ago.saturating_add(passed);
        }
        context
    }
}
