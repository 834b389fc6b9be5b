//! From arguments to settings, which have the same form whatever their source is; and back, for errors.

use super::args::{self, AllowArgs, AnswerArgs, ListenArgs, LogArgs, ServeArgs, UpstreamArgs, ViewArgs};
use super::help::names_table;
use crate::config::settings::{
    AdminSettings, DockerEnv, LimitSettings, ListenSetting, ListenerSettings, RightsSettings, TlsSettings,
    UpstreamSettings, UpstreamTlsSettings, ViewSettings,
};
use crate::config::{
    AccessLogTarget, ConfigError, LogConfig, LogFormat, LogLevel, SandboxMode, Setting, Settings,
};
use crate::http1::synthetic::{ErrorFormat, ErrorPolicy};
use crate::policy::Origin;

impl ServeArgs {
    /// What was written; `env` looks up Docker's own environment variables.
    pub fn settings(&self, env: impl Fn(&str) -> Option<String>) -> Settings {
        Settings {
            listeners: vec![self.listener_settings()],
            upstream: self.upstream.settings(),
            user: self.sandbox.user.clone(),
            sandbox: if self.sandbox.no_sandbox { SandboxMode::Disabled } else { SandboxMode::Enabled },
            shutdown_timeout: self.runtime.shutdown_timeout,
            threads: self.runtime.threads,
            watchdog: self.runtime.watchdog,
            log: self.log.settings(),
            access_log: self.log.access_log(),
            admin: self.admin_settings(),
            docker: DockerEnv::read(env),
        }
    }

    /// The operator's listener, whose socket is like the others; an empty variable is none.
    fn admin_settings(&self) -> Option<AdminSettings> {
        Some(AdminSettings {
            address: self.admin.admin.clone().filter(|address| !address.is_empty())?,
            socket_mode: self.socket.socket_mode,
            socket_group: self.socket.socket_group.clone(),
        })
    }

    fn listener_settings(&self) -> ListenerSettings {
        ListenerSettings {
            addresses: self.listen.settings(),
            rights: rights(&self.allow, &self.view),
            clients: Vec::new(),
            socket_mode: self.socket.socket_mode,
            socket_group: self.socket.socket_group.clone(),
            tls: TlsSettings {
                tls: self.tls.tls,
                verify: self.tls.tlsverify,
                ca_cert: self.tls.tlscacert.clone(),
                cert: self.tls.tlscert.clone(),
                key: self.tls.tlskey.clone(),
            },
            limits: LimitSettings {
                header_timeout: self.limits.header_timeout,
                idle_timeout: self.limits.idle_timeout,
                stall_timeout: self.limits.stall_timeout,
                min_rate: self.limits.min_rate,
                max_requests: self.limits.max_requests,
                max_load: self.limits.max_load,
                client_share: self.limits.client_share,
                max_connections: self.limits.max_connections,
                max_connections_per_uid: self.limits.max_connections_per_uid,
            },
            errors: self.answers.settings(),
        }
    }
}

/// What was written of what clients are let through to and shown.
pub(super) fn rights(allow: &AllowArgs, view: &ViewArgs) -> RightsSettings {
    RightsSettings {
        allow: Some(allow.allow.clone()),
        consumers: allow.consumers.clone(),
        viewed_as: Vec::new(),
        min_api_version: allow.min_api_version.clone(),
        view: view.settings(),
        origin: Origin::Flags,
    }
}

impl ViewArgs {
    /// What was written of the view.
    pub fn settings(&self) -> ViewSettings {
        ViewSettings {
            redact: self.redact.clone(),
            keep_env: self.keep_env.clone(),
            keep_labels: self.keep_label.clone(),
            only: self.only.clone(),
        }
    }
}

impl ListenArgs {
    /// The addresses that were written.
    pub fn settings(&self) -> Vec<ListenSetting> {
        let listen = self.listen.iter().cloned();
        let listen = listen.map(|address| ListenSetting { address, setting: Setting::Listen });
        let filename = self.filename.iter().map(|path| format!("unix://{path}"));
        listen.chain(filename.map(|address| ListenSetting { address, setting: Setting::Filename })).collect()
    }
}

impl UpstreamArgs {
    /// What was written of the engine.
    pub fn settings(&self) -> UpstreamSettings {
        UpstreamSettings {
            address: self.upstream.clone(),
            response_header_timeout: self.upstream_timeout,
            tls: UpstreamTlsSettings {
                ca_cert: self.tls.upstream_tlscacert.clone(),
                cert: self.tls.upstream_tlscert.clone(),
                key: self.tls.upstream_tlskey.clone(),
            },
        }
    }
}

impl AnswerArgs {
    fn settings(&self) -> ErrorPolicy {
        match self.errors {
            args::ErrorsFormat::Auto => ErrorPolicy::ByVersion,
            args::ErrorsFormat::Text => ErrorPolicy::Always(ErrorFormat::Text),
            args::ErrorsFormat::Json => ErrorPolicy::Always(ErrorFormat::Json),
        }
    }
}

impl LogArgs {
    fn settings(&self) -> LogConfig {
        LogConfig {
            format: match self.log_format {
                args::LogFormat::Text => LogFormat::Text,
                args::LogFormat::Json => LogFormat::Json,
            },
            level: match self.log_level {
                args::LogLevel::Error => LogLevel::Error,
                args::LogLevel::Warn => LogLevel::Warn,
                args::LogLevel::Info => LogLevel::Info,
                args::LogLevel::Debug => LogLevel::Debug,
                args::LogLevel::Trace => LogLevel::Trace,
            },
        }
    }
}

/// What is wrong with flags, in the words of the command line: a line each.
pub(super) fn describe_each<'a>(errors: impl IntoIterator<Item = &'a ConfigError>) -> String {
    let lines: Vec<String> = errors.into_iter().map(describe).collect();
    lines.join("\nerror: ")
}

impl LogArgs {
    /// Where the access log is to be written; an empty variable is nowhere.
    fn access_log(&self) -> Option<AccessLogTarget> {
        self.access_log.as_deref().and_then(AccessLogTarget::parse)
    }
}

/// The error in the words of the command line.
pub(super) fn describe(error: &ConfigError) -> String {
    let message = error.message(flag);
    match error {
        ConfigError::NothingAllowed => format!("{message}\n\n{}", names_table()),
        _ => message,
    }
}

fn flag(setting: Setting) -> String {
    match setting {
        Setting::Allow => "-a".to_owned(),
        Setting::DockerHost | Setting::ContainerHost => setting.to_string(),
        _ => format!("--{setting}"),
    }
}
