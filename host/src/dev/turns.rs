//! When to build, when to stop building, and when to serve what was built. Pure: what happened goes in, what to do comes out.
//!
//! What must hold: a save leads to a build that began after it; a build never leads to a build without end, whatever it writes
//! beside its component.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// So many builds in a row are ended for a save. Those after them may end, until one is of use: where it is the build itself that
/// writes among its sources, ending it would go on for ever.
const ENDED_IN_A_ROW: u32 = 3;

/// A file that changes during so many whole builds in a row is written by them.
const WRITTEN_BY_BUILDS: u32 = 3;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Begin to build.
    Build,
    /// End the build that runs, which is of no use any more.
    End,
    /// Serve what was built of the sources that were saved then.
    Serve { saved_at: u64 },
    /// Say that these are taken for what builds write.
    TakeForWritten(BTreeSet<PathBuf>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is being built.
    Idle,
    /// Of the sources that were saved then.
    Building { saved_at: u64 },
    /// It is of no use any more, and may come to its end: another one begins then.
    Stale { saved_at: u64 },
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    state: State,
    ended_in_a_row: u32,
    /// What has changed since it began.
    changed: BTreeSet<PathBuf>,
    /// During how many whole builds in a row a file has changed.
    in_a_row: BTreeMap<PathBuf, u32>,
}

impl Turns {
    /// The first build.
    pub(super) fn begin(now: u64) -> (Self, Vec<Act>) {
        let turns = Self {
            state: State::Building { saved_at: now },
            ended_in_a_row: 0,
            changed: BTreeSet::new(),
            in_a_row: BTreeMap::new(),
        };
        (turns, vec![Act::Build])
    }

    /// Sources are not what they were. A build that has come to its end by itself, and was not told to have, `runs` no more.
    pub(super) fn saved(&mut self, files: BTreeSet<PathBuf>, at: u64, runs: bool) -> Vec<Act> {
        let own = |file: &PathBuf| {
            self.in_a_row
                .get(file)
                .is_none_or(|n| *n < WRITTEN_BY_BUILDS)
        };
        match self.state {
            State::Idle => self.build(at),
            State::Building { .. } | State::Stale { .. } => {
                let counts = files.iter().any(own);
                self.changed.extend(files);
                if !counts {
                    return Vec::new();
                }
                if !runs || self.ended_in_a_row >= ENDED_IN_A_ROW {
                    self.state = State::Stale { saved_at: at };
                    return Vec::new();
                }
                self.ended_in_a_row += 1;
                // What changed during a build that is ended counts for nothing.
                self.changed.clear();
                let mut acts = vec![Act::End];
                acts.extend(self.build(at));
                acts
            }
        }
    }

    /// The build has come to its end, well or not.
    pub(super) fn ended(&mut self, well: bool) -> Vec<Act> {
        let mut acts = Vec::new();
        if !matches!(self.state, State::Stale { .. }) {
            self.ended_in_a_row = 0;
        }
        let written = self.count();
        if !written.is_empty() {
            acts.push(Act::TakeForWritten(written));
        }
        match self.state {
            State::Stale { saved_at } => acts.extend(self.build(saved_at)),
            State::Building { saved_at } => {
                self.state = State::Idle;
                if well {
                    acts.push(Act::Serve { saved_at });
                }
            }
            State::Idle => {}
        }
        acts
    }

    fn build(&mut self, saved_at: u64) -> Vec<Act> {
        self.state = State::Building { saved_at };
        vec![Act::Build]
    }

