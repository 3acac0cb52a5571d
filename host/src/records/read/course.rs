//! A reload as its records tell it, with every call of a policy as it was made.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caxton_rollout::{
    Context, Decided, Moment, Plan, ReloadMetrics, RollbackAnswer, Series, StrategyAnswer, Window,
};
use serde_json::Value;

use super::lines::{Lines, Notice, Unreadable};
use crate::records::trail::ROUNDS_READ_BACK;
use crate::records::{Began, Called, FORMAT, Monitored, Planned, Record, Tick};

/// Windows that are held back because a round whose answers came late may not have been shown them. A host asks again after
/// a minute, and records answers to its last four questions: with a window each second that is less than 300, and room
/// is left for hosts that measure more often. They take some megabytes.
pub(super) const COMING_MAX: usize = 4_096;

/// What the policies were asked in one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The round, from 1.
    pub tick: u64,
    /// When its answers were there.
    pub at: Moment,
    /// What they were told.
    pub context: Context,
    /// The figures that they were told.
    pub metrics: ReloadMetrics,
    /// The windows that they were shown.
    pub windows: Vec<Window>,
    /// What the strategy policy was told besides.
    pub fit: bool,
}

/// One call as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<T> {
    /// What came of it.
    pub call: Called<T>,
    /// What it was handed as `state`.
    pub state: Vec<u8>,
    /// What it left as `state`.
    pub next_state: Vec<u8>,
}

/// One round of judging.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// What was asked.
    pub question: Arc<Question>,
    /// What the rollback policies that enforce said.
    pub rollback: Vec<Turn<RollbackAnswer>>,
    /// What the strategy policy said, where it was asked.
    pub strategy: Option<Turn<StrategyAnswer>>,
    /// What was done.
    pub decided: Option<Decided>,
}

/// What records tell, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A reload begins; what follows is about it.
    Began(Began),
    /// The strategy policy was asked for a plan.
    Planned {
        /// When.
        at: Moment,
        /// What it was told.
        context: Box<Context>,
        /// What the configuration says.
        configured: Box<Plan>,
        /// What came of it.
        call: Box<Called<Plan>>,
    },
    /// The policies that enforce were asked.
    Round(Box<Round>),
    /// The policies that monitor were asked.
    Monitored {
        /// What was asked.
        question: Arc<Question>,
        /// What they said.
        rollback: Vec<Turn<RollbackAnswer>>,
    },
    /// An event of this reload.
    Told(Value),
    /// It has a result.
    Ended(Value),
    /// From this moment on nothing more was kept of it.
    Full(Moment),
}

/// Reads records and rebuilds what was asked.
pub struct Records {
    lines: Lines,
    course: Option<Course>,
}

/// What is known of the reload that is being read.
#[derive(Default)]
struct Course {
    facts: Option<Context>,
    series: Series,
    /// How many windows are in the series.
    shown: u64,
    /// How many windows the latest round was shown.
    asked: u64,
    /// The newest windows, which the next round may not have been shown; those before them are in the series already.
    coming: VecDeque<Window>,
    states: BTreeMap<String, Vec<u8>>,
    rounds: VecDeque<Arc<Question>>,
}

impl Records {
    /// The files at `paths`, in this order; `-` is the standard input.
    #[must_use]
    pub fn of_files(paths: &[PathBuf]) -> Self {
        Self::of(Lines::of_files(paths))
    }

    /// What `from` gives, under a name for messages.
    #[must_use]
    pub fn given(name: &str, from: impl Read + Send + 'static) -> Self {
        Self::of(Lines::given(name, Box::new(from)))
    }

    /// Windows that are held back.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.course.as_ref().map_or(0, |course| course.coming.len())
    }

    fn of(lines: Lines) -> Self {
        Self {
            lines,
            course: None,
        }
    }

    /// What was passed over since the last time this was asked.
    #[must_use]
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.lines.take_notices()
    }

    /// What happened next; none at the end.
    ///
    /// # Errors
    /// A file cannot be read, a line is no record, or it does not follow from those before it.
    pub fn read(&mut self) -> Result<Option<Happening>, Unreadable> {
        while let Some(record) = self.lines.read()? {
            let taken = self.take(record);
            if let Some(happening) = taken.map_err(|problem| self.lines.error(problem))? {
                return Ok(Some(happening));
            }
        }
        Ok(None)
    }

    fn take(&mut self, record: Record) -> Result<Option<Happening>, String> {
        if let Record::Began(began) = record {
            if began.format != FORMAT {
                return Err(format!(
                    "these records have the format {:?}, and this command knows {FORMAT}; read them with the caxton \
                     that wrote them",
                    began.format
                ));
            }
            self.course = Some(Course::default());
            return Ok(Some(Happening::Began(began)));
        }
        let course = self.course.as_mut().ok_or(
            "no reload has begun before it: records begin with a line whose \"record\" is \"began\"; was the beginning \
             cut off?",
        )?;
        Ok(Some(match record {
            Record::Facts(facts) => {
                course.facts = Some(facts.context);
                return Ok(None);
            }
            Record::Window(window) => {
                course.measured(*window);
                return Ok(None);
            }
            Record::Planned(planned) => course.planned(*planned)?,
            Record::Tick(tick) => Happening::Round(Box::new(course.round(*tick)?)),
            Record::Monitored(monitored) => course.monitored(monitored)?,
            Record::Told { event } => Happening::Told(event),
            Record::Ended { result } => Happening::Ended(result),
            Record::Full { at } => Happening::Full(at),
            Record::Began(began) => Happening::Began(began),
        }))
    }
}

