//! What a listener does with a request: ask policy, then the engine, or make up an answer.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, Uri, Version};
use hyper::body::Incoming;

use super::body::{Pending, ResponseBody};
use super::limits::{RequestLimitExceeded, RequestLimiter};
use super::rules::{ClientPolicy, Rules};
use super::state::ConnectionState;
use crate::filter::body::BodyError;
use crate::filter::lookup::{LookupError, NotShown};
use crate::filter::response::{Filter, Scope, Shown, Unfilterable};
use crate::http1::headers;
use crate::http1::health_probe::is_health_probe;
use crate::http1::synthetic::{ErrorPolicy, SyntheticResponse};
use crate::net::Peer;
use crate::policy::{Allowed, Denied, Endpoint, Origin, Reason, ResponseKind, Verdict};
use crate::telemetry::access_log::{AccessLogEntry, Client, Ended, Outcome};
use crate::telemetry::metrics::Limit;
use crate::upstream::body::UpstreamBody;
use crate::upstream::{Upstream, UpstreamError};

/// What a listener does with requests.
pub struct Service {
    rules: Rules,
    upstream: Arc<Upstream>,
    limiter: Arc<RequestLimiter>,
    errors: ErrorPolicy,
}

impl Service {
    /// Lets what `rules` allow through to `upstream`, so much at one time, shows what they show of the
    /// answers, and refuses the rest in the form that `errors` says.
    pub fn new(
        rules: Rules,
        upstream: Arc<Upstream>,
        limiter: Arc<RequestLimiter>,
        errors: ErrorPolicy,
    ) -> Self {
        Self { rules, upstream, limiter, errors }
    }

    /// What counts for a client.
    pub fn policy_of(&self, peer: &Peer) -> &Arc<ClientPolicy> {
        self.rules.of(peer)
    }

    /// Which form refusals have.
    pub fn errors(&self) -> ErrorPolicy {
        self.errors
    }

    /// Answers a request of a client that `rights` count for.
    pub async fn handle(
        &self,
        request: Request<Incoming>,
        client: &Client,
        rights: &ClientPolicy,
        state: &Arc<ConnectionState>,
    ) -> Response<ResponseBody> {
        let mut entry = Box::new(AccessLogEntry::begin(client, request.method(), request.uri()));
        entry.rule.clone_from(&rights.rule);
        let mut pending = Pending { entry, in_flight: state.begin(), permit: None };
        let uri = request.uri();
        match rights.policy.acl.authorize(request.method(), uri.path(), uri.query()) {
            Verdict::Allowed(allowed) => {
                if client.listener.is_learning() && !is_health_probe(&request) {
                    pending.entry.learn(&allowed);
                }
                match self.limiter.try_acquire(&client.peer, allowed.charge()) {
                    Ok(permit) => {
                        pending.permit = permit;
                        self.forward(&allowed, rights, &request, pending).await
                    }
                    Err(exceeded) => self.limit(exceeded, &allowed, &request, pending),
                }
            }
            Verdict::Denied(denied) => self.deny(&denied, &rights.policy.origin, &request, pending),
        }
    }

    async fn forward(
        &self,
        allowed: &Allowed<'_>,
        rights: &ClientPolicy,
        request: &Request<Incoming>,
        mut pending: Pending,
    ) -> Response<ResponseBody> {
        let filter = rights.filter.as_deref();
        pending.in_flight.expect(allowed.endpoint);
        pending.entry.forward(allowed.endpoint);
        pending.entry.note_left_out(&allowed.query.left_out);
        let Some(target) = allowed.target() else {
            pending.entry.outcome = Outcome::Rejected;
            pending.entry.ended = Ended::Complete;
            let format = self.errors.format(request.version());
            return synthetic(SyntheticResponse::target_too_long(format), pending);
        };
        let (target, scope) = match self.resolve(allowed, filter).await {
            Ok((resolved, scope)) => (resolved.unwrap_or(target), scope),
            Err(not_shown) => return self.not_shown(not_shown, pending),
        };
        let headers = request_headers(request.headers(), allowed.endpoint, filter);
        match self.upstream.get(target, &headers, allowed.endpoint.response).await {
            Ok(response) => self.show(response, allowed, filter, &scope, pending).await,
            Err(error) => self.fail(&error, pending),
        }
    }

    /// Answers for an engine that gives no answer.
    fn fail(&self, error: &UpstreamError, mut pending: Pending) -> Response<ResponseBody> {
        pending.entry.ended = Ended::UpstreamError;
        pending.entry.error = Some(format!("{error} (upstream {})", self.upstream.address()));
        pending.entry.hint = self.upstream.hint(error).map(str::to_owned);
        synthetic(upstream_error(error), pending)
    }

    /// What to ask for instead of what the client named, and what of the answer is left out for what it names,
    /// where not every object is shown.
    async fn resolve(
        &self,
        allowed: &Allowed<'_>,
        filter: Option<&Filter>,
    ) -> Result<(Option<Uri>, Scope), NotShown> {
        let Some(filter) = filter else { return Ok((None, Scope::default())) };
        // Boxed, because it is rare and large.
        let both = Box::pin(async {
            let target = filter.resolve(allowed).await?;
            Ok((target, filter.scope(allowed).await?))
        });
        let resolved = self.upstream.in_time(ResponseKind::Bounded, both).await;
        resolved.unwrap_or_else(|timeout| Err(NotShown::Undecided(LookupError::Upstream(timeout))))
    }

