//! Which figures of other rooms become metrics, and under which names: those rooms count, and know nothing of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::filter::stats::Stats as FilterStats;
use crate::system::usage::ProcessUsage;
use crate::telemetry::access_log_writer::AccessLogWriter;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::{Figure, Kind, Metrics, Sample, Source};
use crate::tls::Reload;
use crate::upstream::Upstream;

/// What was filtered for a listener, by its name.
pub type Filtered = Vec<(Arc<str>, Arc<FilterStats>)>;

/// Adds what the connections to the engine came to.
pub fn add_upstream(metrics: &mut Metrics, upstream: &Arc<Upstream>) {
    let reading = |read: fn(&Upstream) -> u64| {
        let upstream = Arc::clone(upstream);
        move || Sample::alone(read(&upstream))
    };
    metrics.add(Source::new(
        "upstream_connections",
        "Connections made to the engine",
        Kind::Counter,
        reading(|upstream| upstream.stats().connected()),
    ));
    metrics.add(Source::new(
        "upstream_reuses",
        "Requests to the engine that went over a connection that was kept",
        Kind::Counter,
        reading(|upstream| upstream.stats().reused()),
    ));
    metrics.add(Source::new(
        "upstream_stale_connections",
        "Kept connections to the engine that were of no use any more when they were needed",
        Kind::Counter,
        reading(|upstream| upstream.stats().stale()),
    ));
    metrics.add(Source::new(
        "upstream_idle_connections",
        "Connections to the engine that are kept for the next request",
        Kind::Gauge,
        reading(|upstream| upstream.idle_connections() as u64),
    ));
    let upstream = Arc::clone(upstream);
    metrics.add(Source::new(
        "upstream_errors",
        "Requests to the engine without an answer that could be passed on",
        Kind::Counter,
        move || {
            let errors = upstream.stats().errors();
            errors.map(|(kind, count)| Sample::labelled([("kind", kind)], count)).collect()
        },
    ));
}

/// Adds what filtering came to, of the listeners that have a view.
pub fn add_filters(metrics: &mut Metrics, filtered: Filtered) {
    if filtered.is_empty() {
        return;
    }
    let filtered = Arc::new(filtered);
    let reading = |read: fn(&FilterStats) -> u64| {
        let filtered = Arc::clone(&filtered);
        move || {
            let sample = |(listener, stats): &(Arc<str>, Arc<FilterStats>)| {
                Sample::labelled([("listener", listener.as_ref())], read(stats))
            };
            filtered.iter().map(sample).collect()
        }
    };
    let bytes = Source::new(
        "filtered",
        "Bytes of the engine's answers that were filtered",
        Kind::Counter,
        reading(FilterStats::bytes),
    );
    metrics.add(bytes.in_bytes());
    metrics.add(Source::new(
        "redacted_values",
        "Values that were replaced or taken out of answers",
        Kind::Counter,
        reading(FilterStats::redacted),
    ));
    metrics.add(Source::new(
        "hidden_items",
        "Items of lists, references and events that were left out of answers",
        Kind::Counter,
        reading(FilterStats::hidden),
    ));
    metrics.add(Source::new(
        "filter_failures",
        "Answers that could not be filtered and were not passed on, or not to their end",
        Kind::Counter,
        reading(FilterStats::failures),
    ));
}

/// Adds how many lines of the logs were lost.
pub fn add_logs(metrics: &mut Metrics, log: &Log, access_log: Option<&AccessLogWriter>) {
    let (log, access_log) = (log.clone(), access_log.cloned());
    metrics.add(Source::new(
        "log_lines_dropped",
        "Lines of a log that were lost because there was no room for them, or they could not be written",
        Kind::Counter,
        move || {
            let access_log = access_log.iter().map(|log| ("access_log", log.dropped()));
            let logs = std::iter::once(("log", log.dropped())).chain(access_log);
            logs.map(|(log, dropped)| Sample::labelled([("log", log)], dropped)).collect()
        },
    ));
}

/// Adds when certificates expire.
pub fn add_certificates(metrics: &mut Metrics, certificates: Vec<Arc<dyn Reload>>) {
    if certificates.is_empty() {
        return;
    }
    let read = move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let expiries = certificates.iter().flat_map(|certificate| certificate.expiries());
        // Several listeners may have the same file.
        let by_file: BTreeMap<PathBuf, i64> = expiries.map(|expiry| (expiry.path, expiry.at)).collect();
        let left = |(path, at): (PathBuf, i64)| {
            Sample::labelled([("file", path.display().to_string())], at as f64 - now)
        };
        by_file.into_iter().map(left).collect()
    };
    let source = Source::new(
        "certificate_expires_in",
        "Time until the first certificate of a file expires, less than zero once it has",
        Kind::Gauge,
        read,
    );
    metrics.add(source.in_seconds());
}

/// Adds what the process takes of its machine, under the names that Prometheus's own libraries have for it.
pub fn add_process(metrics: &mut Metrics, usage: ProcessUsage) {
    // One at a time reads the list of descriptors.
    let usage = Arc::new(Mutex::new(usage));
    let reading = |read: fn(&ProcessUsage) -> Option<Figure>| {
        let usage = Arc::clone(&usage);
        move || {
            let value = read(&usage.lock().unwrap_or_else(PoisonError::into_inner));
            value.map(Sample::alone).unwrap_or_default()
        }
    };
    let resident = reading(|usage| usage.resident_bytes().map(Figure::Whole));
    let cpu = reading(|usage| Some(Figure::Fraction(usage.cpu_seconds())));
    let started_at = reading(|usage| Some(Figure::Fraction(usage.started_at())));
    let open = reading(|usage| usage.open_descriptors().map(Figure::Whole));
    let most = reading(|usage| usage.max_descriptors().map(Figure::Whole));
    for source in [
        Source::new("process_cpu", "Processor time of the process", Kind::Counter, cpu).in_seconds(),
        Source::new("process_resident_memory", "Resident set size", Kind::Gauge, resident).in_bytes(),
        Source::new("process_start_time", "When the process started, since 1970", Kind::Gauge, started_at)
            .in_seconds(),
        Source::new("process_open_fds", "Open file descriptors", Kind::Gauge, open),
        Source::new("process_max_fds", "Most file descriptors that may be open", Kind::Gauge, most),
    ] {
        metrics.add_common(source);
    }
}
