//! `healthcheck`: asks the running listeners and the engine behind them.
//!
//! A listener is alive when it answers HTTP at all, whatever names are enabled, and be it to say that TLS
//! is spoken there; the engine is asked for `/_ping` directly, which needs no name.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::args::{Cli, ListenArgs, UpstreamArgs};
use super::settings::describe;
use super::{CommandError, CommandOutcome};
use crate::config::settings::DockerEnv;
use crate::config::{self, ConfigError};
use crate::http1::health_probe;
use crate::net::Address;
use crate::policy::ResponseKind;
use crate::upstream::connection::IoStream;
use crate::upstream::{Upstream, UpstreamConfig};

/// How long each of them may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug)]
struct Target {
    listeners: Vec<Address>,
    upstream: UpstreamConfig,
}

/// What is not healthy.
#[derive(Debug, Error)]
enum Unhealthy {
    #[error("unhealthy: no answer on the listener {0}: {1}")]
    Listener(Address, io::Error),
    #[error("unhealthy: no answer from the engine at {0}: {1}")]
    Engine(Address, String),
}

/// Asks what the flags name; without any, what the running docker-proxy-acl next to this one was started
/// with; without one, the defaults.
pub fn run(
    listen: &ListenArgs,
    upstream: &UpstreamArgs,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(CommandOutcome, String), CommandError> {
    let target = Target::find(listen, upstream, env);
    let target = target.map_err(|error| CommandError::Usage(describe(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(match runtime.block_on(target.check()) {
        Ok(()) => {
            let listeners = target.listeners.len();
            (CommandOutcome::Success, format!("healthy: {listeners} listener(s) and the engine answer\n"))
        }
        Err(unhealthy) => (CommandOutcome::Failure, format!("{unhealthy}\n")),
    })
}

impl Target {
    fn find(
        listen: &ListenArgs,
        upstream: &UpstreamArgs,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let running = find_running_proxy();
        let listen_given = !listen.listen.is_empty() || listen.filename.is_some();
        let listen = running.as_ref().filter(|_| !listen_given).map_or(listen, |cli| &cli.serve.listen);
        let upstream = running
            .as_ref()
            .filter(|_| upstream.upstream.is_none())
            .map_or(upstream, |cli| &cli.serve.upstream);
        Ok(Self {
            listeners: config::listen_addresses(&listen.settings())?,
            upstream: config::upstream(&upstream.settings(), &DockerEnv::read(env))?,
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
        ping_engine(&self.upstream)
            .await
            .map_err(|problem| Unhealthy::Engine(self.upstream.address.clone(), problem))
    }
}

/// Asks the engine as the proxy does, TLS included.
async fn ping_engine(config: &UpstreamConfig) -> Result<(), String> {
    let upstream = Upstream::new(config).map_err(|error| error.to_string())?;
    let no_headers = HeaderMap::new();
    let sent = upstream.get(Uri::from_static("/_ping"), &no_headers, ResponseKind::Bounded);
    match tokio::time::timeout(TIMEOUT, sent).await {
        Ok(Ok(answer)) if answer.status() == StatusCode::OK => Ok(()),
        Ok(Ok(answer)) => Err(format!("it answered '{}' to /_ping", answer.status())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(no_answer()),
    }
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

/// The command line of the one other process that runs this same program as a proxy: in a container,
/// that of its main process. None where there are several, because they are not told apart.
fn find_running_proxy() -> Option<Cli> {
    let own_pid = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").ok()?;
    let mut proxies = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name != own_pid && name.parse::<u32>().is_ok())
        })
        .filter(|entry| runs_this_program(&entry.path()))
        .filter_map(|entry| read_command_line(&entry.path().join("cmdline")))
        .filter(|cli| cli.command.is_none());
    match (proxies.next(), proxies.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// Whether a process runs this same program. After `--user` only CAP_SYS_PTRACE may see which file a
/// process runs, and the root of a container has not got that: then its name has to do (proc_pid_comm(5)).
fn runs_this_program(process: &Path) -> bool {
    let own = Path::new("/proc/self");
    match (std::fs::read_link(process.join("exe")), std::fs::read_link(own.join("exe"))) {
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
