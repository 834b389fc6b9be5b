//! The proxy as a whole: binds its listeners, serves until it is told to stop, and cleans up.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::announce;
use crate::config::{Config, Limits, ListenerConfig, Sandbox};
use crate::descriptors::{self, Limit};
use crate::listener::admission::{Admission, Ticket};
use crate::listener::socket::Socket;
use crate::listener::{Entrance, ListenError, Listener};
use crate::proxy::client::Client;
use crate::proxy::connection::{self, Context};
use crate::proxy::pool::Pool;
use crate::proxy::replies::Reply;
use crate::proxy::secured;
use crate::proxy::service::Service;
use crate::proxy::upstream::Upstream;
use crate::sandbox::privileges::{self, PrivilegeError};
use crate::sandbox::{self, Needs};
use crate::shutdown::{Finish, Shutdown, shutdown};
use crate::tls::{self, MaterialError};

/// Why the proxy cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot listen.
    Listen(ListenError),
    /// There is no TLS to the engine.
    Upstream(MaterialError),
    /// The process cannot become the user that it is to run as.
    User(PrivilegeError),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If certificates cannot be used, a listener cannot be bound, or the user cannot be changed; the sockets
/// that were made by then are removed again.
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut stop = Stop::listen();
    announce::names(&config.listeners);
    let upstream = Arc::new(Upstream::new(&config.upstream).map_err(StartError::Upstream)?);
    let listeners = bind_all(&config.listeners).map_err(StartError::Listen)?;
    if let Err(error) = give_up_privileges(&config) {
        listeners.into_iter().for_each(Listener::close);
        return Err(StartError::User(error));
    }
    tls::keep_fresh(material(&listeners, &upstream));
    let (conductor, shutdown) = shutdown();
    let mut doors = Vec::new();
    for (listener, bound) in listeners.into_iter().zip(&config.listeners) {
        announce::listener(&listener, &bound.bind);
        let service = Arc::new(Service::new(Arc::clone(&bound.acl), Arc::clone(&upstream)));
        doors.push(tokio::spawn(keep_door(listener, service, config.limits, shutdown.clone())));
    }
    tokio::spawn(tidy(Arc::clone(&upstream)));
    // By itself: an engine that is far away may take its time, and a signal to stop must not wait for it.
    tokio::spawn(warn_without_engine(upstream));
    drop(shutdown);

    stop.told().await;
    tracing::debug!("stopping");
    if conductor.finish(config.shutdown_timeout).await == Finish::Forced {
        tracing::warn!(after = ?config.shutdown_timeout, "stopping with answers unfinished");
    }
    for door in doors {
        // A door that has not closed by now has lost its listener with its task.
        let _ = door.await;
    }
    Ok(())
}

