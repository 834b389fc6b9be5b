//! The configuration: what the settings mean. It composes the settings' types of all other rooms.

mod error;
pub mod file;
mod listeners;
mod rights;
pub mod settings;
mod tls;
mod upstream;
pub mod values;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::{ConfigError, ConfigProblem, Scope, TlsConfigError, UserError};
pub use listeners::{gid, listen_addresses, uid};
pub use rights::policy;
pub use settings::{
    ClientSettings, DockerEnv, ListenSetting, ListenerSettings, RightsSettings, SandboxMode, Setting,
    Settings, UpstreamSettings, ViewSettings,
};
pub use upstream::UpstreamSource;

use crate::admin::AdminConfig;
use crate::http1::synthetic::ErrorPolicy;
use crate::inbound::Limits;
use crate::net::{Address, ListenAddr};
use crate::policy::ListenerPolicy;
use crate::proxy::limits::RequestLimits;
use crate::sandbox::privileges::{RunAs, RunAsGroup};
use crate::sandbox::{Requirements, UpstreamKind};
use crate::system::users;
pub use crate::telemetry::access_log_writer::AccessLogTarget;
pub use crate::telemetry::learning::{LearntClient, LearntEndpoint, LearntListener, RefusedCall};
pub use crate::telemetry::log::{LogConfig, LogFormat, LogLevel};
use crate::tls::{ClientFiles, ServerFiles};
use crate::upstream::UpstreamConfig;
use listeners::{Common, duplicates, listeners};
use upstream::{Located, locate};

/// Everything that the proxy needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens, each with its own policy.
    pub listeners: Vec<ListenerConfig>,
    /// The engine behind them all.
    pub upstream: UpstreamConfig,
    /// Where its address comes from.
    pub upstream_source: UpstreamSource,
    /// Where the operator's listener listens; `None` is nowhere.
    pub admin: Option<AdminConfig>,
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
    /// Where the access log is written; `None` is nowhere.
    pub access_log: Option<AccessLogTarget>,
    /// The file that it was read from, which is read again on a signal; `None` if flags say everything.
    pub file: Option<PathBuf>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Where it listens.
    pub addr: ListenAddr,
    /// The files of its TLS; `None` is plain.
    pub tls: Option<ServerFiles>,
    /// What its clients are let through to and shown.
    pub policy: Arc<ListenerPolicy>,
    /// What a client may take of time and room.
    pub limits: Limits,
    /// What its answers may come to at one time.
    pub requests: RequestLimits,
    /// Which form its refusals have.
    pub errors: ErrorPolicy,
}

impl ListenerConfig {
    /// Whether both are at one address, with the same permissions: who owns a socket's file does not matter.
    fn has_same_file(&self, other: &Self) -> bool {
        match (&self.addr, &other.addr) {
            (ListenAddr::Unix(one), ListenAddr::Unix(other)) => {
                (&one.path, one.mode, &one.group) == (&other.path, other.mode, &other.group)
            }
            (one, other) => one == other,
        }
    }

    /// Whether both are at one address, and the same clients can connect to them.
    pub fn has_same_access(&self, other: &Self) -> bool {
        self.has_same_file(other) && self.tls == other.tls
    }

    /// Takes up what another configuration says of this listener and a restart is not needed for.
    pub fn take_up(&mut self, new: &Self) {
        self.policy = Arc::clone(&new.policy);
        self.limits = new.limits;
        self.requests = new.requests;
        self.errors = new.errors;
    }
}

/// Where the socket is if nothing is set.
pub const DEFAULT_LISTEN: &str = "unix:///tmp/docker-proxy-acl/docker.sock";

