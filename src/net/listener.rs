//! Listeners: bound before the runtime exists, accepting once it does.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use thiserror::Error;

use super::address::{Address, ListenAddress};
use super::inherited::{InheritedListener, InheritedName, InheritedSocket};
use super::passing::{self, Closer, DescriptorPassing};
use super::peer::Peer;
use super::socket::Socket;
use super::tcp::{self, BoundAddress, ResolvedHost, TcpBindError};
use super::unix::{self, BoundSocket, SocketFile, SocketPath, UnixBindError};

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
    /// On sockets that were passed to the process.
    Inherited {
        /// Which of them.
        name: InheritedName,
        /// Which of those over TCP may be without TLS.
        plain_tcp: PlainTcp,
    },
}

/// Where TCP may be without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainTcp {
    /// On addresses that only this machine reaches.
    Loopback,
    /// Anywhere: that was said.
    Anywhere,
}

/// Where to listen, with nothing left that has to be waited for.
#[derive(Debug)]
pub enum ResolvedListenAddr {
    /// On a Unix socket.
    Unix(SocketFile),
    /// On every TCP address that a name stands for.
    Tcp(ResolvedHost),
    /// On sockets that were passed, which are bound already.
    Inherited(Vec<InheritedSocket>),
}

/// A bound address, to which clients connect while nobody accepts them yet.
#[derive(Debug)]
pub enum BoundListener {
    /// A Unix socket and its file.
    Unix(BoundSocket),
    /// A TCP socket for each address of a host, of which there is at least one.
    Tcp(ResolvedHost, Vec<BoundAddress>),
    /// A socket that was passed to the process.
    Inherited(InheritedSocket),
}

/// A bound address whose clients are accepted in tokio's runtime.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket, its file, and what closes it and its clients where descriptors may wait in them.
    Unix(tokio::net::UnixListener, SocketPath, Option<Closer>),
    /// A Unix socket that was passed, and what closes those of its clients in which descriptors may wait.
    InheritedUnix(tokio::net::UnixListener, Option<Closer>),
    /// TCP sockets, and which of them is the first to be asked for the next client.
    Tcp(Vec<tokio::net::TcpListener>, AtomicUsize),
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
    /// Binds an address; does not block for long. Sockets that were passed are a listener each.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the way out.
    pub fn bind(addr: ResolvedListenAddr) -> Result<Vec<Self>, BindError> {
        match addr {
            ResolvedListenAddr::Unix(file) => Ok(vec![Self::Unix(unix::bind(&file)?)]),
            ResolvedListenAddr::Tcp(host) => {
                let bound = host.bind()?;
                Ok(vec![Self::Tcp(host, bound)])
            }
            ResolvedListenAddr::Inherited(sockets) => Ok(sockets.into_iter().map(Self::Inherited).collect()),
        }
    }

    /// Every address that clients can connect to.
    pub fn addresses(&self) -> Vec<String> {
        match self {
            Self::Unix(bound) => vec![bound.path.path().display().to_string()],
            Self::Tcp(_, bound) => bound.iter().map(BoundAddress::to_string).collect(),
            Self::Inherited(socket) => vec![socket.listener.address().to_string()],
        }
    }

    /// Whether clients connect over TCP.
    pub fn is_tcp(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Tcp(..) => true,
            Self::Inherited(socket) => socket.listener.is_tcp(),
        }
    }

    /// What happens to descriptors that clients pass; over TCP they cannot.
    pub fn descriptor_passing(&self) -> Option<DescriptorPassing> {
        match self {
            Self::Unix(bound) => Some(bound.passing),
            Self::Tcp(..) => None,
            Self::Inherited(socket) => match &socket.listener {
                InheritedListener::Unix(_, _, passing) => Some(*passing),
                InheritedListener::Tcp(..) => None,
            },
        }
    }

    /// Registers with the runtime that this is called in. `closer` is needed where clients can pass
    /// descriptors.
    ///
    /// # Errors
    /// If the runtime cannot take another descriptor; then the socket's file is removed.
    pub fn into_tokio(self, closer: Option<&Closer>) -> io::Result<Listener> {
        match self {
            Self::Unix(BoundSocket { listener, path, passing }) => {
                let closer = closer.filter(|_| passing == DescriptorPassing::Possible).cloned();
                match tokio::net::UnixListener::from_std(listener) {
                    Ok(listener) => Ok(Listener::Unix(listener, path, closer)),
                    Err(error) => {
                        remove(&path);
                        Err(error)
                    }
                }
            }
            Self::Tcp(_, bound) => {
                let listeners = bound.into_iter().map(|one| tokio::net::TcpListener::from_std(one.listener));
                Ok(Listener::Tcp(listeners.collect::<io::Result<_>>()?, AtomicUsize::new(0)))
            }
            Self::Inherited(InheritedSocket { listener: InheritedListener::Unix(listener, ..), .. }) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                Ok(Listener::InheritedUnix(listener, closer.cloned()))
            }
            Self::Inherited(InheritedSocket { listener: InheritedListener::Tcp(listener, _), .. }) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                Ok(Listener::Tcp(vec![listener], AtomicUsize::new(0)))
            }
        }
    }

    /// Stops listening and removes the socket's file. A socket that was passed stays as it is.
    pub fn close(self) {
        if let Self::Unix(bound) = &self {
            remove(&bound.path);
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
            Self::Unix(listener, _, closer) => {
                let (stream, _) = listener.accept().await?;
                let credentials = Peer::of_unix(&stream);
                let socket = Socket::unix(stream, closer.clone());
                Ok((socket, credentials?))
            }
            Self::InheritedUnix(listener, closer) => {
                let (stream, _) = listener.accept().await?;
                let credentials = Peer::of_unix(&stream);
                let possible = passing::of_client(&stream) == DescriptorPassing::Possible;
                let socket = Socket::unix(stream, closer.clone().filter(|_| possible));
                Ok((socket, credentials?))
            }
            Self::Tcp(listeners, first) => {
                let (stream, addr) = poll_fn(|cx| poll_accept(listeners, first, cx)).await?;
                // A client that is gone again has no options; its connection shows that by itself.
                let _ = tcp::set_tcp_options(&stream);
                // A socket that was passed may listen on `[::]` for IPv4 too, whose addresses are mapped there.
                let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                Ok((stream.into(), Peer::Tcp { addr, identity: None }))
            }
        }
    }

    /// Stops listening and removes the socket's file. A socket that was passed stays as it is, and clients
    /// wait in its queue for the next process that gets it.
    pub fn close(self) {
        match self {
            Self::Unix(listener, path, closer) => {
                remove(&path);
                if let Some(closer) = closer {
                    close_with_queue(listener, &closer);
                }
            }
            Self::InheritedUnix(listener, Some(closer)) => {
                // If nobody else has it, its queue goes with it.
                if let Ok(listener) = listener.into_std() {
                    closer.close(OwnedFd::from(listener));
                }
            }
            Self::InheritedUnix(_, None) | Self::Tcp(..) => {}
        }
    }
}

