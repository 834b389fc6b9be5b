//! Settings: what was written, in flags, in the environment or in a file, before it is known what it
//! means.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::http1::synthetic::ErrorPolicy;
use crate::policy::Origin;
use crate::telemetry::access_log_writer::AccessLogTarget;
use crate::telemetry::log::LogConfig;

/// All that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen, and what counts there.
    pub listeners: Vec<ListenerSettings>,
    /// The engine.
    pub upstream: UpstreamSettings,
    /// The operator's listener; `None` is none.
    pub admin: Option<AdminSettings>,
    /// The user to become, `NAME|UID[:GROUP|GID]`.
    pub user: Option<String>,
    /// Whether the process gives up what it does not need.
    pub sandbox: SandboxMode,
    /// For answers in flight when the program ends.
    pub shutdown_timeout: Duration,
    /// Threads that serve.
    pub threads: NonZeroUsize,
    /// How long the event loop may be stuck; zero is for ever.
    pub watchdog: Duration,
    /// How to log.
    pub log: LogConfig,
    /// Where the access log is written; `None` is nowhere.
    pub access_log: Option<AccessLogTarget>,
    /// What Docker's own environment variables say.
    pub docker: DockerEnv,
}

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where it listens.
    pub address: String,
    /// Permission bits of a Unix socket.
    pub socket_mode: u32,
    /// Its group, a name or a number.
    pub socket_group: Option<String>,
}

/// Listeners with the same settings: those of the flags, or one table of a file.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Where to listen; nothing is the default.
    pub addresses: Vec<ListenSetting>,
    /// What counts for clients that no rule is for.
    pub rights: RightsSettings,
    /// Rules for some clients; the first that matches counts.
    pub clients: Vec<ClientSettings>,
    /// Permission bits of a Unix socket.
    pub socket_mode: u32,
    /// Its group, a name or a number.
    pub socket_group: Option<String>,
    /// TLS over TCP.
    pub tls: TlsSettings,
    /// What a client may take.
    pub limits: LimitSettings,
    /// Which form refusals have.
    pub errors: ErrorPolicy,
}

/// What a client is let through to, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightsSettings {
    /// The names that are allowed; `None` if nothing is said of them.
    pub allow: Option<Vec<String>>,
    /// The consumers that get what their rows say.
    pub consumers: Vec<String>,
    /// Consumers of whose rows just the views count.
    pub viewed_as: Vec<String>,
    /// The lowest version of the API that the engine is asked with.
    pub min_api_version: Option<String>,
    /// What of the answers is shown.
    pub view: ViewSettings,
    /// Where this is written.
    pub origin: Origin,
}

impl RightsSettings {
    /// These names, with answers as they come.
    pub fn of_names(allow: Option<Vec<String>>, origin: Origin) -> Self {
        Self {
            allow,
            consumers: Vec::new(),
            viewed_as: Vec::new(),
            min_api_version: None,
            view: ViewSettings::default(),
            origin,
        }
    }
}

/// A rule for some clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Users, names or numbers.
    pub uids: Vec<String>,
    /// Groups, names or numbers.
    pub gids: Vec<String>,
    /// Certificates: globs of their names, or `sha256:` and a digest.
    pub certificates: Vec<String>,
    /// Addresses or networks.
    pub networks: Vec<String>,
    /// What counts for them.
    pub rights: RightsSettings,
}

/// What of the answers is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewSettings {
    /// Classes that are redacted.
    pub redact: Vec<String>,
    /// Patterns of the environment variables that stay.
    pub keep_env: Vec<String>,
    /// Patterns of the labels that stay.
    pub keep_labels: Vec<String>,
    /// Selectors of the objects that are shown; nothing is all.
    pub only: Vec<String>,
}

/// An address to listen on, and which setting gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSetting {
    /// The address as it was written.
    pub address: String,
    /// [`Setting::Listen`] or what it is called otherwise.
    pub setting: Setting,
}

/// TLS on TCP listeners, as dockerd has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether to speak TLS.
    pub tls: Option<bool>,
    /// Whether to ask clients for certificates too.
    pub verify: Option<bool>,
    /// The CAs of the clients' certificates.
    pub ca_cert: Option<PathBuf>,
    /// The listeners' certificate.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// The engine.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Its address; `None` is what Docker's and Podman's variables say, else where a socket is found.
    pub address: Option<String>,
    /// How long the head of a bounded answer may take; zero is without limit.
    pub response_header_timeout: Duration,
    /// TLS to it.
    pub tls: UpstreamTlsSettings,
}

