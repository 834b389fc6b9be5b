//! What is told of one listener: its name in the log, and its part of the metrics and of the access log where there
//! are any.

use std::fmt;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

use super::access_log_writer::AccessLogWriter;
use super::learning::Learning;
use super::metrics::{Limit, ListenerMetrics, Metrics};

/// A listener, as the log, the access log and the metrics know it.
#[derive(Debug)]
pub struct ListenerTelemetry {
    name: Arc<str>,
    pub(super) metrics: Option<ListenerMetrics>,
    pub(super) access_log: Option<AccessLogWriter>,
    pub(super) learning: Option<Arc<Learning>>,
}

/// A connection that counts as open; dropping it ends that.
#[derive(Debug)]
pub struct OpenConnection(Option<Gauge>);

impl ListenerTelemetry {
    /// The listener of this name, which is its address.
    pub fn new(
        name: Arc<str>,
        metrics: Option<&Metrics>,
        access_log: Option<AccessLogWriter>,
        learning: Option<Arc<Learning>>,
    ) -> Arc<Self> {
        let metrics = metrics.map(|metrics| metrics.listener(&name));
        Arc::new(Self { name, metrics, access_log, learning })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it is learnt what its clients ask for.
    pub fn is_learning(&self) -> bool {
        self.learning.is_some()
    }

    /// Counts a connection that was accepted.
    pub fn connection_opened(&self) -> OpenConnection {
        let Some(metrics) = &self.metrics else { return OpenConnection(None) };
        metrics.connections.inc();
        metrics.connections_open.inc();
        OpenConnection(Some(metrics.connections_open.clone()))
    }

    /// Counts what was refused or cut off because of a limit.
    pub fn limit_reached(&self, limit: Limit) {
        if let Some(metrics) = &self.metrics {
            metrics.limit_reached(limit);
        }
    }

    /// Counts a TLS handshake by its result, which is one of few words.
    pub fn tls_handshake(&self, result: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.tls_handshake(result);
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.dec();
        }
    }
}

impl fmt::Display for ListenerTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
