//! Issuing keys and certificates: ECDSA on P-256, a key for each, usages that fit, and an end.

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

use super::CertsError;
use crate::cli::cert_names::MAX_NAME_LEN;

/// How long a CA lasts, in days; who it signs for lasts no longer.
const CA_DAYS: i64 = 3650;

/// Makes a CA, where there is none, and a certificate for a listener at these hosts.
pub fn init(dir: &Path, hosts: &[String], days: u32) -> Result<String, CertsError> {
    let mut new = FileTransaction::default();
    make_directory(dir)?;
    let cert = dir.join("ca.pem");
    let ca = match cert.exists() || dir.join("ca-key.pem").exists() {
        true => Ca::read(dir)?,
        false => Ca::make(dir, &hosts[0], &mut new)?,
    };
    let directory = dir.join("server");
    let until = ca.issue(&directory, server(hosts)?, days, &mut new)?;
    new.commit();
    Ok(format!(
        "{}server: {} for {}, until {until}\n",
        ca.announcement,
        directory.display(),
        hosts.join(", ")
    ))
}

/// Makes a directory for a client.
pub fn client(dir: &Path, name: &str, days: u32) -> Result<String, CertsError> {
    let mut new = FileTransaction::default();
    let ca = Ca::read(dir)?;
    make_directory(&dir.join("clients"))?;
    let directory = dir.join("clients").join(name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let until = ca.issue(&directory, params, days, &mut new)?;
    new.commit();
    Ok(format!(
        "client: {} for {name}, until {until}; give it to the client as its DOCKER_CERT_PATH\n",
        directory.display()
    ))
}

fn server(hosts: &[String]) -> Result<CertificateParams, CertsError> {
    let mut params =
        CertificateParams::new(hosts).map_err(|error| CertsError::issue(Path::new(&hosts[0]), error))?;
    params.distinguished_name = subject(&hosts[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A common name, cut to its longest; what counts for a host is its subjectAltName.
fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, &name[..name.len().min(MAX_NAME_LEN)]);
    subject
}

/// What signs.
struct Ca {
    path: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    end: OffsetDateTime,
    announcement: String,
}

impl Ca {
    fn make(dir: &Path, first_host: &str, new: &mut FileTransaction) -> Result<Self, CertsError> {
        let path = dir.join("ca.pem");
        let fail = |error| CertsError::issue(&path, error);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&format!("docker-proxy-acl CA of {first_host}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let end = set_validity(&mut params, OffsetDateTime::now_utc() + Duration::days(CA_DAYS));
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
        let fail = |error| CertsError::issue(&path, error);
        let pem = read(&path)?;
        let key =
            KeyPair::from_pem(&read(&key_path)?).map_err(|error| CertsError::issue(&key_path, error))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(fail)?;
        let end = end_of(&pem).ok_or_else(|| fail(rcgen::Error::CouldNotParseCertificate))?;
        if end <= OffsetDateTime::now_utc() {
            return Err(CertsError::CaExpired(path));
        }
        Ok(Self { issuer, path, pem, end, announcement: String::new() })
    }

    /// Fills a directory with a new key, its certificate and the CA's; until when it is valid.
    fn issue(
        &self,
        directory: &Path,
        mut params: CertificateParams,
        days: u32,
        new: &mut FileTransaction,
    ) -> Result<String, CertsError> {
        let fail = |error| CertsError::issue(&self.path, error);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let wanted = OffsetDateTime::now_utc() + Duration::days(i64::from(days));
        let end = set_validity(&mut params, wanted.min(self.end));
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(fail)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(fail)?.pem();
        make_directory(directory)?;
        new.secret(&directory.join("key.pem"), &key.serialize_pem())?;
        new.public(&directory.join("cert.pem"), &cert)?;
        let ca = directory.join("ca.pem");
        if std::fs::read_to_string(&ca).ok().as_ref() != Some(&self.pem) {
            new.public(&ca, &self.pem)?;
        }
        Ok(end.date().to_string())
    }
}

/// Sets the validity: from an hour ago, because clocks differ, until the end.
fn set_validity(params: &mut CertificateParams, end: OffsetDateTime) -> OffsetDateTime {
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
        io::ErrorKind::NotFound => CertsError::NoCa(path.to_owned()),
        _ => CertsError::io("read", path, error),
    })
}

/// Makes a directory that only its owner enters, where there is none.
fn make_directory(path: &Path) -> Result<(), CertsError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| CertsError::io("make", path, error))
}

/// The files that a command has made; they go again unless it says that they stay.
#[derive(Default)]
struct FileTransaction(Vec<PathBuf>);

impl FileTransaction {
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
            io::ErrorKind::AlreadyExists => CertsError::Exists(path.to_owned()),
            _ => CertsError::io("make", path, error),
        })?;
        self.0.push(path.to_owned());
        file.write_all(text.as_bytes()).map_err(|error| CertsError::io("write", path, error))
    }

    fn commit(mut self) {
        self.0.clear();
    }
}

impl Drop for FileTransaction {
    fn drop(&mut self) {
        for path in &self.0 {
            // What cannot be removed now is in the way of the next try, which says so.
            let _ = std::fs::remove_file(path);
        }
    }
}
