//! The proxy's side of TLS to the engine: whom it trusts, and what went wrong.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::cert::{CertError, CertifiedKey, root_store};
use super::chain::{self, BoundedVerifier};
use super::files::ClientFiles;
use super::handshake_limit::{HandshakeLimitExceeded, HandshakeLimited};
use super::reload::Reloadable;
use super::trigger::Reload;
use super::{ALPN, VERSIONS, provider};
use crate::net::Excerpt;

/// Makes the TLS handshake with the engine.
pub struct TlsConnector {
    name: ServerName<'static>,
    config: Arc<Reloadable<ClientConfig>>,
}

/// Why TLS to the engine failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The engine's certificate has expired.
    #[error("the engine's certificate has expired")]
    Expired,
    /// The engine's certificate is not valid yet.
    #[error("the engine's certificate is not valid yet")]
    NotYetValid,
    /// No trusted CA has signed the engine's certificate.
    #[error("the engine's certificate is of an unknown CA")]
    UnknownIssuer,
    /// The engine's certificate is for other names; those, if known.
    #[error("the engine's certificate is for other names{}", list(.0))]
    OtherName(Vec<String>),
    /// The engine's certificate is for clients.
    #[error("the engine's certificate is not for servers")]
    NotForServers,
    /// There is something else about the engine's certificate.
    #[error("the engine's certificate cannot be used: {0}")]
    Certificate(String),
    /// What listens there does not speak TLS.
    #[error("the engine does not speak TLS there; it may be plain HTTP")]
    NotTls,
    /// The engine sent an alert, such as for the certificate that it was shown or not shown.
    #[error("the engine refused the TLS connection: {0}")]
    AlertReceived(String),
    /// Anything else.
    #[error("TLS to the engine failed: {0}")]
    Other(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", Excerpt(names.join(", ").escape_debug())) }
}

impl TlsConnector {
    /// Reads the files; `host` is whom the engine's certificate must be for.
    ///
    /// # Errors
    /// [`CertError`], which names the file.
    pub fn load(files: &ClientFiles, host: &str) -> Result<Self, CertError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| CertError::InvalidServerName { path: files.ca.clone(), host: host.to_owned() })?;
        let again = files.clone();
        let config = Reloadable::new(files.paths(), move || configure(&again))?;
        Ok(Self { name, config: Arc::new(config) })
    }

    /// The certificates that can be reloaded.
    pub fn reloadable(&self) -> Arc<dyn Reload> {
        Arc::<Reloadable<ClientConfig>>::clone(&self.config)
    }

    /// Makes the handshake over a connection.
    ///
    /// # Errors
    /// [`ConnectError`], if the engine cannot be trusted or does not want to.
    pub async fn connect<S>(&self, stream: S) -> Result<TlsStream<HandshakeLimited<S>>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = tokio_rustls::TlsConnector::from(self.config.current());
        // Those with the one engine are few.
        let limited = HandshakeLimited::new(stream, Box::new(|_| true));
        let connected = connector.connect(self.name.clone(), limited).await;
        let mut stream = connected.map_err(|error| ConnectError::of(&error))?;
        stream.get_mut().0.lift();
        Ok(stream)
    }
}

fn configure(files: &ClientFiles) -> Result<ClientConfig, CertError> {
    let unusable = |error| CertError::unusable(&files.ca, error);
    let roots = Arc::new(root_store(&files.ca)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(unusable)?
        // Called dangerous, because it could verify nothing; this one verifies more than the usual.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BoundedVerifier::<dyn ServerCertVerifier>(verifier)));
    let mut config = match &files.key_pair {
        None => builder.with_no_client_auth(),
        Some(key_pair) => {
            let CertifiedKey { chain, key } = CertifiedKey::read(key_pair)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| CertError::unusable(&key_pair.cert, error))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

impl ConnectError {
    /// What TLS has to say of an error of the exchange: in TLS 1.3 an engine judges its client's
    /// certificate when the client thinks that the handshake is done.
    pub fn from_source(error: &hyper::Error) -> Option<Self> {
        let mut deeper: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = deeper {
            if let Some(io) = error.downcast_ref::<io::Error>()
                && let Some(tls) = tls_error(io)
            {
                return Some(Self::of_tls(tls));
            }
            deeper = error.source();
        }
        None
    }

    fn of(error: &io::Error) -> Self {
        match tls_error(error) {
            Some(error) => Self::of_tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Other("it closed the connection in the middle of the handshake".to_owned())
            }
            None => Self::Other(match HandshakeLimitExceeded::of(error) {
                Some(exceeded) => exceeded.to_string(),
                None => error.to_string(),
            }),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => Self::of_certificate(problem),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => Self::AlertReceived(format!("{alert:?}")),
            other => Self::Other(Excerpt(other).to_string()),
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // A bad signature is what a CA of the same name and another key comes down to.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName(presented.iter().map(|name| bare_name(name)).collect())
            }
            CertificateError::NotValidForName => Self::OtherName(Vec::new()),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForServers
            }
            other => Self::Certificate(chain::describe(other)),
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownIssuer => {
                Some("upstream-tlscacert (or ca.pem in DOCKER_CERT_PATH) must hold the CA that signed it")
            }
            Self::OtherName(_) => Some(
                "give upstream by a name or address of the certificate, or add this one to its subjectAltName",
            ),
            Self::NotTls => Some(
                "if the engine listens without TLS, unset DOCKER_TLS_VERIFY and what upstream-tls* names",
            ),
            Self::AlertReceived(_) => Some(
                "upstream-tlscert and upstream-tlskey must be a client certificate that the engine accepts",
            ),
            Self::NotYetValid => Some("set the clocks of both machines"),
            _ => None,
        }
    }
}

/// A name of a certificate as people write it: rustls gives it as `DnsName("...")`.
fn bare_name(name: &str) -> String {
    let quoted = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
    quoted.unwrap_or(name).to_owned()
}

/// tokio-rustls wraps its errors so; `source()` would skip them.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
