//! TLS on both sides: from clients to a listener, and from here to the engine.
//!
//! Files become material, material becomes a configuration of rustls that is made again when the files
//! change, and streams are wrapped in it. What TLS refuses, it refuses with a reason that a log line
//! can name. Built without the feature `tls` this room is empty but for the types that others hold.

pub mod files;

#[cfg(feature = "tls")]
pub mod client;
#[cfg(feature = "tls")]
pub mod material;
#[cfg(feature = "tls")]
pub mod reload;
#[cfg(feature = "tls")]
pub mod server;

#[cfg(feature = "tls")]
pub use {
    client::{Connector, Failure},
    material::MaterialError,
    reload::{Refresh, keep_fresh},
    server::{Acceptor, Refusal, Refused},
};

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(not(feature = "tls"))]
pub use absent::{Acceptor, Connector, Failure, MaterialError, Refresh, Refusal, Refused, keep_fresh};

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