/// TLS to the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTlsSettings {
    /// The CAs of the engine's certificate.
    pub ca_cert: Option<PathBuf>,
    /// The proxy's own certificate.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// What a client may take of time and room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// For a request's head.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// For taking nothing of what waits; zero is without limit.
    pub stall_timeout: Duration,
    /// What must be taken of an answer that waits for long, in bytes a second.
    pub min_rate: u64,
    /// Answers of a listener at one time.
    pub max_requests: u32,
    /// What they may cost the engine together.
    pub max_load: u32,
    /// What of both one client may take, in percent.
    pub client_share: u8,
    /// Connections of a listener at one time.
    pub max_connections: usize,
    /// Connections of one user at one time, on a Unix socket.
    pub max_connections_per_uid: usize,
}

/// Whether the process gives up what it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// As far as the kernel goes.
    Enabled,
    /// Not at all.
    Disabled,
}

/// The environment variables that Docker's and Podman's clients read too; empty ones are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerEnv {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// Podman's `CONTAINER_HOST`.
    pub container_host: Option<String>,
    /// `XDG_RUNTIME_DIR`, where engines without root have their sockets; one that is not absolute does not count
    /// (XDG Base Directory Specification).
    pub runtime_dir: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY`.
    pub tls_verify: Option<String>,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl DockerEnv {
    /// Reads the variables.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| env(name).filter(|value| !value.is_empty());
        Self {
            host: set("DOCKER_HOST"),
            container_host: set("CONTAINER_HOST"),
            runtime_dir: set("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()),
            tls_verify: set("DOCKER_TLS_VERIFY"),
            cert_path: set("DOCKER_CERT_PATH").map(PathBuf::from),
            home: set("HOME").map(PathBuf::from),
        }
    }

    /// Where Docker looks for a file of TLS.
    pub fn default_cert_file(&self, name: &str) -> Option<PathBuf> {
        let directory = self.cert_path.clone().or_else(|| Some(self.home.as_ref()?.join(".docker")))?;
        Some(directory.join(name))
    }
}

/// One setting, as errors name it. How it is written in flags only the command line knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// The names that are allowed.
    Allow,
    /// A consumer that gets what its row says.
    For,
    /// The lowest version of the API.
    MinApiVersion,
    /// A class that is redacted.
    Redact,
    /// Variables that stay.
    KeepEnv,
    /// Labels that stay.
    KeepLabel,
    /// A selector of the objects that are shown.
    Only,
    /// An address to listen on.
    Listen,
    /// What `Listen` was called before.
    Filename,
    /// The group of the sockets.
    SocketGroup,
    /// Users that a rule is for.
    ClientUid,
    /// Groups that a rule is for.
    ClientGid,
    /// Certificates that a rule is for.
    ClientCertificate,
    /// Networks that a rule is for.
    ClientAddress,
    /// TLS on TCP listeners.
    Tls,
    /// TLS with client certificates.
    TlsVerify,
    /// The CAs of the clients' certificates.
    TlsCaCert,
    /// The listeners' certificate.
    TlsCert,
    /// Its key.
    TlsKey,
    /// The engine's address.
    Upstream,
    /// The same, from Docker's environment variable.
    DockerHost,
    /// The same, from Podman's.
    ContainerHost,
    /// The CAs of the engine's certificate.
    UpstreamTlsCaCert,
    /// The proxy's certificate for the engine.
    UpstreamTlsCert,
    /// Its key.
    UpstreamTlsKey,
    /// Where the operator's listener listens.
    Admin,
    /// The user to become.
    User,
}

impl Setting {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::For => "for",
            Self::MinApiVersion => "min-api-version",
            Self::Redact => "redact",
            Self::KeepEnv => "keep-env",
            Self::KeepLabel => "keep-label",
            Self::Only => "only",
            Self::Listen => "listen",
            Self::Filename => "filename",
            Self::SocketGroup => "socket-group",
            Self::ClientUid => "uid",
            Self::ClientGid => "gid",
            Self::ClientCertificate => "certificate",
            Self::ClientAddress => "client",
            Self::Tls => "tls",
            Self::TlsVerify => "tlsverify",
            Self::TlsCaCert => "tlscacert",
            Self::TlsCert => "tlscert",
            Self::TlsKey => "tlskey",
            Self::Upstream => "upstream",
            Self::DockerHost => "DOCKER_HOST",
            Self::ContainerHost => "CONTAINER_HOST",
            Self::UpstreamTlsCaCert => "upstream-tlscacert",
            Self::UpstreamTlsCert => "upstream-tlscert",
            Self::UpstreamTlsKey => "upstream-tlskey",
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
