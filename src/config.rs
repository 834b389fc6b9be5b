//! The configuration: what the command line and the environment mean.

mod security;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::acl::{Acl, UnknownName};
use crate::address::{Address, AddressError};
use crate::cli::{self, ListenArgs, LogFormat, LogLevel, ServeArgs, UpstreamArgs};
use crate::listener::admission::Caps;
use crate::listener::unix::{Group, SocketFile};
use crate::sandbox::privileges::User;
use crate::tls::files::ClientFiles;
pub use security::{Security, SecurityError};

/// Everything that the proxy needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, each with its own ACL.
    pub listeners: Vec<ListenerConfig>,
    /// The engine behind them all.
    pub upstream: UpstreamConfig,
    /// What a client may take of time and room.
    pub limits: Limits,
    /// Who it becomes once its listeners are bound; `None` is who started it.
    pub user: Option<User>,
    /// Whether it gives up what it does not need.
    pub sandbox: Sandbox,
    /// How long answers in flight may take after a signal to stop.
    pub shutdown_timeout: Duration,
}

/// Whether the process gives up what it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel goes.
    On,
    /// Not at all: `--no-sandbox`.
    Off,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Where it listens.
    pub bind: Bind,
    /// What it lets through.
    pub acl: Arc<Acl>,
}

/// Where a listener listens, with what that kind of address needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// On a Unix socket.
    Unix(SocketFile),
    /// On a TCP address.
    Tcp {
        /// A name or an IP address, IPv6 without its brackets.
        host: String,
        /// The port; 0 lets the kernel choose.
        port: u16,
        /// Whether TLS is spoken there, and to whom.
        security: Security,
    },
}

/// The engine's address and how long it is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where the engine listens.
    pub address: Address,
    /// How long it may take until the head of a finite answer is there; `None` is forever.
    pub head_timeout: Option<Duration>,
    /// What TLS to it needs; `None` is none.
    pub tls: Option<ClientFiles>,
}

/// What a client may take of time and room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a request's head to arrive.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Connections at one time.
    pub caps: Caps,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or programs.
    pub format: LogFormat,
    /// The least important lines that are logged.
    pub level: LogLevel,
}

/// Where the socket is without any flag.
pub const DEFAULT_LISTEN: &str = "unix:///tmp/docker-proxy-acl/docker.sock";
/// Where the engine is without any flag or `DOCKER_HOST`.
pub const DEFAULT_UPSTREAM: &str = "unix:///var/run/docker.sock";

