//! The proxy as a whole: prepare, serve, reload, drain.
//!
//! Everything that needs more rights than serving does happens in [`run`] before the runtime exists, so
//! that every thread is started inside the sandbox.

mod admin;
mod learning;
mod listeners;
mod live;
mod metrics;
mod reload;
mod startup;
mod supervision;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::admin::AdminConfig;
use crate::config::{Config, SandboxMode};
use crate::inbound::accept_loop;
pub use crate::net::InheritedSockets;
use crate::net::inherited::Label;
use crate::net::{Address, BindError, BoundListener, Closer, DescriptorPassing, InheritError};
use crate::sandbox;
use crate::sandbox::privileges::{self, BoundingSet, PrivilegeError};
use crate::system::drain::{Drain, Drained};
use crate::system::rlimit;
use crate::system::runtime;
pub use crate::system::signals::InstalledSignals;
use crate::system::signals::Signals;
use crate::system::systemd::Notifier;
use crate::system::usage::ProcessUsage;
use crate::system::watchdog::Heartbeat;
use crate::telemetry::access_log::{SUMMARY_INTERVAL, write_summaries};
use crate::telemetry::access_log_writer::{AccessLogWriter, LogFileError};
use crate::telemetry::listener::ListenerTelemetry;
use crate::telemetry::log::{self, Log, LogStream, LogStyle};
use crate::telemetry::metrics::Metrics;
use crate::tls::{CertError, Reload};
use crate::upstream::Upstream;
use admin::{PreparedAdmin, RunningAdmin};
pub use learning::LearnMode;
use learning::Learner;
use listeners::PreparedListener;
use live::LiveListener;
use reload::{Running, reload_loop};
use supervision::{ServiceState, heartbeat_loop, start_watchdog};

