//! What a client may take of time and room, and how many connections a listener has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::pace::PaceLimits;
use crate::net::Peer;

/// What the clients of a listener may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a request's head to arrive.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// How fast it has to take an answer.
    pub pace: PaceLimits,
    /// Connections at one time.
    pub connections: ConnectionLimits,
}

/// How many connections a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// At one time.
    pub total: usize,
    /// At one time from one user of a Unix socket.
    pub per_uid: usize,
}

/// Counts the connections of a listener and rejects those beyond its limits.
#[derive(Debug, Default)]
pub struct ConnectionLimiter {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_uid: HashMap<u32, usize>,
}

/// A connection that counts; dropping it ends that.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<ConnectionLimiter>,
    uid: Option<u32>,
}

/// Why a connection is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LimitExceeded {
    /// The listener has as many connections as it takes.
    #[error("all {0} connections are taken (max-connections)")]
    Listener(usize),
    /// The client's user has as many connections as one user gets.
    #[error("this user has all {0} connections that one user may have (max-connections-per-uid)")]
    User(usize),
}

impl ConnectionLimiter {
    /// Counts a client's connection.
    ///
    /// # Errors
    /// [`LimitExceeded`] if it is beyond the limits.
    pub fn try_acquire(
        self: &Arc<Self>,
        peer: &Peer,
        limits: ConnectionLimits,
    ) -> Result<Permit, LimitExceeded> {
        let uid = peer.uid();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limits.total {
            return Err(LimitExceeded::Listener(limits.total));
        }
        if let Some(uid) = uid {
            let of_user = counts.by_uid.entry(uid).or_default();
            if *of_user >= limits.per_uid {
                return Err(LimitExceeded::User(limits.per_uid));
            }
            *of_user += 1;
        }
        counts.all += 1;
        Ok(Permit { limiter: Arc::clone(self), uid })
    }

    fn release(&self, uid: Option<u32>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(uid) = uid
            && let Some(of_user) = counts.by_uid.get_mut(&uid)
        {
            *of_user -= 1;
            if *of_user == 0 {
                counts.by_uid.remove(&uid);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.release(self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits { total: 3, per_uid: 2 };

    fn process(uid: u32) -> Peer {
        Peer::process(uid, 1)
    }

    #[test]
    fn one_user_cannot_take_every_place() {
        let limiter = Arc::new(ConnectionLimiter::default());
        let first = limiter.try_acquire(&process(7), LIMITS).unwrap();
        let _second = limiter.try_acquire(&process(7), LIMITS).unwrap();
        assert_eq!(limiter.try_acquire(&process(7), LIMITS).unwrap_err(), LimitExceeded::User(2));
        let _other = limiter.try_acquire(&process(8), LIMITS).unwrap();
        assert_eq!(limiter.try_acquire(&process(9), LIMITS).unwrap_err(), LimitExceeded::Listener(3));
        drop(first);
        assert!(limiter.try_acquire(&process(7), LIMITS).is_ok());
    }

    #[test]
    fn a_user_without_connections_leaves_no_trace() {
        let limiter = Arc::new(ConnectionLimiter::default());
        for uid in 0..1000 {
            drop(limiter.try_acquire(&process(uid), LIMITS));
        }
        assert!(limiter.counts.lock().unwrap().by_uid.is_empty());
    }
}