/// Why a command line means nothing.
#[derive(Debug)]
pub enum ConfigError {
    /// No name was allowed.
    NothingAllowed,
    /// A name that is none.
    Name(UnknownName),
    /// An address that is none; the flag or variable that gave it.
    Address(&'static str, AddressError),
    /// A listener that is also the upstream.
    Loop(Address),
    /// The same listener twice.
    Twice(Address),
    /// A group that does not exist.
    Group(String),
    /// What `--user` names, and why the process cannot become that.
    User(String, &'static str),
    /// TLS that does not fit together, or is missing.
    Security(SecurityError),
}

impl Config {
    /// What `args` mean; `env` looks up the environment variables that are not flags' own.
    ///
    /// # Errors
    /// [`ConfigError`], which names the flag and the way out.
    pub fn new(args: &ServeArgs, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let acl = Arc::new(acl(&args.allow.allow)?);
        let upstream = upstream(&args.upstream, &env)?;
        let group = group(args.socket.socket_group.as_deref(), &upstream.address)?;
        let user = user(args.sandbox.user.as_deref())?;
        let wish = security::wish(&args.tls, &env).map_err(ConfigError::Security)?;
        let addresses = listen_addresses(&args.listen)?;
        wish.needs_tcp(&addresses).map_err(ConfigError::Security)?;
        let mut listeners = Vec::new();
        for address in addresses {
            if leads_to(&upstream.address, &address) {
                return Err(ConfigError::Loop(address));
            }
            let bind = match address {
                Address::Unix(path) => {
                    let (mode, group) = (args.socket.socket_mode, group.clone());
                    Bind::Unix(SocketFile { path, mode, group, owner: user.map(|user| user.uid) })
                }
                Address::Tcp { host, port } => {
                    let security = wish.at(&host, port).map_err(ConfigError::Security)?;
                    Bind::Tcp { host, port, security }
                }
            };
            listeners.push(ListenerConfig { bind, acl: Arc::clone(&acl) });
        }
        let limits = Limits {
            header_timeout: args.limits.header_timeout,
            idle_timeout: args.limits.idle_timeout,
            caps: Caps {
                connections: args.limits.max_connections,
                connections_per_uid: args.limits.max_connections_per_uid,
            },
        };
        let sandbox = if args.sandbox.no_sandbox { Sandbox::Off } else { Sandbox::On };
        let shutdown_timeout = args.limits.shutdown_timeout;
        Ok(Self { listeners, upstream, limits, user, sandbox, shutdown_timeout })
    }

    /// The directories that files are read from after the start: those of certificates, which are taken
    /// up when they change.
    pub fn directories_read_later(&self) -> Vec<PathBuf> {
        let mut certificates: Vec<&Path> = Vec::new();
        for listener in &self.listeners {
            if let Bind::Tcp { security: Security::Tls(files), .. } = &listener.bind {
                certificates.extend(files.paths());
            }
        }
        certificates.extend(self.upstream.tls.iter().flat_map(ClientFiles::paths));
        let mut read: Vec<PathBuf> = certificates.into_iter().flat_map(directories).collect();
        read.sort();
        read.dedup();
        read
    }
}

/// Where a file stands; where it really stands, if it is a symbolic link; and if its directory is one,
/// where that stands, because the link may turn to another directory beside the one before.
fn directories(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| path.parent().map(Path::to_owned);
    let named = std::path::absolute(file).ok().and_then(|file| parent(&file));
    let real = file.canonicalize().ok().and_then(|file| parent(&file));
    let turning = named.as_deref().filter(|directory| directory.is_symlink()).and_then(parent);
    [named, real, turning].into_iter().flatten().collect()
}

impl LogConfig {
    /// What the command line says of logging.
    pub fn new(args: &ServeArgs) -> Self {
        Self { format: args.log.log_format, level: args.log.log_level }
    }
}

/// The ACL that the names after `-a` stand for.
///
/// # Errors
/// If there is no name, or one that is none.
pub fn acl(names: &[String]) -> Result<Acl, ConfigError> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(ConfigError::NothingAllowed);
    }
    Acl::from_names(names).map_err(ConfigError::Name)
}

