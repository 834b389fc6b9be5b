//! Learning: counters for the listeners, and when what they have is told: at the end, and on SIGUSR1.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::net::ListenAddress;
use crate::system::signals::ReportSignal;
use crate::telemetry::learning::{Learning, LearntListener};

/// Tells what was learnt of the listeners so far. It may wait for whoever reads that.
pub type Report = Box<dyn Fn(&[LearntListener]) + Send + Sync>;

/// That it is to be learnt what clients need.
pub struct LearnMode {
    /// For how long; `None` is until a signal to end.
    pub time: Option<Duration>,
    /// How what was learnt is told.
    pub report: Report,
}

/// What is learnt of all listeners.
pub struct Learner {
    mode: LearnMode,
    /// In the configuration's order.
    listeners: Vec<(ListenAddress, Arc<Learning>)>,
}

impl Learner {
    /// Nothing is learnt yet.
    pub fn new(mode: LearnMode, config: &Config) -> Self {
        let listeners =
            config.listeners.iter().map(|listener| (listener.addr.address(), Arc::default())).collect();
        Self { mode, listeners }
    }

    /// What counts for the configuration's listener with this index.
    pub fn of(&self, index: usize) -> Arc<Learning> {
        Arc::clone(&self.listeners[index].1)
    }

    /// Tells what was learnt so far.
    pub fn report(&self) {
        let listeners = self.listeners.iter().map(|(address, learning)| LearntListener {
            address: address.clone(),
            clients: learning.learnt(),
        });
        (self.mode.report)(&listeners.collect::<Vec<_>>());
    }
}

/// Waits until learning has taken its time; for ever where nothing is learnt, or a signal ends it.
pub async fn time_is_up(learner: Option<&Learner>) {
    match learner.and_then(|learner| learner.mode.time) {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Tells on each signal what was learnt so far, beside the loop, because whoever reads that may be slow.
pub async fn report_loop(learner: Arc<Learner>, mut signal: ReportSignal) {
    loop {
        signal.recv().await;
        let learner = Arc::clone(&learner);
        if let Err(error) = tokio::task::spawn_blocking(move || learner.report()).await {
            tracing::error!("what was learnt could not be told: {error}");
        }
    }
}
