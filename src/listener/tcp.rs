//! A TCP listener, and what is set on every TCP connection.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket};

use crate::address::Address;

/// Why a TCP address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: Address,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unresolved(io::Error),
    Refused(io::Error),
}

/// Listens on the first address that the host's name stands for, and says which that is; needs tokio's
/// runtime.
///
/// # Errors
/// [`BindError`], which names the address and the way out.
pub fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), BindError> {
    let fail = |problem| BindError { address: Address::Tcp { host: host.to_owned(), port }, problem };
    // Before the first client this may block.
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| fail(Problem::Unresolved(error)))?;
    let none = || fail(Problem::Unresolved(io::ErrorKind::NotFound.into()));
    let address = addresses.next().ok_or_else(none)?;
    let refused = |error| fail(Problem::Refused(error));
    let listener = listen(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    /// Clients that wait to be accepted; the kernel takes less if net.core.somaxconn is.
    const BACKLOG: u32 = 1024;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be named side by side, and each means what it says.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections of an instance before may still be ending.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Has small pieces sent at once, and the other end asked now and then whether it is still there: a
/// machine that lost its power ends no connection by itself.
pub fn attend(stream: impl AsFd) -> io::Result<()> {
    const IDLE: Duration = Duration::from_secs(30);
    const INTERVAL: Duration = Duration::from_secs(10);
    const PROBES: u32 = 3;
    sockopt::set_tcp_nodelay(&stream, true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(&stream, PROBES)?)
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.problem {
            Problem::Unresolved(error) => {
                write!(f, "cannot listen on {address}: its host's address is not known: {error}")
            }
            Problem::Refused(error) => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    write!(
                        f,
                        "cannot listen on {address}: another program listens there; choose another port"
                    )
                }
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "cannot listen on {address}: this machine has no such address")
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "cannot listen on {address}: ports that low are root's; choose one from 1024")
                }
                _ => write!(f, "cannot listen on {address}: {error}"),
            },
        }
    }
}

impl std::error::Error for BindError {}
