//! The flags and subcommands: what may be written, nothing of what it means.
//!
//! Doc comments here are the text of `--help`; the groups of flags have none, because clap would take it
//! for the program's own description.
#![allow(missing_docs)]

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "tls")]
use super::cert_names;
use super::help::names_table;
use super::source::Given;
use crate::config::values::{duration, octal_mode, positive_duration, size, threads, watchdog_limit};

/// A read-only, allow-listed socket in front of the Docker engine's own.
///
/// Passes only GET, and only the endpoints that -a names; everything else is answered with 400 or 404.
#[derive(Debug, Parser)]
#[command(name = "docker-proxy-acl", version, after_help = names_table(), after_long_help = names_table())]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true, max_term_width = 110)]
pub struct Cli {
    /// What to do instead of proxying.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to proxy.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What the program does besides proxying as it is told.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Tool(ToolCommand),
    /// Let nearly everything be read for a time, and print what each client needs: the least -a, or a file for --config
    ///
    /// Prints at the end (Ctrl-C, SIGTERM, or after --seconds) and on SIGUSR1, to standard output; the log goes to
    /// standard error. As ever, nothing but GET is passed.
    Learn(LearnArgs),
}

/// What is done without serving.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Print the catalog: every endpoint that can be allowed, its path and what it exposes
    Endpoints {
        /// As a table or as JSON
        #[arg(long, value_enum, default_value_t = TableFormat::Table)]
        format: TableFormat,
    },
    /// Print the consumers that --for takes: the names that each needs, and what it does not read of answers
    Consumers {
        /// As a table or as JSON
        #[arg(long, value_enum, default_value_t = TableFormat::Table)]
        format: TableFormat,
    },
    /// Say what a request would be answered with, without an engine; exits 0 if it is allowed, else 1
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        allow: AllowArgs,
        #[command(flatten)]
        view: ViewArgs,
        /// The request's method, such as GET
        method: String,
        /// The request's path, such as /v1.41/images/json
        path: String,
    },
    /// Ask the running listeners and the engine whether they answer; exits 0 if they do, else 1
    ///
    /// Without --listen and --upstream it asks what the running docker-proxy-acl of the same container
    /// was started with.
    Healthcheck {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        listen: ListenArgs,
        #[command(flatten)]
        upstream: UpstreamArgs,
    },
    /// Check or show a configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make and show certificates for TLS: a CA, a listener's, its clients'
    #[cfg(feature = "tls")]
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
}

/// What is done with certificates.
#[cfg(feature = "tls")]
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make a CA, if there is none, and a certificate for a listener
    Init {
        /// Where the CA is, or is to be
        #[arg(long)]
        dir: PathBuf,
        /// The listener's names and IP addresses, as its clients write them; repeat it
        #[arg(long, value_name = "NAME|IP", required = true, value_delimiter = ',', value_parser = cert_names::host)]
        host: Vec<String>,
        /// How long the listener's certificate is valid; the CA's is for ten years
        #[arg(long, default_value = "825", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Make a folder for a client, which works as its DOCKER_CERT_PATH
    Client {
        /// The client's name, which its log lines will have
        #[arg(value_parser = cert_names::client_name)]
        name: String,
        /// Where the CA is
        #[arg(long)]
        dir: PathBuf,
        /// How long the client's certificate is valid
        #[arg(long, default_value = "825", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Show the certificates in a directory; exits 1 if one has expired or will within 30 days
    Show {
        /// Where they are
        #[arg(long, env = "DOCKER_CERT_PATH")]
        dir: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Which of these were given.
    #[arg(skip)]
    pub(super) given: Given,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) allow: AllowArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) answers: AnswerArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Clone, Args)]
