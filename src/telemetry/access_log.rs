//! The entry of a request: filled in on the request's way, and told when it has ended.
//!
//! That happens when it is dropped, so that there is exactly one whatever happens to the request: it is counted for
//! the metrics, written to the access log that has a line for each, and logged by its level. Of a client that makes many in a second, those that are worth a
//! warning become one line with a count.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode, Uri};
use tracing::Level;

use super::access_log_writer::Line;
use super::in_flight::InFlight;
use super::learning::Refused;
use super::metrics::{Finished, InFlightGauges, Limit};
pub use super::outcome::{Client, Outcome};
use super::refusals::{Counts, Logged, Refusals, Summary};
use crate::policy::{Allowed, Endpoint};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The whole answer was handed to the client.
    Complete,
    /// The client left first, or was disconnected.
    ClientAborted,
    /// The client was cut off because the configuration no longer lets it have the answer.
    Revoked,
    /// The client was cut off because it did not take its answer, or too slowly.
    ClientTooSlow,
    /// The engine gave no answer.
    UpstreamError,
    /// The engine broke off in the middle of its answer.
    UpstreamAborted,
    /// The answer, or the rest of it, could not be filtered and was not passed on.
    FilterFailed,
}

/// What is told of one request.
#[derive(Debug)]
pub struct AccessLogEntry {
    /// Who asked.
    client: Client,
    /// `None` if no head could be read.
    request: Option<(Method, Uri)>,
    /// The rule that counts for the client; `None` if what counts is the listener's own.
    pub rule: Option<Arc<str>>,
    /// The name in the catalog of what was asked for.
    pub endpoint: Option<&'static str>,
    /// Whether the engine is being asked for it, and how that is counted.
    in_flight: Option<(InFlight, Option<InFlightGauges>)>,
    /// What was decided.
    pub outcome: Outcome,
    /// The answer's status; `None` if there was none.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that were handed to the client.
    pub bytes: u64,
    /// How it ended.
    pub ended: Ended,
    /// What went wrong.
    pub error: Option<String>,
    /// What would change the outcome.
    pub hint: Option<String>,
    /// Names of query parameters that were not sent on.
    left_out: Option<String>,
    /// Whether it is worth no more than debug, although it was not allowed: what clients do by habit.
    pub routine: bool,
    /// Whether it is learnt that the client asked for this.
    is_learnt: bool,
    started_at: Instant,
    head_after: Option<Duration>,
}

impl AccessLogEntry {
    /// The entry of a request that begins now.
    pub fn begin(client: &Client, method: &Method, uri: &Uri) -> Self {
        Self::new(client, Some((method.clone(), uri.clone())), Outcome::Allowed)
    }

    /// The entry of a connection that ends without a request that could be read.
    pub fn without_request(client: &Client, outcome: Outcome) -> Self {
        Self::new(client, None, outcome)
    }

    fn new(client: &Client, request: Option<(Method, Uri)>, outcome: Outcome) -> Self {
        Self {
            client: client.clone(),
            request,
            rule: None,
            endpoint: None,
            in_flight: None,
            outcome,
            status: None,
            bytes: 0,
            ended: Ended::ClientAborted,
            error: None,
            hint: None,
            left_out: None,
            routine: false,
            is_learnt: false,
            started_at: Instant::now(),
            head_after: None,
        }
    }

    /// Has it learnt that the client is let through to this. At once, because a stream may have no end while
    /// somebody wants to know what was learnt.
    pub fn learn(&mut self, allowed: &Allowed<'_>) {
        if let Some(learning) = &self.client.listener.learning {
            learning.allowed(&self.client.peer, allowed);
            self.is_learnt = true;
        }
    }

    /// Notes that the engine is being asked for this endpoint.
    pub fn forward(&mut self, endpoint: &'static Endpoint) {
        self.endpoint = Some(endpoint.name);
        let gauges = self.client.listener.metrics.as_ref().map(|metrics| metrics.begin(endpoint));
        self.in_flight = Some((InFlight::begin(endpoint.name), gauges));
    }

    /// Counts the limit because of which it is refused.
    pub fn limit_reached(&self, limit: Limit) {
        self.client.listener.limit_reached(limit);
    }

    /// Notes that the answer's head is there.
    pub fn head(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.head_after = Some(self.started_at.elapsed());
    }

