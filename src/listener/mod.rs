//! Listeners: where clients connect.

pub mod admission;
pub mod peer;
pub mod socket;
pub mod unix;

use std::fmt;
use std::io;

use tokio::net::UnixListener;

use crate::config::Bind;
use peer::Peer;
use socket::Socket;
use unix::{BindError, BoundFile};

/// A bound address on which clients connect.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket and its file.
    Unix(UnixListener, BoundFile),
}

impl Listener {
    /// Binds an address; needs tokio's runtime.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the way out.
    pub fn bind(bind: &Bind) -> Result<Self, BindError> {
        match bind {
            Bind::Unix(file) => {
                let (listener, bound) = unix::bind(file)?;
                let listener = adopt(listener).map_err(|error| BindError::system(&file.path, error))?;
                Ok(Self::Unix(listener, bound))
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
        }
    }

    /// Stops listening and removes what binding left in the file system.
    pub fn close(self) {
        match self {
            Self::Unix(listener, file) => {
                if let Err(error) = file.remove() {
                    tracing::warn!(path = %file.path().display(), "cannot remove the socket: {error}");
                }
                drop(listener);
            }
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
        }
    }
}
