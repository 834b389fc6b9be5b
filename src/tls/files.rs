//! The files that TLS reads, as paths: all that the configuration knows of TLS.

use std::path::{Path, PathBuf};

/// A certificate, followed by those between it and its CA, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairPaths {
    /// The chain of certificates, PEM.
    pub cert: PathBuf,
    /// The key of the first of them, PEM.
    pub key: PathBuf,
}

/// What a listener needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The listener's own.
    pub key_pair: KeyPairPaths,
    /// Whether its clients need a certificate.
    pub client_auth: ClientAuth,
}

/// Whether the clients of a TLS listener need a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// They do not: TLS encrypts and authenticates the listener, no more.
    None,
    /// One that a CA in this file has signed.
    Required(PathBuf),
}

/// What a connection to the engine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The CAs of which one must have signed the engine's certificate.
    pub ca: PathBuf,
    /// The proxy's own, for an engine that asks for one.
    pub key_pair: Option<KeyPairPaths>,
}

impl KeyPairPaths {
    fn paths(&self) -> [&Path; 2] {
        [&self.cert, &self.key]
    }
}

impl ServerFiles {
    /// All of them.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = self.key_pair.paths().to_vec();
        if let ClientAuth::Required(ca) = &self.client_auth {
            paths.push(ca);
        }
        paths
    }
}

impl ClientFiles {
    /// All of them.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = vec![self.ca.as_path()];
        paths.extend(self.key_pair.iter().flat_map(KeyPairPaths::paths));
        paths
    }
}
