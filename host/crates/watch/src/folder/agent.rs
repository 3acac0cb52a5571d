//! One name in the directory: its two files, what was read from them and what was delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::look::{Moment, Seen, Stamp, Take, Taken};
use crate::{Change, Options, Problem};

/// How long an empty or incomplete component must stand still before that is called a problem:
/// longer than a copy over a slow line stalls, shorter than a person waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often in a row a component may be found incomplete before its writer's closing of the file
/// no longer counts as the end: somebody opens it anew for each piece.
const CLOSES_BELIEVED: u32 = 3;

/// The longest that a component found incomplete again and again must stand still. It stays well
/// below what a person notices as a hang.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Digests of the component and of the configuration.
type Digests = ([u8; 32], Option<[u8; 32]>);

/// What the receiver has of this name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delivered {
    #[default]
    Never,
    /// Something, in an earlier run. What is there is delivered once, for comparison.
    Before,
    Now(Digests),
}

#[derive(Debug, Default)]
pub(super) struct Agent {
    component: Slot,
    config: Slot,
    /// The pair as it looked when it was last read to an end, good or bad.
    known: Option<(Stamp, Option<Stamp>)>,
    /// Read again although nothing looks different.
    again: bool,
    /// When to do so.
    again_at: Option<Moment>,
    /// The component as it looked when its bytes ended early.
    short: Option<Stamp>,
    /// How often in a row that happened.
    short_reads: u32,
    /// A file moved under the last read: nothing is read before the next look.
    moved: bool,
    delivered: Delivered,
}

/// One of the two files.
#[derive(Debug, Default)]
struct Slot {
    presence: Presence,
    /// What is wrong with it, and the state of it that was judged.
    verdict: Option<(Seen, Problem)>,
}

#[derive(Debug, Default)]
enum Presence {
    #[default]
    Absent,
    Here {
        seen: Seen,
        /// When it was first seen like this.
        since: Moment,
        /// Its writer was done when it was seen.
        done: bool,
    },
    /// It was here; not yet believed to be gone.
    Vanished { since: Moment },
}

impl Agent {
    /// A name that was delivered in an earlier run and is not seen yet.
    pub(super) fn known() -> Self {
        let since = Moment::ZERO;
        let component = Slot {
            presence: Presence::Vanished { since },
            verdict: None,
        };
        Self {
            component,
            delivered: Delivered::Before,
            ..Self::default()
        }
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.delivered != Delivered::Never
    }

    pub(super) fn is_nothing(&self) -> bool {
        let absent = |slot: &Slot| matches!(slot.presence, Presence::Absent);
        !self.is_delivered() && absent(&self.component) && absent(&self.config)
    }

    /// Takes in one look.
    pub(super) fn see(
        &mut self,
        now: Moment,
        name: &str,
        files: &BTreeMap<String, Seen>,
        done: &BTreeSet<String>,
        options: &Options,
    ) {
        self.moved = false;
        for (slot, file) in [
            (&mut self.component, component_file(name)),
            (&mut self.config, config_file(name)),
        ] {
            let heard = done.contains(&file);
            slot.see(now, files.get(&file), heard);
            self.again |= heard && slot.stamp().is_some();
        }
        if self.component.stamp().is_none() {
            self.known = None;
            self.short = None;
            self.short_reads = 0;
        }
        if !self.is_delivered() && self.component.is_vanished() {
            self.component.presence = Presence::Absent;
        }
        if !self.is_delivered() && self.component.is_absent() && self.config.is_vanished() {
            self.config.presence = Presence::Absent;
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.again = true;
        }
        self.judge(name, now, options);
    }

    /// The pair to read, when both files are settled and something about them is not known.
    pub(super) fn due(&self, name: &str, looked: Moment, options: &Options) -> Option<Take> {
        let settled = self.is_settled(&self.component, looked, options)
            && self.is_settled(&self.config, looked, options);
        if self.moved || !settled || self.config.is_vanished() {
            return None;
        }
        let component = self.component.stamp().filter(|stamp| stamp.len > 0)?;
        let config = self.config.stamp();
        let readable = refusal(
            &component_file(name),
            &self.component,
            options.max_component,
        )
        .or_else(|| refusal(&config_file(name), &self.config, options.max_config))
        .is_none();
        let due = self.again || self.known != Some((component, config));
        (readable && due).then(|| Take {
            name: name.to_owned(),
            component,
            config,
        })
    }