/// Why the proxy cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The sockets that were passed are not those that listeners take.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// A socket that was passed is the engine's.
    #[error(
        "the socket {0} that was passed is the upstream itself, {1}: the .socket unit names another address"
    )]
    InheritedLoop(Label, Address),
    /// A socket that was passed is open to whoever reaches it.
    #[error(
        "the socket {0} that was passed listens on {1}: whoever reaches this address could use it, and read \
         along; the setting tlsverify lets in only clients with a certificate of yours, and tls=false says that \
         plain TCP is meant"
    )]
    InheritedPlaintext(Label, Address),
    /// TLS was asked for, and there is nothing to speak it on.
    #[error(
        "TLS is for TCP, and the sockets that were passed are Unix sockets: give the .socket unit \
         ListenStream=HOST:PORT, or leave TLS out"
    )]
    InheritedNoTcp,
    /// A listener's certificates cannot be used.
    #[error(transparent)]
    ListenerTls(CertError),
    /// The certificates for the engine cannot be used.
    #[error("TLS to the engine: {0}")]
    UpstreamTls(CertError),
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] LogFileError),
    /// The process cannot become the user that it is to run as.
    #[error(transparent)]
    User(#[from] PrivilegeError),
    /// The system does not give what any program needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Reads the configuration again; an error is everything that is wrong, a line each.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Serves until a signal to end. `again` reads the configuration once more when it is to be reloaded; with `learn`,
/// what clients ask for is learnt and told.
///
/// # Errors
/// If certificates cannot be used, a listener cannot be bound, or the user cannot be changed; the sockets
/// that were created by then are removed again.
pub fn run(
    config: Config,
    again: ReadConfig,
    inherited: InheritedSockets,
    mut signals: InstalledSignals,
    learn: Option<LearnMode>,
) -> Result<(), StartError> {
    let stream = learn.as_ref().map_or(LogStream::Stdout, |_| LogStream::Stderr);
    let log = log::init(config.log, stream, LogStyle::for_stream(stream, |name| std::env::var_os(name)));
    let learner = learn.map(|learn| Arc::new(Learner::new(learn, &config)));
    if learner.is_some() {
        signals.take_reports()?;
        startup::warn_of_learning();
    }
    let immediate_exit = signals.immediate_exit();
    let systemd = Notifier::connect(|name| std::env::var_os(name));
    let prepared = prepare(config, inherited, &signals, &log)?;
    let access_log = prepared.access_log.clone();
    let heartbeat = Heartbeat::default();
    let runtime = runtime::start(prepared.config.threads)?;
    let watchdog = start_watchdog(&prepared.config, systemd.as_ref(), &heartbeat, &log)?;
    let controls = Controls { again, signals, systemd, heartbeat, learner: learner.clone() };
    let result = runtime.block_on(serve(prepared, controls));
    drop(watchdog);
    // With it go the tasks that are left, each with its line.
    runtime.shutdown_timeout(BLOCKING_TASKS_TIMEOUT);
    write_summaries();
    access_log.iter().for_each(AccessLogWriter::flush);
    log.flush();
    if result.is_ok()
        && let Some(learner) = learner
    {
        // Whoever reads it may be slow, and be given up.
        immediate_exit.allow();
        learner.report();
    }
    result
}

/// How long the end waits for what is done beside the loop, such as the resolving of a name.
const BLOCKING_TASKS_TIMEOUT: Duration = Duration::from_millis(200);

/// What serving needs, once the process has given up everything else.
struct Prepared {
    config: Config,
    upstream: Arc<Upstream>,
    listeners: Vec<PreparedListener>,
    /// The certificates that are reloaded when their files change.
    certificates: Vec<Arc<dyn Reload>>,
    /// What closes the sockets of clients that can pass descriptors.
    closer: Option<Closer>,
    admin: Option<PreparedAdmin>,
    access_log: Option<AccessLogWriter>,
}

/// What serving is controlled by, and told to.
struct Controls {
    again: ReadConfig,
    signals: InstalledSignals,
    systemd: Option<Notifier>,
    heartbeat: Heartbeat,
    learner: Option<Arc<Learner>>,
}

fn prepare(
    config: Config,
    inherited: InheritedSockets,
    signals: &InstalledSignals,
    log: &Log,
) -> Result<Prepared, StartError> {
    startup::log_upstream(&config);
    startup::log_allowed(&config.listeners);
    startup::log_views(&config.listeners);
    let upstream = Arc::new(Upstream::new(&config.upstream).map_err(StartError::UpstreamTls)?);
    let access_log = config.access_log.as_ref().map(AccessLogWriter::prepare).transpose()?;
    let loaded = listeners::load_all(&config, inherited)?;
    let certificates: Vec<Arc<dyn Reload>> =
        listeners::reloadable(&loaded).into_iter().chain(upstream.reloadable()).collect();
    signals.defer_shutdown();
    let listeners = listeners::bind_all(loaded)?;
    if let Err(insufficient) = rlimit::raise(listeners::max_connections(&config, &listeners)) {
        tracing::warn!("{insufficient}");
    }
    let logs = (log, access_log.as_ref());
    let prepare_admin = |config: &AdminConfig| prepare_admin(config, &upstream, certificates.clone(), logs);
    let admin = match config.admin.as_ref().map(prepare_admin).transpose() {
        Ok(admin) => admin,
        Err(error) => {
            listeners::close_all(listeners);
            return Err(error);
        }
    };
    let start_threads = || {
        log.start_writer()?;
        access_log.as_ref().map(AccessLogWriter::start).transpose()?;
        start_closer(listeners.iter().map(|one| &one.bound).chain(admin.iter().map(|admin| &admin.bound)))
    };
    match confine(&config, start_threads) {
        Ok(closer) => Ok(Prepared { config, upstream, listeners, certificates, closer, admin, access_log }),
        Err(error) => {
            listeners::close_all(listeners);
            admin.into_iter().for_each(|admin| admin.bound.close());
            Err(error)
        }
    }
}

/// The operator's listener, with the figures that are there before it serves.
fn prepare_admin(
    config: &AdminConfig,
    upstream: &Arc<Upstream>,
    certificates: Vec<Arc<dyn Reload>>,
    (log, access_log): (&Log, Option<&AccessLogWriter>),
) -> Result<PreparedAdmin, StartError> {
    let mut metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    metrics::add_process(&mut metrics, ProcessUsage::open()?);
    metrics::add_upstream(&mut metrics, upstream);
    metrics::add_certificates(&mut metrics, certificates);
    metrics::add_logs(&mut metrics, log, access_log);
    PreparedAdmin::bind(config, metrics)
}

/// Says what happens to descriptors that clients pass, and starts what that needs.
fn start_closer<'a>(listeners: impl Iterator<Item = &'a BoundListener>) -> io::Result<Option<Closer>> {
    let passing: Vec<DescriptorPassing> = listeners.filter_map(BoundListener::descriptor_passing).collect();
    for passing in startup::unique(passing.iter()) {
        tracing::info!("file descriptors that clients pass: {passing}");
    }
    passing.iter().any(|passing| *passing != DescriptorPassing::Refused).then(Closer::start).transpose()
}

