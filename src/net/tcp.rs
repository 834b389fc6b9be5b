//! TCP listeners, and the options of every TCP connection.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use thiserror::Error;

use super::address::Address;

/// Why a TCP address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {}", reason(.source))]
pub struct TcpBindError {
    address: Address,
    source: TcpBindErrorKind,
}

#[derive(Debug, Error)]
enum TcpBindErrorKind {
    #[error("its host name cannot be resolved: {0}")]
    Unresolved(io::Error),
    #[error("{0}")]
    Refused(io::Error),
}

fn reason(error: &TcpBindErrorKind) -> String {
    let TcpBindErrorKind::Refused(refused) = error else { return error.to_string() };
    match refused.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; choose another port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports that low are root's; choose one from 1024".to_owned(),
        _ => refused.to_string(),
    }
}

/// A host, and every address that its name stands for.
#[derive(Debug)]
pub struct ResolvedHost {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

/// An address that is listened on.
#[derive(Debug)]
pub struct BoundAddress {
    /// Its socket.
    pub listener: TcpListener,
    /// The address, with the port that it got.
    pub address: SocketAddr,
}

/// Looks up what a host's name stands for. This may take as long as a name server does.
///
/// # Errors
/// [`TcpBindError`] if it stands for nothing.
pub fn resolve(host: &str, port: u16) -> Result<ResolvedHost, TcpBindError> {
    let mut resolved = ResolvedHost { host: host.to_owned(), port, addresses: Vec::new() };
    let found = (host, port).to_socket_addrs();
    for address in found.map_err(|error| resolved.error(TcpBindErrorKind::Unresolved(error)))? {
        if !resolved.addresses.contains(&address) {
            resolved.addresses.push(address);
        }
    }
    if resolved.addresses.is_empty() {
        return Err(resolved.error(TcpBindErrorKind::Unresolved(io::ErrorKind::NotFound.into())));
    }
    Ok(resolved)
}

impl ResolvedHost {
    /// Listens on every address, on one port. Those of several that this machine does not have are left out
    /// with a warning: `localhost` often stands for `::1` where there is no IPv6.
    ///
    /// # Errors
    /// [`TcpBindError`], which names the address and the way out.
    pub fn bind(&self) -> Result<Vec<BoundAddress>, TcpBindError> {
        /// How often the kernel is asked for a port that is free at every address.
        const ATTEMPTS: u32 = 16;
        let mut bound = self.bind_on_one_port();
        for _ in 1..ATTEMPTS {
            match &bound {
                Err((_, error)) if self.port == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                    bound = self.bind_on_one_port();
                }
                _ => break,
            }
        }
        let (bound, left_out) = bound.map_err(|(address, error)| {
            let address = Address::Tcp { host: address.ip().to_string(), port: address.port() };
            TcpBindError { address, source: TcpBindErrorKind::Refused(error) }
        })?;
        for (address, error) in left_out {
            tracing::warn!(
                "not listening on tcp://{address}, which '{}' stands for as well: {error}",
                self.host
            );
        }
        Ok(bound)
    }

    /// The host by its name, with another port.
    pub fn at_port(&self, port: u16) -> Address {
        Address::Tcp { host: self.host.clone(), port }
    }

    fn bind_on_one_port(&self) -> Result<BoundOrLeftOut, (SocketAddr, io::Error)> {
        let (mut bound, mut left_out): BoundOrLeftOut = (Vec::new(), Vec::new());
        for mut address in self.addresses.iter().copied() {
            address.set_port(bound.first().map_or(self.port, |first| first.address.port()));
            match BoundAddress::listen(address) {
                Ok(one) => bound.push(one),
                Err(error) if is_missing(&error) => left_out.push((address, error)),
                Err(error) => return Err((address, error)),
            }
        }
        if bound.is_empty() { Err(left_out.swap_remove(0)) } else { Ok((bound, left_out)) }
    }

    fn error(&self, source: TcpBindErrorKind) -> TcpBindError {
        TcpBindError { address: self.at_port(self.port), source }
    }
}

/// The addresses that are listened on, and those that cannot be.
type BoundOrLeftOut = (Vec<BoundAddress>, Vec<(SocketAddr, io::Error)>);

/// Whether this machine has no such address, or none of its kind.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

impl BoundAddress {
    fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}", self.address)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    /// Clients that wait to be accepted; the kernel takes less if net.core.somaxconn is.
    const BACKLOG: i32 = 1024;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be named side by side, and each means what it says.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections of an instance before may still be closing.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Has small pieces sent at once, and the peer probed now and then: a machine that lost its power closes
/// no connection by itself (RFC 9293 section 3.8.4).
///
/// # Errors
/// If the connection is closed already.
pub fn set_tcp_options(stream: impl AsFd) -> io::Result<()> {
    const IDLE: Duration = Duration::from_secs(30);
    const INTERVAL: Duration = Duration::from_secs(10);
    const PROBES: u32 = 3;
    sockopt::set_tcp_nodelay(&stream, true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(&stream, PROBES)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(port: u16, addresses: &[&str]) -> ResolvedHost {
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
        ResolvedHost { host: "several".to_owned(), port, addresses }
    }

    #[test]
    fn all_addresses_of_a_host_get_one_port() {
        let bound = host(0, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]).bind().unwrap();
        let ports: Vec<u16> = bound.iter().map(|one| one.address.port()).collect();
        assert_eq!(ports, [ports[0]; 3]);
        assert_ne!(ports[0], 0);
    }

    /// 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    #[test]
    fn an_address_that_this_machine_does_not_have_is_left_out_unless_it_is_the_only_one() {
        let bound = host(0, &["192.0.2.1", "127.0.0.1"]).bind().unwrap();
        assert_eq!(bound.iter().map(|one| one.address.ip().to_string()).collect::<Vec<_>>(), ["127.0.0.1"]);
        let error = host(0, &["192.0.2.1"]).bind().unwrap_err().to_string();
        assert_eq!(error, "cannot listen on tcp://192.0.2.1:0: this machine has no such address");
    }

    #[test]
    fn an_address_that_another_program_has_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = host(port, &["127.0.0.1", "127.0.0.2"]).bind().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on tcp://127.0.0.2:{port}: another")), "{error}");
    }
}
