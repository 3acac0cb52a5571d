//! Which content of each policy's files is the newest one, and which is looked into again because time ran out.

use std::collections::BTreeMap;
use std::time::Duration;

use caxton_watch::Content;
use tokio::time::Instant;

/// How long after time ran out files are looked into again, at first; each time, it is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// How long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// A component with its settings, as they were read together.
pub(super) struct Pair {
    pub(super) component: Content,
    pub(super) config: Option<Content>,
}

/// Something to look into.
pub(super) struct Again {
    pub(super) name: String,
    /// Of its content. No two contents have the same, whatever their names are and whatever is gone in between.
    pub(super) generation: u64,
    pub(super) pair: Pair,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Newest {
    /// Contents that there were. It never goes back: what is looked into for long may end after its file went and came anew.
    count: u64,
    by_name: BTreeMap<String, Entry>,
}

struct Entry {
    generation: u64,
    /// How long it is to be waited for when time runs out the next time.
    wait: Duration,
    again: Option<(Instant, Pair)>,
}

impl Newest {
    /// There is this content now.
    pub(super) fn begin(&mut self, name: String, pair: Pair) -> Again {
        self.count += 1;
        let generation = self.count;
        let entry = Entry {
            generation,
            wait: FIRST_WAIT,
            again: None,
        };
        self.by_name.insert(name.clone(), entry);
        Again {
            name,
            generation,
            pair,
        }
    }

    /// There is no content of this name any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Whether it is the newest content of that name.
    pub(super) fn is(&self, name: &str, generation: u64) -> bool {
        let entry = self.by_name.get(name);
        entry.is_some_and(|entry| entry.generation == generation)
    }

    /// Time ran out for the newest content of this name: says when it is looked into again.
    pub(super) fn look_again(&mut self, name: &str, pair: Pair, now: Instant) -> Duration {
        let Some(entry) = self.by_name.get_mut(name) else {
            return LONGEST_WAIT;
        };
        let wait = entry.wait;
        entry.wait = (wait * 2).min(LONGEST_WAIT);
        entry.again = Some((now + wait, pair));
        wait
    }

    /// What is looked into again next, once it is time; waits for ever where there is nothing. It may be dropped while it waits.
    pub(super) async fn again(&mut self) -> Again {
        if let Some((due, name)) = self.next() {
            tokio::time::sleep_until(due).await;
            if let Some(again) = self.take(name) {
                return again;
            }
        }
        std::future::pending().await
    }

    fn next(&self) -> Option<(Instant, String)> {
        let due = |(name, entry): (&String, &Entry)| {
            let (due, _) = entry.again.as_ref()?;
            Some((*due, name.clone()))
        };
        self.by_name.iter().filter_map(due).min()
    }

    fn take(&mut self, name: String) -> Option<Again> {
        let entry = self.by_name.get_mut(&name)?;
        let (_, pair) = entry.again.take()?;
        Some(Again {
            generation: entry.generation,
            name,
            pair,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair {
            component: Content {
                bytes: Vec::new().into(),
                digest: [0; 32],
            },
            config: None,
        }
    }

    #[test]
    fn what_went_and_came_anew_is_not_what_was_there_before() {
        let mut newest = Newest::default();
        let first = newest.begin("mine".to_owned(), pair()).generation;
        assert!(newest.is("mine", first));
        newest.forget("mine");
        assert!(!newest.is("mine", first));
        let second = newest.begin("mine".to_owned(), pair()).generation;
        assert!(newest.is("mine", second) && !newest.is("mine", first));
        let other = newest.begin("other".to_owned(), pair()).generation;
        assert!(newest.is("mine", second) && !newest.is("mine", other));
    }

    #[test]
    fn what_ran_out_of_time_comes_again_later_and_later_and_never_when_it_is_old() {
        let (mut newest, now) = (Newest::default(), Instant::now());
        let began = newest.begin("mine".to_owned(), pair());
        assert_eq!(newest.next(), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = newest.look_again("mine", pair(), now);
            assert_eq!(newest.next(), Some((now + wait, "mine".to_owned())));
            let again = newest.take("mine".to_owned()).unwrap();
            assert_eq!(again.generation, began.generation);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);

        newest.look_again("mine", pair(), now);
        newest.begin("mine".to_owned(), pair());
        assert_eq!(newest.next(), None);
        let wait = newest.look_again("mine", pair(), now);
        assert_eq!(wait.as_secs(), 10);
        newest.forget("mine");
        assert_eq!(newest.next(), None);
    }

    #[tokio::test]
    async fn the_one_that_is_due_first_comes_first() {
        let (mut newest, now) = (Newest::default(), Instant::now());
        let past = now.checked_sub(FIRST_WAIT).unwrap_or(now);
        for (name, at) in [("later", now), ("first", past)] {
            newest.begin(name.to_owned(), pair());
            newest.look_again(name, pair(), at);
        }
        assert_eq!(newest.again().await.name, "first");
        assert_eq!(newest.next().unwrap().1, "later");
    }
}
