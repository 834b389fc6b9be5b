//! Certificates and keys: read from their files and checked before they are used.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::files::KeyPairPaths;
use super::trigger::Expiry;

/// A certificate chain and the private key of its first certificate.
#[derive(Debug)]
pub struct CertifiedKey {
    /// The certificate, then those between it and its CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// How many days before its end a certificate is said to expire soon.
pub const EXPIRY_WARNING_DAYS: i64 = 30;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum CertError {
    /// The system refuses.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not PEM (RFC 7468).
    #[error("{} is damaged: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error("{} has no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// There is no private key in it.
    #[error("{} has no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    /// Its key needs a passphrase.
    #[error(
        "the private key in {} is encrypted, which is not supported; store it without a passphrase \
         ('openssl pkey -in KEY -out NEW')",
        .0.display()
    )]
    EncryptedKey(PathBuf),
    /// Its certificate is for another key.
    #[error("the certificate in {} does not match its private key", .0.display())]
    KeyMismatch(PathBuf),
    /// Its certificate has no extensions.
    #[error(
        "the certificate in {} is of X.509 version 1, which names no hosts; make one with subjectAltName, \
         such as with 'docker-proxy-acl certs'",
        .0.display()
    )]
    Version1(PathBuf),
    /// rustls does not accept it.
    #[error("{} cannot be used: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The host is not one that a certificate can be for.
    #[error("'{host}' is not a host name that a certificate checked with {} could be for", path.display())]
    InvalidServerName {
        /// The CA's file.
        path: PathBuf,
        /// The name.
        host: String,
    },
}

impl CertError {
    /// The file that it is about.
    pub fn path(&self) -> Option<&Path> {
        Some(match self {
            Self::NoCertificate(path)
            | Self::NoKey(path)
            | Self::EncryptedKey(path)
            | Self::KeyMismatch(path)
            | Self::Version1(path)
            | Self::Unreadable { path, .. }
            | Self::NotPem { path, .. }
            | Self::Unusable { path, .. }
            | Self::InvalidServerName { path, .. } => path,
        })
    }
}

impl CertifiedKey {
    /// Reads both files.
    ///
    /// # Errors
    /// [`CertError`] if one cannot be read or does not hold what it should.
    pub fn read(files: &KeyPairPaths) -> Result<Self, CertError> {
        let chain = certificates(&files.cert)?;
        warn_of_expiry(&files.cert, &chain[0]);
        warn_of_readable_key(&files.key);
        Ok(Self { chain, key: private_key(&files.key)? })
    }
}

/// Reads the CAs in a file.
///
/// # Errors
/// [`CertError`] if it cannot be read or there are none.
pub fn root_store(path: &Path) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for ca in certificates(path)? {
        warn_of_expiry(path, &ca);
        roots.add(ca).map_err(|error| CertError::unusable(path, error))?;
    }
    Ok(roots)
}

/// When the certificates in these files expire; files without any, such as keys, are left out.
pub(super) fn expiries(paths: &[PathBuf]) -> Vec<Expiry> {
    let expiry = |path: &PathBuf| {
        let chain = certificates(path).ok()?;
        let ends = chain.iter().filter_map(|certificate| {
            let (_, parsed) = parse_x509_certificate(certificate).ok()?;
            Some(parsed.validity().not_after.timestamp())
        });
        Some(Expiry { path: path.clone(), at: ends.min()? })
    };
    paths.iter().filter_map(expiry).collect()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertError::NotPem { path: path.to_owned(), source })?;
    if chain.is_empty() { Err(CertError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if String::from_utf8_lossy(&text).contains("ENCRYPTED PRIVATE KEY") => {
            CertError::EncryptedKey(path.to_owned())
        }
        pem::Error::NoItemsFound => CertError::NoKey(path.to_owned()),
        source => CertError::NotPem { path: path.to_owned(), source },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|source| CertError::Unreadable { path: path.to_owned(), source })
}

/// The clocks of two machines differ, and an expired certificate may be replaced in a minute: it is
/// used, and said.
fn warn_of_expiry(path: &Path, certificate: &CertificateDer<'_>) {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return };
    let end = parsed.validity().not_after.to_datetime();
    let days = (end - OffsetDateTime::now_utc()).whole_days();
    let path = path.display();
    if end <= OffsetDateTime::now_utc() {
        tracing::warn!(%path, "this certificate has expired; whoever verifies it will reject it");
    } else if days < EXPIRY_WARNING_DAYS {
        tracing::warn!(%path, days, "this certificate expires soon");
    }
}

fn warn_of_readable_key(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    const BY_OTHERS: u32 = 0o007;
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & BY_OTHERS != 0) {
        let path = path.display();
        tracing::warn!(%path, "every user of this machine can read this private key; 'chmod 600' it");
    }
}

impl CertError {
    /// rustls does not accept what this file holds.
    pub fn unusable(path: &Path, error: rustls::Error) -> Self {
        let path = path.to_owned();
        match error {
            rustls::Error::InconsistentKeys(_) => Self::KeyMismatch(path),
            source if source.to_string().contains("UnsupportedCertVersion") => Self::Version1(path),
            source => Self::Unusable { path, source },
        }
    }
}
