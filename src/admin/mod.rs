//! The operator's own listener: metrics for whoever collects them, and whether the program is alive and ready.
//!
//! It has clients, limits and a router of its own, and nothing that is asked here reaches the engine: whether the
//! engine answers, the program asks itself, once for all who want to know.

mod format;
mod ready;
mod routes;
mod serve;

use std::net::IpAddr;

use thiserror::Error;

use crate::net::unix::SocketFile;
use crate::net::{Address, ListenAddr};

pub use ready::{EngineCheck, Readiness};
pub use routes::Routes;
pub use serve::{MAX_CONNECTIONS, serve};

/// Where the operator's listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// A Unix socket, or a TCP address of this machine alone.
    pub addr: ListenAddr,
}

/// The address can be reached from other machines.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} can be reached from other machines, and whoever reaches it could read along; use unix:///path or \
     tcp://127.0.0.1:PORT, and let a proxy of yours pass on what is to leave the machine"
)]
pub struct NotLocal(Address);

impl AdminConfig {
    /// To listen at an address; a Unix socket's file is made by `file`.
    ///
    /// # Errors
    /// [`NotLocal`] for anything but a Unix socket, an address of the loopback interface, and `localhost`, which
    /// is sure to be one (RFC 6761 section 6.3).
    pub fn at(
        address: Address,
        file: impl FnOnce(std::path::PathBuf) -> SocketFile,
    ) -> Result<Self, NotLocal> {
        let addr = match address {
            Address::Unix(path) => ListenAddr::Unix(file(path)),
            Address::Tcp { host, port } if is_loopback(&host) => ListenAddr::Tcp { host, port },
            address @ Address::Tcp { .. } => return Err(NotLocal(address)),
        };
        Ok(Self { addr })
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::unix::SocketGroup;

    #[test]
    fn it_listens_on_this_machine_alone() {
        let file = |path| SocketFile { path, mode: 0o660, group: SocketGroup::Default, owner: None };
        let at = |address: &str| AdminConfig::at(address.parse().unwrap(), file);
        for local in ["unix:///run/x.sock", "tcp://127.0.0.1:9000", "tcp://[::1]:0", "tcp://localhost:1"] {
            assert!(at(local).is_ok(), "{local}");
        }
        for other in ["tcp://0.0.0.0:9000", "tcp://[::]:9000", "tcp://192.0.2.1:1", "tcp://metrics:9000"] {
            assert!(at(other).unwrap_err().to_string().contains("unix:///path"), "{other}");
        }
    }
}
