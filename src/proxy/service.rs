//! A request's way: the ACL decides, the engine is asked or an answer made up, the log told.

use std::sync::Arc;
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;

use super::activity::{Activity, Busy};
use super::body::{Account, ReplyBody};
use super::client::Client;
use super::headers;
use super::replies::Reply;
use super::upstream::{Upstream, UpstreamError};
use crate::acl::{Acl, CanonicalPath, Decision, Endpoint};

/// How `docker-proxy-acl healthcheck` calls itself in `User-Agent`.
const HEALTHCHECK_AGENT: &str = "docker-proxy-acl-healthcheck";
/// All that it says to a listener.
pub const HEALTHCHECK_REQUEST: &str =
    "GET /_ping HTTP/1.0\r\nUser-Agent: docker-proxy-acl-healthcheck\r\n\r\n";

/// What a listener does with requests.
pub struct Service {
    acl: Arc<Acl>,
    upstream: Arc<Upstream>,
}

impl Service {
    /// Lets `acl` through to `upstream`.
    pub fn new(acl: Arc<Acl>, upstream: Arc<Upstream>) -> Self {
        Self { acl, upstream }
    }

    /// Answers a request.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        client: &Client,
        activity: &Arc<Activity>,
    ) -> Response<ReplyBody> {
        let busy = activity.begin();
        match self.acl.decide(request.method(), request.uri().path()) {
            Decision::Allow(endpoint, path) => self.relay(endpoint, &path, &request, client, busy).await,
            refusal => refuse(&refusal, &request, client, busy),
        }
    }

    async fn relay(
        &self,
        endpoint: &'static Endpoint,
        path: &CanonicalPath<'_>,
        request: &Request<Incoming>,
        client: &Client,
        busy: Busy,
    ) -> Response<ReplyBody> {
        let began = Instant::now();
        busy.expect(endpoint.answer);
        let Some(target) = target(path, request.uri().query()) else {
            return turn_down(Reply::target_too_long(), "no -a allows it", request, client, busy);
        };
        match self.upstream.get(target, request.headers(), endpoint.answer).await {
            Ok(answer) => {
                let account = tracing::enabled!(tracing::Level::DEBUG).then(|| Account {
                    client: client.clone(),
                    path: for_log(path.as_str()),
                    status: answer.status(),
                    began,
                    bytes: 0,
                });
                let (mut head, body) = answer.into_parts();
                headers::strip_hop_by_hop(&mut head.headers);
                // The engine's version is its connection's; hyper sets that of the client's.
                head.version = Version::HTTP_11;
                Response::from_parts(head, ReplyBody::relayed(body, account, busy))
            }
            Err(error) => {
                let reply = reply_to(&error);
                tracing::warn!(
                    status = reply.status().as_u16(),
                    path = for_log(path.as_str()),
                    client = %client.peer,
                    listener = %client.listener,
                    upstream = %self.upstream.address(),
                    way_out = self.upstream.way_out(&error),
                    "{error}"
                );
                made(reply, busy)
            }
        }
    }
}

fn refuse(
    refusal: &Decision<'_>,
    request: &Request<Incoming>,
    client: &Client,
    busy: Busy,
) -> Response<ReplyBody> {
    let reply = match refusal {
        Decision::OnlyGet(_) => Reply::only_get(),
        Decision::Malformed(problem) => Reply::malformed_path(*problem),
        _ => Reply::not_found(),
    };
    if asks_for_health(request) {
        tracing::debug!(client = %client.peer, listener = %client.listener, "asked for its health");
        return made(reply, busy);
    }
    turn_down(reply, &refusal.way_out(request.method()), request, client, busy)
}

/// Whether this is `docker-proxy-acl healthcheck`, for which any answer will do; its refusal every half
/// minute is no warning. Who pretends to be it hides that it was refused `/_ping`, and no more.
fn asks_for_health(request: &Request<Incoming>) -> bool {
    let agent = request.headers().get(header::USER_AGENT);
    request.uri().path() == "/_ping" && agent.is_some_and(|agent| agent == HEALTHCHECK_AGENT)
}

/// Gives an answer other than the engine's and tells the log.
fn turn_down(
    reply: Reply,
    way_out: &str,
    request: &Request<Incoming>,
    client: &Client,
    busy: Busy,
) -> Response<ReplyBody> {
    tracing::warn!(
        status = reply.status().as_u16(),
        method = %for_log(request.method().as_str()),
        path = for_log(request.uri().path()),
        client = %client.peer,
        listener = %client.listener,
        way_out,
        "refused"
    );
    made(reply, busy)
}

fn made(reply: Reply, busy: Busy) -> Response<ReplyBody> {
    reply.into_response().map(|body| ReplyBody::made(body, busy))
}

fn reply_to(error: &UpstreamError) -> Reply {
    match error {
        // What exactly is wrong between the proxy and the engine is the operator's matter.
        UpstreamError::Unreachable(_) => Reply::bad_gateway("the engine is out of reach"),
        UpstreamError::Tls(_) => Reply::bad_gateway("TLS to the engine failed"),
        UpstreamError::Broken(_) => Reply::bad_gateway("the engine broke off before its answer"),
        UpstreamError::SwitchedProtocols => Reply::bad_gateway("the engine wanted to switch protocols"),
        UpstreamError::Timeout(_) => Reply::gateway_timeout("the engine did not begin to answer in time"),
    }
}

/// A path or a method, which the gate lets be no more than visible ASCII, as a log line shows it: the
/// beginning says enough, and a client must not fill disks with one request.
fn for_log(text: &str) -> String {
    const MOST: usize = 1024;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What the engine is asked for: the canonical path and the query as it came. `None` if that is too
/// long: a canonical path may be up to three times as long as the one that was received.
fn target(path: &CanonicalPath<'_>, query: Option<&str>) -> Option<Uri> {
    let text = match query {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    };
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok().map(Uri::from)
}
