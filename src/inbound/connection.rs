//! One client's connection from its first byte to its last.
//!
//! hyper serves it while requests come. When none does for a moment, hyper and its buffers are dropped
//! and only the head reader waits, so that thousands of idle clients cost little.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::arrival_budget::{ArrivalBudget, ArrivalShare};
use super::head_reader::{CloseReason, HeadReader};
use super::pace::{Look, Pace, TooSlow};
use super::session::Session;
use crate::http1::head::{HeadError, MAX_HEAD_LEN, RequestLine};
use crate::http1::synthetic::SyntheticResponse;
use crate::http1::target;
use crate::net::DisconnectWatcher;
use crate::proxy::body::ResponseBody;
use crate::proxy::rules::ClientPolicy;
use crate::proxy::service::Service;
use crate::proxy::state::{ConnectionState, CutOff, Phase};
use crate::system::drain::Drain;
use crate::telemetry::access_log::{AccessLogEntry, Client, Ended, Outcome};
use crate::telemetry::metrics::Limit;

/// How long a connection must have been without a request until hyper is dropped. To have it back costs
/// a small part of a request (benches/README.md), and soon dropped means that its memory serves others, before
/// what stays of new clients is strewn among the buffers of many that have only just asked.
const IDLE_BEFORE_PARK: Duration = Duration::from_millis(4);
/// The same once its client has come back so soon after hyper was dropped: whoever asks again and again would wait
/// longer for each answer if hyper were dropped after it.
const IDLE_BEFORE_PARK_AGAIN: Duration = Duration::from_millis(20);
/// How soon to look again at a connection in the middle of an answer, or of a flush.
const RESPONDING_INTERVAL: Duration = Duration::from_millis(500);
/// How soon to look again at a connection with an answer that may never end.
const STREAMING_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that a connection needs besides its stream.
pub struct ConnectionContext {
    /// What counts for it.
    pub session: Session,
    /// Whose it is.
    pub client: Client,
    /// The memory for heads, which it shares with the listener's others.
    pub heads: Arc<ArrivalBudget>,
    /// The memory for TLS handshakes, likewise.
    pub handshakes: Arc<ArrivalBudget>,
    /// When the program ends.
    pub drain: Drain,
    /// When the client is gone.
    pub disconnect: DisconnectWatcher,
    /// When the client came: its first head's time runs from then, a TLS handshake included.
    pub accepted_at: Instant,
}

impl ConnectionContext {
    /// Waits until the program ends, and a connection with it on which nothing is asked. One that was made only
    /// just now is given a moment more: its client is about to ask, and would take the end for a refusal.
    pub(super) async fn ended_unasked(&self) {
        const FIRST_REQUEST: Duration = Duration::from_millis(500);
        self.drain.signaled().await;
        tokio::time::sleep_until((self.accepted_at + FIRST_REQUEST).into()).await;
    }
}

/// Serves a connection until the client, the program or an error ends it.
pub async fn serve_connection<S>(stream: S, mut context: ConnectionContext)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let share = ArrivalShare::new(Arc::clone(&context.heads), Arc::clone(&context.client.peer));
    let header_timeout = context.session.limits().header_timeout;
    let mut reader = HeadReader::new(stream, header_timeout, share);
    let mut timeout = header_timeout.saturating_sub(context.accepted_at.elapsed());
    let mut parked_at = None;
    loop {
        let next = tokio::select! {
            biased;
            next = reader.next_head(timeout) => next,
            () = context.ended_unasked() => return,
        };
        if let Err(reason) = next {
            // Boxed, like what follows: every idle connection would keep room for it.
            return Box::pin(close(reader, reason, &context)).await;
        }
        let idle_before_park = idle_before_park(parked_at.as_ref().map(Instant::elapsed));
        match Box::pin(serve_http1(reader, &mut context, idle_before_park)).await {
            Exit::Idle(idle) => reader = idle,
            Exit::Closed(reader, reason) => return Box::pin(close(reader, reason, &context)).await,
            Exit::Aborted => return,
        }
        timeout = context.session.limits().idle_timeout;
        parked_at = Some(Instant::now());
    }
}

/// How long a connection must be without a request until hyper is dropped, if it was for so long without hyper.
fn idle_before_park(parked: Option<Duration>) -> Duration {
    match parked {
        Some(parked) if parked < IDLE_BEFORE_PARK_AGAIN => IDLE_BEFORE_PARK_AGAIN,
        Some(_) | None => IDLE_BEFORE_PARK,
    }
}

