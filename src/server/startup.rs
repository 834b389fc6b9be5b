//! What the log says at the start: what is allowed, where, and to whom.

use std::sync::Arc;

use crate::config::ListenerConfig;
use crate::net::{BoundListener, ListenAddr};
use crate::policy::redaction::Class;
use crate::policy::{Body, Endpoint, Policy};
use crate::tls::{ClientAuth, ServerFiles};

/// Says what is allowed, and warns of names that hand out files.
pub fn log_allowed(listeners: &[ListenerConfig]) {
    for name in unique(policies(listeners).flat_map(|policy| policy.acl.names())) {
        tracing::info!("Registering {name} handlers");
    }
    let endpoints = policies(listeners).flat_map(|policy| policy.acl.endpoints());
    for name in unique(endpoints.filter(|row| row.hands_out_files).map(|row| row.name)) {
        tracing::warn!(name, "this name hands out file contents");
    }
}

/// Says what answers do not show, what they do show of secrets, and what cannot be redacted.
pub fn log_views(listeners: &[ListenerConfig]) {
    let omissions = policies(listeners).flat_map(|policy| {
        policy.acl.endpoints().filter_map(|row| Some((row.name, policy.view.omission(row)?)))
    });
    for (name, omission) in unique(omissions) {
        tracing::info!(name, "its answers are {omission}");
    }
    let showing_env = names_where(listeners, |policy, row| {
        row.holds.contains(Class::Env) && !policy.view.redaction.classes().contains(Class::Env)
    });
    if !showing_env.is_empty() {
        tracing::info!(
            names = showing_env.join(","),
            "these names show environment variables, often passwords; the setting redact=env hides them"
        );
    }
    let unfiltered =
        names_where(listeners, |policy, row| row.body == Body::Opaque && !policy.view.redaction.is_none());
    let unlimited = names_where(listeners, |policy, row| {
        !row.can_be_limited() && !policy.view.visibility.is_everything()
    });
    if !unlimited.is_empty() {
        tracing::warn!(
            names = unlimited.join(","),
            "these names tell of all objects whatever the setting only says"
        );
    }
    for name in unfiltered {
        tracing::warn!(name, "its answers are not JSON, so nothing of them is redacted");
    }
}

/// What counts for any client of these listeners.
fn policies(listeners: &[ListenerConfig]) -> impl Iterator<Item = &Policy> {
    listeners.iter().flat_map(|listener| listener.policy.policies()).map(Arc::as_ref)
}

/// The names, each once, of the allowed endpoints that a condition holds for.
fn names_where(
    listeners: &[ListenerConfig],
    holds: impl Fn(&Policy, &Endpoint) -> bool,
) -> Vec<&'static str> {
    let names = policies(listeners)
        .flat_map(|policy| policy.acl.endpoints().filter(|row| holds(policy, row)).map(|row| row.name));
    unique(names)
}

/// Says where clients can connect, and warns where they need to prove nothing.
pub fn log_listener(listener: &BoundListener, config: &ListenerConfig) {
    for address in listener.addresses() {
        tracing::info!(tls = config.tls.as_ref().map(clients), "[docker-proxy-acl] Listening on {address}");
    }
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
