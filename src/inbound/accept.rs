//! The accept loop of a listener: it gives each client a task, or rejects it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use tokio::sync::watch;

use super::arrival_budget::ArrivalBudget;
use super::connection::{ConnectionContext, serve_connection};
use super::handshake::serve_tls;
use super::limits::{ConnectionLimiter, LimitExceeded, Permit};
use super::session::{Serving, Session};
use crate::http1::synthetic::SyntheticResponse;
use crate::net::{Listener, Socket};
use crate::system::drain::Drain;
use crate::telemetry::access_log::{AccessLogEntry, Client, Ended, Outcome};
use crate::telemetry::listener::{ListenerTelemetry, OpenConnection};
use crate::telemetry::metrics::Limit;
use crate::tls::TlsAcceptor;

/// What the clients of a listener speak.
#[derive(Debug, Clone)]
pub enum ListenerSecurity {
    /// HTTP at once.
    Plain,
    /// TLS, and HTTP in it.
    Tls(TlsAcceptor),
}

/// Accepts clients until the program drains, then closes the listener. `telemetry` is what is told of it, and
/// `serving` what is done for its clients.
pub async fn accept_loop(
    listener: Listener,
    telemetry: Arc<ListenerTelemetry>,
    security: ListenerSecurity,
    serving: watch::Receiver<Arc<Serving>>,
    drain: Drain,
) {
    let limiter = Arc::new(ConnectionLimiter::default());
    let heads = Arc::new(ArrivalBudget::of_heads());
    let handshakes = Arc::new(ArrivalBudget::of_handshakes());
    let mut backoff = AcceptBackoff::Ready;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.signaled() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                backoff = backoff.on_success();
                let context = ConnectionContext {
                    session: Session::new(serving.clone()),
                    client: Client { peer: Arc::new(peer), listener: Arc::clone(&telemetry) },
                    heads: Arc::clone(&heads),
                    handshakes: Arc::clone(&handshakes),
                    drain: drain.clone(),
                    disconnect: socket.disconnect_watcher(),
                    accepted_at: Instant::now(),
                };
                spawn_connection(socket, context, &security, &limiter);
            }
            Err(error) => backoff = backoff.on_error(&error).await,
        }
    }
    listener.close();
}

fn spawn_connection(
    socket: Socket,
    context: ConnectionContext,
    security: &ListenerSecurity,
    limiter: &Arc<ConnectionLimiter>,
) {
    match limiter.try_acquire(&context.client.peer, context.session.limits().connections) {
        Ok(permit) => {
            let permit = (permit, context.client.listener.connection_opened());
            let drain = context.drain.clone();
            drain.spawn(run_connection(socket, context, security.clone(), permit));
        }
        Err(exceeded) => reject(&socket, &context, security, exceeded),
    }
}

async fn run_connection(
    socket: Socket,
    context: ConnectionContext,
    security: ListenerSecurity,
    permit: (Permit, OpenConnection),
) {
    match security {
        ListenerSecurity::Plain => serve_connection(socket, context).await,
        // Boxed, for it is large, and every task would keep room for it.
        ListenerSecurity::Tls(acceptor) => Box::pin(serve_tls(socket, &acceptor, context)).await,
    }
    drop(permit);
}

/// One write that does not wait: a client beyond the limits is not worth more.
fn reject(
    socket: &Socket,
    context: &ConnectionContext,
    security: &ListenerSecurity,
    exceeded: LimitExceeded,
) {
    context.client.listener.limit_reached(match exceeded {
        LimitExceeded::Listener(_) => Limit::MaxConnections,
        LimitExceeded::User(_) => Limit::MaxConnectionsPerUid,
    });
    let mut entry = AccessLogEntry::without_request(&context.client, Outcome::Limited);
    entry.error = Some(exceeded.to_string());
    // Who speaks TLS could not read it.
    if matches!(security, ListenerSecurity::Plain) {
        // Nothing was read of the client, so neither was its version.
        let format = context.session.serving().service.errors().format(Version::HTTP_11);
        let response = SyntheticResponse::too_many_connections(format, exceeded);
        entry.head(response.status());
        entry.ended = Ended::Complete;
        entry.bytes = response.body_len();
        socket.try_write(&response.to_http1_bytes());
    }
}

/// Whether a listener can accept, which is logged when it changes.
enum AcceptBackoff {
    Ready,
    BackingOff,
}

impl AcceptBackoff {
    fn on_success(self) -> Self {
        if let Self::BackingOff = self {
            tracing::info!("accepting connections again");
        }
        Self::Ready
    }

    /// Running out of descriptors or memory passes when connections end; until then trying again at
    /// once would only burn time. What concerns just the one connection does not wait.
    async fn on_error(self, error: &io::Error) -> Self {
        const PAUSE: Duration = Duration::from_millis(100);
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if let ConnectionAborted | ConnectionReset | Interrupted = error.kind() {
            return self;
        }
        if let Self::Ready = self {
            tracing::error!("cannot accept connections for now: {error}");
        }
        tokio::time::sleep(PAUSE).await;
        Self::BackingOff
    }
}