    /// Notes which parameters of its query were not sent on.
    pub fn note_left_out(&mut self, names: &[&str]) {
        if !names.is_empty() {
            self.left_out = Some(truncate(&names.join("&")).into_owned());
        }
    }

    /// Counts it, if anything is counted.
    fn count(&self) {
        let Some(metrics) = &self.client.listener.metrics else { return };
        metrics.count(Finished {
            endpoint: self.endpoint,
            outcome: self.outcome,
            status: self.status.map(|status| status.as_u16()),
            ended: self.ended,
            bytes: self.bytes,
            head_after: self.head_after,
            duration: self.started_at.elapsed(),
            was_forwarded: self.in_flight.is_some(),
        });
    }

    /// Has it learnt that it was refused, unless that is routine.
    fn learn_refusal(&self) {
        let Some(learning) = &self.client.listener.learning else { return };
        if self.outcome == Outcome::Allowed || self.routine {
            return;
        }
        let call = self.request.as_ref().map(|(method, uri)| (method, uri.path()));
        let is_get = call.is_some_and(|(method, _)| method == Method::GET);
        learning.refused(
            &self.client.peer,
            Refused {
                call,
                endpoint: self.endpoint,
                is_withheld: self.outcome == Outcome::Denied && is_get,
                is_counted: self.is_learnt,
                why: self.error.as_deref().unwrap_or_default(),
            },
        );
    }

    /// Writes its line of the access log that has one for each, if there is one.
    fn write(&self) {
        let Some(log) = &self.client.listener.access_log else { return };
        let peer = &self.client.peer;
        let method = self.request.as_ref().map(|(method, _)| truncate(method.as_str()));
        let path = self.request.as_ref().map(|(_, uri)| truncate(uri.path()));
        log.write(&Line {
            time: SystemTime::now(),
            listener: self.client.listener.name(),
            uid: peer.uid(),
            pid: peer.pid(),
            addr: peer.addr(),
            subject: peer.identity(),
            rule: self.rule.as_deref(),
            method: method.as_deref(),
            path: path.as_deref(),
            endpoint: self.endpoint,
            outcome: self.outcome.as_str(),
            status: self.status.map(|status| status.as_u16()),
            bytes: self.bytes,
            head_ms: self.head_after.map(fractional_millis),
            duration_ms: fractional_millis(self.started_at.elapsed()),
            ended: self.ended.as_str(),
            left_out: self.left_out.as_deref(),
            error: self.error.as_deref(),
        });
    }

    fn level(&self) -> Level {
        match (self.outcome, self.ended) {
            (
                Outcome::Allowed,
                Ended::UpstreamError | Ended::UpstreamAborted | Ended::FilterFailed | Ended::ClientTooSlow,
            ) => Level::WARN,
            (Outcome::Allowed, Ended::Complete | Ended::ClientAborted | Ended::Revoked) => Level::DEBUG,
            _ if self.routine => Level::DEBUG,
            (Outcome::Denied | Outcome::Rejected | Outcome::Limited, _) => Level::WARN,
        }
    }
}

/// Writes an entry at a level, which has to be a constant of the place where it is written.
macro_rules! write_entry {
    ($level:expr, $entry:expr) => {{
        let entry: &AccessLogEntry = $entry;
        let peer = &entry.client.peer;
        tracing::event!(
            target: "access",
            $level,
            status = entry.status.map(|status| status.as_u16()),
            method = entry.request.as_ref().map(|(method, _)| tracing::field::display(truncate(method.as_str()))),
            path = entry.request.as_ref().map(|(_, uri)| truncate(uri.path())).as_deref(),
            endpoint = entry.endpoint,
            bytes = entry.bytes,
            head_ms = entry.head_after.map(millis),
            duration_ms = millis(entry.started_at.elapsed()),
            ended = entry.ended.as_str(),
            client.uid = peer.uid(),
            client.pid = peer.pid(),
            client.addr = peer.addr().map(tracing::field::display),
            tls.subject = peer.identity().map(tracing::field::display),
            listener = %entry.client.listener,
            rule = entry.rule.as_deref(),
            left_out = entry.left_out,
            error = entry.error,
            hint = entry.hint,
            "{}",
            entry.outcome.as_str()
        );
    }};
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        self.count();
        self.learn_refusal();
        self.write();
        if self.level() == Level::WARN {
            let logged = refusals().note(&self.client, self.outcome, Instant::now());
            if logged == Logged::InFull {
                write_entry!(Level::WARN, self);
            }
        } else if tracing::enabled!(target: "access", Level::DEBUG) {
            write_entry!(Level::DEBUG, self);
        }
    }
}

