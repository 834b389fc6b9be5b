//! The idle connections to the engine, kept for the next request.
//!
//! There are as many as were in use at one time in the last half minute: a connection comes back when its
//! answer has ended, the one that came back last is used first, and those that nobody used for that long are
//! closed. So what limits the answers in flight limits them too.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Request;

use super::connection::{Connection, NoBody, ParkedConnection, PendingResponse};

/// Idle connections.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<IdleConnections>,
}

/// In either the most recently used are last, and all that are parked are older than those that are ready.
#[derive(Default)]
struct IdleConnections {
    /// With all that a request needs, buffers included.
    ready: VecDeque<Idle<Connection>>,
    /// Only their streams, which take a small part of the memory: just many requests at a time need them.
    parked: VecDeque<Idle<ParkedConnection>>,
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// A connection that was kept, as it was kept.
pub(super) enum Kept {
    Ready(Connection),
    Parked(ParkedConnection),
}

impl Pool {
    /// Those idle for longer are closed.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
    /// How many are kept ready.
    const MAX_READY: usize = 64;

    /// The most recently used connection. Whether the engine has closed it meanwhile is seen when it is
    /// used.
    pub fn checkout(&self) -> Option<Kept> {
        let mut idle = self.lock();
        let ready = idle.ready.pop_back().map(|idle| Kept::Ready(idle.connection));
        ready.or_else(|| idle.parked.pop_back().map(|idle| Kept::Parked(idle.connection)))
    }

    /// Keeps a connection if it is good for another request, else closes it. What comes on it meanwhile
    /// is seen when it is used again.
    pub fn checkin(&self, mut connection: Connection) {
        if !connection.is_reusable() && !connection.poll_reusable() {
            return;
        }
        let mut idle = self.lock();
        idle.ready.push_back(Idle { connection, since: Instant::now() });
        if idle.ready.len() > Self::MAX_READY
            && let Some(Idle { connection, since }) = idle.ready.pop_front()
            && let Some(connection) = connection.park()
        {
            idle.parked.push_back(Idle { connection, since });
        }
    }

    /// Closes the connections that were idle for too long, and of those that are ready the ones that the
    /// engine has closed; of a parked one that is seen when it is used.
    pub fn evict_idle(&self, now: Instant) {
        let mut idle = self.lock();
        let IdleConnections { ready, parked } = &mut *idle;
        ready.retain_mut(|idle| !idle.is_old(now) && idle.connection.poll_reusable());
        let old = parked.partition_point(|idle| idle.is_old(now));
        parked.drain(..old);
        parked.shrink_to(2 * parked.len());
    }

    /// How many connections are idle.
    pub fn len(&self) -> usize {
        let idle = self.lock();
        idle.ready.len() + idle.parked.len()
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Idle<C> {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= Pool::IDLE_TIMEOUT
    }
}

impl Kept {
    /// Sends a request, unless anything has come on the connection meanwhile: its end, or an answer that
    /// nobody asked for.
    ///
    /// # Errors
    /// Those of [`Connection::send`], and if the request was not sent.
    pub async fn send_again(self, request: Request<NoBody>) -> hyper::Result<PendingResponse> {
        match self {
            Self::Ready(connection) => connection.send_again(request).await,
            Self::Parked(parked) => parked.resume().await?.send_again(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use http_body_util::Empty;

    use super::super::stale::StaleCheckedStream;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    /// More than are kept ready.
    const MANY: usize = 3 * Pool::MAX_READY;

    /// Keeps so many connections, and gives the engine's ends, the most recently used last.
    async fn fill(pool: &Pool, count: usize) -> Vec<UnixStream> {
        let mut ends = Vec::new();
        for _ in 0..count {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let stream = tokio::net::UnixStream::from_std(ours).unwrap();
            let (stream, stale_check) = StaleCheckedStream::new(stream);
            pool.checkin(Connection::handshake(Box::new(stream), stale_check).await.unwrap());
            ends.push(theirs);
        }
        ends
    }

    /// Takes the connection that is due, whose other end this must be, asks over it, and puts it back.
    async fn ask(pool: &Pool, engine: &UnixStream) {
        let kept = pool.checkout().unwrap();
        let mut engine = engine.try_clone().unwrap();
        // In a thread of its own, for it blocks.
        let answer = tokio::task::spawn_blocking(move || {
            let asked = engine.read(&mut [0; 1024]).unwrap();
            engine.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            asked
        });
        let pending = kept.send_again(Request::new(Empty::new())).await;
        assert!(answer.await.unwrap() > 0);
        pool.checkin(pending.unwrap().connection);
    }

    #[tokio::test]
    async fn as_many_are_kept_as_were_in_use_at_one_time_and_the_last_one_is_used_first() {
        let pool = Pool::default();
        let ends = fill(&pool, MANY).await;
        assert_eq!(pool.len(), MANY);
        for _ in 0..3 {
            ask(&pool, ends.last().unwrap()).await;
        }
        let mut in_use = Vec::new();
        for _ in 0..MANY - 1 {
            in_use.push(pool.checkout().unwrap());
        }
        ask(&pool, &ends[0]).await;
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test]
    async fn those_that_nobody_used_for_half_a_minute_are_closed() {
        let pool = Pool::default();
        let mut ends = fill(&pool, MANY).await;
        let later = Instant::now() + Pool::IDLE_TIMEOUT;
        ask(&pool, ends.last().unwrap()).await;
        pool.evict_idle(Instant::now());
        assert_eq!(pool.len(), MANY);
        pool.evict_idle(later);
        assert_eq!(pool.len(), 1);
        ask(&pool, ends.last().unwrap()).await;
        pool.evict_idle(later + Pool::IDLE_TIMEOUT);
        assert_eq!(pool.len(), 0);
        for end in &mut ends {
            assert_eq!(end.read(&mut [0; 1]).unwrap(), 0, "it is closed");
        }
    }

    #[tokio::test]
    async fn one_that_the_engine_has_closed_or_spoken_on_meanwhile_is_not_used() {
        let pool = Pool::default();
        for mut end in fill(&pool, MANY).await {
            let _ = end.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
        }
        drop(fill(&pool, MANY).await);
        while let Some(kept) = pool.checkout() {
            assert!(kept.send_again(Request::new(Empty::new())).await.is_err());
        }
        // Those that are ready are looked at before, once the runtime has heard of their end.
        drop(fill(&pool, Pool::MAX_READY).await);
        let all_gone = async {
            while pool.len() > 0 {
                tokio::task::yield_now().await;
                pool.evict_idle(Instant::now());
            }
        };
        tokio::time::timeout(PATIENCE, all_gone).await.expect("they are evicted");
    }
}
