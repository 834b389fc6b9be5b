//! Listening sockets that whoever started the process opened for it, as systemd does: sd_listen_fds(3).
//!
//! They stay open while the process is started anew, so that clients wait in their queue instead of being
//! refused. Nothing of them is removed here: a Unix socket's file, its mode and its group are the service
//! manager's matter.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt;
use thiserror::Error;

use super::address::Address;
use super::passing::{self, DescriptorPassing};

/// The first descriptor that is passed: `SD_LISTEN_FDS_START` of sd_listen_fds(3).
const FIRST: usize = 3;

/// Which of the passed sockets a listener takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InheritedName {
    /// `fd://`: all that no other listener names.
    Rest,
    /// `fd://N`: the one with this descriptor; the first is 3.
    Number(usize),
    /// `fd://NAME`: all of this name, which is `FileDescriptorName=` of systemd.socket(5).
    Name(String),
}

/// The sockets that were passed and that no listener has taken yet.
#[derive(Debug)]
pub struct InheritedSockets {
    sockets: Vec<InheritedSocket>,
    /// Why there are none, where it is known.
    absence: Absence,
}

/// A socket that was passed.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The socket itself.
    pub listener: InheritedListener,
    /// What it was passed as.
    pub label: Label,
}

/// The listening sockets that can be used.
#[derive(Debug)]
pub enum InheritedListener {
    /// A Unix socket, its path or its abstract name after an `@`, and what happens to descriptors that clients
    /// pass.
    Unix(UnixListener, Address, DescriptorPassing),
    /// A TCP socket and its address.
    Tcp(TcpListener, SocketAddr),
}

/// What a socket was passed as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    number: usize,
    name: Option<String>,
}

/// Why there are no sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Absence {
    #[error("none was passed: start it by its .socket unit, or name an address")]
    NotPassed,
    #[error("those that were passed are for process {0} (LISTEN_PID): let that one exec this program")]
    ForAnother(u32),
}

/// Why sockets that were passed cannot be used, or are not there.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The environment variables contradict each other.
    #[error("invalid {0}: sd_listen_fds(3) says what it holds")]
    Environment(&'static str),
    /// A socket is not one that clients can connect to.
    #[error("the socket {0} that was passed {1}")]
    Unusable(Label, Unusable),
    /// A listener takes what is not there.
    #[error("no socket for the listener {wanted}: {problem}")]
    Missing {
        /// What it takes.
        wanted: InheritedName,
        /// What is there instead.
        problem: String,
    },
    /// A socket is there that no listener takes.
    #[error(
        "the socket {0} was passed and no listener takes it, so its clients would wait for ever: listen on \
         {1}, or take it out of the .socket unit"
    )]
    Unused(Label, InheritedName),
    /// The system does not let it be used.
    #[error("the socket {0} that was passed cannot be used: {1}")]
    Io(Label, #[source] io::Error),
}

/// What is wrong with a socket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It is one for datagrams.
    #[error("is for datagrams; the .socket unit needs ListenStream=")]
    Datagram,
    /// It is one for packets in sequence.
    #[error("is for packets (SOCK_SEQPACKET); the .socket unit needs ListenStream=")]
    SequencedPackets,
    /// It is a connection.
    #[error("does not listen; the .socket unit needs Accept=no")]
    NotListening,
    /// It is something else.
    #[error("is neither a Unix nor a TCP socket but {0}; the .socket unit needs ListenStream=")]
    Other(String),
}

/// What the environment says was passed: the sockets' labels.
#[derive(Debug, PartialEq, Eq)]
enum Announced {
    Sockets(Vec<Label>),
    Nothing(Absence),
}

