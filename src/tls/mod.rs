//! TLS on both sides: from clients to a listener, and from here to the engine.
//!
//! Files become a configuration of rustls, which is made again when the files change, and streams are
//! wrapped in it. Every failed handshake has a reason that a log line can name. Built without the
//! feature `tls` this room is empty but for the types that others hold.

pub mod files;
pub mod trigger;

#[cfg(feature = "tls")]
pub mod acceptor;
#[cfg(feature = "tls")]
pub mod cert;
#[cfg(feature = "tls")]
pub mod chain;
#[cfg(feature = "tls")]
pub mod connector;
#[cfg(feature = "tls")]
pub mod handshake_limit;
#[cfg(feature = "tls")]
pub mod reload;

/// Whether there is memory for a handshake of which so many bytes have come. Dropped when it is done.
pub type HasRoom = Box<dyn FnMut(usize) -> bool + Send>;

pub use files::{ClientAuth, ClientFiles, KeyPairPaths, ServerFiles};
pub use trigger::{Expiry, Reload, ReloadTrigger};
#[cfg(feature = "tls")]
pub use {
    acceptor::{FailedHandshake, HandshakeError, TlsAcceptor},
    cert::CertError,
    connector::{ConnectError, TlsConnector},
};

#[cfg(not(feature = "tls"))]
mod noop;
#[cfg(not(feature = "tls"))]
pub use noop::{CertError, ConnectError, FailedHandshake, HandshakeError, TlsAcceptor, TlsConnector};

#[cfg(feature = "tls")]
use {
    rustls::SupportedProtocolVersion,
    rustls::crypto::CryptoProvider,
    std::sync::{Arc, LazyLock},
};

/// Older versions are broken (RFC 8996), and rustls has no code for them.
#[cfg(feature = "tls")]
static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The one protocol inside TLS, by its name in RFC 7301 section 6.
#[cfg(feature = "tls")]
const ALPN: &[u8] = b"http/1.1";

#[cfg(feature = "tls")]
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}
