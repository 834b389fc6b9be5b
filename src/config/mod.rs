//! The configuration: what the settings mean. It composes the settings' types of all other rooms.

mod error;
pub mod settings;
mod tls;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::{ConfigError, TlsConfigError, UserError};
pub use settings::{
    DockerEnv, ListenSetting, SandboxMode, Setting, Settings, UpstreamSettings, ViewSettings,
};

use crate::http1::synthetic::ErrorPolicy;
use crate::inbound::{ConnectionLimits, Limits, PaceLimits};
use crate::net::unix::{SocketFile, SocketGroup};
use crate::net::{Address, ListenAddr};
use crate::policy::catalog::ENGINE;
use crate::policy::redaction::{Classes, Glob, Redaction};
use crate::policy::visibility::{Selector, Visibility};
use crate::policy::{Acl, Policy, View};
use crate::proxy::limits::RequestLimits;
use crate::sandbox::privileges::{RunAs, RunAsGroup};
use crate::sandbox::{Requirements, UpstreamKind};
use crate::system::users;
pub use crate::telemetry::log::{LogConfig, LogFormat, LogLevel};
use crate::tls::{ClientFiles, ServerFiles};
use crate::upstream::UpstreamConfig;
use tls::TlsIntent;

/// Everything that the proxy needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, each with its own policy.
    pub listeners: Vec<ListenerConfig>,
    /// The engine behind them all.
    pub upstream: UpstreamConfig,
    /// What a client may take of time and room.
    pub limits: Limits,
    /// What the answers of a listener may come to at one time.
    pub requests: RequestLimits,
    /// Which form its refusals have.
    pub errors: ErrorPolicy,
    /// Who it becomes once its listeners are bound; `None` is who started it.
    pub user: Option<RunAs>,
    /// Whether it gives up what it does not need.
    pub sandbox: SandboxMode,
    /// How long answers in flight may take after a signal to stop.
    pub shutdown_timeout: Duration,
    /// Threads that serve.
    pub threads: NonZeroUsize,
    /// How long the event loop may be stuck until the process ends; `None` is for ever.
    pub watchdog: Option<Duration>,
    /// How it logs.
    pub log: LogConfig,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Where it listens.
    pub addr: ListenAddr,
    /// The files of its TLS; `None` is plain.
    pub tls: Option<ServerFiles>,
    /// What it lets through and shows.
    pub policy: Arc<Policy>,
}

/// Where the socket is if nothing is set.
pub const DEFAULT_LISTEN: &str = "unix:///tmp/docker-proxy-acl/docker.sock";
/// Where the engine is if nothing is set, `DOCKER_HOST` included.
pub const DEFAULT_UPSTREAM: &str = "unix:///var/run/docker.sock";

impl Config {
    /// What settings mean.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting and the way out.
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let policy = Arc::new(policy(&settings.allow, settings.min_api_version.as_deref(), &settings.view)?);
        let upstream = upstream(&settings.upstream, &settings.docker)?;
        let user = settings.user.as_deref().map(run_as).transpose()?;
        let limits = &settings.limits;
        Ok(Self {
            listeners: listeners(settings, &policy, &upstream.address, user)?,
            upstream,
            limits: Limits {
                header_timeout: limits.header_timeout,
                idle_timeout: limits.idle_timeout,
                pace: PaceLimits {
                    stall_timeout: Some(limits.stall_timeout).filter(|time| !time.is_zero()),
                    min_rate: limits.min_rate,
                },
                connections: ConnectionLimits {
                    total: limits.max_connections,
                    per_uid: limits.max_connections_per_uid,
                },
            },
            requests: RequestLimits {
                requests: limits.max_requests,
                load: limits.max_load,
                client_share: limits.client_share,
            },
            errors: settings.errors,
            user,
            sandbox: settings.sandbox,
            shutdown_timeout: limits.shutdown_timeout,
            threads: settings.threads,
            watchdog: Some(settings.watchdog).filter(|limit| !limit.is_zero()),
            log: settings.log,
        })
    }

    /// How many client connections there may be at one time.
    pub fn max_connections(&self) -> u64 {
        self.listeners.len().saturating_mul(self.limits.connections.total) as u64
    }

    /// What the process still does after its start.
    pub fn sandbox_requirements(&self) -> Requirements {
        Requirements {
            unlink_dirs: self.listeners.iter().filter_map(|one| one.addr.socket_directory()).collect(),
            read_dirs: self.directories_read_later(),
            upstream: UpstreamKind::of(&self.upstream.address),
        }
    }

    /// The directories that files are read from after the start: those of certificates, which are
    /// reloaded when they change.
    fn directories_read_later(&self) -> Vec<PathBuf> {
        let server_files = self.listeners.iter().filter_map(|one| one.tls.as_ref());
        let certificates = server_files
            .flat_map(ServerFiles::paths)
            .chain(self.upstream.tls.iter().flat_map(ClientFiles::paths));
        let mut read: Vec<PathBuf> = certificates.flat_map(directories).collect();
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
    let of_link = named.as_deref().filter(|directory| directory.is_symlink()).and_then(parent);
    [named, real, of_link].into_iter().flatten().collect()
}

