//! Making keys and certificates: ECDSA on P-256, a key for each, usages that fit, and an end.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

use super::names::LONGEST_NAME;
use super::{CertsError, Problem};

/// How long a CA lasts, in days; who it signs for lasts no longer.
const AUTHORITY_DAYS: i64 = 3650;

/// Makes a CA, where there is none, and a certificate for a listener at these hosts.
pub fn init(dir: &Path, hosts: &[String], days: u32) -> Result<String, CertsError> {
    let mut new = NewFiles::default();
    make_directory(dir)?;
    let cert = dir.join("ca.pem");
    let authority = match cert.exists() || dir.join("ca-key.pem").exists() {
        true => Authority::read(dir)?,
        false => Authority::make(dir, &hosts[0], &mut new)?,
    };
    let folder = dir.join("server");
    let made = authority.folder(&folder, server(hosts)?, days, &mut new)?;
    new.keep();
    Ok(format!(
        "{}server: {} for {}, until {made}\n",
        authority.announcement,
        folder.display(),
        hosts.join(", ")
    ))
}

/// Makes a folder for a client.
pub fn client(dir: &Path, name: &str, days: u32) -> Result<String, CertsError> {
    let mut new = NewFiles::default();
    let authority = Authority::read(dir)?;
    make_directory(&dir.join("clients"))?;
    let folder = dir.join("clients").join(name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let made = authority.folder(&folder, params, days, &mut new)?;
    new.keep();
    Ok(format!(
        "client: {} for {name}, until {made}; give it to the client as its DOCKER_CERT_PATH\n",
        folder.display()
    ))
}

fn server(hosts: &[String]) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::new(hosts)
        .map_err(|error| CertsError::new(Path::new(&hosts[0]), Problem::Make(error)))?;
    params.distinguished_name = subject(&hosts[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A common name, cut to its longest; what counts for a host is its subjectAltName.
fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, &name[..name.len().min(LONGEST_NAME)]);
    subject
}

/// Who signs.
struct Authority {
    path: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    end: OffsetDateTime,
    announcement: String,
}

impl Authority {
    fn make(dir: &Path, first_host: &str, new: &mut NewFiles) -> Result<Self, CertsError> {
        let path = dir.join("ca.pem");
        let fail = |error| CertsError::new(&path, Problem::Make(error));
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&format!("docker-proxy-acl CA of {first_host}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let end = last(&mut params, OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS));
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(fail)?;
        let pem = params.self_signed(&key).map_err(fail)?.pem();
        new.secret(&dir.join("ca-key.pem"), &key.serialize_pem())?;
        new.public(&path, &pem)?;
        let announcement = format!(
            "CA: {}, until {}; its key {} makes certificates: keep it to yourself\n",
            path.display(),
            end.date(),
            dir.join("ca-key.pem").display()
        );
        Ok(Self { issuer: Issuer::new(params, key), path, pem, end, announcement })
    }

    fn read(dir: &Path) -> Result<Self, CertsError> {
        let (path, key_path) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
        let fail = |error| CertsError::new(&path, Problem::Make(error));
        let pem = read(&path)?;
        let key = KeyPair::from_pem(&read(&key_path)?)
            .map_err(|error| CertsError::new(&key_path, Problem::Make(error)))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(fail)?;
        let end = end_of(&pem).ok_or_else(|| fail(rcgen::Error::CouldNotParseCertificate))?;
        if end <= OffsetDateTime::now_utc() {
            return Err(CertsError::new(&path, Problem::AuthorityExpired));
        }
        Ok(Self { issuer, path, pem, end, announcement: String::new() })
    }

    /// Fills a folder with a new key, its certificate and the CA's; until when it is valid.
    fn folder(
        &self,
        folder: &Path,
        mut params: CertificateParams,
        days: u32,
        new: &mut NewFiles,
    ) -> Result<String, CertsError> {
        let fail = |error| CertsError::new(&self.path, Problem::Make(error));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let wanted = OffsetDateTime::now_utc() + Duration::days(i64::from(days));
        let end = last(&mut params, wanted.min(self.end));
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(fail)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(fail)?.pem();
        make_directory(folder)?;
        new.secret(&folder.join("key.pem"), &key.serialize_pem())?;
        new.public(&folder.join("cert.pem"), &cert)?;
        let ca = folder.join("ca.pem");
        if std::fs::read_to_string(&ca).ok().as_ref() != Some(&self.pem) {
            new.public(&ca, &self.pem)?;
        }
        Ok(end.date().to_string())
    }
}

/// Sets the validity: from an hour ago, because clocks differ, until the end.
fn last(params: &mut CertificateParams, end: OffsetDateTime) -> OffsetDateTime {
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = end;
    end
}

fn end_of(pem: &str) -> Option<OffsetDateTime> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some(certificate.validity().not_after.to_datetime())
}

fn read(path: &Path) -> Result<String, CertsError> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CertsError::new(path, Problem::NoAuthority),
        _ => CertsError::new(path, Problem::Io("read", error)),
    })
}

/// Makes a directory that only its owner enters, where there is none.
fn make_directory(path: &Path) -> Result<(), CertsError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| CertsError::new(path, Problem::Io("make", error)))
}

/// The files that a command has made; they go again unless it says that they stay.
#[derive(Default)]
struct NewFiles(Vec<PathBuf>);

impl NewFiles {
    fn secret(&mut self, path: &Path, text: &str) -> Result<(), CertsError> {
        self.write(path, 0o600, text)
    }

    fn public(&mut self, path: &Path, text: &str) -> Result<(), CertsError> {
        self.write(path, 0o644, text)
    }

    /// Has the mode from its first moment, and was not there before.
    fn write(&mut self, path: &Path, mode: u32, text: &str) -> Result<(), CertsError> {
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CertsError::new(path, Problem::Exists),
            _ => CertsError::new(path, Problem::Io("make", error)),
        })?;
        self.0.push(path.to_owned());
        file.write_all(text.as_bytes()).map_err(|error| CertsError::new(path, Problem::Io("write", error)))
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // What cannot be removed now is in the way of the next try, which says so.
            let _ = std::fs::remove_file(path);
        }
    }
}
