//! One client's connection from its first byte to its last.
//!
//! hyper serves it while requests come. When none does for a moment, hyper and its buffers go and only
//! the gate waits, so that thousands of idle clients cost little.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::activity::{Activity, Doing};
use super::body::ReplyBody;
use super::client::Client;
use super::gate::{Ending, Gate};
use super::head::MAX_HEAD_LEN;
use super::replies::Reply;
use super::service::Service;
use crate::config::Limits;
use crate::listener::socket::Watch;
use crate::shutdown::Shutdown;

/// How long a connection must have been without a request until hyper goes. To have it come back costs
/// a small part of a request (benches/README.md), and soon gone means that its memory serves others.
const QUIET: Duration = Duration::from_millis(20);
/// How soon to look again at a connection in the middle of an answer.
const ANSWERING: Duration = Duration::from_millis(500);
/// How soon to look again at a connection with an answer that may never end.
const STREAMING: Duration = Duration::from_secs(30);

/// Everything that a connection needs besides its stream.
pub struct Context {
    /// What answers its requests.
    pub service: Arc<Service>,
    /// Whose it is.
    pub client: Client,
    /// What it may take.
    pub limits: Limits,
    /// When the program ends.
    pub shutdown: Shutdown,
    /// When the client is gone.
    pub watch: Watch,
    /// When the client came: its first head's time runs from then, a TLS handshake included.
    pub came: Instant,
}

/// Serves a connection until the client, the program or an error ends it.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, mut context: Context) {
    let mut gate = Gate::new(stream, context.limits.header_timeout);
    let mut patience = context.limits.header_timeout.saturating_sub(context.came.elapsed());
    loop {
        let next = tokio::select! {
            next = gate.next_head(patience) => next,
            () = context.shutdown.begun() => return,
        };
        if let Err(ending) = next {
            return part(gate, ending, &context.client).await;
        }
        match Box::pin(converse(gate, &mut context)).await {
            Pause::Quiet(quiet) => gate = quiet,
            Pause::Ended(gate, ending) => return part(gate, ending, &context.client).await,
            Pause::Cut => return,
        }
        patience = context.limits.idle_timeout;
    }
}

/// Why hyper stopped serving.
enum Pause<S> {
    /// No request for a moment.
    Quiet(Gate<S>),
    /// There will be no other request.
    Ended(Gate<S>, Ending),
    /// The client is gone, or is to be sent away in the middle of an answer.
    Cut,
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(gate: Gate<S>, context: &mut Context) -> Pause<S> {
    let activity = Arc::new(Activity::default());
    let service = hyper::service::service_fn(|request| {
        answer(request, context.service.clone(), context.client.clone(), activity.clone())
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_LEN)
        .serve_connection(gate, service);
    let gone = context.watch.gone(|| activity.expected());
    tokio::pin!(gone);
    let look = tokio::time::sleep(QUIET);
    tokio::pin!(look);
    let mut served = activity.begun();
    let mut quiet = false;
    loop {
        tokio::select! {
            biased;
            // To its end: hyper would leave what is not yet sent behind if it were not asked to shut down,
            // which the gate takes for a flush.
            result = Pin::new(&mut connection) => match result {
                Ok(()) => break,
                Err(_) => return Pause::Cut,
            },
            () = &mut gone => return Pause::Cut,
            () = context.shutdown.begun(), if !quiet => {
                if activity.doing() == Doing::Streaming {
                    return Pause::Cut;
                }
                quiet = true;
            }
            () = &mut look, if !quiet => {
                quiet = activity.doing() == Doing::Nothing && activity.begun() == served && served > 0;
                served = activity.begun();
                let pause = match activity.doing() {
                    Doing::Nothing => QUIET,
                    Doing::Answering => ANSWERING,
                    Doing::Streaming => STREAMING,
                };
                look.set(tokio::time::sleep(pause));
            }
        }
        if quiet {
            // An idle connection ends at once, another after its answer.
            Pin::new(&mut connection).graceful_shutdown();
        }
    }
    let gate = connection.into_parts().io;
    match gate.ending() {
        Some(ending) => Pause::Ended(gate, ending),
        None if quiet && !context.shutdown.has_begun() => Pause::Quiet(gate),
        None => Pause::Ended(gate, Ending::Done),
    }
}

/// A boxed answer, because hyper gives a connection back only if its service's future may move.
type Answering = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>> + Send>>;

fn answer(
    request: Request<Incoming>,
    service: Arc<Service>,
    client: Client,
    activity: Arc<Activity>,
) -> Answering {
    Box::pin(async move { Ok(service.answer(request, &client, &activity).await) })
}

/// Says why, where there is something to say, and closes in a way that the client still hears it.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(gate: Gate<S>, ending: Ending, client: &Client) {
    let mut stream = gate.into_stream();
    if let Ending::Malformed(problem) = ending {
        let reply = Reply::malformed_head(problem);
        tracing::warn!(
            status = reply.status().as_u16(),
            client = %client.peer,
            listener = %client.listener,
            way_out = "no -a allows it",
            "refused: {problem}"
        );
        linger(&mut stream, Some(reply)).await;
    } else {
        linger(&mut stream, None).await;
    }
}

/// Sends last words, then reads what the client is still sending: closed with unread bytes, a socket
/// may take the answer away from the client again.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, last_words: Option<Reply>) {
    const TIME: Duration = Duration::from_secs(1);
    const MOST: u64 = 1024 * 1024;
    let farewell = async {
        if let Some(reply) = last_words {
            stream.write_all(&reply.into_last_words()).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await
    };
    // Whatever goes wrong, the client is gone.
    let _ = tokio::time::timeout(TIME, farewell).await;
}