/// What the allowed names, the lowest version of the API and the settings of the view mean together.
///
/// # Errors
/// If there is no name, or one of the settings cannot be read.
pub fn policy(
    allow: &[String],
    min_api_version: Option<&str>,
    view: &ViewSettings,
) -> Result<Policy, ConfigError> {
    let min_version = min_api_version.map(str::parse).transpose().map_err(ConfigError::Version)?;
    Ok(Policy { acl: acl(allow)?.with_min_version(min_version), view: self::view(view)? })
}

/// The ACL that the allowed names stand for.
fn acl(names: &[String]) -> Result<Acl, ConfigError> {
    let names: Vec<&str> = given(names).collect();
    if names.is_empty() {
        return Err(ConfigError::NothingAllowed);
    }
    Acl::from_names(&ENGINE, names).map_err(ConfigError::Name)
}

/// What the settings of a view mean. One that is empty is an error: without it everything would be shown.
fn view(settings: &ViewSettings) -> Result<View, ConfigError> {
    let redact = stated(&settings.redact, Setting::Redact)?.map(str::parse);
    let classes = redact.collect::<Result<Vec<Classes>, _>>().map_err(ConfigError::Class)?;
    let classes = classes.into_iter().fold(Classes::NONE, Classes::union);
    let keep_env = stated(&settings.keep_env, Setting::KeepEnv)?.map(Glob::new).collect();
    let keep_labels = stated(&settings.keep_labels, Setting::KeepLabel)?.map(Glob::new).collect();
    let only = stated(&settings.only, Setting::Only)?.map(str::parse).collect::<Result<Vec<Selector>, _>>();
    Ok(View {
        redaction: Redaction::new(classes, keep_env, keep_labels),
        visibility: Visibility::new(only.map_err(ConfigError::Selector)?),
    })
}

/// The values of a list, of which none may be empty.
fn stated(list: &[String], setting: Setting) -> Result<impl Iterator<Item = &str>, ConfigError> {
    match list.iter().any(|one| one.trim().is_empty()) {
        true => Err(ConfigError::Empty(setting)),
        false => Ok(list.iter().map(|one| one.trim())),
    }
}

/// What is left of a list that may come from an environment variable, set to nothing or with spaces.
fn given(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(|one| one.trim()).filter(|one| !one.is_empty())
}

fn listeners(
    settings: &Settings,
    policy: &Arc<Policy>,
    upstream: &Address,
    user: Option<RunAs>,
) -> Result<Vec<ListenerConfig>, ConfigError> {
    let group = socket_group(settings.socket_group.as_deref(), upstream)?;
    let intent = TlsIntent::of(&settings.tls, &settings.docker)?;
    let addresses = listen_addresses(&settings.listen)?;
    intent.require_tcp(&addresses)?;
    let listener = |address: Address| {
        if would_loop(upstream, &address) {
            return Err(ConfigError::Loop(address));
        }
        let policy = Arc::clone(policy);
        match address {
            Address::Unix(path) => {
                let owner = user.map(|user| user.uid);
                let file = SocketFile { path, mode: settings.socket_mode, group: group.clone(), owner };
                Ok(ListenerConfig { addr: ListenAddr::Unix(file), tls: None, policy })
            }
            Address::Tcp { host, port } => {
                let tls = intent.at(&host, port)?;
                Ok(ListenerConfig { addr: ListenAddr::Tcp { host, port }, tls, policy })
            }
        }
    };
    addresses.into_iter().map(listener).collect()
}

