//! What came last, numbered without gaps and within bounds: what happened, and what agents print.
//!
//! A reader is a position and nothing else, the number of the last one that it read. A position that has not been reached yet is
//! of an earlier process: its reader begins with the oldest, and is told so.

use std::collections::VecDeque;
use std::sync::Arc;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub most: usize,
    pub bytes: usize,
}

/// The newest ones.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    items: VecDeque<(Arc<T>, usize)>,
    bytes: usize,
    /// The number of the newest one.
    last: u64,
    bounds: Bounds,
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// How many were forgotten before they were read.
    pub missed: u64,
    /// The position was of another process, so that nobody knows what is missing before that.
    pub elsewhere: bool,
    /// What follows them, oldest first.
    pub items: Vec<Arc<T>>,
    /// Where to go on.
    pub position: u64,
}

impl<T> Found<T> {
    /// Nothing after `position`.
    pub(crate) fn nothing(position: u64) -> Self {
        Self {
            missed: 0,
            elsewhere: false,
            items: Vec::new(),
            position,
        }
    }

    /// Why not all is there that the reader could expect; none where it is.
    pub(crate) fn gap(&self) -> Option<&'static str> {
        match (self.elsewhere, self.missed) {
            (true, _) => Some("the position asked for is not of this host process"),
            (false, 0) => None,
            (false, _) => Some("they were forgotten before they were read"),
        }
    }
}

impl<T> Ring<T> {
    /// Without any; the first one gets the number after `last`.
    pub(crate) fn after(last: u64, bounds: Bounds) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            last,
            bounds,
        }
    }

    /// Keeps what is made with its number, of so many bytes, and forgets what there is no room for.
    pub(crate) fn keep(&mut self, bytes: usize, item: impl FnOnce(u64) -> T) -> Arc<T> {
        self.last = self.last.saturating_add(1);
        let item = Arc::new(item(self.last));
        self.items.push_back((Arc::clone(&item), bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while self.items.len() > self.bounds.most || self.bytes > self.bounds.bytes {
            self.forget_oldest();
        }
        item
    }

    /// Forgets one, and tells how many bytes that were; 0 where there is none.
    pub(crate) fn forget_oldest(&mut self) -> usize {
        let bytes = self.items.pop_front().map_or(0, |(_, bytes)| bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        bytes
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the newest one, remembered or not.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn newest(&self) -> Option<&Arc<T>> {
        self.items.back().map(|(item, _)| item)
    }

    /// What came after `position`, at most so many.
    pub(crate) fn since(&self, position: u64, most: usize) -> Found<T> {
        let elsewhere = position > self.last;
        let position = if elsewhere { 0 } else { position };
        let forgotten = self.last.saturating_sub(self.items.len() as u64);
        // Numbers rise by one without gaps, so the place of one follows from its number.
        let skip = usize::try_from(position.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        let items = self.items.iter().skip(skip).take(most);
        let items: Vec<_> = items.map(|(item, _)| Arc::clone(item)).collect();
        Found {
            missed: forgotten.saturating_sub(position),
            elsewhere,
            position: position.max(forgotten) + items.len() as u64,
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(last: u64) -> Ring<u64> {
        let bounds = Bounds { most: 4, bytes: 10 };
        Ring::after(last, bounds)
    }

    fn read(ring: &Ring<u64>, position: u64, most: usize) -> (u64, bool, Vec<u64>, u64) {
        let found = ring.since(position, most);
        let items = found.items.iter().map(|item| **item).collect();
        (found.missed, found.elsewhere, items, found.position)
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped_and_is_told_what_it_missed() {
        let mut ring = ring(10);
        assert_eq!(read(&ring, 10, 9), (0, false, vec![], 10));
        for _ in 0..6 {
            ring.keep(1, |number| number);
        }
        assert_eq!(read(&ring, 11, 2), (1, false, vec![13, 14], 14));
        assert_eq!(read(&ring, 14, 2), (0, false, vec![15, 16], 16));
        assert_eq!(read(&ring, 16, 2), (0, false, vec![], 16));
    }

    #[test]
    fn a_position_of_another_process_is_told_and_begins_with_the_oldest() {
        let mut ring = ring(0);
        assert_eq!(read(&ring, 500, 9), (0, true, vec![], 0));
        ring.keep(1, |number| number);
        assert_eq!(read(&ring, 500, 9), (0, true, vec![1], 1));
        assert!(ring.since(500, 9).gap().is_some() && ring.since(0, 9).gap().is_none());
    }

    #[test]
    fn what_is_too_much_goes_the_oldest_first_and_what_is_too_large_at_once() {
        let mut ring = ring(0);
        for bytes in [4, 5, 3] {
            ring.keep(bytes, |number| number);
        }
        assert_eq!((ring.bytes(), ring.forget_oldest()), (8, 5));
        ring.keep(11, |number| number);
        assert_eq!((ring.bytes(), ring.last(), ring.newest()), (0, 4, None));
        assert_eq!(read(&ring, 1, 9), (3, false, vec![], 4));
        assert_eq!(ring.forget_oldest(), 0);
    }
}
