//! What goes on on a client's connection, as its service knows it and its owner needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::acl::Answer;

/// Shared between a connection and the answers given on it.
#[derive(Debug, Default)]
pub struct Activity {
    doing: AtomicU8,
    begun: AtomicU64,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Waiting for a request.
    Nothing,
    /// Giving an answer that ends by itself.
    Answering,
    /// Giving an answer that may never end.
    Streaming,
}

/// Held while an answer is being given.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Activity {
    /// An answer begins; HTTP/1.1 gives one at a time.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.doing.store(Doing::Answering as u8, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// What is going on.
    pub fn doing(&self) -> Doing {
        match self.doing.load(Ordering::Relaxed) {
            x if x == Doing::Answering as u8 => Doing::Answering,
            x if x == Doing::Streaming as u8 => Doing::Streaming,
            _ => Doing::Nothing,
        }
    }

    /// When what is going on will end.
    pub fn expected(&self) -> Answer {
        match self.doing() {
            Doing::Streaming => Answer::Endless,
            Doing::Nothing | Doing::Answering => Answer::Finite,
        }
    }

    /// How many answers have begun so far.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Busy {
    /// Says when the answer will end.
    pub fn expect(&self, answer: Answer) {
        let doing = match answer {
            Answer::Finite => Doing::Answering,
            Answer::Endless => Doing::Streaming,
        };
        self.0.doing.store(doing as u8, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.doing.store(Doing::Nothing as u8, Ordering::Relaxed);
    }
}