    /// Takes in what came of reading.
    pub(super) fn taken(
        &mut self,
        now: Moment,
        take: &Take,
        taken: Taken,
        options: &Options,
    ) -> Option<Change> {
        if matches!(taken, Taken::Moved) {
            self.moved = true;
            self.component.restart(now);
            self.config.restart(now);
            return None;
        }
        let pair = Some((take.component, take.config));
        let new = self.known != pair;
        self.known = pair;
        self.again = false;
        match taken {
            Taken::Moved => None,
            Taken::Incomplete => {
                self.short = Some(take.component);
                self.short_reads = self.short_reads.saturating_add(1);
                None
            }
            Taken::BadComponent(problem) => {
                self.again_at = try_again(now, &problem, options);
                self.component.condemn(problem);
                None
            }
            Taken::BadConfig(problem) => {
                self.again_at = try_again(now, &problem, options);
                self.config.condemn(problem);
                None
            }
            Taken::Whole {
                component,
                config,
                again,
            } => {
                if new {
                    self.again_at = again.map(|again| now + again);
                }
                self.short = None;
                self.short_reads = 0;
                self.component.verdict = None;
                self.config.verdict = None;
                let digests = (
                    component.digest,
                    config.as_ref().map(|config| config.digest),
                );
                let delivered = Delivered::Now(digests);
                let same = std::mem::replace(&mut self.delivered, delivered) == delivered;
                if same && !(new && options.repeats) {
                    return None;
                }
                Some(Change::Wanted {
                    name: take.name.clone(),
                    component,
                    config,
                    written_at: take.written_at(),
                })
            }
        }
    }

    /// Brings both verdicts up to date with what was seen.
    pub(super) fn judge(&mut self, name: &str, looked: Moment, options: &Options) {
        let component = (self.is_settled(&self.component, looked, options)).then(|| {
            refusal(
                &component_file(name),
                &self.component,
                options.max_component,
            )
        });
        let config = (self.is_settled(&self.config, looked, options))
            .then(|| refusal(&config_file(name), &self.config, options.max_config));
        if let Some(refusal) = component {
            self.component.decide(refusal);
        }
        if let Some(refusal) = config {
            self.config.decide(refusal);
        }
        if let Some((at, size)) = self.out_of_patience_at()
            && at <= looked
        {
            let (file, waited) = (component_file(name), PATIENCE);
            self.component.condemn(match size {
                0 => Problem::Empty { file, waited },
                size => Problem::Incomplete { file, size, waited },
            });
        }
    }

    /// The files that are refused, with the reason. A configuration alone waits silently.
    pub(super) fn problems(&self, name: &str) -> Vec<(String, &Problem)> {
        let mut problems = Vec::new();
        if !matches!(self.component.presence, Presence::Here { .. }) {
            return problems;
        }
        if let Some((_, problem)) = &self.component.verdict {
            problems.push((component_file(name), problem));
        }
        if let Some((_, problem)) = &self.config.verdict {
            problems.push((config_file(name), problem));
        }
        problems
    }

    /// The next moment after the last look at which looking may change something.
    pub(super) fn wake(&self, looked: Moment, options: &Options) -> Option<Moment> {
        let slots = [&self.component, &self.config];
        let settled = slots
            .into_iter()
            .filter_map(|slot| self.settled_at(slot, options));
        let gone = slots.into_iter().filter_map(|slot| match slot.presence {
            Presence::Vanished { since } => Some(since + options.remove_grace),
            _ => None,
        });
        let patience = self.out_of_patience_at().map(|(at, _)| at);
        settled
            .chain(gone)
            .chain(patience)
            .chain(self.again_at)
            .filter(|at| *at > looked)
            .chain(self.moved.then_some(looked))
            .min()
    }

    /// Whether the delivered component has been gone for the whole grace time.
    pub(super) fn is_gone(&self, now: Moment, grace: Duration) -> bool {
        self.is_delivered() && self.component.vanished_for(now) >= Some(grace)
    }

    /// The component is gone for good; its configuration waits for the next one.
    pub(super) fn forget_delivered(&mut self) {
        let config = std::mem::take(&mut self.config);
        *self = Self {
            config,
            ..Self::default()
        };
        if self.config.is_vanished() {
            self.config.presence = Presence::Absent;
        }
    }

    pub(super) fn expire_config(&mut self, now: Moment, grace: Duration) {
        if self.config.vanished_for(now) >= Some(grace) {
            self.config.presence = Presence::Absent;
        }
    }

