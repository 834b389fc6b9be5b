//! The metrics: what happened since the start, counted, and what there is now, for whoever collects it (Prometheus).
//!
//! Every label has few values, all of them known beforehand: a listener's address, an endpoint's name in the catalog,
//! an outcome, a status, a kind of error. Nothing that a client writes becomes one, so that no client makes series.
//! Requests are counted where the access log's entry ends; other rooms count for themselves, and their figures are
//! read by a [`Source`] when somebody asks.

mod families;
mod source;

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::access_log::Ended;
use super::outcome::Outcome;
use crate::policy::catalog::ENGINE;
use crate::policy::{Endpoint, ResponseKind};
use families::{
    EndedLabels, EndpointLabels, Families, LimitLabels, ListenerLabel, RequestLabels, ResultLabels,
};
pub use source::{Figure, Kind, Sample, Source};

/// What the names of all families begin with, but for those of the process.
const PREFIX: &str = "docker_proxy_acl";

/// The endpoint of requests that are for none, or cannot be read.
const NO_ENDPOINT: &str = "";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
}

/// The two forms that metrics are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    PrometheusText,
}

/// A limit of the proxy's own, by the setting that changes it, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Connections of a listener.
    MaxConnections,
    /// Connections of one user.
    MaxConnectionsPerUid,
    /// Answers in flight, of a listener.
    MaxRequests,
    /// Answers in flight, of one client.
    MaxRequestsOfClient,
    /// What they cost the engine, of a listener.
    MaxLoad,
    /// What they cost the engine, of one client.
    MaxLoadOfClient,
    /// The memory for heads that arrive.
    Heads,
    /// The memory for TLS handshakes that arrive.
    Handshakes,
    /// The time for a head or a handshake.
    HeaderTimeout,
    /// The time in which a client has to take something.
    StallTimeout,
    /// The pace at which it has to take an answer.
    MinRate,
}

/// A listener's part of the metrics.
#[derive(Debug)]
pub struct ListenerMetrics {
    label: ListenerLabel,
    families: Families,
    pub(super) connections: Counter,
    pub(super) connections_open: Gauge,
    requests_in_flight: Gauge,
    streams: Gauge,
    /// By the endpoint's name. Each is made when it is first asked for, so that there are no series of others.
    endpoints: HashMap<&'static str, OnceLock<EndpointMetrics>>,
}

/// What of an endpoint's metrics is looked up once and not with every request.
#[derive(Debug)]
struct EndpointMetrics {
    head: Histogram,
    duration: Histogram,
    bytes: Counter,
}

/// A request that counts as in flight; dropping it ends that.
#[derive(Debug)]
pub(super) struct InFlightGauges {
    requests: Gauge,
    stream: Option<Gauge>,
}

/// What is counted of a request that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished {
    pub endpoint: Option<&'static str>,
    pub outcome: Outcome,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    pub ended: Ended,
    pub bytes: u64,
    pub head_after: Option<Duration>,
    pub duration: Duration,
    /// Whether the engine was asked.
    pub was_forwarded: bool,
}

impl Metrics {
    /// Nothing has happened yet. `version` is the program's.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let families = Families::register(registry.sub_registry_with_prefix(PREFIX), version);
        Self { registry, families }
    }

    /// Adds a family whose figures are kept elsewhere, its name after the program's.
    pub fn add(&mut self, source: Source) {
        self.registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(source));
    }

    /// Adds such a family of what all programs have: its name stands by itself.
    pub fn add_common(&mut self, source: Source) {
        self.registry.register_collector(Box::new(source));
    }

    /// All figures as they are now.
    pub fn encode(&self, format: MetricsFormat) -> String {
        use prometheus_client::encoding::{prometheus_text, text};
        let mut out = String::new();
        let encoded = match format {
            MetricsFormat::OpenMetrics => text::encode(&mut out, &self.registry),
            MetricsFormat::PrometheusText => prometheus_text::encode(&mut out, &self.registry),
        };
        // Writing to a string does not fail, and nothing here fails by itself.
        debug_assert_eq!(encoded, Ok::<(), fmt::Error>(()));
        out
    }

    /// The part of a listener, by its address.
    pub(super) fn listener(&self, name: &str) -> ListenerMetrics {
        let families = self.families.clone();
        let label = ListenerLabel { listener: name.into() };
        // What is counted from 0 on is seen to grow when it does so for the first time.
        for limit in Limit::ALL {
            families.limits_reached.get_or_create(&limit.labels(&label)).inc_by(0);
        }
        for ended in Ended::INCOMPLETE {
            families.requests_incomplete.get_or_create(&label.ended(ended)).inc_by(0);
        }
        let names = ENGINE.endpoints().iter().map(|row| row.name);
        ListenerMetrics {
            connections: families.connections.get_or_create_owned(&label),
            connections_open: families.connections_open.get_or_create_owned(&label),
            requests_in_flight: families.requests_in_flight.get_or_create_owned(&label),
            streams: families.streams.get_or_create_owned(&label),
            endpoints: names.map(|name| (name, OnceLock::new())).collect(),
            families,
            label,
        }
    }
}

impl ListenerMetrics {
    /// Counts a request that the engine is being asked for as in flight.
    pub(super) fn begin(&self, endpoint: &Endpoint) -> InFlightGauges {
        let stream = (endpoint.response == ResponseKind::Streaming).then(|| self.streams.clone());
        self.requests_in_flight.inc();
        stream.iter().for_each(|stream| {
            stream.inc();
        });
        InFlightGauges { requests: self.requests_in_flight.clone(), stream }
    }