    fn not_shown(&self, not_shown: NotShown, mut pending: Pending) -> Response<ResponseBody> {
        match not_shown {
            NotShown::NoSuchObject(message) => {
                pending.entry.ended = Ended::Complete;
                pending.entry.error = Some("there is no such object, or it is not shown here".to_owned());
                synthetic(SyntheticResponse::no_such_object(&message), pending)
            }
            NotShown::Undecided(error) => {
                pending.entry.ended = Ended::UpstreamError;
                pending.entry.error = Some(error.to_string());
                let response = match &error {
                    LookupError::Upstream(error) => upstream_error(error),
                    error => SyntheticResponse::bad_gateway(error),
                };
                synthetic(response, pending)
            }
        }
    }

    /// Answers with what the view shows of the engine's answer.
    async fn show(
        &self,
        mut response: Response<UpstreamBody>,
        allowed: &Allowed<'_>,
        filter: Option<&Filter>,
        scope: &Scope,
        mut pending: Pending,
    ) -> Response<ResponseBody> {
        headers::strip_hop_by_hop(response.headers_mut());
        // The engine's version is its connection's; hyper sets that of the client's.
        *response.version_mut() = Version::HTTP_11;
        let shown = match filter {
            Some(filter) => {
                let shown = filter.show(response, allowed, scope);
                match self.upstream.in_time(allowed.endpoint.response, shown).await {
                    Ok(shown) => shown,
                    Err(timeout) => return self.fail(&timeout, pending),
                }
            }
            None => Ok(Shown::Whole(response)),
        };
        match shown {
            Ok(Shown::Whole(response)) => {
                pending.entry.head(response.status());
                response.map(|body| ResponseBody::upstream(body, pending))
            }
            Ok(Shown::Filtered(response)) => {
                pending.entry.head(response.status());
                response.map(|body| ResponseBody::filtered(body, pending))
            }
            Err(error) => {
                pending.entry.error = Some(error.to_string());
                pending.entry.ended = match &error {
                    Unfilterable::Body(BodyError::Upstream(_)) => Ended::UpstreamAborted,
                    _ => Ended::FilterFailed,
                };
                synthetic(SyntheticResponse::bad_gateway(error), pending)
            }
        }
    }

    fn deny(
        &self,
        denied: &Denied,
        origin: &Origin,
        request: &Request<Incoming>,
        mut pending: Pending,
    ) -> Response<ResponseBody> {
        let (method, format) = (request.method(), self.errors.format(request.version()));
        let reason = denied.public_reason();
        let (outcome, response) = match denied.reason {
            Reason::MethodNotAllowed => (Outcome::Denied, SyntheticResponse::only_get(format, reason)),
            Reason::Query(_) | Reason::Malformed(_) | Reason::EncodedSlash => {
                (Outcome::Rejected, SyntheticResponse::bad_request(format, reason))
            }
            Reason::NotAllowed(_) | Reason::DeniedPath(_) | Reason::UnknownPath => {
                (Outcome::Denied, SyntheticResponse::not_found(format, reason))
            }
        };
        pending.entry.endpoint = denied.endpoint.map(|endpoint| endpoint.name);
        pending.entry.outcome = outcome;
        pending.entry.ended = Ended::Complete;
        pending.entry.error = Some(denied.reason.to_string());
        pending.entry.hint = Some(denied.hint(method, origin));
        pending.entry.routine = is_health_probe(request) || denied.is_version_negotiation(method);
        synthetic(response, pending)
    }

    fn limit(
        &self,
        exceeded: RequestLimitExceeded,
        allowed: &Allowed<'_>,
        request: &Request<Incoming>,
        mut pending: Pending,
    ) -> Response<ResponseBody> {
        let format = self.errors.format(request.version());
        pending.entry.limit_reached(match exceeded {
            RequestLimitExceeded::Requests(_) => Limit::MaxRequests,
            RequestLimitExceeded::ClientRequests(_) => Limit::MaxRequestsOfClient,
            RequestLimitExceeded::Load(_) => Limit::MaxLoad,
            RequestLimitExceeded::ClientLoad(_) => Limit::MaxLoadOfClient,
        });
        pending.entry.endpoint = Some(allowed.endpoint.name);
        pending.entry.outcome = Outcome::Limited;
        pending.entry.ended = Ended::Complete;
        pending.entry.error = Some(exceeded.to_string());
        synthetic(SyntheticResponse::too_many_requests(format, exceeded), pending)
    }
}

fn request_headers<'a>(
    client: &'a HeaderMap,
    endpoint: &Endpoint,
    filter: Option<&Filter>,
) -> Cow<'a, HeaderMap> {
    match filter {
        Some(filter) if filter.rewrites(endpoint) => Cow::Owned(headers::without_content_codings(client)),
        _ => Cow::Borrowed(client),
    }
}

fn synthetic(response: SyntheticResponse, mut pending: Pending) -> Response<ResponseBody> {
    pending.entry.head(response.status());
    response.into_response().map(|body| ResponseBody::synthetic(body, pending))
}

fn upstream_error(error: &UpstreamError) -> SyntheticResponse {
    match error {
        UpstreamError::Timeout(_) => SyntheticResponse::gateway_timeout(error.public_message()),
        _ => SyntheticResponse::bad_gateway(error.public_message()),
    }
}