/// The next client of any. They take turns in being asked first, so that none keeps another's clients
/// waiting.
fn poll_accept(
    listeners: &[tokio::net::TcpListener],
    first: &AtomicUsize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(tokio::net::TcpStream, SocketAddr)>> {
    let (before, after) = listeners.split_at(first.fetch_add(1, Ordering::Relaxed) % listeners.len());
    let ready = after.iter().chain(before).map(|one| one.poll_accept(cx)).find(Poll::is_ready);
    ready.unwrap_or(Poll::Pending)
}

/// Stops listening, and leaves the clients that nobody accepted to the closer: descriptors may wait in them.
fn close_with_queue(listener: tokio::net::UnixListener, closer: &Closer) {
    let stopped = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
    if let (Ok(()), Ok(listener)) = (stopped, listener.into_std()) {
        closer.close(OwnedFd::from(listener));
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
    /// Looks up what its name stands for, which may take long. `inherited` are the sockets that it takes, if it
    /// takes such.
    ///
    /// # Errors
    /// If it stands for nothing.
    pub fn resolve(&self, inherited: Vec<InheritedSocket>) -> Result<ResolvedListenAddr, BindError> {
        Ok(match self {
            Self::Inherited { .. } => ResolvedListenAddr::Inherited(inherited),
            Self::Unix(file) => ResolvedListenAddr::Unix(file.clone()),
            Self::Tcp { host, port } => ResolvedListenAddr::Tcp(tcp::resolve(host, *port)?),
        })
    }

    /// The same as an address, without what a socket's file is to be like.
    pub fn address(&self) -> ListenAddress {
        match self {
            Self::Unix(file) => ListenAddress::Bind(Address::Unix(file.path.clone())),
            Self::Tcp { host, port } => ListenAddress::Bind(Address::Tcp { host: host.clone(), port: *port }),
            Self::Inherited { name, .. } => ListenAddress::Inherited(name.clone()),
        }
    }

    /// The directory of the socket's file, for a Unix socket.
    pub fn socket_directory(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(file) => Some(file.directory().to_owned()),
            Self::Tcp { .. } | Self::Inherited { .. } => None,
        }
    }
}

impl fmt::Display for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(bound) => bound.path.path().display().fmt(f),
            Self::Tcp(host, bound) => match &bound[..] {
                [one] => one.fmt(f),
                all => host.at_port(all[0].address.port()).fmt(f),
            },
            Self::Inherited(socket) => socket.listener.address().fmt(f),
        }
    }
}