impl InheritedSockets {
    /// Takes over what the environment says was passed, and takes how many they are out of it. To be called once,
    /// before anything else opens descriptors.
    ///
    /// # Errors
    /// [`InheritError`] if one of the sockets cannot be used.
    pub fn take() -> Result<Self, InheritError> {
        let announced = announced(|name| std::env::var_os(name), std::process::id())?;
        match announced {
            Announced::Nothing(absence) => Ok(Self { sockets: vec![], absence }),
            Announced::Sockets(labels) => {
                let mut fds = ListenFd::from_env();
                let sockets = labels.into_iter().map(|label| receive(&mut fds, label));
                Ok(Self { sockets: sockets.collect::<Result<_, _>>()?, absence: Absence::NotPassed })
            }
        }
    }

    /// Gives each listener its sockets, in the order of `wanted`.
    ///
    /// # Errors
    /// [`InheritError`] if there is none for a listener, or no listener for one.
    pub fn assign(self, wanted: &[&InheritedName]) -> Result<Vec<Vec<InheritedSocket>>, InheritError> {
        let labels: Vec<&Label> = self.sockets.iter().map(|socket| &socket.label).collect();
        let takers = takers(wanted, &labels).map_err(|unassigned| match unassigned {
            Unassigned::Listener(listener) => {
                InheritError::Missing { wanted: wanted[listener].clone(), problem: self.problem() }
            }
            Unassigned::Socket(socket) => {
                let label = &self.sockets[socket].label;
                InheritError::Unused(label.clone(), label.as_listener())
            }
        })?;
        let mut assigned: Vec<Vec<InheritedSocket>> = wanted.iter().map(|_| vec![]).collect();
        for (socket, taker) in self.sockets.into_iter().zip(takers) {
            assigned[taker].push(socket);
        }
        Ok(assigned)
    }

    /// Why there is none for a listener.
    fn problem(&self) -> String {
        match self.sockets.as_slice() {
            [] => self.absence.to_string(),
            sockets => {
                let all: Vec<String> = sockets.iter().map(|socket| socket.label.to_string()).collect();
                format!("those that were passed are {}, each for one listener", all.join(", "))
            }
        }
    }
}

/// The descriptors that are for the process `own_pid`.
fn announced(env: impl Fn(&str) -> Option<OsString>, own_pid: u32) -> Result<Announced, InheritError> {
    /// More than a process gets.
    const MAX: usize = 1024;
    let text = |name: &'static str| {
        let value = env(name).filter(|value| !value.is_empty());
        value.map(|value| value.into_string().map_err(|_| InheritError::Environment(name))).transpose()
    };
    let Some(count) = text("LISTEN_FDS")? else { return Ok(Announced::Nothing(Absence::NotPassed)) };
    let count = count.parse().ok().filter(|count| *count <= MAX);
    let count = count.ok_or(InheritError::Environment("LISTEN_FDS"))?;
    let pid = text("LISTEN_PID")?.ok_or(InheritError::Environment("LISTEN_PID"))?;
    let pid = pid.parse().map_err(|_| InheritError::Environment("LISTEN_PID"))?;
    if pid != own_pid {
        return Ok(Announced::Nothing(Absence::ForAnother(pid)));
    }
    let names = text("LISTEN_FDNAMES")?;
    let names: Option<Vec<&str>> = names.as_deref().map(|names| names.split(':').collect());
    if names.as_ref().is_some_and(|names| names.len() != count) {
        return Err(InheritError::Environment("LISTEN_FDNAMES"));
    }
    let name = |index: usize| names.as_ref().map(|names| names[index].to_owned());
    Ok(Announced::Sockets(
        (0..count).map(|index| Label { number: FIRST + index, name: name(index) }).collect(),
    ))
}

/// Takes one socket over, if clients can connect to it.
fn receive(fds: &mut ListenFd, label: Label) -> Result<InheritedSocket, InheritError> {
    let index = label.number - FIRST;
    let taken = if let Ok(Some(listener)) = fds.take_unix_listener(index) {
        unix(listener)
    } else if let Ok(Some(listener)) = fds.take_tcp_listener(index) {
        tcp(listener)
    } else {
        let problem = other_kind(fds, index, label.number);
        return Err(InheritError::Unusable(label, problem));
    };
    match taken {
        Ok(Some(listener)) => Ok(InheritedSocket { listener, label }),
        Ok(None) => Err(InheritError::Unusable(label, Unusable::NotListening)),
        Err(error) => Err(InheritError::Io(label, error)),
    }
}

