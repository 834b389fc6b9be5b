//! What the log says at the start: what is allowed, where, and to whom.

use std::sync::Arc;

use super::listeners::PreparedListener;
use crate::config::{Config, ListenerConfig};
use crate::inbound::ListenerSecurity;
use crate::net::BoundListener;
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

/// Says where the engine is, and how that is known.
pub fn log_upstream(config: &Config) {
    tracing::info!(from = config.upstream_source.to_string(), "The engine is at {}", config.upstream.address);
}

/// Says what it means that it is learnt what clients need.
pub fn warn_of_learning() {
    tracing::warn!(
        "learning: whoever connects may read nearly all that the engine tells, environment variables, logs and \
         configurations with the passwords in them included. Let only clients connect that you would trust with \
         that, and end it when they have asked for what they need"
    );
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
pub fn log_listener(listener: &PreparedListener, config: &ListenerConfig) {
    let bound = &listener.bound;
    let tls = config.tls.as_ref().filter(|_| matches!(listener.security, ListenerSecurity::Tls(_)));
    let passed = match bound {
        BoundListener::Inherited(socket) => Some(socket.label.to_string()),
        BoundListener::Unix(_) | BoundListener::Tcp(..) => None,
    };
    for address in bound.addresses() {
        tracing::info!(tls = tls.map(clients), passed, "[docker-proxy-acl] Listening on {address}");
    }
    match tls {
        _ if !bound.is_tcp() => {}
        None => tracing::warn!(
            listener = %bound,
            "plain TCP: whoever reaches this address can use it, and on loopback that is every process of \
             this machine; tlsverify lets in only clients with a certificate of yours"
        ),
        Some(files) if files.client_auth == ClientAuth::None => tracing::warn!(
            listener = %bound,
            "whoever reaches this address can use it; tlsverify lets in only clients with a certificate of yours"
        ),
        Some(_) => {}
    }
}

/// Who gets in over TLS.
fn clients(files: &ServerFiles) -> &'static str {
    match files.client_auth {
        ClientAuth::None => "any client",
        ClientAuth::Required(_) => "clients with a certificate",
    }
}

/// Each once.
pub fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for one in all {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}