impl Config {
    /// What settings mean.
    ///
    /// # Errors
    /// Everything that is wrong, each with its part of the settings, its name and the way out.
    pub fn new(settings: &Settings) -> Result<Self, Vec<ConfigProblem>> {
        users::read_names();
        upstream::look_ahead(&settings.docker);
        let mut problems = Vec::new();
        let mut note = |error| problems.push(ConfigProblem { scope: Scope::Global, error });
        let engine = upstream(&settings.upstream, &settings.docker).map_err(&mut note);
        let user = settings.user.as_deref().map(run_as).transpose().map_err(&mut note);
        let (Ok((upstream, upstream_source)), Ok(user)) = (engine, user) else { return Err(problems) };
        let admin = settings.admin.as_ref().map(|admin| listeners::admin(admin, &upstream.address, user));
        let admin = admin.and_then(|admin| admin.map_err(&mut note).ok());
        let common = Common { upstream: &upstream.address, user, docker: &settings.docker };
        let tables = settings.listeners.iter().enumerate();
        let listeners: Vec<Vec<ListenerConfig>> =
            tables.map(|(index, table)| listeners(index, table, &common, &mut problems)).collect();
        problems.extend(duplicates(&listeners, admin.as_ref()));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            listeners: listeners.into_iter().flatten().collect(),
            admin,
            upstream,
            upstream_source,
            user,
            sandbox: settings.sandbox,
            shutdown_timeout: settings.shutdown_timeout,
            threads: settings.threads,
            watchdog: Some(settings.watchdog).filter(|limit| !limit.is_zero()),
            log: settings.log,
            access_log: settings.access_log.clone(),
            file: None,
        })
    }

    /// The settings that `new` changes and that only a restart takes up, in the words of the file.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let one = |name: &str, changed: bool| changed.then(|| name.to_owned());
        let global = [
            one("upstream", self.upstream != new.upstream),
            one("user", self.user != new.user),
            one("sandbox", self.sandbox != new.sandbox),
            one("shutdown_timeout", self.shutdown_timeout != new.shutdown_timeout),
            one("threads", self.threads != new.threads),
            one("watchdog", self.watchdog != new.watchdog),
            one("log_format or log_level", self.log != new.log),
            one("access_log", self.access_log != new.access_log),
            one("admin", self.admin != new.admin),
        ];
        let with_address = |listeners: &'_ [ListenerConfig], wanted: &ListenerConfig| {
            listeners.iter().find(|one| one.addr.address() == wanted.addr.address()).cloned()
        };
        let old = self.listeners.iter().filter_map(|old| match with_address(&new.listeners, old) {
            None => Some(format!("listener {} removed", old.addr.address())),
            Some(new) if !old.has_same_file(&new) && matches!(old.addr, ListenAddr::Unix(_)) => {
                Some(format!("mode or group of listener {}, and with it its rules", old.addr.address()))
            }
            Some(new) if !old.has_same_file(&new) || new.tls != old.tls => {
                Some(format!("tls of listener {}, and with it its rules", old.addr.address()))
            }
            Some(_) => None,
        });
        let added = new.listeners.iter().filter(|new| with_address(&self.listeners, new).is_none());
        let added = added.map(|new| format!("listener {} added", new.addr.address()));
        global.into_iter().flatten().chain(old).chain(added).collect()
    }

    /// Whether whoever connects to the engine would meet a listener at this address.
    pub fn would_loop(&self, listener: &Address) -> bool {
        listeners::would_loop(&self.upstream.address, listener)
    }

    /// What the process still does after its start.
    pub fn sandbox_requirements(&self) -> Requirements {
        Requirements {
            unlink_dirs: self.listen_addrs().filter_map(ListenAddr::socket_directory).collect(),
            read_dirs: self.directories_read_later(),
            append_dirs: self.access_log.as_ref().and_then(AccessLogTarget::directory).into_iter().collect(),
            reads_usage: self.admin.is_some(),
            upstream: UpstreamKind::of(&self.upstream.address),
        }
    }

    /// Every address that is listened on.
    fn listen_addrs(&self) -> impl Iterator<Item = &ListenAddr> {
        self.listeners.iter().map(|one| &one.addr).chain(self.admin.iter().map(|admin| &admin.addr))
    }

    /// The directories that files are read from after the start: that of the configuration file, and those of
    /// certificates, which are reloaded when they change.
    fn directories_read_later(&self) -> Vec<PathBuf> {
        let server_files = self.listeners.iter().filter_map(|one| one.tls.as_ref());
        let certificates = server_files
            .flat_map(ServerFiles::paths)
            .chain(self.upstream.tls.iter().flat_map(ClientFiles::paths));
        let files = certificates.chain(self.file.as_deref());
        let mut read: Vec<PathBuf> = files.flat_map(directories).collect();
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

/// Where the engine is, how long it may take, and where its address comes from.
///
/// # Errors
/// If the address is invalid, or its TLS does not fit together.
pub fn upstream(
    settings: &UpstreamSettings,
    docker: &DockerEnv,
) -> Result<(UpstreamConfig, UpstreamSource), ConfigError> {
    let Located { address, source } = locate(settings, docker);
    let address: Address = address.parse().map_err(|error| ConfigError::Address(source.setting(), error))?;
    let timeout = Some(settings.response_header_timeout).filter(|time| !time.is_zero());
    let tls = tls::of_upstream(&settings.tls, &address, docker)?;
    Ok((UpstreamConfig { address, response_header_timeout: timeout, tls }, source))
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
