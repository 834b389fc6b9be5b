//! The listeners: their certificates are loaded and their names resolved, then they are bound, or taken over
//! from whoever passed them.

use std::sync::Arc;

use super::StartError;
use crate::config::{Config, ListenerConfig};
use crate::inbound::ListenerSecurity;
use crate::net::{
    Address, BoundListener, InheritedName, InheritedSocket, InheritedSockets, ListenAddr, PlainTcp,
    ResolvedListenAddr,
};
use crate::tls::{Reload, TlsAcceptor};

/// A listener to which clients connect while nobody accepts them yet.
pub struct PreparedListener {
    /// Its socket.
    pub bound: BoundListener,
    /// What its clients speak.
    pub security: ListenerSecurity,
    /// Which of the configuration's listeners it is; several sockets that were passed may be one.
    pub index: usize,
}

/// A listener with all that may have to be waited for.
pub struct LoadedListener {
    addr: ResolvedListenAddr,
    security: ListenerSecurity,
}

/// Does what may have to be waited for, for all listeners.
///
/// # Errors
/// If certificates cannot be used, a name cannot be resolved, or the sockets that were passed are not those
/// that listeners take.
pub fn load_all(config: &Config, inherited: InheritedSockets) -> Result<Vec<LoadedListener>, StartError> {
    let names: Vec<&InheritedName> = config.listeners.iter().filter_map(inherited_name).collect();
    let mut assigned = inherited.assign(&names)?.into_iter();
    let mut load_one = |listener: &ListenerConfig| {
        let sockets = inherited_name(listener).and_then(|_| assigned.next()).unwrap_or_default();
        sockets.iter().try_for_each(|socket| check(config, listener, socket))?;
        load(listener, sockets)
    };
    let loaded = config.listeners.iter().map(&mut load_one).collect::<Result<Vec<_>, _>>()?;
    let secured = loaded.iter().any(|listener| matches!(listener.security, ListenerSecurity::Tls(_)));
    match secured && !loaded.iter().any(LoadedListener::is_tcp) {
        true => Err(StartError::InheritedNoTcp),
        false => Ok(loaded),
    }
}

impl LoadedListener {
    fn is_tcp(&self) -> bool {
        match &self.addr {
            ResolvedListenAddr::Unix(_) => false,
            ResolvedListenAddr::Tcp(_) => true,
            ResolvedListenAddr::Inherited(sockets) => sockets.iter().any(|socket| socket.listener.is_tcp()),
        }
    }
}

fn inherited_name(listener: &ListenerConfig) -> Option<&InheritedName> {
    match &listener.addr {
        ListenAddr::Inherited { name, .. } => Some(name),
        ListenAddr::Unix(_) | ListenAddr::Tcp { .. } => None,
    }
}

fn load(config: &ListenerConfig, inherited: Vec<InheritedSocket>) -> Result<LoadedListener, StartError> {
    let security = match &config.tls {
        None => ListenerSecurity::Plain,
        Some(files) => ListenerSecurity::Tls(TlsAcceptor::load(files).map_err(StartError::ListenerTls)?),
    };
    Ok(LoadedListener { addr: config.addr.resolve(inherited)?, security })
}

/// What the configuration checks of an address, for one that is known only now.
fn check(config: &Config, listener: &ListenerConfig, socket: &InheritedSocket) -> Result<(), StartError> {
    let address = socket.listener.address();
    if config.would_loop(&address) {
        return Err(StartError::InheritedLoop(socket.label.clone(), address));
    }
    let loopback_only = matches!(listener.addr, ListenAddr::Inherited { plain_tcp: PlainTcp::Loopback, .. });
    match &address {
        Address::Tcp { .. } if listener.tls.is_none() && loopback_only && !socket.listener.is_loopback() => {
            Err(StartError::InheritedPlaintext(socket.label.clone(), address))
        }
        Address::Unix(_) | Address::Tcp { .. } => Ok(()),
    }
}

/// The certificates that are reloaded when their files change.
pub fn reloadable(listeners: &[LoadedListener]) -> Vec<Arc<dyn Reload>> {
    let acceptors = listeners.iter().filter_map(|listener| match &listener.security {
        ListenerSecurity::Tls(acceptor) => Some(acceptor.reloadable()),
        ListenerSecurity::Plain => None,
    });
    acceptors.collect()
}

/// Binds all listeners, which are in the configuration's order.
///
/// # Errors
/// If one cannot be bound; then none is, and no socket is left behind.
pub fn bind_all(loaded: Vec<LoadedListener>) -> Result<Vec<PreparedListener>, StartError> {
    let mut listeners: Vec<PreparedListener> = Vec::new();
    for (index, LoadedListener { addr, security }) in loaded.into_iter().enumerate() {
        match BoundListener::bind(addr) {
            Ok(bound) => listeners.extend(bound.into_iter().map(|bound| {
                // TLS is TCP's: what comes over a Unix socket stays on this machine.
                let security = if bound.is_tcp() { security.clone() } else { ListenerSecurity::Plain };
                PreparedListener { bound, security, index }
            })),
            Err(error) => {
                close_all(listeners);
                return Err(error.into());
            }
        }
    }
    Ok(listeners)
}

/// Stops listening, and removes the sockets.
pub fn close_all(listeners: Vec<PreparedListener>) {
    listeners.into_iter().for_each(|listener| listener.bound.close());
}

/// How many client connections there may be at one time.
pub fn max_connections(config: &Config, listeners: &[PreparedListener]) -> u64 {
    let of_one =
        |listener: &PreparedListener| config.listeners[listener.index].limits.connections.total as u64;
    listeners.iter().map(of_one).fold(0, u64::saturating_add)
}
