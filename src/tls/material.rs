//! Certificates and keys: read from their files and looked at before they are used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::files::IdentityFiles;

/// A chain of certificates and the key of the first.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, then those between it and its CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// How many days before its end a certificate is said to expire soon.
pub const SOON_DAYS: i64 = 30;

/// Why files cannot be used.
#[derive(Debug)]
pub struct MaterialError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unreadable(io::Error),
    NotPem(pem::Error),
    NoCertificate,
    NoKey,
    EncryptedKey,
    OtherKey,
    Unusable(rustls::Error),
    NotAName(String),
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// [`MaterialError`] if one cannot be read or does not hold what it should.
    pub fn read(files: &IdentityFiles) -> Result<Self, MaterialError> {
        let chain = certificates(&files.cert)?;
        warn_of_expiry(&files.cert, &chain[0]);
        warn_of_open_key(&files.key);
        Ok(Self { chain, key: private_key(&files.key)? })
    }
}

/// Reads the CAs that a file holds.
///
/// # Errors
/// [`MaterialError`] if it cannot be read or holds none.
pub fn authorities(path: &Path) -> Result<RootCertStore, MaterialError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        warn_of_expiry(path, &authority);
        roots.add(authority).map_err(|error| MaterialError::unusable(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let fail = |problem| MaterialError { path: path.to_owned(), problem };
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(Problem::NotPem(error)))?;
    if chain.is_empty() { Err(fail(Problem::NoCertificate)) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    let fail = |problem| MaterialError { path: path.to_owned(), problem };
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if String::from_utf8_lossy(&text).contains("ENCRYPTED PRIVATE KEY") => {
            fail(Problem::EncryptedKey)
        }
        pem::Error::NoItemsFound => fail(Problem::NoKey),
        other => fail(Problem::NotPem(other)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    std::fs::read(path)
        .map_err(|error| MaterialError { path: path.to_owned(), problem: Problem::Unreadable(error) })
}

/// The clocks of two machines differ, and an expired certificate may be replaced in a minute: it is
/// used, and said.
fn warn_of_expiry(path: &Path, certificate: &CertificateDer<'_>) {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return };
    let end = parsed.validity().not_after.to_datetime();
    let days = (end - OffsetDateTime::now_utc()).whole_days();
    let path = path.display();
    if end <= OffsetDateTime::now_utc() {
        tracing::warn!(%path, "this certificate has expired; nobody who checks it will accept it");
    } else if days < SOON_DAYS {
        tracing::warn!(%path, days, "this certificate expires soon");
    }
}

fn warn_of_open_key(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    const BY_OTHERS: u32 = 0o007;
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & BY_OTHERS != 0) {
        let path = path.display();
        tracing::warn!(%path, "every user of this machine can read this private key; 'chmod 600' it");
    }
}

impl MaterialError {
    /// rustls does not take what this file holds.
    pub fn unusable(path: &Path, error: rustls::Error) -> Self {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => Problem::OtherKey,
            other => Problem::Unusable(other),
        };
        Self { path: path.to_owned(), problem }
    }

    /// No certificate can be for a host of this name.
    pub fn not_a_name(path: &Path, host: &str) -> Self {
        Self { path: path.to_owned(), problem: Problem::NotAName(host.to_owned()) }
    }
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "cannot read {path}: {error}"),
            Problem::NotPem(error) => write!(f, "{path} is damaged: {error}"),
            Problem::NoCertificate => write!(f, "{path} holds no certificate in PEM form"),
            Problem::NoKey => write!(f, "{path} holds no private key in PEM form"),
            Problem::EncryptedKey => {
                write!(
                    f,
                    "the private key in {path} has a passphrase, and nobody is here to type it; \
                     store it without one ('openssl pkey -in KEY -out NEW')"
                )
            }
            Problem::OtherKey => {
                write!(f, "the certificate in {path} is not that of the private key beside it")
            }
            Problem::Unusable(error) if error.to_string().contains("UnsupportedCertVersion") => {
                write!(
                    f,
                    "the certificate in {path} is of X.509 version 1, which names no hosts; make one with \
                     subjectAltName, such as with 'docker-proxy-acl certs'"
                )
            }
            Problem::Unusable(error) => write!(f, "{path} cannot be used: {error}"),
            Problem::NotAName(host) => {
                write!(
                    f,
                    "no certificate checked with {path} can be for '{host}', which is no name of a host"
                )
            }
        }
    }
}

impl std::error::Error for MaterialError {}
