//! Listeners: bound before the runtime exists, accepting once it does.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::peer::Peer;
use super::socket::Socket;
use super::tcp::{self, TcpBindError};
use super::unix::{self, SocketFile, SocketPath, UnixBindError};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// On a Unix socket.
    Unix(SocketFile),
    /// On a TCP address.
    Tcp {
        /// A name or an IP address, IPv6 without its brackets.
        host: String,
        /// The port; 0 lets the kernel choose.
        port: u16,
    },
}

/// A bound address, to which clients connect while nobody accepts them yet.
#[derive(Debug)]
pub enum BoundListener {
    /// A Unix socket and its file.
    Unix(std::os::unix::net::UnixListener, SocketPath),
    /// A TCP socket and the address that it got.
    Tcp(std::net::TcpListener, SocketAddr),
}

/// A bound address whose clients are accepted in tokio's runtime.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket and its file.
    Unix(tokio::net::UnixListener, SocketPath),
    /// A TCP socket and the address that it got.
    Tcp(tokio::net::TcpListener, SocketAddr),
}

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// It is a Unix socket's.
    #[error(transparent)]
    Unix(#[from] UnixBindError),
    /// It is a TCP address.
    #[error(transparent)]
    Tcp(#[from] TcpBindError),
}

impl BoundListener {
    /// Binds an address; does not block for long.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the way out.
    pub fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        match addr {
            ListenAddr::Unix(file) => {
                let (listener, path) = unix::bind(file)?;
                Ok(Self::Unix(listener, path))
            }
            ListenAddr::Tcp { host, port } => {
                let (listener, address) = tcp::bind(host, *port)?;
                Ok(Self::Tcp(listener, address))
            }
        }
    }

    /// Registers with the runtime that this is called in.
    ///
    /// # Errors
    /// If the runtime cannot take another descriptor; then the socket's file is removed.
    pub fn into_tokio(self) -> io::Result<Listener> {
        match self {
            Self::Unix(listener, path) => match tokio::net::UnixListener::from_std(listener) {
                Ok(listener) => Ok(Listener::Unix(listener, path)),
                Err(error) => {
                    remove(&path);
                    Err(error)
                }
            },
            Self::Tcp(listener, address) => {
                Ok(Listener::Tcp(tokio::net::TcpListener::from_std(listener)?, address))
            }
        }
    }

    /// Stops listening and removes the socket's file.
    pub fn close(self) {
        if let Self::Unix(_, path) = &self {
            remove(path);
        }
    }
}

impl Listener {
    /// The next client.
    ///
    /// # Errors
    /// Those of accept(2), of which running out of descriptors is temporary.
    pub async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of_unix(&stream)?;
                Ok((stream.into(), peer))
            }
            Self::Tcp(listener, _) => {
                let (stream, addr) = listener.accept().await?;
                // A client that is gone again has no options; its connection shows that by itself.
                let _ = tcp::set_tcp_options(&stream);
                Ok((stream.into(), Peer::Tcp { addr, identity: None }))
            }
        }
    }

    /// Stops listening and removes the socket's file.
    pub fn close(self) {
        if let Self::Unix(_, path) = &self {
            remove(path);
        }
    }
}

/// Removes what binding left in the file system: before the listener closes, so that no client finds a
/// socket that nobody listens on.
fn remove(path: &SocketPath) {
    if let Err(error) = path.remove() {
        let path = path.path().display();
        tracing::warn!(%path, "cannot remove the socket, which the next start will: {error}");
    }
}

impl ListenAddr {
    /// The directory of the socket's file, for a Unix socket.
    pub fn socket_directory(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(file) => Some(file.directory().to_owned()),
            Self::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_, path) => path.path().display().fmt(f),
            Self::Tcp(_, address) => write!(f, "tcp://{address}"),
        }
    }
}
