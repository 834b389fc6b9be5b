//! What the log says at the start: what is allowed, where, and to whom.

use crate::config::ListenerConfig;
use crate::net::{BoundListener, ListenAddr};
use crate::tls::{ClientAuth, ServerFiles};

/// Says what is allowed, and warns of names that hand out files.
pub fn log_allowed(listeners: &[ListenerConfig]) {
    for name in unique(listeners.iter().flat_map(|listener| listener.acl.names())) {
        tracing::info!("Registering {name} handlers");
    }
    let endpoints = listeners.iter().flat_map(|listener| listener.acl.endpoints());
    for name in unique(endpoints.filter(|row| row.hands_out_files).map(|row| row.name)) {
        tracing::warn!(name, "this name hands out file contents");
    }
}

/// Says where clients can connect, and warns where they need to prove nothing.
pub fn log_listener(listener: &BoundListener, config: &ListenerConfig) {
    tracing::info!(tls = config.tls.as_ref().map(clients), "[docker-proxy-acl] Listening on {listener}");
    match (&config.addr, &config.tls) {
        (ListenAddr::Unix(_), _) => {}
        (ListenAddr::Tcp { .. }, None) => tracing::warn!(
            %listener,
            "plain TCP: whoever reaches this address can use it, and on loopback that is every process of \
             this machine; tlsverify lets in only clients with a certificate of yours"
        ),
        (ListenAddr::Tcp { .. }, Some(files)) if files.client_auth == ClientAuth::None => tracing::warn!(
            %listener,
            "whoever reaches this address can use it; tlsverify lets in only clients with a certificate of yours"
        ),
        (ListenAddr::Tcp { .. }, Some(_)) => {}
    }
}

/// Who gets in over TLS.
fn clients(files: &ServerFiles) -> &'static str {
    match files.client_auth {
        ClientAuth::None => "any client",
        ClientAuth::Required(_) => "clients with a certificate",
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for one in all {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}
