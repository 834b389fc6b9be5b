//! The listener's side of TLS: who is let in, and why someone was not.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{AlertDescription, CertificateError, PeerIncompatible, ServerConfig};
use thiserror::Error;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::cert::{CertError, CertifiedKey, root_store};
use super::chain::{self, BoundedVerifier};
use super::files::{ClientAuth, ServerFiles};
use super::handshake_limit::{HandshakeLimitExceeded, HandshakeLimited};
use super::reload::Reloadable;
use super::trigger::Reload;
use super::{ALPN, HasRoom, VERSIONS, provider};
use crate::net::{Excerpt, Socket, TlsIdentity};

/// Makes the TLS handshake with clients.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<Reloadable<ServerConfig>>,
}

/// A handshake that failed.
#[derive(Debug)]
pub struct FailedHandshake {
    /// Why.
    pub error: HandshakeError,
    /// The connection, for a close that lets the alert reach the client.
    pub socket: Socket,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The client showed no certificate.
    #[error("the client showed no certificate")]
    NoCertificate,
    /// No CA of this listener has signed the client's certificate.
    #[error("the client's certificate is of another CA")]
    UnknownIssuer,
    /// The client's certificate has expired.
    #[error("the client's certificate has expired")]
    Expired,
    /// The client's certificate is not valid yet.
    #[error("the client's certificate is not valid yet")]
    NotYetValid,
    /// The client's certificate is for servers.
    #[error("the client's certificate is not for clients")]
    NotForClients,
    /// There is something else about the client's certificate.
    #[error("the client's certificate cannot be used: {0}")]
    Certificate(String),
    /// What the client speaks is not TLS.
    #[error("the client did not speak TLS")]
    NotTls,
    /// The client speaks only versions of TLS older than 1.2.
    #[error("the client speaks neither TLS 1.2 nor 1.3")]
    OldTls,
    /// There are no other common parameters, such as ciphers or ALPN.
    #[error("no common TLS parameters: {0}")]
    Incompatible(String),
    /// The client did not accept the listener's certificate; its alert.
    #[error("the client did not accept this listener's certificate: {0}")]
    AlertReceived(String),
    /// The client sends more than a handshake takes, or than there is memory for.
    #[error(transparent)]
    LimitExceeded(HandshakeLimitExceeded),
    /// The client closed the connection in the middle.
    #[error("the client left before its TLS handshake was done")]
    PeerClosed,
}