    /// A whole build has ended: what has changed during it, and what of that is now taken for its own.
    fn count(&mut self) -> BTreeSet<PathBuf> {
        let changed = std::mem::take(&mut self.changed);
        self.in_a_row.retain(|file, _| changed.contains(file));
        let mut written = BTreeSet::new();
        for file in changed {
            let count = self.in_a_row.entry(file.clone()).or_default();
            *count = count.saturating_add(1);
            if *count == WRITTEN_BY_BUILDS {
                written.insert(file);
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    fn begun() -> Turns {
        let (turns, acts) = Turns::begin(1);
        assert_eq!(acts, [Act::Build]);
        turns
    }

    #[test]
    fn a_save_is_built_and_served_with_its_time() {
        let mut turns = begun();
        assert_eq!(turns.ended(true), [Act::Serve { saved_at: 1 }]);
        assert_eq!(turns.saved(files(&["a"]), 10, true), [Act::Build]);
        assert_eq!(turns.ended(true), [Act::Serve { saved_at: 10 }]);
    }

    #[test]
    fn a_build_that_fails_serves_nothing_and_the_next_save_builds() {
        let mut turns = begun();
        assert_eq!(turns.ended(false), []);
        assert_eq!(turns.saved(files(&["a"]), 10, true), [Act::Build]);
    }

    #[test]
    fn a_save_during_a_build_ends_it_and_begins_another() {
        let mut turns = begun();
        for at in [10, 20] {
            assert_eq!(turns.saved(files(&["a"]), at, true), [Act::End, Act::Build]);
        }
        assert_eq!(turns.ended(true), [Act::Serve { saved_at: 20 }]);
    }

    #[test]
    fn who_saves_all_the_time_is_served_what_was_saved_last() {
        let mut turns = begun();
        for at in 2..5 {
            assert_eq!(turns.saved(files(&["a"]), at, true), [Act::End, Act::Build]);
        }
        // From now on builds end, and are of no use.
        assert_eq!(turns.saved(files(&["a"]), 6, true), []);
        assert_eq!(turns.ended(true), [Act::Build]);
        // Until one is of use.
        assert_eq!(turns.saved(files(&["b"]), 7, true), []);
        assert_eq!(turns.ended(false), [Act::Build]);
        assert_eq!(turns.ended(true), [Act::Serve { saved_at: 7 }]);
        assert_eq!(turns.saved(files(&["a"]), 8, true), [Act::Build]);
        assert_eq!(turns.saved(files(&["a"]), 9, true), [Act::End, Act::Build]);
    }

    #[test]
    fn a_build_that_writes_among_its_sources_comes_to_an_end() {
        for runs in [true, false] {
            writes_among_its_sources(runs);
        }
    }

    /// Seen while it runs, or when it has ended.
    fn writes_among_its_sources(runs: bool) {
        let mut turns = begun();
        let mut builds = 1;
        let mut told = Vec::new();
        let served = loop {
            assert!(builds < 20, "it goes on for ever");
            let mut acts = turns.saved(files(&["written"]), 100 + builds, runs);
            if acts.is_empty() {
                acts = turns.ended(true);
            }
            if let Some(Act::Serve { .. }) = acts.last() {
                break acts;
            }
            told.extend(
                acts.into_iter()
                    .filter(|act| matches!(act, Act::TakeForWritten(_))),
            );
            builds += 1;
        };
        assert_eq!(told, [Act::TakeForWritten(files(&["written"]))]);
        assert_eq!(served.len(), 1);
        // A save of another file ends the build as ever, also together with what it writes.
        assert_eq!(turns.saved(files(&["a"]), 500, true), [Act::Build]);
        assert_eq!(turns.saved(files(&["written"]), 501, true), []);
        let ended = turns.saved(files(&["written", "a"]), 502, true);
        assert_eq!(ended, [Act::End, Act::Build]);
    }

    #[test]
    fn what_a_build_writes_once_is_built_once_more() {
        let mut turns = begun();
        // Seen when it has ended, before that is told.
        assert_eq!(turns.saved(files(&["generated"]), 2, false), []);
        assert_eq!(turns.ended(true), [Act::Build]);
        assert_eq!(turns.ended(true), [Act::Serve { saved_at: 2 }]);
    }

    #[test]
    fn what_is_written_by_builds_no_more_is_a_source_again() {
        let mut turns = begun();
        while turns.in_a_row.get(&PathBuf::from("a")) != Some(&WRITTEN_BY_BUILDS) {
            if turns.saved(files(&["a"]), 2, true).is_empty() {
                turns.ended(true);
            }
        }
        turns.ended(true);
        assert_eq!(turns.saved(files(&["b"]), 3, true), [Act::Build]);
        turns.ended(true);
        turns.saved(files(&["b"]), 4, true);
        assert_eq!(turns.saved(files(&["a"]), 5, true), [Act::End, Act::Build]);
    }
}
