//! What may stand in the file: the keys of each table, and the settings that they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::super::settings::{
    AdminSettings, ClientSettings, DockerEnv, LimitSettings, ListenSetting, ListenerSettings, RightsSettings,
    SandboxMode, Setting, Settings, TlsSettings, UpstreamSettings, UpstreamTlsSettings, ViewSettings,
};
use super::super::values::{duration, octal_mode, positive_duration, size, threads, watchdog_limit};
use super::super::{LogConfig, LogFormat, LogLevel};
use super::reader::{Problem, Reader};
use crate::http1::synthetic::{ErrorFormat, ErrorPolicy};
use crate::policy::Origin;
use crate::telemetry::access_log_writer::AccessLogTarget;

/// How a setting is written in the file.
pub(super) fn key(setting: Setting) -> &'static str {
    match setting {
        Setting::Allow => "allow",
        Setting::For => "consumer",
        Setting::MinApiVersion => "min_api_version",
        Setting::Redact => "redact",
        Setting::KeepEnv => "keep_env",
        Setting::KeepLabel => "keep_label",
        Setting::Only => "only",
        Setting::Listen | Setting::Filename | Setting::ClientAddress => "address",
        Setting::SocketGroup => "group",
        Setting::ClientUid => "uid",
        Setting::ClientGid => "gid",
        Setting::ClientCertificate => "certificate",
        Setting::Tls => "tls",
        Setting::TlsVerify => "tls.verify",
        Setting::TlsCaCert => "tls.ca",
        Setting::TlsCert => "tls.cert",
        Setting::TlsKey => "tls.key",
        Setting::Upstream | Setting::DockerHost | Setting::ContainerHost => "upstream",
        Setting::UpstreamTlsCaCert => "upstream_tls.ca",
        Setting::UpstreamTlsCert => "upstream_tls.cert",
        Setting::UpstreamTlsKey => "upstream_tls.key",
        Setting::Admin => "admin",
        Setting::User => "user",
    }
}

/// What the forms of refusals are called.
pub(super) const ERRORS: &[(&str, ErrorPolicy)] = &[
    ("auto", ErrorPolicy::ByVersion),
    ("text", ErrorPolicy::Always(ErrorFormat::Text)),
    ("json", ErrorPolicy::Always(ErrorFormat::Json)),
];
/// What the forms of the log are called.
pub(super) const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
/// What the levels of the log are called.
pub(super) const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Reads the whole file, with the defaults where it says nothing.
pub(super) struct Schema<'a> {
    /// Where the file is: in the same directory are files that it names without one.
    pub(super) path: &'a Path,
    /// Its text.
    pub(super) text: &'a str,
    /// The defaults.
    pub(super) defaults: &'a Settings,
}