pub struct LearnArgs {
    /// Print command lines, or a file for --config
    #[arg(long, value_enum, default_value_t = LearnOutput::Flags)]
    pub output: LearnOutput,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// Let through what hands out files of containers and images, join tokens and the content of configs as well
    #[arg(long)]
    pub include_files: bool,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) answers: AnswerArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What is printed of what was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LearnOutput {
    /// A command line for each client.
    Flags,
    /// A configuration file.
    Toml,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A file instead of flags")]
pub struct ConfigArgs {
    /// Read listeners, and what counts for each of their clients, from this file; beside it only the flags of
    /// the upstream, the sandbox, running and logging may be given, which win over it
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What is done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong in a file, without starting; exits 0 if nothing is, else 2
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print the whole configuration with every default as a file, whether flags or a file say it
    Show {
        #[command(flatten)]
        serve: Box<ServeArgs>,
    },
}

/// Which client asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Whose request, with --config")]
pub struct ClientArgs {
    /// The address of the listener; needed if the file has several
    #[arg(long, value_name = "ADDR", requires = "config")]
    pub listener: Option<String>,
    /// A client that runs as this user
    #[arg(long, value_name = "NAME|UID", requires = "config")]
    pub uid: Option<String>,
    /// A client in this group; repeat it
    #[arg(long, value_name = "NAME|GID", requires = "config")]
    pub gid: Vec<String>,
    /// A client with a certificate of this name, or of this digest: sha256:...
    #[arg(long, value_name = "NAME|SHA256", requires = "config")]
    pub certificate: Option<String>,
    /// A client that connects from this IP address
    #[arg(long = "client", value_name = "IP", requires = "config")]
    pub ip: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Allowing")]
pub struct AllowArgs {
    /// Allow what this name enables; see the list below. Repeat it or separate names with commas
    #[arg(
        short,
        long,
        alias = "a",
        value_name = "NAME",
        value_delimiter = ',',
        env = "DOCKER_PROXY_ACL_ALLOW"
    )]
    pub allow: Vec<String>,
    /// Allow what this consumer needs, such as nginx-proxy, and redact what it does not read; see docker-proxy-acl
    /// consumers. Repeat it or separate consumers with commas
    #[arg(long = "for", value_name = "CONSUMER", value_delimiter = ',', env = "DOCKER_PROXY_ACL_FOR")]
    pub consumers: Vec<String>,
    /// Ask the engine with this version of its API where a request has a lower one, or none, such as 1.44
    #[arg(long, value_name = "VERSION", env = "DOCKER_PROXY_ACL_MIN_API_VERSION")]
    pub min_api_version: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What answers show")]
pub struct ViewArgs {
    /// Take this out of answers: env, commands, labels, paths, options, tokens or all. Repeat it or separate
    /// classes with commas
    #[arg(long, value_name = "CLASS", value_delimiter = ',', env = "DOCKER_PROXY_ACL_REDACT")]
    pub redact: Vec<String>,
    /// Keep environment variables with such names, such as 'VIRTUAL_*', and redact the others. Repeat it or
    /// separate names with commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',', env = "DOCKER_PROXY_ACL_KEEP_ENV")]
    pub keep_env: Vec<String>,
    /// Keep labels with such names, and redact the others. Repeat it or separate names with commas
    #[arg(long, value_name = "GLOB", value_delimiter = ',', env = "DOCKER_PROXY_ACL_KEEP_LABEL")]
    pub keep_label: Vec<String>,
    /// Show only objects like these: label:KEY=VALUE, label:KEY or name:GLOB; repeat it for alternatives
    #[arg(long, value_name = "SELECTOR", env = "DOCKER_PROXY_ACL_ONLY")]
    pub only: Vec<String>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenArgs {
    /// Listen here: unix:///path, /path, tcp://HOST:PORT, or fd://NAME for sockets that systemd passes (fd:// is all of
    /// them). Repeat it or separate addresses with commas [default: unix:///tmp/docker-proxy-acl/docker.sock]
    #[arg(long, value_name = "ADDR", value_delimiter = ',', env = "DOCKER_PROXY_ACL_LISTEN")]
    pub listen: Vec<String>,
    /// Listen on this Unix socket; what --listen was called before
    #[arg(long, value_name = "PATH", env = "DOCKER_PROXY_ACL_FILENAME")]
    pub filename: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listening")]
pub struct SocketArgs {
    /// Permission bits of the listening sockets
    #[arg(long, value_name = "OCTAL", default_value = "0660", value_parser = octal_mode)]
    #[arg(env = "DOCKER_PROXY_ACL_SOCKET_MODE")]
    pub socket_mode: u32,
    /// Group of the listening sockets [default: that of the upstream socket, where it can be set]
    #[arg(long, value_name = "NAME|GID", env = "DOCKER_PROXY_ACL_SOCKET_GROUP")]
    pub socket_group: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS on tcp:// listeners")]
pub struct TlsArgs {
    /// Speak TLS; =false allows plain TCP beyond this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), env = "DOCKER_PROXY_ACL_TLS")]
    pub tls: Option<bool>,
    /// Speak TLS, and let in only clients with a certificate of --tlscacert
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), env = "DOCKER_PROXY_ACL_TLSVERIFY")]
    pub tlsverify: Option<bool>,
    /// The CAs of the clients' certificates [default: ca.pem in $DOCKER_CERT_PATH, else ~/.docker]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_TLSCACERT")]
    pub tlscacert: Option<PathBuf>,
    /// The listeners' certificate [default: cert.pem there]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_TLSCERT")]
    pub tlscert: Option<PathBuf>,
    /// Its private key [default: key.pem there]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_TLSKEY")]
    pub tlskey: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Upstream")]
pub struct UpstreamArgs {
    /// Where the engine listens: unix:///path, /path or tcp://HOST:PORT [default: $DOCKER_HOST, else $CONTAINER_HOST,
    /// else the first socket of /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock and
    /// $XDG_RUNTIME_DIR/podman/podman.sock that may be used, else unix:///var/run/docker.sock]
    #[arg(long, value_name = "ADDR", env = "DOCKER_PROXY_ACL_UPSTREAM")]
    pub upstream: Option<String>,
    /// How long the engine may take until its answer begins, streams excepted; 0 is forever
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    #[arg(env = "DOCKER_PROXY_ACL_UPSTREAM_TIMEOUT")]
    pub upstream_timeout: Duration,
    #[command(flatten)]
    pub tls: UpstreamTlsArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS to a tcp:// upstream, which these flags or $DOCKER_TLS_VERIFY ask for")]
pub struct UpstreamTlsArgs {
    /// The CAs of the engine's certificate [default: ca.pem in $DOCKER_CERT_PATH, else ~/.docker]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_UPSTREAM_TLSCACERT")]
    pub upstream_tlscacert: Option<PathBuf>,
    /// The proxy's own certificate, for the engine [default: cert.pem there, if it exists]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_UPSTREAM_TLSCERT")]
    pub upstream_tlscert: Option<PathBuf>,
    /// Its private key [default: key.pem there, if it exists]
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_UPSTREAM_TLSKEY")]
    pub upstream_tlskey: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// How long a client may take to send a request's head, and for its TLS handshake
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    #[arg(env = "DOCKER_PROXY_ACL_HEADER_TIMEOUT")]
    pub header_timeout: Duration,
    /// How long a connection may stay open between two requests
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = positive_duration)]
    #[arg(env = "DOCKER_PROXY_ACL_IDLE_TIMEOUT")]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that waits for it; 0 is forever
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    #[arg(env = "DOCKER_PROXY_ACL_STALL_TIMEOUT")]
    pub stall_timeout: Duration,
    /// What a client has to take each second of an answer, streams excepted, that has kept waiting for it
    /// for a minute; 0 is nothing
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    #[arg(env = "DOCKER_PROXY_ACL_MIN_RATE")]
    pub min_rate: u64,
    /// Answers that a listener gives at one time; events do not count
    #[arg(long, value_name = "N", default_value = "256", env = "DOCKER_PROXY_ACL_MAX_REQUESTS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests: u32,
    /// What they may cost the engine together: a stream of stats 1, a log that is followed 2, an archive,
    /// an export, or all sizes 16
    #[arg(long, value_name = "N", default_value = "128", env = "DOCKER_PROXY_ACL_MAX_LOAD")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_load: u32,
    /// What one client may take of --max-requests and --max-load, in percent
    #[arg(long, value_name = "PERCENT", default_value = "50", env = "DOCKER_PROXY_ACL_CLIENT_SHARE")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    pub client_share: u8,
    /// Connections that a listener takes at one time
    #[arg(long, value_name = "N", default_value = "4096", env = "DOCKER_PROXY_ACL_MAX_CONNECTIONS")]
    pub max_connections: usize,
    /// Connections that one user gets at one time on a Unix socket
    #[arg(long, value_name = "N", default_value = "2048", env = "DOCKER_PROXY_ACL_MAX_CONNECTIONS_PER_UID")]
    pub max_connections_per_uid: usize,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Answers")]
pub struct AnswerArgs {
    /// Form of refusals: text for people, json for programs, auto is text over HTTP/1.0 and json over 1.1
    #[arg(long, value_enum, default_value_t = ErrorsFormat::Auto, env = "DOCKER_PROXY_ACL_ERRORS")]
    pub errors: ErrorsFormat,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxArgs {
    /// Become this user once the listeners are bound, keeping just the group that owns the upstream socket
    #[arg(long, value_name = "NAME|UID[:GID]", env = "DOCKER_PROXY_ACL_USER")]
    pub user: Option<String>,
    /// Keep files, TCP ports and system calls that are not needed open to this process
    #[arg(long, env = "DOCKER_PROXY_ACL_NO_SANDBOX", value_parser = BoolishValueParser::new())]
    pub no_sandbox: bool,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RuntimeArgs {
    /// Threads that serve, at most 64; one is the smallest, and enough for most hosts
    #[arg(long, value_name = "N", default_value = "1", value_parser = threads, env = "DOCKER_PROXY_ACL_THREADS")]
    pub threads: NonZeroUsize,
    /// How long (at least 2s) the event loop may be stuck until the process aborts, to be started anew; 0 is forever
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = watchdog_limit)]
    #[arg(env = "DOCKER_PROXY_ACL_WATCHDOG")]
    pub watchdog: Duration,
    /// How long answers in flight may take to finish after SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    #[arg(env = "DOCKER_PROXY_ACL_SHUTDOWN_TIMEOUT")]
    pub shutdown_timeout: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Lines for people or for programs
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "DOCKER_PROXY_ACL_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// How much to log: denied requests are warnings, allowed requests are debug
    #[arg(long, value_enum, default_value_t = LogLevel::Info, env = "DOCKER_PROXY_ACL_LOG_LEVEL")]
    pub log_level: LogLevel,
    /// Write every request as a JSON object a line into this file, which SIGHUP has opened anew; - is standard output
    #[arg(long, value_name = "FILE", env = "DOCKER_PROXY_ACL_ACCESS_LOG")]
    pub access_log: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Watching")]
pub struct AdminArgs {
    /// Serve /metrics, /health and /ready here, for this machine alone: unix:///path or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ADDR", env = "DOCKER_PROXY_ACL_ADMIN")]
    pub admin: Option<String>,
}

/// The form of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ErrorsFormat {
    /// Text over HTTP/1.0, JSON over HTTP/1.1.
    Auto,
    /// One line.
    Text,
    /// The engine's own form of an error.
    Json,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of words; whoever collects it adds the time.
    Text,
    /// A JSON object a line, with its time.
    Json,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Just what stops the program.
    Error,
    /// Also refusals and trouble.
    Warn,
    /// Also start and stop.
    Info,
    /// Also allowed requests.
    Debug,
    /// Everything there is.
    Trace,
}

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}
