//! What the log says at the start: what is allowed, where, and to whom.

use crate::config::{Bind, ListenerConfig, Security};
use crate::listener::Listener;
use crate::tls::files::Clients;

/// Says what is allowed, and warns of names that hand out files.
pub fn names(listeners: &[ListenerConfig]) {
    for name in each_once(listeners.iter().flat_map(|listener| listener.acl.names())) {
        tracing::info!("Registering {name} handlers");
    }
    let endpoints = listeners.iter().flat_map(|listener| listener.acl.endpoints());
    for name in each_once(endpoints.filter(|row| row.hands_out_files).map(|row| row.name)) {
        tracing::warn!(name, "this name hands out file contents");
    }
}

/// Says where clients can connect, and warns where they need to prove nothing.
pub fn listener(listener: &Listener, bind: &Bind) {
    tracing::info!(tls = clients(bind), "[docker-proxy-acl] Listening on {listener}");
    match bind {
        Bind::Tcp { security: Security::Plain, .. } => tracing::warn!(
            %listener,
            "plain TCP: whoever reaches this address can use it, and on loopback that is every process of \
             this machine; --tlsverify lets in only whom you gave a certificate"
        ),
        Bind::Tcp { security: Security::Tls(files), .. } if files.clients == Clients::Anyone => {
            tracing::warn!(
                %listener,
                "whoever reaches this address can use it; --tlsverify lets in only whom you gave a certificate"
            );
        }
        Bind::Tcp { .. } | Bind::Unix(_) => {}
    }
}

/// Who gets in over TLS.
fn clients(bind: &Bind) -> Option<&'static str> {
    let Bind::Tcp { security: Security::Tls(files), .. } = bind else { return None };
    Some(match files.clients {
        Clients::Anyone => "any client",
        Clients::SignedBy(_) => "clients with a certificate",
    })
}

fn each_once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}
