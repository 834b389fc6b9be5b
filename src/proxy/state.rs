//! What is going on on a client's connection, as the service sets it and the connection reads it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::policy::{Endpoint, ResponseKind};

/// Shared between a connection and the answers that are given on it.
#[derive(Debug, Default)]
pub struct ConnectionState {
    phase: AtomicU8,
    started: AtomicU64,
    asked: Mutex<Option<&'static Endpoint>>,
    cut: OnceLock<CutOff>,
}

/// Why a connection is cut off in the middle of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutOff {
    /// The client takes it too slowly; the reason in words.
    TooSlow(String),
    /// The configuration that counts since a moment ago does not let the client have it.
    Revoked,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request.
    Idle,
    /// Giving an answer that ends by itself.
    Responding,
    /// Giving an answer that may never end.
    Streaming,
}

/// Held while an answer is being given.
#[derive(Debug)]
pub struct InFlightGuard(Arc<ConnectionState>);

impl ConnectionState {
    /// An answer begins; HTTP/1.1 gives one at a time.
    pub fn begin(self: &Arc<Self>) -> InFlightGuard {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Responding as u8, Ordering::Relaxed);
        InFlightGuard(Arc::clone(self))
    }

    /// What is going on.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Responding as u8 => Phase::Responding,
            phase if phase == Phase::Streaming as u8 => Phase::Streaming,
            _ => Phase::Idle,
        }
    }

    /// How many answers have started so far.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Says why the connection is about to be cut off, for the log line of the answer that is being given.
    pub fn cut_off(&self, why: CutOff) {
        // The first reason counts; there is hardly another.
        let _ = self.cut.set(why);
    }

    /// The endpoint that the engine was last asked for.
    pub fn asked(&self) -> Option<&'static Endpoint> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlightGuard {
    /// Says what the engine is asked for, and with it when the answer will end.
    pub fn expect(&self, endpoint: &'static Endpoint) {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
        let phase = match endpoint.response {
            ResponseKind::Bounded => Phase::Responding,
            ResponseKind::Streaming => Phase::Streaming,
        };
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Why the connection is being cut off, if it is.
    pub fn cut_reason(&self) -> Option<&CutOff> {
        self.0.cut.get()
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.phase.store(Phase::Idle as u8, Ordering::Relaxed);
    }
}
