//! The listener's end of TLS: who is let in, and why someone was not.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{AlertDescription, CertificateError, PeerIncompatible, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::files::{Clients, ServerFiles};
use super::material::{Identity, MaterialError, authorities};
use super::reload::{Refresh, Rotating};
use super::{ALPN, VERSIONS, provider};
use crate::listener::peer::Identity as PeerIdentity;
use crate::listener::socket::Socket;
use crate::proxy::head::may_be_a_beginning;
use crate::proxy::service::HEALTHCHECK_REQUEST;

/// Shakes hands with clients.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<Rotating<ServerConfig>>,
}

/// A client that was not let in.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// Its connection, where last words may still reach it.
    pub socket: Option<Socket>,
}

/// Why a client was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It showed no certificate.
    NoCertificate,
    /// Its certificate is of another CA.
    OtherCa,
    /// Its certificate is over.
    Expired,
    /// Its certificate is of a time to come.
    NotYetValid,
    /// Its certificate is for servers.
    NotForClients,
    /// There is something else about its certificate.
    Certificate(String),
    /// It speaks HTTP without TLS.
    PlainHttp,
    /// It speaks HTTP without TLS and is `docker-proxy-acl healthcheck`, for which any answer will do.
    AsksForHealth,
    /// What it speaks is not TLS.
    NotTls,
    /// It speaks only versions of TLS older than 1.2.
    OldTls,
    /// There is no other common ground, such as in ciphers or in ALPN.
    Incompatible(String),
    /// It did not accept the listener's certificate; its alert.
    RefusedUs(String),
    /// The handshake took longer than `--header-timeout`.
    Late,
    /// It left in the middle.
    Gone,
}

/// The first byte of TLS: a record of the type `handshake` (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// [`MaterialError`], which names the file.
    pub fn load(files: &ServerFiles) -> Result<Self, MaterialError> {
        let again = files.clone();
        let config = Rotating::new(files.paths(), move || configure(&again))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// What is to be kept fresh.
    pub fn material(&self) -> Arc<dyn Refresh> {
        Arc::<Rotating<ServerConfig>>::clone(&self.config)
    }

    /// Shakes hands, which may take this long; the stream, and who the client has proved to be.
    ///
    /// # Errors
    /// [`Refused`] if the client is not let in.
    pub async fn accept(
        &self,
        socket: Socket,
        limit: Duration,
    ) -> Result<(TlsStream<Socket>, Option<PeerIdentity>), Refused> {
        let late = Refused { why: Refusal::Late, socket: None };
        tokio::time::timeout(limit, self.shake_hands(socket)).await.unwrap_or(Err(late))
    }

    async fn shake_hands(
        &self,
        socket: Socket,
    ) -> Result<(TlsStream<Socket>, Option<PeerIdentity>), Refused> {
        if let Some(why) = not_tls(&socket).await {
            return Err(Refused { why, socket: Some(socket) });
        }
        let handshake = TlsAcceptor::from(self.config.current()).accept(socket).into_fallible();
        match handshake.await {
            Ok(stream) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let identity = certificate.and_then(identity);
                Ok((stream, identity))
            }
            Err((error, socket)) => Err(Refused { why: Refusal::of(&error), socket: Some(socket) }),
        }
    }
}

async fn not_tls(socket: &Socket) -> Option<Refusal> {
    let mut space = [0; 128];
    match socket.peek(&mut space).await {
        Ok([HANDSHAKE, ..]) => None,
        Ok(said) if said == HEALTHCHECK_REQUEST.as_bytes() => Some(Refusal::AsksForHealth),
        Ok([first, ..]) if may_be_a_beginning(&[*first]) => Some(Refusal::PlainHttp),
        Ok([_, ..]) => Some(Refusal::NotTls),
        Ok([]) | Err(_) => Some(Refusal::Gone),
    }
}