impl TlsAcceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertError`], which names the file.
    pub fn load(files: &ServerFiles) -> Result<Self, CertError> {
        let again = files.clone();
        let config = Reloadable::new(files.paths(), move || configure(&again))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// The certificates that can be reloaded.
    pub fn reloadable(&self) -> Arc<dyn Reload> {
        Arc::<Reloadable<ServerConfig>>::clone(&self.config)
    }

    /// Makes the handshake, as long as there is room for it; the stream, and whose certificate the client holds.
    ///
    /// # Errors
    /// [`FailedHandshake`] if the client is not let in.
    pub async fn accept(
        &self,
        socket: Socket,
        has_room: HasRoom,
    ) -> Result<(TlsStream<HandshakeLimited<Socket>>, Option<TlsIdentity>), FailedHandshake> {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config.current());
        match acceptor.accept(HandshakeLimited::new(socket, has_room)).into_fallible().await {
            Ok(mut stream) => {
                stream.get_mut().0.lift();
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let identity = certificate.map(identity);
                Ok((stream, identity))
            }
            Err((error, socket)) => {
                Err(FailedHandshake { error: HandshakeError::of(&error), socket: socket.into_inner() })
            }
        }
    }
}

fn configure(files: &ServerFiles) -> Result<ServerConfig, CertError> {
    let key_pair = CertifiedKey::read(&files.key_pair)?;
    let unusable = |error| CertError::unusable(&files.key_pair.cert, error);
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(unusable)?;
    let builder = match &files.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Required(ca) => {
            let roots = Arc::new(root_store(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier
                .map_err(|error| CertError::unusable(ca, rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(Arc::new(BoundedVerifier(verifier)))
        }
    };
    let mut config = builder.with_single_cert(key_pair.chain, key_pair.key).map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    if files.client_auth != ClientAuth::None {
        // A resumed session does not show its certificate again, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// Whose a certificate is. It was verified already; one whose names cannot be read still has its digest.
fn identity(certificate: &CertificateDer<'_>) -> TlsIdentity {
    let parsed = parse_x509_certificate(certificate).ok().map(|(_, parsed)| parsed);
    let common_name = parsed.as_ref().and_then(|parsed| {
        parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
    });
    let names = parsed.as_ref().and_then(|parsed| parsed.subject_alternative_name().ok().flatten());
    let names = names.map(|names| names.value.general_names.iter().filter_map(format_san).collect());
    TlsIdentity { common_name, alternative_names: names.unwrap_or_default(), sha256: sha256(certificate) }
}

fn sha256(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().try_into().unwrap_or_default()
}

/// A subject's alternative name as people write it.
pub fn format_san(name: &GeneralName<'_>) -> Option<String> {
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

impl HandshakeError {
    /// Whether the client just came and went, as port scanners do.
    pub fn is_peer_closed(&self) -> bool {
        *self == Self::PeerClosed
    }

    /// Whether it failed for want of memory for handshakes.
    pub fn is_no_room(&self) -> bool {
        *self == Self::LimitExceeded(HandshakeLimitExceeded::NoRoom)
    }

    /// The one word that the metrics have for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NotForClients => "not_for_clients",
            Self::Certificate(_) => "certificate",
            Self::NotTls => "not_tls",
            Self::OldTls => "old_tls",
            Self::Incompatible(_) => "incompatible",
            Self::AlertReceived(_) => "alert_received",
            Self::LimitExceeded(HandshakeLimitExceeded::TooLong) => "too_long",
            Self::LimitExceeded(HandshakeLimitExceeded::NoRoom) => "no_room",
            Self::PeerClosed => "peer_closed",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error),
            None => HandshakeLimitExceeded::of(error).map_or(Self::PeerClosed, Self::LimitExceeded),
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
            Error::PeerIncompatible(problem) => {
                Self::Incompatible(Excerpt(format_args!("{problem:?}")).to_string())
            }
            Error::NoApplicationProtocol => Self::Incompatible("it offers no http/1.1 by ALPN".to_owned()),
            Error::AlertReceived(AlertDescription::UserCanceled | AlertDescription::CloseNotify) => {
                Self::PeerClosed
            }
            Error::AlertReceived(alert) => Self::AlertReceived(format!("{alert:?}")),
            Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Incompatible(Excerpt(other).to_string()),
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            // A bad signature is what a CA of the same name and another key comes down to.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForClients
            }
            other => Self::Certificate(chain::describe(other)),
        }
    }

    /// What whoever runs the client can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCertificate => Some(
                "make the client a certificate with 'docker-proxy-acl certs client', and have it show it",
            ),
            Self::UnknownIssuer => Some("use a certificate of a CA in tlscacert, or add its CA to that file"),
            Self::Expired => Some("make the client a new certificate with 'docker-proxy-acl certs client'"),
            Self::NotYetValid => Some("set the clocks of both machines"),
            Self::NotForClients => Some("use a certificate with the extended key usage clientAuth"),
            Self::OldTls => Some("use TLS 1.2 or 1.3"),
            Self::LimitExceeded(HandshakeLimitExceeded::NoRoom) => {
                Some("a handshake of at most 8 KiB always has room")
            }
            Self::AlertReceived(_) => Some(
                "give the client the CA that signed tlscert, and connect by a name or address that it is for",
            ),
            _ => None,
        }
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}
