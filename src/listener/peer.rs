//! Who a client is, as far as the kernel tells.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::UnixStream;

/// The client at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process on this host: `SO_PEERCRED` of unix(7), taken when it connected.
    Process {
        /// The user that it ran as, in this process's user namespace.
        uid: u32,
        /// Its id in this process's PID namespace; 0 if it is in none that is seen from here, as with
        /// a client in another container.
        pid: i32,
    },
    /// A machine, perhaps this one.
    Machine(SocketAddr),
}

impl Peer {
    /// Who connected to a Unix socket.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn of_unix(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self::Process { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0) })
    }

    /// The user, for connections from processes on this host.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Self::Process { uid, .. } => Some(*uid),
            Self::Machine(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid } => write!(f, "uid={uid},pid={pid}"),
            Self::Machine(address) => address.fmt(f),
        }
    }
}