/// Where to listen.
///
/// # Errors
/// If an address is none, or stands there twice.
pub fn listen_addresses(args: &ListenArgs) -> Result<Vec<Address>, ConfigError> {
    let mut addresses: Vec<Address> = Vec::new();
    let filename = args.filename.as_ref().map(|path| (format!("unix://{path}"), "--filename"));
    let given = args.listen.iter().map(|text| (text.clone(), "--listen"));
    for (text, flag) in given.chain(filename) {
        let address = text.parse().map_err(|error| ConfigError::Address(flag, error))?;
        if addresses.iter().any(|known| same_place(known, &address)) {
            return Err(ConfigError::Twice(address));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        addresses.push(DEFAULT_LISTEN.parse().map_err(|error| ConfigError::Address("--listen", error))?);
    }
    Ok(addresses)
}

/// Where the engine is and how long it may take.
///
/// # Errors
/// If the address is none, or its TLS does not fit together.
pub fn upstream(
    args: &UpstreamArgs,
    env: impl Fn(&str) -> Option<String>,
) -> Result<UpstreamConfig, ConfigError> {
    let from_env = || env("DOCKER_HOST").filter(|host| !host.is_empty()).map(|host| (host, "DOCKER_HOST"));
    let given = args.upstream.clone().map(|upstream| (upstream, "--upstream")).or_else(from_env);
    let (text, source) = given.unwrap_or_else(|| (DEFAULT_UPSTREAM.to_owned(), "--upstream"));
    let address: Address = text.parse().map_err(|error| ConfigError::Address(source, error))?;
    let head_timeout = Some(args.upstream_timeout).filter(|time| !time.is_zero());
    let tls = security::of_upstream(&args.tls, &address, env).map_err(ConfigError::Security)?;
    Ok(UpstreamConfig { address, head_timeout, tls })
}

fn group(given: Option<&str>, upstream: &Address) -> Result<Group, ConfigError> {
    match (given, upstream) {
        (Some(name), _) => gid(name).map(Group::Exactly).ok_or_else(|| ConfigError::Group(name.to_owned())),
        (None, Address::Unix(path)) => Ok(Group::SameAs(path.clone())),
        (None, Address::Tcp { .. }) => Ok(Group::Default),
    }
}

fn user(given: Option<&str>) -> Result<Option<User>, ConfigError> {
    let Some(text) = given else { return Ok(None) };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    User::find(text, &users, gid).map(Some).map_err(|problem| ConfigError::User(text.to_owned(), problem))
}

/// A group's number, from /etc/group: a static binary has no other directory of groups.
fn gid(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let line = groups.lines().find(|line| line.split(':').next() == Some(name));
    line.and_then(|line| line.split(':').nth(2)?.parse().ok())
}

/// Whether two addresses lead to one place, also through symbolic links and differently spelled.
fn same_place(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Unix(one), Address::Unix(other)) => resolved(one) == resolved(other),
        (one, other) => one == other,
    }
}

/// Whether whoever connects to `upstream` meets the listener.
fn leads_to(upstream: &Address, listener: &Address) -> bool {
    let (Address::Tcp { host: to, port: there }, Address::Tcp { host: at, port: here }) =
        (upstream, listener)
    else {
        return same_place(upstream, listener);
    };
    let local = |host: &str| host.eq_ignore_ascii_case("localhost");
    here == there
        && match (to.parse::<IpAddr>(), at.parse::<IpAddr>()) {
            (Ok(to), Ok(at)) => {
                let (to, at) = (to.to_canonical(), at.to_canonical());
                // To connect to no address in particular is to connect to this machine.
                let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
                to == at || (here(to) && here(at) && to.is_ipv4() == at.is_ipv4())
            }
            (Ok(to), Err(_)) => local(at) && to.is_loopback(),
            (Err(_), Ok(at)) => local(to) && (at.is_loopback() || at.is_unspecified()),
            (Err(_), Err(_)) => to.eq_ignore_ascii_case(at),
        }
}

fn resolved(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAllowed => {
                write!(f, "nothing is allowed: give -a NAME at least once\n\n{}", cli::names_table())
            }
            Self::Name(error) => error.fmt(f),
            Self::Address(source, error) => write!(f, "{source}: {error}"),
            Self::Loop(address) => {
                write!(f, "--listen {address} is the upstream itself; choose another path or set --upstream")
            }
            Self::Twice(address) => write!(f, "--listen {address} is given twice"),
            Self::Group(name) => {
                write!(
                    f,
                    "--socket-group: /etc/group has no group '{name}'; name one that it has, or give its number"
                )
            }
            Self::User(text, problem) => write!(f, "--user {text}: {problem}"),
            Self::Security(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_read_where_it_stands_where_it_links_to_and_beside_a_directory_that_turns() {
        let here = tempfile::tempdir().unwrap();
        let here = here.path().canonicalize().unwrap();
        let at = |name: &str| here.join(name);
        std::fs::create_dir(at("live")).unwrap();
        std::fs::create_dir(at("archive")).unwrap();
        std::fs::write(at("archive/cert1.pem"), "").unwrap();
        symlink("../archive/cert1.pem", at("live/cert.pem")).unwrap();
        symlink("live", at("current")).unwrap();
        assert_eq!(directories(&at("live/cert.pem")), [at("live"), at("archive")]);
        assert_eq!(directories(&at("current/cert.pem")), [at("current"), at("archive"), here]);
    }
}
