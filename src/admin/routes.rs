//! What can be asked of the operator's listener: three paths, with GET.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::format;
use super::ready::Readiness;
use crate::telemetry::metrics::Metrics;

/// What is answered, and from what.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Whether the program is ready.
    pub readiness: Arc<Readiness>,
}

/// A path that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Metrics,
    Health,
    Ready,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            _ => None,
        }
    }
}

impl Routes {
    /// The answer to a request, of which the query does not count.
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let Some(route) = Route::of(path) else {
            return text(StatusCode::NOT_FOUND, "404 not found: there are /metrics, /health and /ready\n");
        };
        if method != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "405 only GET is allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        match route {
            Route::Metrics => self.metrics(headers),
            Route::Health => text(StatusCode::OK, "alive\n"),
            Route::Ready => match self.readiness.check().await {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let format = format::preferred(headers.get(ACCEPT).and_then(|value| value.to_str().ok()));
        let mut response = text(StatusCode::OK, self.metrics.encode(format));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        response
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
