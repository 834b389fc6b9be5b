//! `healthcheck`: asks the running listeners and the engine behind them.
//!
//! A listener is alive when it answers HTTP at all, whatever names are enabled, and be it to say that TLS
//! is spoken there; the engine is asked for `/_ping` directly, which needs no name.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::args::{Cli, ConfigArgs, ListenArgs, ServeArgs, UpstreamArgs};
use super::settings::{describe, describe_each};
use super::{CommandError, CommandOutcome, source};
use crate::config::settings::DockerEnv;
use crate::config::{self, UpstreamSource};
use crate::http1::health_probe;
use crate::net::{Address, ListenAddress};
use crate::upstream::connection::IoStream;
use crate::upstream::{Upstream, UpstreamConfig};

/// How long each of them may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug)]
struct Target {
    listeners: Vec<Address>,
    upstream: UpstreamConfig,
    upstream_source: UpstreamSource,
    /// A process that would have said something else.
    disbelieved: Option<Disbelieved>,
}

/// The process of another user, which runs this program and is not asked what with.
#[derive(Debug, Clone, Copy, Error)]
#[error(
    "process {0} is a docker-proxy-acl of another user, so what it was started with does not count: name it \
     with --listen and --upstream, or their environment variables"
)]
struct Disbelieved(u32);

/// What is not healthy.
#[derive(Debug, Error)]
enum Unhealthy {
    #[error("unhealthy: no answer on the listener {0}: {1}")]
    Listener(Address, io::Error),
    #[error("unhealthy: no answer from the engine at {0} ({1}): {2}")]
    Engine(Address, UpstreamSource, String),
}

/// Asks what the flags name; without any, what the running docker-proxy-acl next to this one was started
/// with, if that is believed; without one, the defaults.
pub fn run(
    config: &ConfigArgs,
    listen: &ListenArgs,
    upstream: &UpstreamArgs,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(CommandOutcome, String), CommandError> {
    let target = Target::find(config, listen, upstream, env).map_err(CommandError::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(match runtime.block_on(target.check()) {
        Ok(()) => {
            let Target { listeners, upstream, upstream_source, .. } = &target;
            let (listeners, engine) = (listeners.len(), &upstream.address);
            let text = format!(
                "healthy: {listeners} listener(s) and the engine at {engine} ({upstream_source}) answer\n"
            );
            (CommandOutcome::Success, text)
        }
        Err(unhealthy) => (
            CommandOutcome::Failure,
            match target.disbelieved {
                Some(disbelieved) => format!("{unhealthy}; {disbelieved}\n"),
                None => format!("{unhealthy}\n"),
            },
        ),
    })
}

impl Target {
    fn find(
        config: &ConfigArgs,
        listen: &ListenArgs,
        upstream: &UpstreamArgs,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let listen_given = !listen.listen.is_empty() || listen.filename.is_some() || config.config.is_some();
        let (running, disbelieved) = match find_running_proxy() {
            Ok(running) => (running, None),
            Err(disbelieved) => (None, Some(disbelieved).filter(|_| !listen_given)),
        };
        let running = running.as_ref().filter(|_| !listen_given);
        let config = running.map_or(config, |serve| &serve.config);
        let listen = running.map_or(listen, |serve| &serve.listen);
        let upstream = if upstream.upstream.is_some() {
            upstream
        } else {
            running.map_or(upstream, |serve| &serve.upstream)
        };
        if let Some(file) = &config.config {
            let config = source::config_of_file(file, upstream.upstream.as_deref())?;
            let listeners = config.listeners.iter().map(|listener| listener.addr.address()).collect();
            return Ok(Self {
                listeners: addresses(listeners)?,
                upstream: config.upstream,
                upstream_source: config.upstream_source,
                disbelieved,
            });
        }
        let listeners = config::listen_addresses(&listen.settings());
        let upstream = config::upstream(&upstream.settings(), &DockerEnv::read(env));
        let (upstream, upstream_source) = upstream.map_err(|error| describe(&error))?;
        Ok(Self {
            listeners: addresses(listeners.map_err(|errors| describe_each(&errors))?)?,
            upstream,
            upstream_source,
            disbelieved,
        })
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        for listener in &self.listeners {
            let answer =
                probe(listener).await.map_err(|error| Unhealthy::Listener(listener.clone(), error))?;
            if !answer.starts_with("HTTP/1.") {
                let error = io::Error::other("what listens there does not speak HTTP");
                return Err(Unhealthy::Listener(listener.clone(), error));
            }
        }
        ping_engine(&self.upstream).await.map_err(|problem| {
            let (address, source) = (self.upstream.address.clone(), self.upstream_source.clone());
            Unhealthy::Engine(address, source, problem)
        })
    }
}

/// The addresses that are asked.
fn addresses(listeners: Vec<ListenAddress>) -> Result<Vec<Address>, String> {
    let address = |listener| match listener {
        ListenAddress::Bind(address) => Ok(address),
        ListenAddress::Inherited(name) => Err(format!(
            "{name}: only whoever passed this socket knows where it listens; name its address with --listen"
        )),
    };
    listeners.into_iter().map(address).collect()
}

/// Asks the engine as the proxy does, TLS included.
async fn ping_engine(config: &UpstreamConfig) -> Result<(), String> {
    let upstream = Upstream::new(config).map_err(|error| error.to_string())?;
    upstream.ping(TIMEOUT).await
}

fn no_answer() -> String {
    format!("no answer within {}", humantime::format_duration(TIMEOUT))
}

/// The beginning of the answer to the health probe.
async fn probe(address: &Address) -> io::Result<String> {
    let answer = async {
        let mut stream = connect(address).await?;
        stream.write_all(health_probe::request().as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(1024).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, no_answer())),
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn IoStream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp { host, port } => Box::new(TcpStream::connect((host.as_str(), *port)).await?),
    })
}