fn unix(listener: UnixListener) -> io::Result<Option<InheritedListener>> {
    if !sockopt::socket_acceptconn(&listener)? {
        return Ok(None);
    }
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let path = match (address.as_pathname(), abstract_name(&address)) {
        (Some(path), _) => path.to_owned(),
        (None, name) => name.into(),
    };
    let passing = passing::refuse_from_now(&listener);
    Ok(Some(InheritedListener::Unix(listener, Address::Unix(path), passing)))
}

/// A name that is no file's, as ss(8) and systemd write it; a socket without any is `@`.
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> String {
    use std::os::linux::net::SocketAddrExt;
    let name = address.as_abstract_name().unwrap_or_default();
    format!("@{}", name.escape_ascii())
}

fn tcp(listener: TcpListener) -> io::Result<Option<InheritedListener>> {
    if !sockopt::socket_acceptconn(&listener)? {
        return Ok(None);
    }
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Some(InheritedListener::Tcp(listener, address)))
}

/// What a descriptor is that is no stream socket.
fn other_kind(fds: &mut ListenFd, index: usize, number: usize) -> Unusable {
    let mut is = |family, kind| matches!(fds.take_custom::<OwnedFd>(index, family, kind, ""), Ok(Some(_)));
    if is(libc::AF_UNIX, libc::SOCK_DGRAM) || is(libc::AF_INET, libc::SOCK_DGRAM) {
        Unusable::Datagram
    } else if is(libc::AF_UNIX, libc::SOCK_SEQPACKET) {
        Unusable::SequencedPackets
    } else {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}"));
        Unusable::Other(match link {
            Ok(what) => what.display().to_string(),
            Err(_) => "not open at all".to_owned(),
        })
    }
}

/// A listener without a socket, or a socket without a listener: which.
#[derive(Debug, PartialEq, Eq)]
enum Unassigned {
    Listener(usize),
    Socket(usize),
}

/// Which listener takes each socket. Those that name theirs come first.
fn takers(wanted: &[&InheritedName], passed: &[&Label]) -> Result<Vec<usize>, Unassigned> {
    let mut takers: Vec<Option<usize>> = vec![None; passed.len()];
    let (rest, named): (Vec<usize>, Vec<usize>) =
        (0..wanted.len()).partition(|listener| *wanted[*listener] == InheritedName::Rest);
    for listener in named.into_iter().chain(rest) {
        let mut found = false;
        for (taker, label) in takers.iter_mut().zip(passed) {
            if taker.is_none() && wanted[listener].takes(label) {
                (*taker, found) = (Some(listener), true);
            }
        }
        if !found {
            return Err(Unassigned::Listener(listener));
        }
    }
    takers.iter().enumerate().map(|(socket, taker)| taker.ok_or(Unassigned::Socket(socket))).collect()
}

impl InheritedName {
    fn takes(&self, label: &Label) -> bool {
        match self {
            Self::Rest => true,
            Self::Number(number) => *number == label.number,
            Self::Name(name) => Some(name) == label.name.as_ref(),
        }
    }
}

impl Label {
    /// How a listener names it.
    fn as_listener(&self) -> InheritedName {
        self.name.clone().map_or(InheritedName::Number(self.number), InheritedName::Name)
    }
}

impl From<&str> for InheritedName {
    /// What stands behind `fd://`.
    fn from(text: &str) -> Self {
        match (text, text.parse()) {
            ("" | "*", _) => Self::Rest,
            (_, Ok(number)) => Self::Number(number),
            (name, Err(_)) => Self::Name(name.to_owned()),
        }
    }
}

impl fmt::Display for InheritedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest => f.write_str("fd://"),
            Self::Number(number) => write!(f, "fd://{number}"),
            Self::Name(name) => write!(f, "fd://{name}"),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ('{}')", self.number, name.escape_debug()),
            None => self.number.fmt(f),
        }
    }
}

