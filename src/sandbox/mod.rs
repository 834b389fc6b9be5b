//! The sandbox: what the process gives up once its listeners are bound, so that whoever took it over
//! could do little more with it than what it does anyway.
//!
//! Three measures of the kernel lie over each other. Each is taken as far as the kernel goes, and
//! [`Status`] says how far that was.

pub mod landlock;
pub mod privileges;
pub mod seccomp;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::net::Address;

/// What the process still does after its start. Everything else is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// The directories from which it removes its sockets at the end.
    pub unlink_dirs: Vec<PathBuf>,
    /// The directories in which it reads files again later, such as certificates: a file that is renewed
    /// is often a new one.
    pub read_dirs: Vec<PathBuf>,
    /// The directories in which it opens a file again later to append to it, or makes it: that of the access log,
    /// which is put aside and made anew.
    pub append_dirs: Vec<PathBuf>,
    /// Whether it reads what it takes of its machine, from files of proc(5) that are open.
    pub reads_usage: bool,
    /// How it connects to the engine.
    pub upstream: UpstreamKind,
}

/// How the engine is reached, which decides the kinds of sockets that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamKind {
    /// Over a Unix socket.
    Unix,
    /// Over TCP, at an IP address and this port.
    Ip(u16),
    /// Over TCP, at this port of a host whose name has to be resolved again and again.
    Name(u16),
}

/// What is enforced from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status([Measure; 3]);

/// One measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// It is enforced; what it is, as the log names it.
    Enforced(String),
    /// It is not: its name and the reason.
    Unavailable(&'static str, String),
}

impl UpstreamKind {
    /// How an address is reached.
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Unix(_) => Self::Unix,
            Address::Tcp { host, port } if host.parse::<IpAddr>().is_ok() => Self::Ip(*port),
            Address::Tcp { port, .. } => Self::Name(*port),
        }
    }
}

/// Gives up everything that is not required, for good.
///
/// seccomp comes last: it closes the system calls that the others are made with. Threads that the process
/// needs are started by `start_threads` just before: they inherit what holds by then, and seccomp is put on
/// every thread.
pub fn enter<T>(requirements: &Requirements, start_threads: impl FnOnce() -> T) -> (Status, T) {
    let no_new_privs = no_new_privs();
    let landlock = landlock::enter(requirements);
    let threads = start_threads();
    let seccomp = seccomp::enter(requirements);
    (Status([no_new_privs, landlock, seccomp]), threads)
}

/// Executing a program never gives more privileges again (`PR_SET_NO_NEW_PRIVS` of prctl(2)); the other
/// two measures ask for it as well.
fn no_new_privs() -> Measure {
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => Measure::Enforced("no-new-privs".to_owned()),
        Err(error) => Measure::Unavailable("no-new-privs", error.to_string()),
    }
}

/// Whether this is the process's only thread: some of what is given up here is the thread's own.
///
/// # Errors
/// The reason why it is not, or why that cannot be told.
fn ensure_single_threaded() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("cannot count the threads, /proc/self/status: {error}"))?;
    match status.lines().find_map(|line| line.strip_prefix("Threads:")).map(str::trim) {
        Some("1") => Ok(()),
        count => Err(format!("the process has {} threads and it would hold for one", count.unwrap_or("?"))),
    }
}

impl Status {
    /// Whether all of it is enforced.
    pub fn fully_enforced(&self) -> bool {
        self.0.iter().all(|measure| matches!(measure, Measure::Enforced(_)))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures: Vec<String> = self.0.iter().map(Measure::to_string).collect();
        write!(f, "sandbox: {}", measures.join(", "))
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced(what) => f.write_str(what),
            Self::Unavailable(what, why) => write!(f, "no {what} ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_holds_and_why_the_rest_does_not() {
        let enforced = |what: &str| Measure::Enforced(what.to_owned());
        let whole =
            Status([enforced("no-new-privs"), enforced("landlock ABI 7"), enforced("seccomp 61 calls")]);
        assert_eq!(whole.to_string(), "sandbox: no-new-privs, landlock ABI 7, seccomp 61 calls");
        assert!(whole.fully_enforced());
        let partly = Status([
            enforced("no-new-privs"),
            Measure::Unavailable("landlock", "the kernel does not have it".to_owned()),
            enforced("seccomp 61 calls"),
        ]);
        assert_eq!(
            partly.to_string(),
            "sandbox: no-new-privs, no landlock (the kernel does not have it), seccomp 61 calls"
        );
        assert!(!partly.fully_enforced());
    }
}