    /// Counts a request that has ended.
    pub(super) fn count(&self, request: Finished) {
        let endpoint = request.endpoint.unwrap_or(NO_ENDPOINT);
        let labels = RequestLabels {
            listener: self.label.listener.clone(),
            endpoint,
            outcome: request.outcome.as_str(),
            status: request.status,
        };
        self.families.requests.get_or_create(&labels).inc();
        if !request.was_forwarded {
            return;
        }
        if let Some(metrics) = self.endpoint(endpoint) {
            metrics.bytes.inc_by(request.bytes);
            metrics.duration.observe(request.duration.as_secs_f64());
            if let Some(after) = request.head_after {
                metrics.head.observe(after.as_secs_f64());
            }
        }
        if request.ended != Ended::Complete {
            self.families.requests_incomplete.get_or_create(&self.label.ended(request.ended)).inc();
        }
    }

    fn endpoint(&self, endpoint: &'static str) -> Option<&EndpointMetrics> {
        let made = || {
            let labels = EndpointLabels { listener: self.label.listener.clone(), endpoint };
            EndpointMetrics {
                head: self.families.head.get_or_create_owned(&labels),
                duration: self.families.duration.get_or_create_owned(&labels),
                bytes: self.families.bytes.get_or_create_owned(&labels),
            }
        };
        Some(self.endpoints.get(endpoint)?.get_or_init(made))
    }

    pub(super) fn limit_reached(&self, limit: Limit) {
        self.families.limits_reached.get_or_create(&limit.labels(&self.label)).inc();
    }

    pub(super) fn tls_handshake(&self, result: &'static str) {
        let labels = ResultLabels { listener: self.label.listener.clone(), result };
        self.families.tls_handshakes.get_or_create(&labels).inc();
    }
}

impl Drop for InFlightGauges {
    fn drop(&mut self) {
        self.requests.dec();
        self.stream.iter().for_each(|stream| {
            stream.dec();
        });
    }
}

impl MetricsFormat {
    /// Its media type (RFC 9110 section 8.3).
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => prometheus_client::encoding::prometheus_text::CONTENT_TYPE,
        }
    }
}

impl ListenerLabel {
    fn ended(&self, ended: Ended) -> EndedLabels {
        EndedLabels { listener: self.listener.clone(), ended: ended.as_str() }
    }
}

impl Limit {
    const ALL: [Self; 11] = [
        Self::MaxConnections,
        Self::MaxConnectionsPerUid,
        Self::MaxRequests,
        Self::MaxRequestsOfClient,
        Self::MaxLoad,
        Self::MaxLoadOfClient,
        Self::Heads,
        Self::Handshakes,
        Self::HeaderTimeout,
        Self::StallTimeout,
        Self::MinRate,
    ];

    fn labels(self, of: &ListenerLabel) -> LimitLabels {
        LimitLabels { listener: of.listener.clone(), limit: self.as_str() }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::MaxConnections => "max-connections",
            Self::MaxConnectionsPerUid => "max-connections-per-uid",
            Self::MaxRequests => "max-requests",
            Self::MaxRequestsOfClient => "max-requests of a client",
            Self::MaxLoad => "max-load",
            Self::MaxLoadOfClient => "max-load of a client",
            Self::Heads => "heads",
            Self::Handshakes => "handshakes",
            Self::HeaderTimeout => "header-timeout",
            Self::StallTimeout => "stall-timeout",
            Self::MinRate => "min-rate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(endpoint: Option<&'static str>, outcome: Outcome, status: u16) -> Finished {
        Finished {
            endpoint,
            outcome,
            status: Some(status),
            ended: Ended::Complete,
            bytes: 10,
            head_after: Some(Duration::from_millis(3)),
            duration: Duration::from_millis(4),
            was_forwarded: outcome == Outcome::Allowed,
        }
    }

    #[test]
    fn requests_are_counted_by_listener_endpoint_outcome_and_status() {
        let metrics = Metrics::new("1.2.3");
        let listener = metrics.listener("/x");
        listener.count(finished(Some("info"), Outcome::Allowed, 200));
        listener.count(finished(Some("info"), Outcome::Allowed, 200));
        listener.count(finished(None, Outcome::Denied, 404));
        let text = metrics.encode(MetricsFormat::PrometheusText);
        for line in [
            r#"docker_proxy_acl_requests_total{listener="/x",endpoint="info",outcome="allowed",status="200"} 2"#,
            r#"docker_proxy_acl_requests_total{listener="/x",endpoint="",outcome="denied",status="404"} 1"#,
            r#"docker_proxy_acl_response_bytes_total{listener="/x",endpoint="info"} 20"#,
            r#"docker_proxy_acl_request_duration_seconds_count{listener="/x",endpoint="info"} 2"#,
            r#"docker_proxy_acl_build_info{version="1.2.3"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(!text.contains(r#"seconds_count{listener="/x",endpoint=""}"#), "{text}");
    }

    #[test]
    fn open_metrics_say_where_they_end() {
        let metrics = Metrics::new("1.2.3");
        assert!(metrics.encode(MetricsFormat::OpenMetrics).ends_with("# EOF\n"));
        assert!(!metrics.encode(MetricsFormat::PrometheusText).contains("# EOF"));
    }

    #[test]
    fn what_is_kept_elsewhere_is_read_when_it_is_asked_for() {
        let mut metrics = Metrics::new("1.2.3");
        let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&count);
        metrics.add(Source::new("things", "Things", Kind::Counter, move || {
            let value: u64 = counted.load(std::sync::atomic::Ordering::Relaxed);
            vec![Sample::labelled([("kind", "odd")], value)]
        }));
        count.store(3, std::sync::atomic::Ordering::Relaxed);
        let text = metrics.encode(MetricsFormat::PrometheusText);
        assert!(text.contains("docker_proxy_acl_things_total{kind=\"odd\"} 3\n"), "{text}");
    }
}