/// Why hyper stopped serving.
enum Exit<S> {
    /// No request for a moment.
    Idle(HeadReader<S>),
    /// There will be no other request.
    Closed(HeadReader<S>, CloseReason),
    /// The client is gone, or is to be disconnected in the middle of an answer.
    Aborted,
}

async fn serve_http1<S>(
    reader: HeadReader<S>,
    context: &mut ConnectionContext,
    idle_before_park: Duration,
) -> Exit<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let state = Arc::new(ConnectionState::default());
    // Before any request is decided about: no reload in between goes unseen.
    let changed = context.session.changed(context.session.serving());
    let service = hyper::service::service_fn(|request| {
        respond(request, context.session.decide(&context.client.peer), context.client.clone(), state.clone())
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_LEN)
        .serve_connection(reader, service);
    let disconnected = context.disconnect.closed(|| state.phase() == Phase::Streaming);
    tokio::pin!(disconnected);
    let mut pace = Pace::new(context.session.limits().pace, look(context, &state));
    context.disconnect.set_write_size(pace.write_size());
    let next_look = tokio::time::sleep(idle_before_park);
    tokio::pin!(next_look);
    tokio::pin!(changed);
    let mut served = state.started();
    let mut finishing = false;
    loop {
        tokio::select! {
            biased;
            // To its end: hyper would leave what is not yet sent behind if it were not asked to shut down,
            // which the head reader takes for a flush.
            result = Pin::new(&mut connection) => match result {
                Ok(()) => break,
                Err(_) => return Exit::Aborted,
            },
            () = &mut disconnected => return Exit::Aborted,
            () = context.drain.signaled(), if !finishing => {
                if state.phase() == Phase::Streaming {
                    return Exit::Aborted;
                }
                finishing = true;
            }
            () = &mut changed => {
                let seen = context.session.serving();
                if is_revoked(context, &state) {
                    state.cut_off(CutOff::Revoked);
                    context.disconnect.discard_on_close();
                    return Exit::Aborted;
                }
                pace = Pace::new(seen.limits.pace, look(context, &state));
                changed.set(context.session.changed(seen));
            }
            () = &mut next_look => {
                if let Err(too_slow) = pace.observe(look(context, &state)) {
                    cut_off(too_slow, context, &state);
                    return Exit::Aborted;
                }
                context.disconnect.set_write_size(pace.write_size());
                // If it seems to have no room, the next turn of this loop tries.
                context.disconnect.retry_write();
                finishing |= state.phase() == Phase::Idle && state.started() == served && served > 0;
                served = state.started();
                let interval = match state.phase() {
                    Phase::Idle if !finishing => idle_before_park,
                    Phase::Idle | Phase::Responding => RESPONDING_INTERVAL,
                    Phase::Streaming => STREAMING_INTERVAL,
                };
                next_look.set(tokio::time::sleep(interval.min(pace.look_interval())));
            }
        }
        if finishing {
            // An idle connection ends at once, another after its answer.
            Pin::new(&mut connection).graceful_shutdown();
        }
    }
    let reader = connection.into_parts().io;
    match reader.close_reason() {
        Some(reason) => Exit::Closed(reader, reason),
        None if finishing && !context.drain.is_signaled() => Exit::Idle(reader),
        None => Exit::Closed(reader, CloseReason::Done),
    }
}

/// Whether the client is being given a stream that the configuration no longer lets it have.
fn is_revoked(context: &ConnectionContext, state: &ConnectionState) -> bool {
    let streamed = state.asked().filter(|_| state.phase() == Phase::Streaming);
    streamed.is_some_and(|endpoint| !context.session.still_allows(&context.client.peer, endpoint))
}

/// How far the connection has come.
fn look(context: &ConnectionContext, state: &ConnectionState) -> Look {
    Look {
        at: Instant::now(),
        progress: context.disconnect.write_progress(),
        phase: state.phase(),
        answers: state.started(),
    }
}

/// Has it said in the log why the connection ends, and its bytes thrown away.
fn cut_off(too_slow: TooSlow, context: &ConnectionContext, state: &ConnectionState) {
    context.client.listener.limit_reached(match too_slow {
        TooSlow::Stalled(_) => Limit::StallTimeout,
        TooSlow::BelowMinRate(_) => Limit::MinRate,
    });
    state.cut_off(CutOff::TooSlow(too_slow.to_string()));
    if state.phase() == Phase::Idle {
        // Only the end of an answer waits for the client, and its line is written.
        let mut entry = AccessLogEntry::without_request(&context.client, Outcome::Allowed);
        entry.ended = Ended::ClientTooSlow;
        entry.error = Some(too_slow.to_string());
    }
    context.disconnect.discard_on_close();
}

