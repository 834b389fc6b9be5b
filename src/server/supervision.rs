//! Whether the event loop runs: measured all the time, told when it is late, and the end when it is stuck; and
//! what the service manager is told.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::system::systemd::Notifier;
use crate::system::watchdog::{Heartbeat, Watchdog};
use crate::telemetry::in_flight::InFlightRequests;
use crate::telemetry::log::Log;

/// How late the loop may be before that is a warning.
const MAX_LAG: Duration = Duration::from_secs(1);

/// What the service manager is told, if there is one.
#[derive(Debug)]
pub struct ServiceState {
    systemd: Option<Notifier>,
    status: String,
}

impl ServiceState {
    /// Says that clients can connect, to these addresses.
    pub fn ready(systemd: Option<Notifier>, addresses: &[String]) -> Self {
        let state = Self { systemd, status: format!("Listening on {}", addresses.join(", ")) };
        state.reloaded();
        state
    }

    /// Says that it reloads, until [`ServiceState::reloaded`].
    pub fn reloading(&self) {
        self.systemd.iter().for_each(Notifier::reloading);
    }

    /// Says that it serves again.
    pub fn reloaded(&self) {
        self.systemd.iter().for_each(|systemd| systemd.ready(&self.status));
    }

    /// Says that it is ending.
    pub fn stopping(&self) {
        self.systemd.iter().for_each(Notifier::stopping);
    }
}

/// Starts the watchdog over a loop that gives `heartbeat`.
///
/// # Errors
/// If its thread cannot be started.
pub fn start_watchdog(
    config: &Config,
    systemd: Option<&Notifier>,
    heartbeat: &Heartbeat,
    log: &Log,
) -> io::Result<Watchdog> {
    let (limit, log) = (config.watchdog, log.clone());
    let end = move || {
        let stuck = humantime::format_duration(limit.unwrap_or_default());
        let in_flight = InFlightRequests::now();
        tracing::error!(%in_flight, "the event loop has been stuck for {stuck}: aborting, to be started anew");
        log.flush();
        // Not an exit in order, which may need what is stuck. A supervisor sees SIGABRT, as with systemd's
        // own watchdog.
        std::process::abort();
    };
    Watchdog::start(limit, systemd.and_then(Notifier::try_clone), heartbeat.clone(), end)
}

/// Gives the loop's sign of life, and measures how late it is.
pub async fn heartbeat_loop(heartbeat: Heartbeat) {
    loop {
        let due = Instant::now() + Heartbeat::INTERVAL;
        tokio::time::sleep_until(due).await;
        heartbeat.beat();
        let lag = due.elapsed();
        if lag > MAX_LAG {
            let in_flight = InFlightRequests::now();
            tracing::warn!(
                lag_ms = lag.as_millis() as u64,
                %in_flight,
                "the event loop was late: something held it, or the process was stopped"
            );
        }
    }
}
