//! The families that are counted in this room, with their labels. `docs/metrics.md` lists them all.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper ends of the histogram of times until an answer's head, in seconds.
const HEAD_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
/// Upper ends of that of whole durations, in seconds; streams may last for hours.
const DURATION_BUCKETS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0, 600.0, 3600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListenerLabel {
    pub listener: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndpointLabels {
    pub listener: Arc<str>,
    pub endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub listener: Arc<str>,
    pub endpoint: &'static str,
    pub outcome: &'static str,
    pub status: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndedLabels {
    pub listener: Arc<str>,
    pub ended: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LimitLabels {
    pub listener: Arc<str>,
    pub limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    pub listener: Arc<str>,
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// The families; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub(super) struct Families {
    pub requests: Family<RequestLabels, Counter>,
    pub requests_incomplete: Family<EndedLabels, Counter>,
    pub head: Family<EndpointLabels, Histogram>,
    pub duration: Family<EndpointLabels, Histogram>,
    pub bytes: Family<EndpointLabels, Counter>,
    pub requests_in_flight: Family<ListenerLabel, Gauge>,
    pub streams: Family<ListenerLabel, Gauge>,
    pub connections: Family<ListenerLabel, Counter>,
    pub connections_open: Family<ListenerLabel, Gauge>,
    pub limits_reached: Family<LimitLabels, Counter>,
    pub tls_handshakes: Family<ResultLabels, Counter>,
}

impl Families {
    /// Makes them known to the registry.
    pub fn register(registry: &mut Registry, version: &'static str) -> Self {
        let families = Self::new();
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version }).set(1);
        registry.register("build_info", "The program that runs, as labels", build);
        families.register_requests(registry);
        families.register_clients(registry);
        families
    }

    fn new() -> Self {
        Self {
            requests: Family::default(),
            requests_incomplete: Family::default(),
            head: Family::new_with_constructor(|| Histogram::new(HEAD_BUCKETS)),
            duration: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            bytes: Family::default(),
            requests_in_flight: Family::default(),
            streams: Family::default(),
            connections: Family::default(),
            connections_open: Family::default(),
            limits_reached: Family::default(),
            tls_handshakes: Family::default(),
        }
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests that have ended, as the access log has them",
            self.requests.clone(),
        );
        registry.register(
            "requests_incomplete",
            "Requests that the engine was asked for and whose answer did not reach the client whole",
            self.requests_incomplete.clone(),
        );
        registry.register_with_unit(
            "response_head",
            "Time from a request to the head of its answer, where the engine was asked",
            Unit::Seconds,
            self.head.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request to the end of its answer, where the engine was asked",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "response",
            "Bytes of answers' bodies that were handed to clients, where the engine was asked",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that the engine is being asked for, streams included",
            self.requests_in_flight.clone(),
        );
        registry.register(
            "streams",
            "Answers in flight that may never end, such as events",
            self.streams.clone(),
        );
    }

    fn register_clients(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that clients made", self.connections.clone());
        registry.register("connections_open", "Connections of clients", self.connections_open.clone());
        registry.register(
            "limits_reached",
            "What was refused or cut off because of a limit",
            self.limits_reached.clone(),
        );
        registry.register("tls_handshakes", "TLS handshakes with clients", self.tls_handshakes.clone());
    }
}
