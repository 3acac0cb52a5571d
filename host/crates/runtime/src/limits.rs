//! The memory limit of one store, and the memory figures of one version.
//!
//! Initial memories arrive with a current size of zero, so what is granted here is all that an instance has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasmtime::ResourceLimiter;

/// Elements of all tables of one store. The largest language runtimes have tens of thousands of indirect functions.
const MAX_TABLE_ELEMENTS: usize = 200_000;
/// Core instances in one store. A component from Rust has three or four, a large composition dozens.
const MAX_INSTANCES: usize = 100;
/// Linear memories and tables in one store, each.
const MAX_MEMORIES_AND_TABLES: usize = 100;

/// Memory figures of a version, gathered by the stores of its instances.
#[derive(Debug, Default)]
pub(crate) struct MemoryUse {
    peak: AtomicU64,
    sum: AtomicU64,
    samples: AtomicU64,
}

impl MemoryUse {
    /// An instance has this much memory now.
    pub(crate) fn seen(&self, bytes: u64) {
        self.peak.fetch_max(bytes, Relaxed);
    }

    /// A call ended in an instance of this size.
    pub(crate) fn call_ended(&self, bytes: u64) {
        self.seen(bytes);
        self.sum.fetch_add(bytes, Relaxed);
        self.samples.fetch_add(1, Relaxed);
    }

    /// The peak and the mean since the last take.
    pub(crate) fn take(&self) -> (u64, u64) {
        let samples = self.samples.swap(0, Relaxed);
        let sum = self.sum.swap(0, Relaxed);
        (
            self.peak.swap(0, Relaxed),
            sum.checked_div(samples).unwrap_or(0),
        )
    }
}

/// Grants memory to one store until the limit is reached.
pub(crate) struct StoreLimiter {
    limit: usize,
    granted: usize,
    last_grant: usize,
    table_elements: usize,
    refused: bool,
    memory: Arc<MemoryUse>,
}

impl StoreLimiter {
    pub(crate) fn new(limit: u64, memory: Arc<MemoryUse>) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            granted: 0,
            last_grant: 0,
            table_elements: 0,
            refused: false,
            memory,
        }
    }

    /// Bytes that the store's memories have together.
    pub(crate) fn granted(&self) -> u64 {
        self.granted as u64
    }

    /// Whether the guest ever asked for more than the limit: what it did next explains a trap.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let total = self.granted.saturating_add(more);
        if total > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.granted = total;
        self.last_grant = more;
        self.memory.seen(self.granted());
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.granted = self.granted.saturating_sub(self.last_grant);
        self.last_grant = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > MAX_TABLE_ELEMENTS {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_MEMORIES_AND_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES_AND_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_store_share_the_limit() {
        let memory = Arc::new(MemoryUse::default());
        let mut limiter = StoreLimiter::new(300, Arc::clone(&memory));
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.memory_growing(0, 150, None).unwrap());
        assert!(!limiter.memory_growing(150, 250, None).unwrap());
        assert!(limiter.refused());
        assert_eq!(limiter.granted(), 250);
        assert_eq!(memory.take(), (250, 0));
    }

    #[test]
    fn a_growth_that_failed_is_given_back() {
        let memory = Arc::new(MemoryUse::default());
        let mut limiter = StoreLimiter::new(300, memory);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::format_err!("no room"))
            .unwrap();
        assert_eq!(limiter.granted(), 0);
    }

    #[test]
    fn tables_are_bounded_together() {
        let mut limiter = StoreLimiter::new(300, Arc::default());
        assert!(limiter.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
    }
}
