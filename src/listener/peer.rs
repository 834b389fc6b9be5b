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
    Machine {
        /// Where it connects from.
        address: SocketAddr,
        /// Who it has proved to be, by a client certificate.
        identity: Option<Identity>,
    },
}

/// Whose a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Its other names: hosts, addresses, mail.
    pub alternative_names: Vec<String>,
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

    /// The same client, who has proved to be someone.
    pub fn identified(self, by: Identity) -> Self {
        match self {
            Self::Machine { address, .. } => Self::Machine { address, identity: Some(by) },
            process @ Self::Process { .. } => process,
        }
    }

    /// The user, for connections from processes on this host.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Self::Process { uid, .. } => Some(*uid),
            Self::Machine { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid } => write!(f, "uid={uid},pid={pid}"),
            Self::Machine { address, identity: None } => address.fmt(f),
            Self::Machine { address, identity: Some(identity) } => write!(f, "{address},{identity}"),
        }
    }
}

/// Names come from outside, if signed: they cannot end a log line or begin another field.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = self.common_name.iter().map(|name| ("cn", name));
        let others = self.alternative_names.iter().map(|name| ("san", name));
        if self.common_name.is_none() && self.alternative_names.is_empty() {
            return write!(f, "unnamed");
        }
        for (index, (kind, name)) in common.chain(others).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{kind}={:?}", name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_s_names_stay_within_their_quotes() {
        let identity = Identity {
            common_name: Some("eve\nallowed status=200".to_owned()),
            alternative_names: vec!["eve.example".to_owned(), "\" cn=\"bob".to_owned()],
        };
        let peer = Peer::Machine { address: ([127, 0, 0, 1], 9).into(), identity: None };
        let nobody = Identity { common_name: None, alternative_names: vec![] };
        assert_eq!(peer.clone().identified(nobody).to_string(), "127.0.0.1:9,unnamed");
        assert_eq!(peer.to_string(), "127.0.0.1:9");
        assert_eq!(
            peer.identified(identity).to_string(),
            r#"127.0.0.1:9,cn="eve\nallowed status=200",san="eve.example",san="\" cn=\"bob""#
        );
    }
}