impl Course {
    fn facts(&self) -> Result<&Context, String> {
        self.facts.as_ref().ok_or_else(|| {
            "a policy was asked, and no line before it says about what (\"record\": \"facts\"); is a line missing?"
                .to_owned()
        })
    }

    fn planned(&mut self, planned: Planned) -> Result<Happening, String> {
        let context = planned.standing.over(self.facts()?);
        Ok(Happening::Planned {
            at: planned.at,
            context: Box::new(context),
            configured: Box::new(planned.configured),
            call: Box::new(planned.call),
        })
    }

    fn round(&mut self, tick: Tick) -> Result<Round, String> {
        self.show(tick.windows)?;
        let question = Arc::new(Question {
            tick: tick.tick,
            at: tick.at,
            context: tick.standing.over(self.facts()?),
            metrics: tick.metrics,
            windows: self.series.windows().to_vec(),
            fit: tick.fit,
        });
        self.rounds.push_back(Arc::clone(&question));
        if self.rounds.len() > ROUNDS_READ_BACK {
            self.rounds.pop_front();
        }
        let rollback = self.turns(tick.rollback)?;
        let strategy = tick.strategy.map(|call| self.turn(call)).transpose()?;
        Ok(Round {
            question,
            rollback,
            strategy,
            decided: tick.decided,
        })
    }

    fn monitored(&mut self, monitored: Monitored) -> Result<Happening, String> {
        let tick = monitored.tick;
        let question = self.rounds.iter().find(|round| round.tick == tick);
        let question = question.cloned().ok_or_else(|| {
            format!("monitors were asked about round {tick}, which is none of the last {ROUNDS_READ_BACK} before it")
        })?;
        Ok(Happening::Monitored {
            question,
            rollback: self.turns(monitored.rollback)?,
        })
    }

    /// Takes in the next window. However many come before the next round, the series merges them as the host's did.
    fn measured(&mut self, window: Window) {
        self.coming.push_back(window);
        if self.coming.len() > COMING_MAX {
            self.show_next();
        }
    }

    /// The oldest window that is held back counts; false where none is.
    fn show_next(&mut self) -> bool {
        let Some(window) = self.coming.pop_front() else {
            return false;
        };
        self.series.push(window);
        self.shown += 1;
        true
    }

    /// Moves on to the first `windows` windows.
    fn show(&mut self, windows: u64) -> Result<(), String> {
        if windows < self.asked {
            return Err(format!(
                "a policy was shown {windows} windows after it was shown {}; are lines out of order?",
                self.asked
            ));
        }
        if windows < self.shown {
            let before = self.shown + self.coming.len() as u64;
            return Err(format!(
                "a policy was shown {windows} windows, and {before} stand before it: a host never answers more than \
                 {COMING_MAX} windows late; are lines out of order?"
            ));
        }
        while self.shown < windows {
            if !self.show_next() {
                return Err(format!(
                    "a policy was shown {windows} windows, and {} stand before it; are lines missing?",
                    self.shown
                ));
            }
        }
        self.asked = windows;
        Ok(())
    }

    fn turns<T>(&mut self, calls: Vec<Called<T>>) -> Result<Vec<Turn<T>>, String> {
        calls.into_iter().map(|call| self.turn(call)).collect()
    }

    fn turn<T>(&mut self, call: Called<T>) -> Result<Turn<T>, String> {
        let decoded = |text: &String| {
            STANDARD.decode(text).map_err(|error| {
                format!("the state of policy {} is no base64: {error}", call.policy)
            })
        };
        let left = || self.states.get(&call.policy).cloned().unwrap_or_default();
        let state = call.given.as_ref().map_or_else(|| Ok(left()), decoded)?;
        let next_state = call
            .state
            .as_ref()
            .map_or_else(|| Ok(state.clone()), decoded)?;
        self.states.insert(call.policy.clone(), next_state.clone());
        Ok(Turn {
            call,
            state,
            next_state,
        })
    }
}
