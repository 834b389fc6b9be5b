//! Listeners: where clients connect.

pub mod admission;
pub mod peer;
pub mod socket;
pub mod tcp;
pub mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};

use crate::config::{Bind, Security};
use crate::tls::{Acceptor, MaterialError};
use peer::Peer;
use socket::Socket;
use unix::BoundFile;

/// A bound address on which clients connect.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket and its file.
    Unix(UnixListener, BoundFile),
    /// A TCP socket, where it is bound, and what clients meet there.
    Tcp(TcpListener, SocketAddr, Entrance),
}

/// What a client meets first.
#[derive(Debug, Clone)]
pub enum Entrance {
    /// HTTP at once.
    Plain,
    /// TLS, and HTTP in it.
    Tls(Acceptor),
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// It is a Unix socket's.
    Unix(unix::BindError),
    /// It is a TCP address.
    Tcp(tcp::BindError),
    /// There are no certificates to listen with.
    Tls(MaterialError),
}

impl Listener {
    /// Binds an address; needs tokio's runtime.
    ///
    /// # Errors
    /// [`ListenError`], which names the address or the file and the way out.
    pub fn bind(bind: &Bind) -> Result<Self, ListenError> {
        match bind {
            Bind::Unix(file) => {
                let (listener, bound) = unix::bind(file).map_err(ListenError::Unix)?;
                let listener = adopt(listener)
                    .map_err(|error| ListenError::Unix(unix::BindError::system(&file.path, error)))?;
                Ok(Self::Unix(listener, bound))
            }
            Bind::Tcp { host, port, security } => {
                let entrance = match security {
                    Security::Plain => Entrance::Plain,
                    Security::Tls(files) => Entrance::Tls(Acceptor::load(files).map_err(ListenError::Tls)?),
                };
                let (listener, address) = tcp::bind(host, *port).map_err(ListenError::Tcp)?;
                Ok(Self::Tcp(listener, address, entrance))
            }
        }
    }

    /// The next client.
    ///
    /// # Errors
    /// Those of accept(2), of which running out of descriptors passes.
    pub async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of_unix(&stream)?;
                Ok((stream.into(), peer))
            }
            Self::Tcp(listener, ..) => {
                let (stream, address) = listener.accept().await?;
                // A client that is gone again cannot be attended to; its connection shows that by itself.
                let _ = tcp::attend(&stream);
                Ok((stream.into(), Peer::Machine { address, identity: None }))
            }
        }
    }

    /// What its clients meet first.
    pub fn entrance(&self) -> Entrance {
        match self {
            Self::Unix(..) => Entrance::Plain,
            Self::Tcp(.., entrance) => entrance.clone(),
        }
    }

    /// Stops listening and removes what binding left in the file system.
    pub fn close(self) {
        match self {
            Self::Unix(listener, file) => {
                if let Err(error) = file.remove() {
                    let path = file.path().display();
                    tracing::warn!(%path, "cannot remove the socket, which the next start will: {error}");
                }
                drop(listener);
            }
            Self::Tcp(listener, ..) => drop(listener),
        }
    }
}

fn adopt(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_, file) => file.path().display().fmt(f),
            Self::Tcp(_, address, _) => write!(f, "tcp://{address}"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(error) => error.fmt(f),
            Self::Tcp(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ListenError {}