/// From here on the process can do little but what it is for. Its threads are started in the middle of
/// that.
fn confine<T>(config: &Config, start_threads: impl FnOnce() -> io::Result<T>) -> Result<T, StartError> {
    if let Some(user) = config.user {
        match privileges::drop_privileges(user, &config.upstream.address)? {
            BoundingSet::Dropped => tracing::info!("running as {user}"),
            BoundingSet::Kept => tracing::info!(
                "running as {user}; it takes the capability SETPCAP to drop the others' bounding set as well"
            ),
        }
    }
    match config.sandbox {
        SandboxMode::Enabled => {
            let (status, threads) = sandbox::enter(&config.sandbox_requirements(), start_threads);
            if status.fully_enforced() {
                tracing::info!("{status}")
            } else {
                tracing::warn!("{status}")
            }
            Ok(threads?)
        }
        SandboxMode::Disabled => {
            tracing::info!("sandbox: disabled");
            Ok(start_threads()?)
        }
    }
}

async fn serve(prepared: Prepared, controls: Controls) -> Result<(), StartError> {
    let Prepared { config, upstream, listeners, certificates, closer, admin, access_log } = prepared;
    let Controls { again, signals, systemd, heartbeat, learner } = controls;
    let Signals { mut shutdown, reload, report } = signals.into_tokio()?;
    let drain = Drain::default();
    let addresses: Vec<String> = listeners.iter().flat_map(|listener| listener.bound.addresses()).collect();
    let live_listeners: Vec<LiveListener> =
        config.listeners.iter().map(|listener| LiveListener::new(listener, &upstream)).collect();
    let filtered = listeners
        .iter()
        .map(|listener| (listener.bound.to_string().into(), live_listeners[listener.index].filtered()));
    let filtered: metrics::Filtered = filtered.collect();
    for listener in listeners {
        startup::log_listener(&listener, &config.listeners[listener.index]);
        let metrics = admin.as_ref().map(|admin| &admin.metrics);
        let name = listener.bound.to_string().into();
        let learning = learner.as_ref().map(|learner| learner.of(listener.index));
        let telemetry = ListenerTelemetry::new(name, metrics, access_log.clone(), learning);
        let listener_task = accept_loop(
            listener.bound.into_tokio(closer.as_ref())?,
            telemetry,
            listener.security,
            live_listeners[listener.index].subscribe(),
            drain.clone(),
        );
        drain.spawn(listener_task);
    }
    let running = Running::new(config.clone(), again, live_listeners, certificates, access_log);
    let admin = admin.map(|admin| admin.start(filtered, closer.as_ref(), &upstream)).transpose()?;
    tokio::spawn(evict_loop(Arc::clone(&upstream)));
    tokio::spawn(summary_loop());
    tokio::spawn(heartbeat_loop(heartbeat));
    // By itself: an engine that is far away may take its time, and a signal to stop must not wait for it.
    tokio::spawn(warn_without_engine(upstream));
    let state = Arc::new(ServiceState::ready(systemd, &addresses));
    tokio::spawn(reload_loop(Arc::new(running), reload, Arc::clone(&state)));
    if let Some(learner) = &learner {
        tokio::spawn(learning::report_loop(Arc::clone(learner), report));
    }

    tokio::select! {
        () = shutdown.recv() => {}
        () = learning::time_is_up(learner.as_deref()) => {}
    }
    state.stopping();
    admin.iter().for_each(RunningAdmin::note_stopping);
    tracing::debug!("draining");
    if drain.drain(config.shutdown_timeout).await == Drained::TimedOut {
        let limit = humantime::format_duration(config.shutdown_timeout);
        tracing::warn!(after = %limit, "stopping with answers unfinished");
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    Ok(())
}

async fn evict_loop(upstream: Arc<Upstream>) {
    let mut ticks = tokio::time::interval(Upstream::EVICTION_INTERVAL);
    loop {
        ticks.tick().await;
        upstream.evict_idle();
    }
}

async fn summary_loop() {
    let mut ticks = tokio::time::interval(SUMMARY_INTERVAL);
    loop {
        ticks.tick().await;
        write_summaries();
    }
}

async fn warn_without_engine(upstream: Arc<Upstream>) {
    if let Err(error) = upstream.probe().await {
        let hint = upstream.hint(&error);
        tracing::warn!(upstream = %upstream.address(), hint, "{error}; answering 502 until it is there");
    }
}
