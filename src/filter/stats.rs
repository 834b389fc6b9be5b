//! What filtering came to, counted since the start.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of a listener, to be read at any time.
#[derive(Debug, Default)]
pub struct Stats {
    bytes: AtomicU64,
    redacted: AtomicU64,
    hidden: AtomicU64,
    failures: AtomicU64,
}

/// What a pass has left out since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Values that were replaced or taken out.
    pub redacted: u64,
    /// Items of lists, references and events that are not shown.
    pub hidden: u64,
}

impl LeftOut {
    /// What was left out since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self { redacted: self.redacted - before.redacted, hidden: self.hidden - before.hidden }
    }
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, more: Self) {
        self.redacted += more.redacted;
        self.hidden += more.hidden;
    }
}

impl Stats {
    /// Bytes of the engine's answers that were filtered.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Values that were replaced or taken out.
    pub fn redacted(&self) -> u64 {
        self.redacted.load(Ordering::Relaxed)
    }

    /// Items of lists, references and events that were not shown.
    pub fn hidden(&self) -> u64 {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Answers that could not be filtered, and of which nothing more was shown.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn note_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn note_left_out(&self, left_out: LeftOut) {
        // Most pieces hold nothing to leave out.
        if left_out != LeftOut::default() {
            self.redacted.fetch_add(left_out.redacted, Ordering::Relaxed);
            self.hidden.fetch_add(left_out.hidden, Ordering::Relaxed);
        }
    }

    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
