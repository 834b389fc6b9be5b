//! `healthcheck`: asks the running listeners and the engine behind them.
//!
//! A listener is alive when it answers HTTP at all, whatever names are enabled, and be it to say that TLS
//! is spoken there; the engine is asked for `/_ping` directly, which needs no name.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use http::{HeaderMap, StatusCode, Uri};

use super::Outcome;
use crate::acl::Answer;
use crate::address::Address;
use crate::cli::{Cli, ListenArgs, UpstreamArgs};
use crate::config::{self, ConfigError, UpstreamConfig};
use crate::proxy::exchange::Stream;
use crate::proxy::service::HEALTHCHECK_REQUEST;
use crate::proxy::upstream::Upstream;

/// How long each of them may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug)]
pub struct Subject {
    listeners: Vec<Address>,
    upstream: UpstreamConfig,
}

/// Why something is not healthy.
#[derive(Debug)]
enum Ill {
    Listener(Address, io::Error),
    Engine(Address, String),
}

impl Subject {
    /// What the flags name; without any, what the running docker-proxy-acl next to this one was
    /// started with; without one, the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] if an address is none.
    pub fn find(
        listen: &ListenArgs,
        upstream: &UpstreamArgs,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let sibling = running_sibling();
        let told = !listen.listen.is_empty() || listen.filename.is_some();
        let listen = sibling.as_ref().filter(|_| !told).map_or(listen, |cli| &cli.serve.listen);
        let upstream = sibling
            .as_ref()
            .filter(|_| upstream.upstream.is_none())
            .map_or(upstream, |cli| &cli.serve.upstream);
        Ok(Self { listeners: config::listen_addresses(listen)?, upstream: config::upstream(upstream, env)? })
    }

    /// Asks all of them; the line says what is wrong, or that nothing is.
    pub async fn check(&self) -> (Outcome, String) {
        match self.ask_all().await {
            Ok(()) => {
                (Outcome::Yes, format!("healthy: {} listener(s) and the engine answer", self.listeners.len()))
            }
            Err(ill) => (Outcome::No, ill.to_string()),
        }
    }

    async fn ask_all(&self) -> Result<(), Ill> {
        for listener in &self.listeners {
            let answer = ask(listener).await.map_err(|error| Ill::Listener(listener.clone(), error))?;
            if !answer.starts_with("HTTP/1.") {
                let error = io::Error::other("what listens there does not speak HTTP");
                return Err(Ill::Listener(listener.clone(), error));
            }
        }
        ask_engine(&self.upstream)
            .await
            .map_err(|problem| Ill::Engine(self.upstream.address.clone(), problem))
    }
}

/// Asks the engine as the proxy does, TLS included.
async fn ask_engine(config: &UpstreamConfig) -> Result<(), String> {
    let upstream = Upstream::new(config).map_err(|error| error.to_string())?;
    let nothing = HeaderMap::new();
    let asked = upstream.get(Uri::from_static("/_ping"), &nothing, Answer::Finite);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) if answer.status() == StatusCode::OK => Ok(()),
        Ok(Ok(answer)) => Err(format!("it answered '{}' to /_ping", answer.status())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// The beginning of the answer to `GET /_ping`.
async fn ask(address: &Address) -> io::Result<String> {
    let answer = async {
        let mut stream = connect(address).await?;
        stream.write_all(HEALTHCHECK_REQUEST.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(1024).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"))),
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp { host, port } => Box::new(TcpStream::connect((host.as_str(), *port)).await?),
    })
}

/// The command line of the one other process that runs this same program as a proxy: in a container,
/// that of its main process. None where there are several, because they are not told apart.
fn running_sibling() -> Option<Cli> {
    let me = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").ok()?;
    let mut siblings = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name != me && name.parse::<u32>().is_ok())
        })
        .filter(|entry| runs_this_program(&entry.path()))
        .filter_map(|entry| read_command_line(&entry.path().join("cmdline")))
        .filter(|cli| cli.command.is_none());
    match (siblings.next(), siblings.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// Whether a process runs this same program. After `--user` only CAP_SYS_PTRACE may see which file a
/// process runs, and the root of a container has not got that: then its name has to do (proc_pid_comm(5)).
fn runs_this_program(process: &Path) -> bool {
    let this = Path::new("/proc/self");
    match (std::fs::read_link(process.join("exe")), std::fs::read_link(this.join("exe"))) {
        (Ok(its), Ok(mine)) => its == mine,
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let name = |process: &Path| std::fs::read(process.join("comm")).ok();
            name(process).is_some_and(|its| Some(its) == name(this))
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

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(address, error) => {
                write!(f, "unhealthy: no answer on the listener {address}: {error}")
            }
            Self::Engine(address, error) => {
                write!(f, "unhealthy: no answer from the engine at {address}: {error}")
            }
        }
    }
}