fn configure(files: &ServerFiles) -> Result<ServerConfig, MaterialError> {
    let identity = Identity::read(&files.identity)?;
    let unusable = |error| MaterialError::unusable(&files.identity.cert, error);
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(unusable)?;
    let builder = match &files.clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::SignedBy(ca) => {
            let roots = Arc::new(authorities(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier
                .map_err(|error| MaterialError::unusable(ca, rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key).map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    if files.clients != Clients::Anyone {
        // A resumed session does not show its certificate again, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// Whose a certificate is. It was checked already; that it parses is a matter of course.
fn identity(certificate: &CertificateDer<'_>) -> Option<PeerIdentity> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(spelled).collect());
    Some(PeerIdentity {
        common_name: common_name.map(str::to_owned),
        alternative_names: names.unwrap_or_default(),
    })
}

/// A subject's alternative name as people write it.
pub fn spelled(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
        },
        _ => None,
    }
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::Gone,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(problem) => Self::of_certificate(problem),
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // It came with TLS 1.2 (RFC 5246 section 7.4.1.4.1), and rustls looks for it first.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            ) => Self::OldTls,
            Error::PeerIncompatible(problem) => Self::Incompatible(format!("{problem:?}")),
            Error::NoApplicationProtocol => Self::Incompatible("it offers no http/1.1 by ALPN".to_owned()),
            Error::AlertReceived(AlertDescription::UserCanceled | AlertDescription::CloseNotify) => {
                Self::Gone
            }
            Error::AlertReceived(alert) => Self::RefusedUs(format!("{alert:?}")),
            Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Incompatible(other.to_string()),
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            // A bad signature is what a CA of the same name and another key comes down to.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::OtherCa,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForClients
            }
            other => Self::Certificate(other.to_string()),
        }
    }

    /// Whether words of HTTP would be understood.
    pub fn is_plain_http(&self) -> bool {
        matches!(self, Self::PlainHttp | Self::AsksForHealth)
    }

    /// Whether it is more than a client that came and went, as port scanners and health checks do.
    pub fn is_worth_a_warning(&self) -> bool {
        !matches!(self, Self::Gone | Self::AsksForHealth)
    }

    /// What whoever runs the client can do about it.
    pub fn way_out(&self) -> Option<&'static str> {
        match self {
            Self::NoCertificate => Some(
                "make the client a certificate with 'docker-proxy-acl certs client', and have it show it",
            ),
            Self::OtherCa => Some("use a certificate of a CA in --tlscacert, or add its CA to that file"),
            Self::Expired => Some("make the client a new certificate with 'docker-proxy-acl certs client'"),
            Self::NotYetValid => Some("set the clocks of both machines"),
            Self::NotForClients => Some("use a certificate with the extended key usage clientAuth"),
            Self::PlainHttp => Some("use https://, or with docker --tlsverify"),
            Self::OldTls => Some("use TLS 1.2 or 1.3"),
            Self::RefusedUs(_) => Some(
                "give the client the CA that signed --tlscert, and connect by a name or address that it is for",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => write!(f, "the client showed no certificate"),
            Self::OtherCa => write!(f, "the client's certificate is of another CA"),
            Self::Expired => write!(f, "the client's certificate has expired"),
            Self::NotYetValid => write!(f, "the client's certificate is not valid yet"),
            Self::NotForClients => write!(f, "the client's certificate is not for clients"),
            Self::Certificate(problem) => write!(f, "the client's certificate cannot be used: {problem}"),
            Self::PlainHttp => write!(f, "the client sent plain HTTP where TLS is spoken"),
            Self::AsksForHealth => write!(f, "asked for its health"),
            Self::NotTls => write!(f, "the client did not speak TLS"),
            Self::OldTls => write!(f, "the client speaks neither TLS 1.2 nor 1.3"),
            Self::Incompatible(problem) => write!(f, "the client's TLS and this one do not meet: {problem}"),
            Self::RefusedUs(alert) => {
                write!(f, "the client did not accept this listener's certificate: {alert}")
            }
            Self::Late => write!(f, "the client's TLS handshake took too long"),
            Self::Gone => write!(f, "the client left before its TLS handshake was done"),
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}