impl Schema<'_> {
    /// The settings of the top-level table, with those of all others.
    pub(super) fn settings<'a>(&self, table: &'a DeTable<'a>, docker: DockerEnv) -> (Settings, Vec<Problem>) {
        let mut global = Reader::new(table);
        let defaults = self.defaults;
        let mut listeners = Vec::new();
        for (table, offset) in global.tables("listener") {
            let (settings, problems) = self.listener(table, offset);
            listeners.push(settings);
            global.absorb(problems);
        }
        let settings = Settings {
            listeners,
            upstream: UpstreamSettings {
                address: global.text("upstream"),
                response_header_timeout: global
                    .parsed("upstream_timeout", duration)
                    .unwrap_or(defaults.upstream.response_header_timeout),
                tls: self.upstream_tls(&mut global),
            },
            admin: self.admin(&mut global),
            user: global.text("user"),
            sandbox: match global.boolean("sandbox") {
                Some(false) => SandboxMode::Disabled,
                Some(true) => SandboxMode::Enabled,
                None => defaults.sandbox,
            },
            shutdown_timeout: global
                .parsed("shutdown_timeout", duration)
                .unwrap_or(defaults.shutdown_timeout),
            threads: global.parsed("threads", threads).unwrap_or(defaults.threads),
            watchdog: global.parsed("watchdog", watchdog_limit).unwrap_or(defaults.watchdog),
            log: LogConfig {
                format: global.parsed("log_format", one_of(LOG_FORMATS)).unwrap_or(defaults.log.format),
                level: global.parsed("log_level", one_of(LOG_LEVELS)).unwrap_or(defaults.log.level),
            },
            access_log: global
                .text("access_log")
                .and_then(|text| AccessLogTarget::parse(&self.beside(&text))),
            docker,
        };
        (settings, global.finish())
    }

    /// The operator's listener: its address, or a table with the permissions of its socket as well.
    fn admin(&self, global: &mut Reader<'_>) -> Option<AdminSettings> {
        let value = global.value("admin")?;
        let socket_mode = self.defaults.listeners[0].socket_mode;
        if let DeValue::String(address) = value.get_ref() {
            return Some(AdminSettings { address: address.to_string(), socket_mode, socket_group: None });
        }
        let admin = global.inner(value, "admin.", |admin| {
            let socket_mode = admin.parsed("mode", octal_mode).unwrap_or(socket_mode);
            let socket_group = admin.text("group");
            Some(AdminSettings { address: admin.text("address")?, socket_mode, socket_group })
        });
        admin.or_else(|| global.wrong_type("admin", value, "an address, or a table with one"))?
    }

    fn listener<'a>(&self, table: &'a DeTable<'a>, offset: usize) -> (ListenerSettings, Vec<Problem>) {
        let mut listener = Reader::new(table);
        let rights = self.rights(&mut listener, offset, None);
        let mut clients = Vec::new();
        for (table, offset) in listener.tables("client") {
            let (settings, problems) = self.client(table, offset, &rights);
            clients.push(settings);
            listener.absorb(problems);
        }
        let default = &self.defaults.listeners[0];
        let address = |address| ListenSetting { address, setting: Setting::Listen };
        let settings = ListenerSettings {
            addresses: listener.texts("address").unwrap_or_default().into_iter().map(address).collect(),
            rights,
            clients,
            socket_mode: listener.parsed("mode", octal_mode).unwrap_or(default.socket_mode),
            socket_group: listener.text("group"),
            tls: self.tls(&mut listener),
            limits: limits(&mut listener, &default.limits),
            errors: listener.parsed("errors", one_of(ERRORS)).unwrap_or(default.errors),
        };
        (settings, listener.finish())
    }

    fn client<'a>(
        &self,
        table: &'a DeTable<'a>,
        offset: usize,
        listener: &RightsSettings,
    ) -> (ClientSettings, Vec<Problem>) {
        let mut client = Reader::new(table);
        let settings = ClientSettings {
            uids: client.ids("uid").unwrap_or_default(),
            gids: client.ids("gid").unwrap_or_default(),
            certificates: client.texts("certificate").unwrap_or_default(),
            networks: client.texts("address").unwrap_or_default(),
            rights: self.rights(&mut client, offset, Some(listener)),
        };
        (settings, client.finish())
    }

    /// What is said of rights; what a client's rule does not say is what its listener says, so that nothing
    /// is shown by leaving a line out.
    fn rights(
        &self,
        table: &mut Reader<'_>,
        offset: usize,
        listener: Option<&RightsSettings>,
    ) -> RightsSettings {
        let inherited = |of: fn(&ViewSettings) -> &Vec<String>| {
            listener.map(|rights| of(&rights.view).clone()).unwrap_or_default()
        };
        let named = Named::of(table.texts("allow"), table.texts("consumer"), listener);
        RightsSettings {
            allow: named.allow,
            consumers: named.consumers,
            viewed_as: named.viewed_as,
            min_api_version: table
                .text("min_api_version")
                .or_else(|| listener.and_then(|rights| rights.min_api_version.clone())),
            view: ViewSettings {
                redact: table.texts("redact").unwrap_or_else(|| inherited(|view| &view.redact)),
                keep_env: table.texts("keep_env").unwrap_or_else(|| inherited(|view| &view.keep_env)),
                keep_labels: table.texts("keep_label").unwrap_or_else(|| inherited(|view| &view.keep_labels)),
                only: table.texts("only").unwrap_or_else(|| inherited(|view| &view.only)),
            },
            origin: Origin::File(self.place(offset)),
        }
    }

    /// The file and the line, for hints.
    fn place(&self, offset: usize) -> Arc<str> {
        format!("{}:{}", self.path.display(), super::line_and_column(self.text, offset).0).into()
    }

    /// `tls = true`, `tls = false`, or a table of files.
    fn tls(&self, listener: &mut Reader<'_>) -> TlsSettings {
        let Some(value) = listener.value("tls") else { return TlsSettings::default() };
        if let DeValue::Boolean(tls) = value.get_ref() {
            return TlsSettings { tls: Some(*tls), ..TlsSettings::default() };
        }
        let files = listener.inner(value, "tls.", |files| TlsSettings {
            tls: Some(true),
            verify: files.boolean("verify"),
            ca_cert: self.file(files.text("ca")),
            cert: self.file(files.text("cert")),
            key: self.file(files.text("key")),
        });
        files
            .or_else(|| listener.wrong_type("tls", value, "true, false or a table of files"))
            .unwrap_or_default()
    }

    fn upstream_tls(&self, global: &mut Reader<'_>) -> UpstreamTlsSettings {
        let Some(value) = global.value("upstream_tls") else { return UpstreamTlsSettings::default() };
        let files = global.inner(value, "upstream_tls.", |files| UpstreamTlsSettings {
            ca_cert: self.file(files.text("ca")),
            cert: self.file(files.text("cert")),
            key: self.file(files.text("key")),
        });
        files.or_else(|| global.wrong_type("upstream_tls", value, "a table of files")).unwrap_or_default()
    }

    /// A path beside the file, unless it is absolute.
    fn file(&self, named: Option<String>) -> Option<PathBuf> {
        named.map(|path| self.beside(&path))
    }

    fn beside(&self, path: &str) -> PathBuf {
        match path {
            // Standard output, where it may stand.
            "-" => PathBuf::from(path),
            _ => self.path.parent().unwrap_or(Path::new("")).join(path),
        }
    }
}

