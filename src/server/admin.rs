//! The operator's listener while it runs: started with the others, and closed after them, so that it can be asked
//! until the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::StartError;
use super::metrics::{self, Filtered};
use crate::admin::{AdminConfig, EngineCheck, Readiness, Routes, serve};
use crate::net::{BoundListener, Closer};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstream;

/// How long the engine may take to say that it is there.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// The operator's listener, bound, and what it is to show.
pub struct PreparedAdmin {
    /// Its own address.
    pub bound: BoundListener,
    /// The figures.
    pub metrics: Metrics,
}

/// The operator's listener.
pub struct RunningAdmin {
    readiness: Arc<Readiness>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl PreparedAdmin {
    /// Binds its address.
    ///
    /// # Errors
    /// If that cannot be listened on.
    pub fn bind(config: &AdminConfig, metrics: Metrics) -> Result<Self, StartError> {
        let [bound] = BoundListener::bind(config.addr.resolve(Vec::new())?)?
            .try_into()
            .map_err(|_| io::Error::other("no address to bind"))?;
        Ok(Self { bound, metrics })
    }

    /// Starts to serve, once all that is served is ready.
    ///
    /// # Errors
    /// If the runtime cannot take another descriptor.
    pub fn start(
        self,
        filtered: Filtered,
        closer: Option<&Closer>,
        upstream: &Arc<Upstream>,
    ) -> io::Result<RunningAdmin> {
        let Self { bound, mut metrics } = self;
        metrics::add_filters(&mut metrics, filtered);
        for address in bound.addresses() {
            tracing::info!("metrics and health at {address}");
        }
        let readiness = Arc::new(Readiness::new(engine_check(upstream)));
        let routes = Routes { metrics: Arc::new(metrics), readiness: Arc::clone(&readiness) };
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // That nobody can say it any more is the end too.
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(bound.into_tokio(closer)?, routes, stopped));
        Ok(RunningAdmin { readiness, stop, task })
    }
}

impl RunningAdmin {
    /// From now on it says that the program is not ready.
    pub fn note_stopping(&self) {
        self.readiness.stop();
    }

    /// Closes it.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!("the operator's listener ended before: {error}");
        }
    }
}

fn engine_check(upstream: &Arc<Upstream>) -> EngineCheck {
    let upstream = Arc::clone(upstream);
    Box::new(move || {
        let upstream = Arc::clone(&upstream);
        Box::pin(async move { upstream.ping(ENGINE_LIMIT).await })
    })
}