/// Boxed, because hyper gives a connection back only if its service's future may move.
type BoxedResponse = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

fn respond(
    request: Request<Incoming>,
    (service, rights): (Arc<Service>, Arc<ClientPolicy>),
    client: Client,
    state: Arc<ConnectionState>,
) -> BoxedResponse {
    Box::pin(async move { Ok(service.handle(request, &client, &rights, &state).await) })
}

/// Says why, where there is something to say, and closes in a way that the client still hears it.
async fn close<S>(reader: HeadReader<S>, reason: CloseReason, context: &ConnectionContext)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let response = match reason {
        // Nothing is left to throw away; over TLS it is said that the answer is whole.
        CloseReason::EndOfInput => {
            return in_linger_time(reader.into_stream().shutdown(), &context.drain).await;
        }
        CloseReason::Done => None,
        CloseReason::HeadError(error) => Some(reject(error, reader.request_line(), context)),
    };
    lingering_close(&mut reader.into_stream(), response, &context.drain).await;
}

/// The answer to what is no request, of which the log has what could be made out.
fn reject(error: HeadError, line: Option<RequestLine<'_>>, context: &ConnectionContext) -> SyntheticResponse {
    let version = line.as_ref().map_or(Version::HTTP_11, |line| line.version);
    let response =
        SyntheticResponse::head_error(context.session.serving().service.errors().format(version), error);
    let asked = line.and_then(|line| {
        let path = target::escape(line.path);
        Some((Method::from_bytes(line.method).ok()?, Uri::try_from(&*path).ok()?))
    });
    let (outcome, hint) = match error {
        HeadError::NoRoom => (Outcome::Limited, "a head of at most 2 KiB always has room"),
        _ => (Outcome::Rejected, "no -a allows it"),
    };
    match error {
        HeadError::NoRoom => context.client.listener.limit_reached(Limit::Heads),
        HeadError::Timeout => context.client.listener.limit_reached(Limit::HeaderTimeout),
        _ => {}
    }
    let mut entry = match asked {
        Some((method, path)) => AccessLogEntry::begin(&context.client, &method, &path),
        None => AccessLogEntry::without_request(&context.client, outcome),
    };
    entry.outcome = outcome;
    entry.head(response.status());
    entry.ended = Ended::Complete;
    entry.bytes = response.body_len();
    entry.error = Some(error.to_string());
    entry.hint = Some(hint.to_owned());
    response
}

/// Sends the last answer, if there is one, then throws away what the client is still sending, so that it
/// reads the answer: closed with unread bytes, a socket may take it away again (RFC 9112 section 9.6).
///
/// Until then the connection counts against its listener's limits.
pub(super) async fn lingering_close<S>(stream: &mut S, response: Option<SyntheticResponse>, drain: &Drain)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Until its next bytes.
    const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
    let last_answer = async {
        if let Some(response) = response {
            stream.write_all(&response.to_http1_bytes()).await?;
        }
        stream.shutdown().await?;
        while tokio::time::timeout(LINGER_TIMEOUT, discard(stream)).await?? > 0 {}
        io::Result::Ok(())
    };
    in_linger_time(last_answer, drain).await;
}

/// Does the last that there is to do with a connection, in the time that its client gets for it.
async fn in_linger_time(work: impl Future<Output = io::Result<()>>, drain: &Drain) {
    const LINGER_TIME: Duration = Duration::from_secs(30);
    /// Once the program ends.
    const DRAIN_TIME: Duration = Duration::from_secs(1);
    let program_ends = async {
        drain.signaled().await;
        tokio::time::sleep(DRAIN_TIME).await;
    };
    tokio::select! {
        biased;
        // Whatever goes wrong, the client is gone.
        _ = tokio::time::timeout(LINGER_TIME, work) => {}
        () = program_ends => {}
    }
}

/// Throws away what has come; how many bytes it was. While it waits it holds no buffer.
async fn discard<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut chunk = [MaybeUninit::uninit(); 16 * 1024];
        let mut space = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    })
    .await
}
