//! The idle connections to the engine, kept for the next request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Idle connections, the most recently used last.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// More idle connections than this are closed.
    const MAX_IDLE: usize = 64;
    /// Those idle for longer are closed.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

    /// No connections yet.
    pub fn new() -> Self {
        Self { idle: Mutex::default() }
    }

    /// The most recently used connection. Whether the engine has closed it meanwhile is seen when it is
    /// used.
    pub fn checkout(&self) -> Option<Connection> {
        self.lock().pop().map(|idle| idle.connection)
    }

    /// Keeps a connection if it is good for another request, else closes it. What comes on it meanwhile
    /// is seen when it is used again.
    pub fn checkin(&self, mut connection: Connection) {
        if connection.is_reusable() || connection.poll_reusable() {
            let mut idle = self.lock();
            if idle.len() < Self::MAX_IDLE {
                idle.push(Idle { connection, since: Instant::now() });
            }
        }
    }

    /// Closes the connections that were idle for too long, and those that the engine has closed.
    pub fn evict_idle(&self) {
        let old = |since: Instant| since.elapsed() >= Self::IDLE_TIMEOUT;
        self.lock().retain_mut(|idle| !old(idle.since) && idle.connection.poll_reusable());
    }

    /// How many connections are idle.
    pub fn len(&self) -> usize {
        self.lock().len()
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
