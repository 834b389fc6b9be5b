//! The sandbox: what the process gives up once its listeners are bound, so that whoever took it over
//! could do little more with it than what it does anyway.
//!
//! Three measures of the kernel lie over each other. Each is taken as far as the kernel goes, and
//! [`InForce`] says how far that was.

pub mod landlock;
pub mod privileges;
pub mod seccomp;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::config::{Bind, Config};

/// What the process still does after its start. Everything else is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The directories from which it removes its sockets at the end.
    pub removes_in: Vec<PathBuf>,
    /// The directories in which it reads files again later, such as certificates: a file that is renewed
    /// is often a new one.
    pub reads: Vec<PathBuf>,
    /// How it connects to the engine.
    pub engine: Route,
}

/// How the engine is reached, which decides the kinds of sockets that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Over a Unix socket.
    Unix,
    /// Over TCP, at an IP address and this port.
    Ip(u16),
    /// Over TCP, at this port of a host whose name has to be resolved again and again.
    Name(u16),
}

/// What holds from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce([Measure; 3]);

/// One measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// It holds; what it is, as the log names it.
    Holds(String),
    /// It does not: its name and the reason.
    Missing(&'static str, String),
}

impl Needs {
    /// What a configuration needs.
    pub fn of(config: &Config) -> Self {
        let own = config.listeners.iter().filter_map(|listener| match &listener.bind {
            Bind::Unix(file) => Some(file.path.parent().unwrap_or(Path::new("/")).to_owned()),
            Bind::Tcp { .. } => None,
        });
        let engine = match &config.upstream.address {
            Address::Unix(_) => Route::Unix,
            Address::Tcp { host, port } if host.parse::<std::net::IpAddr>().is_ok() => Route::Ip(*port),
            Address::Tcp { port, .. } => Route::Name(*port),
        };
        Self { removes_in: own.collect(), reads: config.directories_read_later(), engine }
    }
}

/// Gives up everything that is not needed, for good.
///
/// seccomp comes last: it closes the system calls that the others are made with.
pub fn enter(needs: &Needs) -> InForce {
    let no_new_privs = no_new_privs();
    let landlock = landlock::enter(needs);
    let seccomp = seccomp::enter(needs);
    InForce([no_new_privs, landlock, seccomp])
}

/// Executing a program never gives more privileges again (`PR_SET_NO_NEW_PRIVS` of prctl(2)); the other
/// two measures ask for it as well.
fn no_new_privs() -> Measure {
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => Measure::Holds("no-new-privs".to_owned()),
        Err(error) => Measure::Missing("no-new-privs", error.to_string()),
    }
}

/// Whether this is the process's only thread: some of what is given up here is the thread's own.
///
/// # Errors
/// The reason why it is not, or why that cannot be told.
fn only_thread() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("cannot count the threads, /proc/self/status: {error}"))?;
    match status.lines().find_map(|line| line.strip_prefix("Threads:")).map(str::trim) {
        Some("1") => Ok(()),
        count => Err(format!("the process has {} threads and it would hold for one", count.unwrap_or("?"))),
    }
}

impl InForce {
    /// Whether all of it holds.
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(|measure| matches!(measure, Measure::Holds(_)))
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures: Vec<String> = self.0.iter().map(Measure::to_string).collect();
        write!(f, "sandbox: {}", measures.join(", "))
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(what) => f.write_str(what),
            Self::Missing(what, why) => write!(f, "no {what} ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_holds_and_why_the_rest_does_not() {
        let holds = |what: &str| Measure::Holds(what.to_owned());
        let whole = InForce([holds("no-new-privs"), holds("landlock ABI 7"), holds("seccomp 61 calls")]);
        assert_eq!(whole.to_string(), "sandbox: no-new-privs, landlock ABI 7, seccomp 61 calls");
        assert!(whole.is_whole());
        let partly = InForce([
            holds("no-new-privs"),
            Measure::Missing("landlock", "the kernel has none".to_owned()),
            holds("seccomp 61 calls"),
        ]);
        assert_eq!(
            partly.to_string(),
            "sandbox: no-new-privs, no landlock (the kernel has none), seccomp 61 calls"
        );
        assert!(!partly.is_whole());
    }
}