/// What is said of names.
struct Named {
    allow: Option<Vec<String>>,
    consumers: Vec<String>,
    viewed_as: Vec<String>,
}

impl Named {
    /// What is said of them, in a rule or in its listener. A rule that names what is allowed and no consumer is
    /// shown what its listener's consumer is.
    fn of(
        allow: Option<Vec<String>>,
        consumers: Option<Vec<String>>,
        listener: Option<&RightsSettings>,
    ) -> Self {
        match (consumers, listener) {
            (None, Some(listener)) if allow.is_none() => Self {
                allow: listener.allow.clone(),
                consumers: listener.consumers.clone(),
                viewed_as: listener.viewed_as.clone(),
            },
            (None, Some(listener)) => {
                Self { allow, consumers: Vec::new(), viewed_as: listener.consumers.clone() }
            }
            (consumers, _) => Self { allow, consumers: consumers.unwrap_or_default(), viewed_as: Vec::new() },
        }
    }
}

fn limits(listener: &mut Reader<'_>, default: &LimitSettings) -> LimitSettings {
    LimitSettings {
        header_timeout: listener
            .parsed("header_timeout", positive_duration)
            .unwrap_or(default.header_timeout),
        idle_timeout: listener.parsed("idle_timeout", positive_duration).unwrap_or(default.idle_timeout),
        stall_timeout: listener.parsed("stall_timeout", duration).unwrap_or(default.stall_timeout),
        min_rate: listener.parsed("min_rate", size).unwrap_or(default.min_rate),
        max_requests: listener.parsed("max_requests", number(1, u32::MAX)).unwrap_or(default.max_requests),
        max_load: listener.parsed("max_load", number(1, u32::MAX)).unwrap_or(default.max_load),
        client_share: listener.parsed("client_share", number(1, 100)).unwrap_or(default.client_share),
        max_connections: listener
            .parsed("max_connections", number(0, usize::MAX))
            .unwrap_or(default.max_connections),
        max_connections_per_uid: listener
            .parsed("max_connections_per_uid", number(0, usize::MAX))
            .unwrap_or(default.max_connections_per_uid),
    }
}

/// A number within these bounds.
fn number<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + Copy + std::fmt::Display,
{
    move |text| {
        let number = text.replace('_', "").parse().ok();
        let within = number.filter(|number: &T| (least..=most).contains(number));
        within.ok_or_else(|| format!("write a number from {least} to {most}"))
    }
}

/// One of these words.
fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("'{text}' is none of {}", words.join(", "))
        })
    }
}
