//! The proxy's end of TLS to the engine: whom it trusts, and what went wrong.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::files::ClientFiles;
use super::material::{Identity, MaterialError, authorities};
use super::reload::{Refresh, Rotating};
use super::{ALPN, VERSIONS, provider};

/// Shakes hands with the engine.
pub struct Connector {
    name: ServerName<'static>,
    config: Arc<Rotating<ClientConfig>>,
}

/// Why TLS to the engine failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The engine's certificate is over.
    Expired,
    /// The engine's certificate is of a time to come.
    NotYetValid,
    /// The engine's certificate is of a CA that is not trusted.
    UnknownCa,
    /// The engine's certificate is for other names; those, if known.
    OtherName(Vec<String>),
    /// The engine's certificate is for clients.
    NotForServers,
    /// There is something else about the engine's certificate.
    Certificate(String),
    /// What listens there does not speak TLS.
    NotTls,
    /// The engine sent an alert, such as for the certificate that it was shown or not shown.
    RefusedUs(String),
    /// Anything else.
    Other(String),
}

impl Connector {
    /// Reads the files; `host` is whom the engine's certificate must be for.
    ///
    /// # Errors
    /// [`MaterialError`], which names the file.
    pub fn load(files: &ClientFiles, host: &str) -> Result<Self, MaterialError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| MaterialError::not_a_name(&files.ca, host))?;
        let again = files.clone();
        let config = Rotating::new(files.paths(), move || configure(&again))?;
        Ok(Self { name, config: Arc::new(config) })
    }

    /// What is to be kept fresh.
    pub fn material(&self) -> Arc<dyn Refresh> {
        Arc::<Rotating<ClientConfig>>::clone(&self.config)
    }

    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// [`Failure`], if the engine cannot be trusted or does not want to.
    pub async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let connector = TlsConnector::from(self.config.current());
        connector.connect(self.name.clone(), stream).await.map_err(|error| Failure::of(&error))
    }
}

fn configure(files: &ClientFiles) -> Result<ClientConfig, MaterialError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| MaterialError::unusable(&files.ca, error))?
        .with_root_certificates(authorities(&files.ca)?);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let Identity { chain, key } = Identity::read(identity)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| MaterialError::unusable(&identity.cert, error))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

impl Failure {
    /// What TLS has to say of an error of the exchange: in TLS 1.3 an engine judges its client's
    /// certificate when the client thinks that the handshake is done.
    pub fn behind(error: &hyper::Error) -> Option<Self> {
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
            None => Self::Other(error.to_string()),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => Self::of_certificate(problem),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => Self::RefusedUs(format!("{alert:?}")),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // A bad signature is what a CA of the same name and another key comes down to.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::NotValidForNameContext { presented, .. } => Self::OtherName(presented.clone()),
            CertificateError::NotValidForName => Self::OtherName(Vec::new()),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForServers
            }
            other => Self::Certificate(other.to_string()),
        }
    }

    /// What to do about it, where there is something.
    pub fn way_out(&self) -> Option<&'static str> {
        match self {
            Self::UnknownCa => {
                Some("--upstream-tlscacert (or ca.pem in DOCKER_CERT_PATH) must hold the CA that signed it")
            }
            Self::OtherName(_) => Some(
                "give --upstream by a name or address of the certificate, or add this one to its subjectAltName",
            ),
            Self::NotTls => Some(
                "if the engine listens without TLS, unset DOCKER_TLS_VERIFY and the --upstream-tls flags",
            ),
            Self::RefusedUs(_) => Some(
                "--upstream-tlscert and --upstream-tlskey must be a client certificate that the engine accepts",
            ),
            Self::NotYetValid => Some("set the clocks of both machines"),
            _ => None,
        }
    }
}

/// tokio-rustls wraps its errors so; `source()` would skip them.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => write!(f, "the engine's certificate has expired"),
            Self::NotYetValid => write!(f, "the engine's certificate is not valid yet"),
            Self::UnknownCa => write!(f, "the engine's certificate is of an unknown CA"),
            Self::OtherName(names) if names.is_empty() => {
                write!(f, "the engine's certificate is for other names")
            }
            Self::OtherName(names) => {
                write!(f, "the engine's certificate is for other names: {}", names.join(", ").escape_debug())
            }
            Self::NotForServers => write!(f, "the engine's certificate is not for servers"),
            Self::Certificate(problem) => write!(f, "the engine's certificate cannot be used: {problem}"),
            Self::NotTls => write!(f, "the engine does not speak TLS there; it may be plain HTTP"),
            Self::RefusedUs(alert) => write!(f, "the engine refused the TLS connection: {alert}"),
            Self::Other(problem) => write!(f, "TLS to the engine failed: {problem}"),
        }
    }
}

impl std::error::Error for Failure {}