fn bind_all(configs: &[ListenerConfig]) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for config in configs {
        match Listener::bind(&config.bind) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                listeners.into_iter().for_each(Listener::close);
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

/// The certificates that are taken up again when their files change.
fn material(listeners: &[Listener], upstream: &Upstream) -> Vec<Arc<dyn tls::Refresh>> {
    let entrances = listeners.iter().map(Listener::entrance);
    let ours = entrances.filter_map(|entrance| match entrance {
        Entrance::Tls(acceptor) => Some(acceptor.material()),
        Entrance::Plain => None,
    });
    ours.chain(upstream.material()).collect()
}

/// From here on the process can do little but what it is for; what it needs for its start is done.
fn give_up_privileges(config: &Config) -> Result<(), PrivilegeError> {
    let limit = descriptors::raise(config);
    if limit != Limit::Enough {
        tracing::warn!("{limit}");
    }
    if let Some(user) = config.user {
        privileges::become_user(user, &config.upstream.address)?;
        tracing::info!("running as {user}");
    }
    match config.sandbox {
        Sandbox::On => {
            let in_force = sandbox::enter(&Needs::of(config));
            if in_force.is_whole() { tracing::info!("{in_force}") } else { tracing::warn!("{in_force}") }
        }
        Sandbox::Off => tracing::info!("sandbox: none (--no-sandbox)"),
    }
    Ok(())
}

async fn warn_without_engine(upstream: Arc<Upstream>) {
    if let Err(error) = upstream.probe().await {
        let way_out = upstream.way_out(&error);
        tracing::warn!(upstream = %upstream.address(), way_out, "{error}; answering 502 until it is there");
    }
}

/// Accepts clients until the program ends.
async fn keep_door(listener: Listener, service: Arc<Service>, limits: Limits, mut shutdown: Shutdown) {
    let name: Arc<str> = listener.to_string().into();
    let entrance = listener.entrance();
    let admission = Admission::new(limits.caps);
    let mut hinge = Hinge::Moving;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                hinge = hinge.moves();
                let client = Client { peer: Arc::new(peer), listener: Arc::clone(&name) };
                let watch = socket.watch();
                let context = Context {
                    service: Arc::clone(&service),
                    client,
                    limits,
                    shutdown: shutdown.clone(),
                    watch,
                    came: Instant::now(),
                };
                welcome(socket, context, &entrance, &admission);
            }
            Err(error) => hinge = hinge.sticks(&error).await,
        }
    }
    listener.close();
}

fn welcome(socket: Socket, context: Context, entrance: &Entrance, admission: &Arc<Admission>) {
    match admission.admit(&context.client.peer) {
        Ok(ticket) => {
            tokio::spawn(serve(socket, context, entrance.clone(), ticket));
        }
        Err(full) => {
            let Client { peer, listener } = &context.client;
            tracing::warn!(status = 503, client = %peer, listener = %listener, "refused: {full}");
            // Whoever speaks TLS could not read it.
            if matches!(entrance, Entrance::Plain) {
                turn_away(&socket, Reply::no_place(full));
            }
        }
    }
}

async fn serve(socket: Socket, context: Context, entrance: Entrance, ticket: Ticket) {
    match entrance {
        Entrance::Plain => connection::serve(socket, context).await,
        // Boxed, for it is large, and every task would keep room for it.
        Entrance::Tls(acceptor) => Box::pin(secured::serve(socket, &acceptor, context)).await,
    }
    drop(ticket);
}

/// One write that does not wait: whoever is over the caps is not worth more.
fn turn_away(socket: &Socket, reply: Reply) {
    socket.try_write(&reply.into_last_words());
}

/// Whether a listener can accept, which the log is told when it changes.
enum Hinge {
    Moving,
    Stuck,
}

impl Hinge {
    fn moves(self) -> Self {
        if let Self::Stuck = self {
            tracing::info!("accepting connections again");
        }
        Self::Moving
    }

    /// Running out of descriptors or memory passes when connections end; until then trying again at
    /// once would only burn time. What concerns just the one connection does not wait.
    async fn sticks(self, error: &io::Error) -> Self {
        const PAUSE: Duration = Duration::from_millis(100);
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if let ConnectionAborted | ConnectionReset | Interrupted = error.kind() {
            return self;
        }
        if let Self::Moving = self {
            tracing::error!("cannot accept connections for now: {error}");
        }
        tokio::time::sleep(PAUSE).await;
        Self::Stuck
    }
}

async fn tidy(upstream: Arc<Upstream>) {
    let mut ticks = tokio::time::interval(Pool::LONGEST / 2);
    loop {
        ticks.tick().await;
        upstream.tidy();
    }
}

/// The signals that end the program: caught from before anyone is told that it listens.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Self {
        let catch = |kind| signal(kind).expect("the kernel lets SIGTERM and SIGINT be caught");
        Self { terminate: catch(SignalKind::terminate()), interrupt: catch(SignalKind::interrupt()) }
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Upstream(error) => write!(f, "TLS to the engine: {error}"),
            Self::User(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