impl InheritedListener {
    /// Where clients connect.
    pub fn address(&self) -> Address {
        match self {
            Self::Unix(_, address, _) => address.clone(),
            Self::Tcp(_, address) => Address::Tcp { host: address.ip().to_string(), port: address.port() },
        }
    }

    /// Whether clients connect over TCP.
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(..))
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(..) => true,
            Self::Tcp(_, address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 34;

    fn read(variables: &[(&str, &str)]) -> Result<Announced, String> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        announced(value, OWN).map_err(|error| error.to_string())
    }

    fn labels(names: &[&str]) -> Vec<Label> {
        let label = |(index, name): (usize, &&str)| Label {
            number: FIRST + index,
            name: (!name.is_empty()).then(|| (*name).to_owned()),
        };
        names.iter().enumerate().map(label).collect()
    }

    fn assigned(wanted: &[&str], names: &[&str]) -> Result<Vec<usize>, Unassigned> {
        let wanted: Vec<InheritedName> = wanted.iter().map(|name| InheritedName::from(*name)).collect();
        takers(&wanted.iter().collect::<Vec<_>>(), &labels(names).iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_environment_says_how_many_for_whom_and_by_what_names() {
        let own = ("LISTEN_PID", "34");
        assert_eq!(read(&[]), Ok(Announced::Nothing(Absence::NotPassed)));
        assert_eq!(read(&[own, ("LISTEN_FDS", "2")]), Ok(Announced::Sockets(labels(&["", ""]))));
        assert_eq!(
            read(&[own, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:api")]),
            Ok(Announced::Sockets(labels(&["web", "api"])))
        );
        let another = read(&[("LISTEN_PID", "12"), ("LISTEN_FDS", "2")]);
        assert_eq!(another, Ok(Announced::Nothing(Absence::ForAnother(12))));
    }

    #[test]
    fn an_environment_that_contradicts_itself_is_an_error_that_names_the_variable() {
        let own = ("LISTEN_PID", "34");
        for (variables, named) in [
            (vec![own, ("LISTEN_FDS", "two")], "LISTEN_FDS:"),
            (vec![own, ("LISTEN_FDS", "4000000000")], "LISTEN_FDS:"),
            (vec![("LISTEN_FDS", "1")], "LISTEN_PID:"),
            (vec![("LISTEN_FDS", "1"), ("LISTEN_PID", "x")], "LISTEN_PID:"),
            (vec![own, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web")], "LISTEN_FDNAMES:"),
        ] {
            let error = read(&variables).unwrap_err();
            assert!(error.contains(named), "{variables:?}: {error}");
        }
    }

    #[test]
    fn sockets_are_taken_by_name_by_number_and_the_rest_together() {
        assert_eq!(assigned(&["web", "api"], &["api", "web"]), Ok(vec![1, 0]));
        assert_eq!(assigned(&["4", "3"], &["", ""]), Ok(vec![1, 0]));
        assert_eq!(assigned(&["", "api"], &["api", "web", "web"]), Ok(vec![1, 0, 0]));
        assert_eq!(assigned(&["*"], &["api", ""]), Ok(vec![0, 0]));
        assert_eq!(assigned(&["web"], &["web", "web"]), Ok(vec![0, 0]));
        assert_eq!(assigned(&[], &[]), Ok(vec![]));
    }

    #[test]
    fn a_listener_without_a_socket_and_a_socket_without_a_listener_are_found() {
        assert_eq!(assigned(&["web"], &["api"]), Err(Unassigned::Listener(0)));
        assert_eq!(assigned(&["web", "3"], &["web"]), Err(Unassigned::Listener(1)));
        assert_eq!(assigned(&[""], &[]), Err(Unassigned::Listener(0)));
        assert_eq!(assigned(&["api"], &["api", "web"]), Err(Unassigned::Socket(1)));
        assert_eq!(assigned(&[], &["web"]), Err(Unassigned::Socket(0)));
    }
}
