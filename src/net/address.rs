//! Addresses of listeners and of the engine, as Docker writes them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::inherited::InheritedName;

/// Where a listener is reached, or the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket's path: `unix:///path` or a bare `/path`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp {
        /// A name or an IP address, IPv6 without its brackets.
        host: String,
        /// The port; for a listener 0 lets the kernel choose.
        port: u16,
    },
}

/// What a listener is given: an address to bind, or sockets that are bound already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address.
    Bind(Address),
    /// `fd://`: sockets that were passed to the process, as dockerd writes them.
    Inherited(InheritedName),
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid address '{given}': {problem}")]
pub struct AddressError {
    given: String,
    problem: &'static str,
}

impl AddressError {
    /// The text as it was given.
    pub fn given(&self) -> &str {
        &self.given
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let fail = |problem| AddressError { given: given.to_owned(), problem };
        match given.split_once("://") {
            Some(("unix", path)) => unix(path).map_err(fail),
            Some(("tcp", authority)) => tcp(authority).map_err(fail),
            Some(("ssh", _)) => {
                Err(fail("ssh is not supported; forward the socket with 'ssh -L' and use unix://"))
            }
            Some(("fd", _)) => Err(fail("fd:// is for listeners; an engine is at unix:// or tcp://")),
            Some(_) => Err(fail("the schemes are unix:// and tcp://")),
            None if given.starts_with(['/', '.']) => unix(given).map_err(fail),
            None => Err(fail("write unix:///path, /path or tcp://HOST:PORT")),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        match given.strip_prefix("fd://") {
            Some(name) => Ok(Self::Inherited(name.into())),
            None => given.parse().map(Self::Bind),
        }
    }
}

/// `sun_path` of unix(7) holds 108 bytes and a closing NUL.
const MAX_SOCKET_PATH: usize = 107;

fn unix(path: &str) -> Result<Address, &'static str> {
    match path {
        "" => Err("the socket's path is missing"),
        _ if path.ends_with('/') => Err("this is a directory; name the socket in it"),
        _ if path.contains('\0') => Err("a path cannot contain NUL"),
        _ => {
            let path =
                std::path::absolute(path).map_err(|_| "the current directory does not exist any more")?;
            if path.as_os_str().len() > MAX_SOCKET_PATH {
                return Err("the path is too long for a Unix socket, which takes 107 bytes");
            }
            Ok(Address::Unix(path))
        }
    }
}

fn tcp(authority: &str) -> Result<Address, &'static str> {
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = authority.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().map_err(|_| "the port is not a number from 0 to 65535")?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("the bracket after the IPv6 address is missing")?,
        None if host.contains(':') => return Err("an IPv6 address needs brackets: tcp://[::1]:2376"),
        None => host,
    };
    if host.is_empty() {
        return Err("the host is missing; 0.0.0.0 listens on every IPv4 address, [::] on every IPv6 one");
    }
    if host.contains(|c: char| !c.is_ascii_graphic() || "/@?#".contains(c)) {
        return Err("after tcp:// just HOST:PORT is expected");
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address) => address.fmt(f),
            Self::Inherited(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse::<Address>().map(|a| format!("{a:?}")).map_err(|e| e.problem.to_owned())
    }

    #[test]
    fn both_spellings_of_a_socket_are_one_address() {
        assert_eq!(parsed("unix:///run/x.sock"), parsed("/run/x.sock"));
        assert!(parsed("./x.sock").is_ok());
    }

    #[test]
    fn tcp_takes_names_and_both_kinds_of_ip() {
        assert_eq!("tcp://[::1]:2376".parse(), Ok(Address::Tcp { host: "::1".into(), port: 2376 }));
        assert_eq!("tcp://engine:1".parse(), Ok(Address::Tcp { host: "engine".into(), port: 1 }));
        assert_eq!("tcp://[::1]:2376".parse::<Address>().unwrap().to_string(), "tcp://[::1]:2376");
    }

    #[test]
    fn only_a_listener_takes_sockets_that_were_passed() {
        for (text, name) in [
            ("fd://", InheritedName::Rest),
            ("fd://3", InheritedName::Number(3)),
            ("fd://web", InheritedName::Name("web".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(ListenAddress::Inherited(name)));
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
            assert!(parsed(text).unwrap_err().contains("for listeners"));
        }
        assert_eq!("/x.sock".parse(), Ok(ListenAddress::Bind(Address::Unix("/x.sock".into()))));
    }

    #[test]
    fn an_invalid_address_says_why() {
        for (text, part) in [
            ("", "write unix"),
            ("docker.sock", "write unix"),
            ("unix://", "missing"),
            ("unix:///run/", "directory"),
            ("ssh://host", "ssh -L"),
            ("npipe:////./pipe/x", "schemes"),
            ("tcp://host", "port"),
            ("tcp://:2375", "host"),
            ("tcp://::1:2375", "brackets"),
            ("tcp://h:99999", "65535"),
            ("tcp://h/x:1", "just"),
            ("tcp://h\u{f6}st:1", "just"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parsed(&format!("/{}", "x".repeat(107))).is_err());
        assert!(parsed(&format!("/{}", "x".repeat(106))).is_ok());
    }
}