    pub(super) fn restart_grace(&mut self, now: Moment) {
        for slot in [&mut self.component, &mut self.config] {
            if let Presence::Vanished { since } = &mut slot.presence {
                *since = now;
            }
        }
    }

    /// When a file counts as settled if it stays as it is; nothing if it is not here.
    fn settled_at(&self, slot: &Slot, options: &Options) -> Option<Moment> {
        let Presence::Here { since, done, .. } = slot.presence else {
            return None;
        };
        if done && self.is_delivered() && self.short_reads < CLOSES_BELIEVED {
            return Some(since);
        }
        let longer = options
            .settle
            .saturating_mul(1 << self.short_reads.min(8))
            .min(SETTLE_MAX);
        Some(since + longer.max(options.settle))
    }

    fn is_settled(&self, slot: &Slot, looked: Moment, options: &Options) -> bool {
        self.settled_at(slot, options)
            .is_none_or(|settled| settled <= looked)
    }

    /// When an empty or incomplete component becomes a problem, and how many bytes it has.
    fn out_of_patience_at(&self) -> Option<(Moment, u64)> {
        let Presence::Here { since, .. } = self.component.presence else {
            return None;
        };
        let stamp = self.component.stamp()?;
        (stamp.len == 0 || self.short == Some(stamp)).then_some((since + PATIENCE, stamp.len))
    }
}

impl Slot {
    fn see(&mut self, now: Moment, seen: Option<&Seen>, heard: bool) {
        match (&mut self.presence, seen) {
            (
                Presence::Here {
                    seen: old, done, ..
                },
                Some(seen),
            ) if old == seen => *done |= heard,
            (_, Some(seen)) => {
                self.presence = Presence::Here {
                    seen: seen.clone(),
                    since: now,
                    done: heard,
                };
            }
            (Presence::Here { .. }, None) => {
                self.presence = Presence::Vanished { since: now };
                self.verdict = None;
            }
            (_, None) => {}
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        match self.presence {
            Presence::Here {
                seen: Seen::File(stamp),
                ..
            } => Some(stamp),
            _ => None,
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self.presence, Presence::Absent)
    }

    fn is_vanished(&self) -> bool {
        matches!(self.presence, Presence::Vanished { .. })
    }

    fn vanished_for(&self, now: Moment) -> Option<Duration> {
        match self.presence {
            Presence::Vanished { since } => Some(now.saturating_sub(since)),
            _ => None,
        }
    }

    /// Standing still counts from now.
    fn restart(&mut self, now: Moment) {
        if let Presence::Here { since, done, .. } = &mut self.presence {
            *since = now;
            *done = false;
        }
    }

    fn condemn(&mut self, problem: Problem) {
        if let Presence::Here { seen, .. } = &self.presence {
            self.verdict = Some((seen.clone(), problem));
        }
    }

    /// What a settled look alone says; an older verdict stands for as long as the file looks the
    /// same.
    fn decide(&mut self, refusal: Option<Problem>) {
        let Presence::Here { seen, .. } = &self.presence else {
            return;
        };
        match refusal {
            Some(problem) => self.verdict = Some((seen.clone(), problem)),
            None => self.verdict = self.verdict.take().filter(|(judged, _)| judged == seen),
        }
    }
}

/// What is wrong with a file that one can see without reading it.
fn refusal(file: &str, slot: &Slot, limit: u64) -> Option<Problem> {
    let Presence::Here { seen, .. } = &slot.presence else {
        return None;
    };
    let file = file.to_owned();
    match seen {
        Seen::File(stamp) if stamp.len > limit => Some(Problem::TooLarge {
            file,
            size: stamp.len,
            limit,
        }),
        Seen::File(_) => None,
        Seen::Other(kind) => Some(Problem::NotAFile { file, kind }),
        Seen::Dangling => Some(Problem::Dangling { file }),
        Seen::Unreadable(why) => Some(Problem::Unreadable {
            file,
            why: why.clone(),
        }),
    }
}

/// When to read again what could not be read. What the system refuses it may allow later without
/// the file looking any different; the rest stays as it is.
fn try_again(now: Moment, problem: &Problem, options: &Options) -> Option<Moment> {
    matches!(problem, Problem::Unreadable { .. }).then(|| now + options.rescan)
}

fn component_file(name: &str) -> String {
    format!("{name}.wasm")
}

fn config_file(name: &str) -> String {
    format!("{name}.toml")
}
