//! Who a client is, as far as the kernel and TLS tell.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UnixStream;

use super::excerpt::Excerpt;
use super::groups::peer_groups;

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
        /// Its groups, the primary one first; `None` if the kernel does not tell, or it has more than 32 others.
        groups: Option<Vec<u32>>,
    },
    /// A machine, perhaps this one.
    Tcp {
        /// Where it connects from.
        addr: SocketAddr,
        /// Whose certificate it has proved to hold, if it was asked for one.
        identity: Option<Arc<TlsIdentity>>,
    },
}

/// Whom connections of one and the same client have in common: they share what one client may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// Processes of one user.
    User(u32),
    /// Whoever holds this certificate.
    Certificate(Arc<TlsIdentity>),
    /// An address; of IPv6 the first 64 bits, of which one machine has all the others.
    Address(IpAddr),
}

/// Whose a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsIdentity {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Its other names: hosts, addresses, mail.
    pub alternative_names: Vec<String>,
    /// The SHA-256 digest of the certificate in its DER form.
    pub sha256: [u8; 32],
}

impl Peer {
    /// Who connected to a Unix socket.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn of_unix(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let others = peer_groups(stream).ok();
        let groups = others.map(|others| [vec![credentials.gid()], others].concat());
        Ok(Self::Unix { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0), groups })
    }

    /// A process of this host, in no group.
    pub fn process(uid: u32, pid: i32) -> Self {
        Self::Unix { uid, pid, groups: Some(Vec::new()) }
    }

    /// The same client, whose certificate was verified.
    pub fn with_identity(self, identity: TlsIdentity) -> Self {
        match self {
            Self::Tcp { addr, .. } => Self::Tcp { addr, identity: Some(Arc::new(identity)) },
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

    /// The groups; `None` for a process whose groups are not known. Over TCP there are none.
    pub fn groups(&self) -> Option<&[u32]> {
        match self {
            Self::Unix { groups, .. } => groups.as_deref(),
            Self::Tcp { .. } => Some(&[]),
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
            Self::Tcp { identity, .. } => identity.as_deref(),
        }
    }

    /// Which client it is: by its certificate if it showed one, else by its user or its address.
    pub fn client_key(&self) -> ClientKey {
        match self {
            Self::Unix { uid, .. } => ClientKey::User(*uid),
            Self::Tcp { identity: Some(identity), .. } => ClientKey::Certificate(Arc::clone(identity)),
            Self::Tcp { addr, identity: None } => ClientKey::Address(match addr.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
                ip => ip,
            }),
        }
    }
}

/// Names come from outside, if signed: they cannot end a log line or begin another field, and a line
/// shows no more than a kilobyte of them, quotes included.
impl fmt::Display for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Excerpt(Names(self)))
    }
}

/// All names of a certificate, however many they are.
struct Names<'a>(&'a TlsIdentity);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TlsIdentity { common_name, alternative_names, .. } = self.0;
        let common = common_name.iter().map(|name| ("cn", name));
        let others = alternative_names.iter().map(|name| ("san", name));
        if common_name.is_none() && alternative_names.is_empty() {
            return write!(f, "unnamed");
        }
        for (index, (kind, name)) in common.chain(others).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{kind}={name:?}")?;
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
            sha256: [0; 32],
        };
        let unnamed = TlsIdentity { common_name: None, alternative_names: vec![], sha256: [0; 32] };
        assert_eq!(unnamed.to_string(), "unnamed");
        assert_eq!(
            identity.to_string(),
            r#"cn="eve\nallowed status=200",san="eve.example",san="\" cn=\"bob""#
        );
    }

    #[test]
    fn of_many_names_a_line_shows_the_first() {
        let names = (0..3500).map(|number| format!("host-{number}.example")).collect();
        let identity =
            TlsIdentity { common_name: Some("eve".to_owned()), alternative_names: names, sha256: [0; 32] };
        let text = identity.to_string();
        assert_eq!(text.len(), 512);
        assert!(text.starts_with("cn=\"eve\",san=\"host-0.example\",") && text.ends_with("..."), "{text}");
    }

    #[test]
    fn a_client_is_a_certificate_a_user_or_an_address() {
        let at = |addr: &str| Peer::Tcp { addr: addr.parse().unwrap(), identity: None };
        let key = |addr: &str| at(addr).client_key();
        let alice =
            TlsIdentity { common_name: Some("alice".to_owned()), alternative_names: vec![], sha256: [0; 32] };
        let as_alice = |addr: &str| at(addr).with_identity(alice.clone()).client_key();
        assert_eq!(key("192.0.2.1:1"), key("192.0.2.1:2"));
        assert_eq!(key("192.0.2.1:1"), key("[::ffff:192.0.2.1]:1"));
        assert_ne!(key("192.0.2.1:1"), key("192.0.2.2:1"));
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:1]:1"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
        assert_eq!(as_alice("192.0.2.1:1"), as_alice("192.0.2.2:1"));
        assert_ne!(as_alice("192.0.2.1:1"), key("192.0.2.1:1"));
        let unix = |uid, pid| Peer::process(uid, pid).client_key();
        assert_eq!(unix(7, 1), unix(7, 2));
        assert_ne!(unix(7, 1), unix(8, 1));
    }

    #[test]
    fn only_a_client_over_tcp_has_an_identity() {
        let identity =
            TlsIdentity { common_name: Some("alice".to_owned()), alternative_names: vec![], sha256: [0; 32] };
        let tcp = Peer::Tcp { addr: ([127, 0, 0, 1], 9).into(), identity: None };
        assert_eq!(tcp.with_identity(identity.clone()).identity(), Some(&identity));
        let unix = Peer::process(7, 8);
        assert_eq!(unix.clone().with_identity(identity), unix);
    }
}
