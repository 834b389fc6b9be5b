//! Who a client is, as far as the kernel and TLS tell.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::UnixStream;

/// The client at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process on this host: `SO_PEERCRED` of unix(7), taken when it connected.
    Unix {
        /// The user that it ran as, in this process's user namespace.
        uid: u32,
        /// Its id in this process's PID namespace; 0 if it is in none that is visible from here, as with
        /// a client in another container.
        pid: i32,
    },
    /// A machine, perhaps this one.
    Tcp {
        /// Where it connects from.
        addr: SocketAddr,
        /// Whose certificate it has proved to hold, if it was asked for one.
        identity: Option<TlsIdentity>,
    },
}

/// Whose a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Its other names: hosts, addresses, mail.
    pub alternative_names: Vec<String>,
}

/// Whose share of something a connection takes: what stays the same from one connection to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// A user of this host.
    Uid(u32),
    /// The holder of a certificate: its names.
    Subject(String),
    /// A machine without one; of an IPv6 address the network, within which a machine may choose.
    Addr(IpAddr),
}

impl Peer {
    /// What tells this client from others.
    pub fn key(&self) -> PeerKey {
        match self {
            Self::Unix { uid, .. } => PeerKey::Uid(*uid),
            Self::Tcp { identity: Some(identity), .. } => PeerKey::Subject(identity.to_string()),
            Self::Tcp { addr, identity: None } => PeerKey::Addr(match addr.ip().to_canonical() {
                v4 @ IpAddr::V4(_) => v4,
                IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
            }),
        }
    }

    /// Who connected to a Unix socket.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn of_unix(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self::Unix { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0) })
    }

    /// The same client, whose certificate was verified.
    pub fn with_identity(self, identity: TlsIdentity) -> Self {
        match self {
            Self::Tcp { addr, .. } => Self::Tcp { addr, identity: Some(identity) },
            unix @ Self::Unix { .. } => unix,
        }
    }

    /// The user, for processes on this host.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Self::Unix { uid, .. } => Some(*uid),
            Self::Tcp { .. } => None,
        }
    }

    /// The process id, for processes on this host.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Unix { pid, .. } => Some(*pid),
            Self::Tcp { .. } => None,
        }
    }

    /// The address, for clients over TCP.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp { addr, .. } => Some(*addr),
        }
    }

    /// The subject of the client's certificate, if there is one.
    pub fn identity(&self) -> Option<&TlsIdentity> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp { identity, .. } => identity.as_ref(),
        }
    }
}

/// Names come from outside, if signed: they cannot end a log line or begin another field.
impl fmt::Display for TlsIdentity {
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
        let identity = TlsIdentity {
            common_name: Some("eve\nallowed status=200".to_owned()),
            alternative_names: vec!["eve.example".to_owned(), "\" cn=\"bob".to_owned()],
        };
        let unnamed = TlsIdentity { common_name: None, alternative_names: vec![] };
        assert_eq!(unnamed.to_string(), "unnamed");
        assert_eq!(
            identity.to_string(),
            r#"cn="eve\nallowed status=200",san="eve.example",san="\" cn=\"bob""#
        );
    }

    #[test]
    fn a_client_is_its_user_its_certificate_or_its_machine() {
        let tcp =
            |ip: &str, port| Peer::Tcp { addr: SocketAddr::new(ip.parse().unwrap(), port), identity: None };
        let unix = |uid, pid| Peer::Unix { uid, pid };
        assert_eq!(unix(7, 1).key(), unix(7, 2).key());
        assert_ne!(unix(7, 1).key(), unix(8, 1).key());
        assert_eq!(tcp("192.0.2.1", 1).key(), tcp("::ffff:192.0.2.1", 2).key());
        assert_ne!(tcp("192.0.2.1", 1).key(), tcp("192.0.2.2", 1).key());
        assert_eq!(tcp("2001:db8::1", 1).key(), tcp("2001:db8::2:1", 1).key());
        assert_ne!(tcp("2001:db8::1", 1).key(), tcp("2001:db8:0:1::1", 1).key());
        let alice = TlsIdentity { common_name: Some("alice".to_owned()), alternative_names: vec![] };
        let with = |ip| tcp(ip, 1).with_identity(alice.clone()).key();
        assert_eq!(with("192.0.2.1"), with("192.0.2.2"));
    }

    #[test]
    fn only_a_client_over_tcp_has_an_identity() {
        let identity = TlsIdentity { common_name: Some("alice".to_owned()), alternative_names: vec![] };
        let tcp = Peer::Tcp { addr: ([127, 0, 0, 1], 9).into(), identity: None };
        assert_eq!(tcp.with_identity(identity.clone()).identity(), Some(&identity));
        let unix = Peer::Unix { uid: 7, pid: 8 };
        assert_eq!(unix.clone().with_identity(identity), unix);
    }
}