/// Another process that runs this same program as a proxy.
struct RunningProxy {
    pid: u32,
    serve: ServeArgs,
    trust: Trust,
}

/// Whether a process tells the truth about what it was started with: its command line is its own to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It is root's or the caller's own, or the first process of this PID namespace: in a container the one
    /// that it was made for, whoever it has become.
    Believed,
    /// It is another user's.
    Disbelieved,
}

/// The one other process that runs this same program as a proxy and is believed: in a container, its main
/// process. None where there are several, because they are not told apart; else an error that names one that
/// is not believed, if there is one.
fn find_running_proxy() -> Result<Option<ServeArgs>, Disbelieved> {
    let own_pid = std::process::id();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (pid != own_pid).then_some(pid)
    });
    let (believed, others): (Vec<RunningProxy>, Vec<RunningProxy>) =
        pids.filter_map(RunningProxy::read).partition(|proxy| proxy.trust == Trust::Believed);
    let disbelieved = others.first().map(|other| Disbelieved(other.pid));
    match (<[RunningProxy; 1]>::try_from(believed), disbelieved) {
        (Ok([only]), _) => Ok(Some(only.serve)),
        (Err(several), Some(disbelieved)) if several.is_empty() => Err(disbelieved),
        (Err(_), _) => Ok(None),
    }
}

impl RunningProxy {
    fn read(pid: u32) -> Option<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        if !runs_this_program(&process) {
            return None;
        }
        let serve = read_command_line(&process.join("cmdline")).and_then(Cli::into_serving)?;
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        Some(Self { pid, serve, trust: Trust::of(pid, &status, rustix::process::geteuid().as_raw()) })
    }
}

impl Trust {
    /// `status` is that of proc_pid_status(5), whose first user is the real one: one that only has become
    /// root is not.
    fn of(pid: u32, status: &str, own_uid: u32) -> Self {
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        let mut uids = uids.split_whitespace().map(str::parse).peekable();
        let ours = uids.peek().is_some() && uids.all(|uid| uid == Ok(0) || uid == Ok(own_uid));
        if ours || pid == 1 { Self::Believed } else { Self::Disbelieved }
    }
}

/// Whether a process runs this same program: this very file, and no copy of it. After `--user` only
/// CAP_SYS_PTRACE may see which file a process runs, and the root of a container has not got that: then its
/// name has to do (proc_pid_comm(5)).
fn runs_this_program(process: &Path) -> bool {
    let own = Path::new("/proc/self");
    let file = |process: &Path| std::fs::metadata(process.join("exe")).map(|file| (file.dev(), file.ino()));
    match (file(process), file(own)) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let name = |process: &Path| std::fs::read(process.join("comm")).ok();
            name(process).is_some_and(|theirs| Some(theirs) == name(own))
        }
        _ => false,
    }
}

fn read_command_line(path: &Path) -> Option<Cli> {
    let bytes = std::fs::read(path).ok()?;
    let args =
        bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec()));
    Cli::read(args).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_the_caller_and_the_first_process_are_believed() {
        let trust = |pid, uids: &str| Trust::of(pid, &format!("Name:\tx\nUid:\t{uids}\nGid:\t0\n"), 1000);
        assert_eq!(trust(7, "0\t0\t0\t0"), Trust::Believed);
        assert_eq!(trust(7, "1000\t1000\t1000\t1000"), Trust::Believed);
        assert_eq!(trust(1, "4711\t4711\t4711\t4711"), Trust::Believed);
        assert_eq!(trust(7, "4711\t4711\t4711\t4711"), Trust::Disbelieved);
        assert_eq!(trust(7, "4711\t0\t0\t0"), Trust::Disbelieved, "it runs a program that makes it root");
        assert_eq!(Trust::of(7, "Name:\tUid: 0\n", 1000), Trust::Disbelieved);
    }
}
