//! The idle connections to the engine, kept for the next request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exchange::{Condition, Connection};

/// Idle connections, the most recently used last.
pub struct Pool {
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// More idle connections than this are closed.
    const MOST: usize = 64;
    /// Those idle for longer are closed.
    pub const LONGEST: Duration = Duration::from_secs(30);

    /// No connections yet.
    pub fn new() -> Self {
        Self { idle: Mutex::default() }
    }

    /// The most recently used connection. Whether the engine has closed it meanwhile is seen when it is
    /// used.
    pub fn take(&self) -> Option<Connection> {
        self.lock().pop().map(|idle| idle.connection)
    }

    /// Keeps a connection if it is good for another request, else closes it. What comes on it meanwhile
    /// is seen when it is used again.
    pub fn put(&self, mut connection: Connection) {
        if connection.condition() == Condition::Ready || connection.settle() == Condition::Ready {
            let mut idle = self.lock();
            if idle.len() < Self::MOST {
                idle.push(Idle { connection, since: Instant::now() });
            }
        }
    }

    /// Closes the connections that were idle for too long, and those that the engine has closed.
    pub fn tidy(&self) {
        let old = |since: Instant| since.elapsed() >= Self::LONGEST;
        self.lock().retain_mut(|idle| !old(idle.since) && idle.connection.settle() == Condition::Ready);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}
