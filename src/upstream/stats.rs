//! What happened with connections to the engine, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::UpstreamError;

/// The counts, to be read at any time.
#[derive(Debug, Default)]
pub struct Stats {
    connected: AtomicU64,
    reused: AtomicU64,
    stale: AtomicU64,
    errors: [AtomicU64; ERROR_KINDS.len()],
}

/// The kinds of errors, one word each.
const ERROR_KINDS: [&str; 6] =
    ["unreachable", "not_a_socket", "tls", "broken", "timeout", "switching_protocols"];

impl Stats {
    /// Connections that were made.
    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Requests that were answered over a connection that was kept.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Kept connections that were of no use any more when a request was to go over them.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Requests without an answer, by the kind of error.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERROR_KINDS.into_iter().zip(&self.errors).map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }

    pub(super) fn note_connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_reused(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error and gives it back.
    pub(super) fn note_error(&self, error: UpstreamError) -> UpstreamError {
        let kind = match error {
            UpstreamError::Unreachable(_) => 0,
            UpstreamError::NotASocket { .. } => 1,
            UpstreamError::Tls(_) => 2,
            UpstreamError::Broken(_) => 3,
            UpstreamError::Timeout(_) => 4,
            UpstreamError::SwitchingProtocols => 5,
        };
        self.errors[kind].fetch_add(1, Ordering::Relaxed);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn errors_are_counted_by_their_kinds() {
        let stats = Stats::default();
        stats.note_error(UpstreamError::Timeout(Duration::ZERO));
        stats.note_error(UpstreamError::SwitchingProtocols);
        stats.note_error(UpstreamError::SwitchingProtocols);
        let errors: Vec<_> = stats.errors().filter(|(_, count)| *count > 0).collect();
        assert_eq!(errors, [("timeout", 1), ("switching_protocols", 2)]);
    }
}
