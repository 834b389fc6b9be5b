//! `certs show`: what certificates a directory holds, and which of them are about to expire.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use super::CertsError;
use crate::cli::CommandOutcome;
use crate::tls::acceptor::format_san;
use crate::tls::cert::EXPIRY_WARNING_DAYS;

/// How deep certificates are looked for: `DIR/clients/NAME`.
const DEPTH: usize = 3;

/// Shows each certificate once; [`CommandOutcome::Failure`] if one has expired or will soon.
pub fn show(dir: &Path) -> Result<(CommandOutcome, String), CertsError> {
    let mut seen: Vec<CertificateDer<'static>> = Vec::new();
    let (mut text, mut soon) = (String::new(), String::new());
    for path in files(dir, DEPTH)? {
        let pem = std::fs::read(&path).map_err(|error| CertsError::io("read", &path, error))?;
        for der in CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok) {
            if seen.contains(&der) {
                continue;
            }
            if let Ok((_, certificate)) = parse_x509_certificate(&der) {
                let name = path.strip_prefix(dir).unwrap_or(&path).display();
                text.push_str(&block(&name.to_string(), &certificate));
                soon.push_str(&warning(&name.to_string(), &certificate).unwrap_or_default());
            }
            seen.push(der);
        }
    }
    match (text.is_empty(), soon.is_empty()) {
        (true, _) => Err(CertsError::NothingToShow(dir.to_owned())),
        (false, true) => Ok((
            CommandOutcome::Success,
            format!("{text}nothing expires within {EXPIRY_WARNING_DAYS} days\n"),
        )),
        (false, false) => Ok((CommandOutcome::Failure, format!("{text}{soon}"))),
    }
}

fn files(dir: &Path, depth: usize) -> Result<Vec<PathBuf>, CertsError> {
    let fail = |error| CertsError::io("read", dir, error);
    let mut entries = std::fs::read_dir(dir)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(fail)?;
    entries.sort_by_key(|path| (path.is_dir(), path.clone()));
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() && depth > 1 {
            found.extend(files(&path, depth - 1)?);
        } else if path.extension().is_some_and(|kind| kind == "pem" || kind == "crt") {
            found.push(path);
        }
    }
    Ok(found)
}

fn block(file: &str, certificate: &X509Certificate<'_>) -> String {
    let validity = certificate.validity();
    let mut text = format!("{file}\n");
    // Writing to a String does not fail.
    let _ = writeln!(text, "  subject  {}", certificate.subject().to_string().escape_debug());
    let _ = writeln!(text, "  for      {}", purposes(certificate));
    if let Some(names) = names(certificate) {
        let _ = writeln!(text, "  names    {}", names.escape_debug());
    }
    let (from, until) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
    let _ = writeln!(text, "  valid    {} to {}", from.date(), until.date());
    text
}

fn purposes(certificate: &X509Certificate<'_>) -> String {
    if certificate.is_ca() {
        return "signing certificates".to_owned();
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => {
            let known = [("servers", usage.value.server_auth), ("clients", usage.value.client_auth)];
            let named: Vec<_> = known.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
            if named.is_empty() { "neither servers nor clients".to_owned() } else { named.join(" and ") }
        }
        _ => "servers and clients".to_owned(),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    Some(names.value.general_names.iter().filter_map(format_san).collect::<Vec<_>>().join(", "))
}

fn warning(file: &str, certificate: &X509Certificate<'_>) -> Option<String> {
    let left = certificate.validity().not_after.to_datetime() - OffsetDateTime::now_utc();
    match left.whole_days() {
        _ if left.is_negative() => Some(format!("{file} has expired\n")),
        days if days < EXPIRY_WARNING_DAYS => Some(format!("{file} expires in {days} days\n")),
        _ => None,
    }
}