/// Where to listen.
///
/// # Errors
/// If an address is invalid, or stands there twice.
pub fn listen_addresses(listen: &[ListenSetting]) -> Result<Vec<Address>, ConfigError> {
    let mut addresses: Vec<Address> = Vec::new();
    for ListenSetting { address, setting } in listen {
        let address = address.parse().map_err(|error| ConfigError::Address(*setting, error))?;
        if addresses.iter().any(|known| same_place(known, &address)) {
            return Err(ConfigError::Duplicate(address));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        let default = DEFAULT_LISTEN.parse();
        addresses.push(default.map_err(|error| ConfigError::Address(Setting::Listen, error))?);
    }
    Ok(addresses)
}

/// Where the engine is and how long it may take.
///
/// # Errors
/// If the address is invalid, or its TLS does not fit together.
pub fn upstream(settings: &UpstreamSettings, docker: &DockerEnv) -> Result<UpstreamConfig, ConfigError> {
    let given = settings.address.as_deref().map(|address| (address, Setting::Upstream));
    let from_env = docker.host.as_deref().map(|host| (host, Setting::DockerHost));
    let (text, setting) = given.or(from_env).unwrap_or((DEFAULT_UPSTREAM, Setting::Upstream));
    let address: Address = text.parse().map_err(|error| ConfigError::Address(setting, error))?;
    let timeout = settings.response_header_timeout;
    let tls = tls::of_upstream(&settings.tls, &address, docker)?;
    Ok(UpstreamConfig { address, response_header_timeout: Some(timeout).filter(|time| !time.is_zero()), tls })
}

fn socket_group(given: Option<&str>, upstream: &Address) -> Result<SocketGroup, ConfigError> {
    match (given, upstream) {
        (Some(name), _) => users::find_group(name)
            .map(SocketGroup::Exactly)
            .ok_or_else(|| ConfigError::Group(name.to_owned())),
        (None, Address::Unix(path)) => Ok(SocketGroup::SameAs(path.clone())),
        (None, Address::Tcp { .. }) => Ok(SocketGroup::Default),
    }
}

/// The user that `NAME|UID[:GROUP|GID]` stands for.
fn run_as(text: &str) -> Result<RunAs, ConfigError> {
    let fail = |error| ConfigError::User(text.to_owned(), error);
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let user = users::find_user(name).ok_or_else(|| fail(UserError::UnknownUser))?;
    if user.uid == 0 {
        return Err(fail(UserError::Root));
    }
    let group = match group {
        Some(group) => {
            let gid = users::find_group(group).ok_or_else(|| fail(UserError::UnknownGroup))?;
            RunAsGroup::Explicit(gid)
        }
        None => RunAsGroup::Primary(user.gid),
    };
    Ok(RunAs { uid: user.uid, group })
}

/// Whether two addresses lead to one place, also through symbolic links and differently spelled.
fn same_place(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Unix(one), Address::Unix(other)) => resolved(one) == resolved(other),
        (one, other) => one == other,
    }
}

/// Whether whoever connects to `upstream` meets the listener.
fn would_loop(upstream: &Address, listener: &Address) -> bool {
    let (Address::Tcp { host: to, port: to_port }, Address::Tcp { host: at, port: at_port }) =
        (upstream, listener)
    else {
        return same_place(upstream, listener);
    };
    let local = |host: &str| host.eq_ignore_ascii_case("localhost");
    to_port == at_port
        && match (to.parse::<IpAddr>(), at.parse::<IpAddr>()) {
            (Ok(to), Ok(at)) => {
                let (to, at) = (to.to_canonical(), at.to_canonical());
                // To connect to the unspecified address is to connect to this machine.
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

    #[test]
    fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
        let user = |uid, group| RunAs { uid, group };
        assert_eq!(run_as("4711").unwrap(), user(4711, RunAsGroup::Primary(4711)));
        assert_eq!(run_as("4711:12").unwrap(), user(4711, RunAsGroup::Explicit(12)));
    }

    #[test]
    fn root_and_strangers_are_no_users() {
        for wrong in ["root", "0", "0:12", "", ":12", "no-such-user", "4711:", "4711:no-such-group"] {
            assert!(run_as(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1", "4294967295", "7:4294967295"] {
            assert!(run_as(wrong).is_err(), "{wrong}");
        }
    }
}
