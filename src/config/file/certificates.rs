//! Whether the files of certificates that the file names can be used: it is read again when they cannot.

use std::path::Path;

use super::super::error::Scope;
use super::super::tls::TlsIntent;
use super::super::{Config, Settings};
use crate::tls::{CertError, ClientAuth, ClientFiles, KeyPairPaths, ServerFiles, TlsAcceptor};
use crate::upstream::Upstream;

/// What is wrong with a file, in which part of the settings, and under which key.
pub(super) type Unusable = (Scope, &'static str, CertError);

/// Loads all of them, to say what is wrong. Whoever serves loads them again.
pub(super) fn unusable(settings: &Settings, config: &Config) -> Vec<Unusable> {
    let tables = settings.listeners.iter().enumerate();
    let listeners = tables.filter_map(|(index, table)| {
        let files = TlsIntent::of(&table.tls, &settings.docker).ok()?.files()?;
        let error = TlsAcceptor::load(&files).err()?;
        Some((Scope::Listener(index), of_listener(&files, error.path()), error))
    });
    let upstream = Upstream::new(&config.upstream).err();
    let upstream = upstream.map(|error| {
        let key = config.upstream.tls.as_ref().map_or("upstream", |files| of_upstream(files, error.path()));
        (Scope::Global, key, error)
    });
    listeners.chain(upstream).collect()
}

/// The key of a listener that names a file.
fn of_listener(files: &ServerFiles, path: Option<&Path>) -> &'static str {
    match &files.client_auth {
        ClientAuth::Required(ca) if path == Some(ca) => "tls.ca",
        _ if path == Some(&files.key_pair.key) => "tls.key",
        _ => "tls.cert",
    }
}

/// The key of the upstream that names a file.
fn of_upstream(files: &ClientFiles, path: Option<&Path>) -> &'static str {
    match &files.key_pair {
        Some(KeyPairPaths { cert, .. }) if path == Some(cert) => "upstream_tls.cert",
        Some(KeyPairPaths { key, .. }) if path == Some(key) => "upstream_tls.key",
        _ => "upstream_tls.ca",
    }
}
