//! A TCP listener, and the options of every TCP connection.

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

/// Listens on the first address that the host's name stands for, and says which that is.
///
/// # Errors
/// [`TcpBindError`], which names the address and the way out.
pub fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), TcpBindError> {
    let fail = |source| TcpBindError { address: Address::Tcp { host: host.to_owned(), port }, source };
    // Before the first client this may block.
    let mut addresses =
        (host, port).to_socket_addrs().map_err(|error| fail(TcpBindErrorKind::Unresolved(error)))?;
    let none = || fail(TcpBindErrorKind::Unresolved(io::ErrorKind::NotFound.into()));
    let address = addresses.next().ok_or_else(none)?;
    let refused = |error| fail(TcpBindErrorKind::Refused(error));
    let listener = listen(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
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
