//! The engine: how it is reached, asked, and what can go wrong with that.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use tokio::net::{TcpStream, UnixStream};

use super::answer::AnswerBody;
use super::exchange::{Connection, Stream, cause};
use super::headers;
use super::pool::Pool;
use crate::acl::Answer;
use crate::address::Address;
use crate::config::UpstreamConfig;
use crate::listener::tcp;
use crate::tls::{Connector, Failure, MaterialError, Refresh};

/// The engine behind the proxy.
pub struct Upstream {
    address: Address,
    host: HeaderValue,
    head_timeout: Option<Duration>,
    /// TLS, if it is spoken to a TCP address.
    tls: Option<Connector>,
    /// Whether its socket was mounted as a file, which goes stale when the engine restarts.
    mounted_as_file: bool,
    pool: Arc<Pool>,
}

/// Why there is no answer from the engine.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection.
    Unreachable(io::Error),
    /// No TLS over it, or not with each other.
    Tls(Failure),
    /// The connection ended before the answer's head, or that was no HTTP.
    Broken(hyper::Error),
    /// The head did not come in time.
    Timeout(Duration),
    /// It answered with 101, which only a tunnel could carry on.
    SwitchedProtocols,
}

impl Upstream {
    /// The engine at an address; nothing is connected yet.
    ///
    /// # Errors
    /// If there is to be TLS, and its files cannot be used.
    pub fn new(config: &UpstreamConfig) -> Result<Self, MaterialError> {
        let (mounted_as_file, host, tls) = match &config.address {
            Address::Unix(path) => (is_mount_point(path), HeaderValue::from_static("docker"), None),
            tcp @ Address::Tcp { host, .. } => {
                let tls = config.tls.as_ref().map(|files| Connector::load(files, host)).transpose()?;
                (false, authority(tcp), tls)
            }
        };
        Ok(Self {
            host,
            address: config.address.clone(),
            head_timeout: config.head_timeout,
            tls,
            mounted_as_file,
            pool: Arc::default(),
        })
    }

    /// What is to be kept fresh.
    pub fn material(&self) -> Option<Arc<dyn Refresh>> {
        self.tls.as_ref().map(Connector::material)
    }

    /// Asks the engine and waits for the head of its answer.
    ///
    /// A kept connection that turns out to be dead is replaced, which a GET allows (RFC 9110 section
    /// 9.2.2): the engine may have closed it in the moment that it was used.
    ///
    /// # Errors
    /// [`UpstreamError`] if there is no answer that could be relayed.
    pub async fn get(
        &self,
        target: Uri,
        client: &HeaderMap,
        answer: Answer,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let asked = self.ask(target, client);
        let response = match (self.head_timeout, answer) {
            (Some(limit), Answer::Finite) => {
                tokio::time::timeout(limit, asked).await.map_err(|_| UpstreamError::Timeout(limit))??
            }
            _ => asked.await?,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::SwitchedProtocols);
        }
        Ok(response)
    }

    /// Whether the engine can be connected to; the connection is kept for the first request.
    ///
    /// # Errors
    /// [`UpstreamError`] if not.
    pub async fn probe(&self) -> Result<(), UpstreamError> {
        self.pool.put(self.fresh().await?);
        Ok(())
    }

    /// Where the engine is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What to do about an error, where there is something.
    pub fn way_out(&self, error: &UpstreamError) -> Option<&'static str> {
        let error = match error {
            UpstreamError::Unreachable(error) => error,
            UpstreamError::Tls(failure) => return failure.way_out(),
            _ => return None,
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused if self.mounted_as_file => Some(
                "the engine has replaced its socket, and a socket that is mounted as a file stays the old one; \
                 mount its directory instead, or restart this container",
            ),
            io::ErrorKind::ConnectionRefused => Some("the engine does not run"),
            io::ErrorKind::NotFound => {
                Some("the engine does not run, or --upstream names another path than its socket's")
            }
            io::ErrorKind::PermissionDenied => {
                Some("run as root or in the group that owns the engine's socket")
            }
            _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                Some("raise the limit of open files (ulimit -n), or lower --max-connections")
            }
            _ => None,
        }
    }

    /// Closes connections that nobody used for a while; to be called now and then.
    pub fn tidy(&self) {
        self.pool.tidy();
    }

    async fn ask(&self, target: Uri, client: &HeaderMap) -> Result<Response<AnswerBody>, UpstreamError> {
        let request = || {
            let mut request = Request::new(Empty::<Bytes>::new());
            *request.uri_mut() = target.clone();
            *request.headers_mut() = headers::for_engine(client, &self.host);
            request
        };
        // Once only: a request that makes the engine close its connection must not be sent again on
        // every kept one.
        if let Some(kept) = self.pool.take()
            && let Ok(exchange) = kept.exchange(request()).await
        {
            return Ok(AnswerBody::of(exchange, &self.pool));
        }
        // Boxed, because it is rare, and large with a TLS handshake in it; it would be moved and kept
        // room for with every request.
        let fresh = Box::pin(self.fresh()).await?;
        let exchange = fresh.exchange(request()).await.map_err(UpstreamError::broken)?;
        Ok(AnswerBody::of(exchange, &self.pool))
    }

    async fn fresh(&self) -> Result<Connection, UpstreamError> {
        let stream = self.connect().await?;
        Connection::over(stream).await.map_err(UpstreamError::broken)
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, UpstreamError> {
        match &self.address {
            Address::Unix(path) => {
                Ok(Box::new(connect_unix(path).await.map_err(UpstreamError::Unreachable)?))
            }
            Address::Tcp { host, port } => {
                let connected = tokio::time::timeout(LONGEST_CONNECT, self.connect_tcp(host, *port));
                connected.await.unwrap_or_else(|_| {
                    let late = format!("no connection within {LONGEST_CONNECT:?}");
                    Err(UpstreamError::Unreachable(io::Error::new(io::ErrorKind::TimedOut, late)))
                })
            }
        }
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, UpstreamError> {
        let stream = TcpStream::connect((host, port)).await.map_err(UpstreamError::Unreachable)?;
        tcp::attend(&stream).map_err(UpstreamError::Unreachable)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => Ok(Box::new(tls.connect(stream).await.map_err(UpstreamError::Tls)?)),
        }
    }
}

/// For name, connection and handshake together.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// What `Host` says of a TCP address (RFC 9110 section 7.2).
fn authority(address: &Address) -> HeaderValue {
    let text = address.to_string();
    let authority = text.trim_start_matches("tcp://");
    HeaderValue::from_str(authority).expect("an address is made of visible characters")
}

/// Connects to a socket whose queue may be full for a moment: connect(2) says so with `EAGAIN`, and
/// no event tells when there is room.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 1..ATTEMPTS {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    UnixStream::connect(path).await
}

/// Whether something is mounted right at this path, by proc_pid_mountinfo(5).
fn is_mount_point(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|mount| Path::new(mount) == real)
}

impl UpstreamError {
    /// The connection broke; perhaps because TLS ended it.
    fn broken(error: hyper::Error) -> Self {
        match Failure::behind(&error) {
            Some(failure) => Self::Tls(failure),
            None => Self::Broken(error),
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "the engine is out of reach: {error}"),
            Self::Tls(failure) => failure.fmt(f),
            Self::Broken(error) => write!(f, "the engine broke off before its answer: {}", cause(error)),
            Self::Timeout(limit) => write!(f, "the engine did not begin to answer within {limit:?}"),
            Self::SwitchedProtocols => {
                write!(f, "the engine wanted to switch protocols, which is never relayed")
            }
        }
    }
}

impl std::error::Error for UpstreamError {}
