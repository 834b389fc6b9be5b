//! The engine: asking it over connections that are kept, and what can go wrong with that.

pub mod body;
pub mod connection;
mod connector;
mod error;
mod pool;
mod stale;
mod stats;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;

use crate::http1::headers;
use crate::net::Address;
use crate::policy::ResponseKind;
use crate::tls::{CertError, ClientFiles, Reload};
use body::UpstreamBody;
use connection::{Connection, NoBody};
use connector::Connector;
pub use error::{FileKind, UpstreamError};
use pool::Pool;
pub use stats::Stats;

/// Where the engine is and how long it is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where the engine listens.
    pub address: Address,
    /// How long it may take until the head of a bounded answer is there; `None` is without limit.
    pub response_header_timeout: Option<Duration>,
    /// What TLS to it needs; `None` is plain.
    pub tls: Option<ClientFiles>,
}

/// The engine behind the proxy.
pub struct Upstream {
    connector: Connector,
    host: HeaderValue,
    response_header_timeout: Option<Duration>,
    pool: Arc<Pool>,
    stats: Stats,
}

impl Upstream {
    /// How often [`Upstream::evict_idle`] is to be called.
    pub const EVICTION_INTERVAL: Duration = Pool::IDLE_TIMEOUT.checked_div(2).expect("two is not zero");

    /// The engine at an address; nothing is connected yet.
    ///
    /// # Errors
    /// If there is to be TLS, and its files cannot be used.
    pub fn new(config: &UpstreamConfig) -> Result<Self, CertError> {
        Ok(Self {
            connector: Connector::new(&config.address, config.tls.as_ref())?,
            host: host(&config.address),
            response_header_timeout: config.response_header_timeout,
            pool: Arc::default(),
            stats: Stats::default(),
        })
    }

    /// The certificates that can be reloaded.
    pub fn reloadable(&self) -> Option<Arc<dyn Reload>> {
        self.connector.reloadable()
    }

    /// Sends a GET and waits for the head of its answer.
    ///
    /// A kept connection that turns out to be dead is replaced, which a GET allows (RFC 9110 section
    /// 9.2.2): the engine may have closed it, or said that it would, in the moment that it was used.
    ///
    /// # Errors
    /// [`UpstreamError`] if there is no answer that could be relayed.
    pub async fn get(
        &self,
        target: Uri,
        client_headers: &HeaderMap,
        kind: ResponseKind,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let response = self.in_time(kind, self.send(target, client_headers)).await??;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.stats.note_error(UpstreamError::SwitchingProtocols));
        }
        Ok(response)
    }

    /// Does what has to be done before an answer's head can go on, in the time that the engine has for its own.
    ///
    /// # Errors
    /// [`UpstreamError::Timeout`].
    pub async fn in_time<T>(
        &self,
        kind: ResponseKind,
        work: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        match (self.response_header_timeout, kind) {
            (Some(limit), ResponseKind::Bounded) => {
                let late = |_| self.stats.note_error(UpstreamError::Timeout(limit));
                tokio::time::timeout(limit, work).await.map_err(late)
            }
            _ => Ok(work.await),
        }
    }

    /// Whether the engine can be connected to; the connection is kept for the first request.
    ///
    /// # Errors
    /// [`UpstreamError`] if not.
    pub async fn probe(&self) -> Result<(), UpstreamError> {
        self.pool.checkin(self.connect().await?);
        Ok(())
    }

    /// Whether the engine answers, asked as a request is: in the time that one gets, but at most so long.
    ///
    /// # Errors
    /// Why not, for whoever runs the proxy.
    pub async fn ping(&self, limit: Duration) -> Result<(), String> {
        let no_headers = HeaderMap::new();
        let sent = self.get(Uri::from_static("/_ping"), &no_headers, ResponseKind::Bounded);
        match tokio::time::timeout(limit, sent).await {
            Ok(Ok(answer)) if answer.status() == StatusCode::OK => {
                // To its end, so that its connection can be used again; how it ends makes no difference.
                let _ = tokio::time::timeout(limit, answer.into_body().collect()).await;
                Ok(())
            }
            Ok(Ok(answer)) => Err(format!("it answered '{}' to /_ping", answer.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {}", humantime::format_duration(limit))),
        }
    }

    /// What happened with connections so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many connections wait for the next request.
    pub fn idle_connections(&self) -> usize {
        self.pool.len()
    }

    /// Where the engine is.
    pub fn address(&self) -> &Address {
        self.connector.address()
    }

    /// What to do about an error, where there is something.
    pub fn hint(&self, error: &UpstreamError) -> Option<&'static str> {
        error.hint(self.connector.is_mounted_file())
    }

    /// Closes connections that nobody used for a while.
    pub fn evict_idle(&self) {
        self.pool.evict_idle(Instant::now());
    }

    async fn send(
        &self,
        target: Uri,
        client_headers: &HeaderMap,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let request = || {
            let mut request = Request::new(NoBody::new());
            *request.uri_mut() = target.clone();
            *request.headers_mut() = headers::for_upstream(client_headers, &self.host);
            request
        };
        // Once only: a request that makes the engine close its connection must not be sent again on
        // every kept one.
        if let Some(kept) = self.pool.checkout() {
            match kept.send_again(request()).await {
                Ok(pending) if !ends_idle_connection(pending.response.status()) => {
                    self.stats.note_reused();
                    return Ok(UpstreamBody::response(pending, &self.pool));
                }
                _ => self.stats.note_stale(),
            }
        }
        // Boxed, because it is rare, and large with a TLS handshake in it; it would be moved and kept
        // room for with every request.
        let sent = async {
            let connection = Box::pin(self.connect()).await?;
            connection.send(request()).await.map_err(UpstreamError::from_hyper)
        };
        let pending = sent.await.map_err(|error| self.stats.note_error(error))?;
        Ok(UpstreamBody::response(pending, &self.pool))
    }

    async fn connect(&self) -> Result<Connection, UpstreamError> {
        let (stream, stale_check) = self.connector.connect().await?;
        let connection = Connection::handshake(stream, stale_check).await;
        self.stats.note_connected();
        connection.map_err(UpstreamError::from_hyper)
    }
}

/// Whether an answer on a kept connection says that it was idle for too long. It may have been on its way
/// when the request was sent, and is no answer to that (RFC 9110 section 15.5.9).
fn ends_idle_connection(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT
}

/// What `Host` says of an address (RFC 9110 section 7.2).
fn host(address: &Address) -> HeaderValue {
    match address {
        Address::Unix(_) => HeaderValue::from_static("docker"),
        Address::Tcp { .. } => {
            let text = address.to_string();
            let authority = text.trim_start_matches("tcp://");
            HeaderValue::from_str(authority).expect("an address is made of visible characters")
        }
    }
}