/// How often [`write_summaries`] is to be called.
pub const SUMMARY_INTERVAL: Duration = Duration::from_secs(1);

/// Writes a line for each client some of whose requests got none of their own since the last time.
pub fn write_summaries() {
    let summaries = refusals().take_counted(Instant::now());
    for Summary { client, counts } in summaries {
        let Counts { denied, rejected, limited, failed } = counts;
        let some = |count: u64| (count > 0).then_some(count);
        let peer = client.as_ref().map(|client| &client.peer);
        tracing::warn!(
            target: "access",
            denied = some(denied),
            rejected = some(rejected),
            limited = some(limited),
            failed = some(failed),
            client.uid = peer.and_then(|peer| peer.uid()),
            client.pid = peer.and_then(|peer| peer.pid()),
            client.addr = peer.and_then(|peer| peer.addr()).map(tracing::field::display),
            tls.subject = peer.and_then(|peer| peer.identity()).map(tracing::field::display),
            listener = client.as_ref().map(|client| tracing::field::display(&client.listener)),
            "more requests than are logged one by one"
        );
    }
}

/// Those of the whole process, as the log is the whole process's.
fn refusals() -> MutexGuard<'static, Refusals> {
    static REFUSALS: LazyLock<Mutex<Refusals>> = LazyLock::new(Mutex::default);
    REFUSALS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ended {
    /// Every way but the good one.
    pub(super) const INCOMPLETE: [Self; 5] = [
        Self::ClientAborted,
        Self::ClientTooSlow,
        Self::UpstreamError,
        Self::UpstreamAborted,
        Self::FilterFailed,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientAborted => "client_aborted",
            Self::Revoked => "revoked",
            Self::ClientTooSlow => "client_too_slow",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamAborted => "upstream_aborted",
            Self::FilterFailed => "filter_failed",
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// Milliseconds, and microseconds behind the point.
fn fractional_millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A path or a method, which the head's parser lets be no more than visible ASCII, as a log line shows
/// it: the beginning says enough, and a client must not fill disks with one request.
fn truncate(text: &str) -> Cow<'_, str> {
    const MAX_LOG_CHARS: usize = 1024;
    if text.len() <= MAX_LOG_CHARS {
        return text.into();
    }
    match text.char_indices().nth(MAX_LOG_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::Peer;
    use crate::telemetry::listener::ListenerTelemetry;

    fn entry(outcome: Outcome, ended: Ended) -> AccessLogEntry {
        let listener = ListenerTelemetry::new("/x".into(), None, None, None);
        let client = Client { peer: Arc::new(Peer::process(7, 8)), listener };
        let mut entry = AccessLogEntry::without_request(&client, outcome);
        entry.ended = ended;
        entry
    }

    #[test]
    fn an_answer_that_the_engine_breaks_off_or_that_cannot_be_filtered_is_a_warning() {
        assert_eq!(entry(Outcome::Allowed, Ended::Complete).level(), Level::DEBUG);
        assert_eq!(entry(Outcome::Allowed, Ended::ClientAborted).level(), Level::DEBUG);
        assert_eq!(entry(Outcome::Allowed, Ended::UpstreamAborted).level(), Level::WARN);
        assert_eq!(entry(Outcome::Allowed, Ended::UpstreamError).level(), Level::WARN);
        assert_eq!(entry(Outcome::Allowed, Ended::FilterFailed).level(), Level::WARN);
        assert_eq!(entry(Outcome::Allowed, Ended::ClientTooSlow).level(), Level::WARN);
    }

    #[test]
    fn what_is_not_allowed_is_a_warning_unless_clients_do_it_by_habit() {
        for outcome in [Outcome::Denied, Outcome::Rejected, Outcome::Limited] {
            let mut entry = entry(outcome, Ended::Complete);
            assert_eq!(entry.level(), Level::WARN);
            entry.routine = true;
            assert_eq!(entry.level(), Level::DEBUG);
        }
    }

    #[test]
    fn long_paths_are_cut() {
        assert_eq!(truncate("/short"), "/short");
        assert_eq!(truncate(&"x".repeat(2000)), format!("{}...", "x".repeat(1024)));
    }
}
