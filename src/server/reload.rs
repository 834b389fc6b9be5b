//! Reloading: on SIGHUP the configuration is read again, and certificates; certificates also by themselves
//! within a minute of their change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::live::LiveListener;
use super::supervision::ServiceState;
use super::{ReadConfig, startup};
use crate::config::Config;
use crate::system::signals::ReloadSignal;
use crate::telemetry::access_log_writer::AccessLogWriter;
use crate::tls::{Reload, ReloadTrigger};

/// What runs, as far as it can be reloaded.
pub struct Running {
    config: Mutex<Config>,
    again: ReadConfig,
    listeners: Vec<LiveListener>,
    certificates: Vec<Arc<dyn Reload>>,
    access_log: Option<AccessLogWriter>,
}

impl Running {
    /// What runs with a configuration: its listeners in their order, and all certificates.
    pub fn new(
        config: Config,
        again: ReadConfig,
        listeners: Vec<LiveListener>,
        certificates: Vec<Arc<dyn Reload>>,
        access_log: Option<AccessLogWriter>,
    ) -> Self {
        Self { config: Mutex::new(config), again, listeners, certificates, access_log }
    }

    fn reload(&self, trigger: ReloadTrigger) {
        // First, so that no certificate of a CA that was taken out meets the new rules.
        self.certificates.iter().for_each(|certificate| certificate.reload(trigger));
        if trigger == ReloadTrigger::Signal {
            let reopened = self.access_log.as_ref().is_some_and(AccessLogWriter::reopen);
            let reloaded = self.reload_config();
            if !reopened && !reloaded && self.certificates.is_empty() {
                tracing::info!(
                    "nothing to reload: there is no configuration file, no certificate and no file of an access log"
                );
            }
        }
    }

    /// Takes up what can be while it runs; whether there is a file at all. What is invalid changes nothing.
    fn reload_config(&self) -> bool {
        let mut running = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = running.file.clone() else { return false };
        match (self.again)() {
            Ok(new) => {
                let needs_restart = running.needs_restart(&new);
                if !needs_restart.is_empty() {
                    tracing::warn!(
                        file = %file.display(),
                        "these settings stay as they are until a restart: {}",
                        needs_restart.join(", ")
                    );
                }
                for (live, listener) in self.listeners.iter().zip(&mut running.listeners) {
                    // What is allowed may rely on who can connect, so one is not taken up without the other.
                    if let Some(new) = new.listeners.iter().find(|new| new.has_same_access(listener)) {
                        live.replace(new);
                        listener.take_up(new);
                    }
                }
                tracing::info!(file = %file.display(), "configuration reloaded");
                startup::log_allowed(&running.listeners);
                startup::log_views(&running.listeners);
            }
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::error!("{problem}; the previous configuration stays in use");
                }
            }
        }
        true
    }
}

/// Reloads on each signal, and looks at certificates by itself.
pub async fn reload_loop(running: Arc<Running>, mut signal: ReloadSignal, state: Arc<ServiceState>) {
    const POLL_INTERVAL: Duration = Duration::from_secs(15);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + POLL_INTERVAL, POLL_INTERVAL);
    loop {
        let trigger = tokio::select! {
            () = signal.recv() => ReloadTrigger::Signal,
            _ = ticks.tick(), if !running.certificates.is_empty() => ReloadTrigger::Tick,
        };
        if trigger == ReloadTrigger::Signal {
            state.reloading();
        }
        let running = Arc::clone(&running);
        // Beside the loop: files may be where reading takes its time.
        if let Err(error) = tokio::task::spawn_blocking(move || running.reload(trigger)).await {
            tracing::error!("the configuration could not be reloaded: {error}");
        }
        if trigger == ReloadTrigger::Signal {
            state.reloaded();
        }
    }
}
