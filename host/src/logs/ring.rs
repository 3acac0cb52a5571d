//! The lines of one agent.

use std::collections::VecDeque;
use std::sync::Arc;

use caxton_rollout::Moment;

use super::{Found, LINE_BYTES, Line, MAX_BYTES, MAX_LINES};

/// The newest lines, numbered without gaps.
#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    next: u64,
    newest_at: Moment,
}

impl Ring {
    /// Without lines; its first one gets this number.
    pub(super) fn beginning_with(first: u64) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            next: first,
            newest_at: Moment::default(),
        }
    }

    pub(super) fn keep(&mut self, line: Line) {
        self.newest_at = self.newest_at.max(line.at);
        self.bytes += size(&line);
        self.lines.push_back(Arc::new(Line {
            seq: self.next,
            ..line
        }));
        self.next = self.next.saturating_add(1);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            if self.forget_oldest() == 0 {
                return;
            }
        }
    }

    /// Forgets one line, and tells how many bytes that were; 0 where there is none.
    pub(super) fn forget_oldest(&mut self) -> usize {
        let size = self.lines.pop_front().map_or(0, |line| size(&line));
        self.bytes = self.bytes.saturating_sub(size);
        size
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn newest_at(&self) -> Moment {
        self.newest_at
    }

    /// What came after `position`. Of one from before all that this agent is remembered with nobody knows how much is missing;
    /// 0 asks for what there is, and misses nothing.
    pub(super) fn since(&self, position: u64, most: usize) -> Found {
        let oldest = self.lines.front().map_or(self.next, |line| line.seq);
        let missed = match position {
            0 => 0,
            position => oldest.saturating_sub(1).saturating_sub(position),
        };
        // Numbers rise by one without gaps, so the place of a line follows from its number.
        let skip = position.saturating_add(1).saturating_sub(oldest);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let lines: Vec<_> = self.lines.iter().skip(skip).take(most).cloned().collect();
        let position = lines.last().map_or(position, |line| line.seq);
        Found {
            missed,
            lines,
            position,
        }
    }
}

fn size(line: &Line) -> usize {
    line.text.len() + LINE_BYTES
}
