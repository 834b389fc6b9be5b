//! The files that TLS reads, as paths: all that the configuration knows of it.

use std::path::{Path, PathBuf};

/// Who one is: a certificate, with those between it and its CA behind it, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The chain of certificates, PEM.
    pub cert: PathBuf,
    /// The key of the first of them, PEM.
    pub key: PathBuf,
}

/// What a listener needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// Who the listener is.
    pub identity: IdentityFiles,
    /// Whom it lets in.
    pub clients: Clients,
}

/// Whom a TLS listener lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// Whoever connects: TLS encrypts, and proves the listener to its clients, no more.
    Anyone,
    /// Who shows a certificate of one of the CAs in this file.
    SignedBy(PathBuf),
}

/// What a connection to the engine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The CAs of which one must have signed the engine's certificate.
    pub ca: PathBuf,
    /// Who the proxy is, for an engine that wants to know.
    pub identity: Option<IdentityFiles>,
}

impl IdentityFiles {
    fn paths(&self) -> [&Path; 2] {
        [&self.cert, &self.key]
    }
}

impl ServerFiles {
    /// All of them.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = self.identity.paths().to_vec();
        if let Clients::SignedBy(ca) = &self.clients {
            paths.push(ca);
        }
        paths
    }
}

impl ClientFiles {
    /// All of them.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = vec![self.ca.as_path()];
        paths.extend(self.identity.iter().flat_map(IdentityFiles::paths));
        paths
    }
}
