//! Settings as a file that means the same.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::super::settings::{
    AdminSettings, ClientSettings, DockerEnv, LimitSettings, ListenerSettings, RightsSettings, SandboxMode,
    Settings, TlsSettings,
};
use super::super::tls::{TlsIntent, of_upstream};
use super::super::upstream::locate;
use super::super::{DEFAULT_LISTEN, Setting, UpstreamSource};
use super::schema::{ERRORS, LOG_FORMATS, LOG_LEVELS};
use crate::telemetry::access_log_writer::AccessLogTarget;
use crate::tls::{ClientAuth, ServerFiles};

/// All settings, the defaults too, as the text of a file.
pub fn show(settings: &Settings) -> String {
    let mut page = Page::default();
    let upstream = locate(&settings.upstream, &settings.docker);
    page.line("upstream", with_source(text(&upstream.address), &upstream.source));
    page.line("upstream_timeout", time(settings.upstream.response_header_timeout));
    page.some("upstream_tls", upstream_tls(settings, &upstream.address));
    page.some("admin", settings.admin.as_ref().map(admin));
    page.some("user", settings.user.as_deref().map(text));
    page.line("sandbox", (settings.sandbox == SandboxMode::Enabled).to_string());
    page.line("shutdown_timeout", time(settings.shutdown_timeout));
    page.line("threads", settings.threads.to_string());
    page.line("watchdog", time(settings.watchdog));
    page.line("log_format", word(LOG_FORMATS, settings.log.format));
    page.line("log_level", word(LOG_LEVELS, settings.log.level));
    page.some("access_log", settings.access_log.as_ref().and_then(access_log));
    for listener in &settings.listeners {
        page.listener(listener, &settings.docker);
    }
    page.text
}

/// Of a listener's settings those that say where it is and what its clients are let through to, as a table of a file;
/// what is not said has its default.
pub fn show_rights(listener: &ListenerSettings, docker: &DockerEnv) -> String {
    let mut page = Page::default();
    let given: Vec<&str> = listener.addresses.iter().map(|one| one.address.as_str()).collect();
    page.table("listener", "");
    page.line("address", texts(&given));
    if given.iter().any(|address| !address.starts_with("tcp://")) {
        page.line("mode", text(&format!("{:04o}", listener.socket_mode)));
        page.some("group", listener.socket_group.as_deref().map(text));
    }
    page.some("tls", tls(&listener.tls, docker));
    page.some("allow", listener.rights.allow.as_deref().map(texts));
    for client in &listener.clients {
        page.client_pattern(client);
        page.some("allow", client.rights.allow.as_deref().map(texts));
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    indent: &'static str,
}

impl Page {
    fn line(&mut self, key: &str, value: String) {
        let indent = self.indent;
        let _ = writeln!(self.text, "{indent}{key} = {value}");
    }

    fn some(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }

    fn table(&mut self, name: &str, indent: &'static str) {
        let _ = write!(self.text, "\n{indent}[[{name}]]\n");
        self.indent = indent;
    }

    fn listener(&mut self, listener: &ListenerSettings, docker: &DockerEnv) {
        self.table("listener", "");
        let given: Vec<&str> = listener.addresses.iter().map(|one| one.address.as_str()).collect();
        self.line("address", texts(if given.is_empty() { &[DEFAULT_LISTEN] } else { &given }));
        self.line("mode", text(&format!("{:04o}", listener.socket_mode)));
        self.some("group", listener.socket_group.as_deref().map(text));
        self.some("tls", tls(&listener.tls, docker));
        self.rights(&listener.rights);
        self.line("errors", word(ERRORS, listener.errors));
        self.limits(&listener.limits);
        for client in &listener.clients {
            self.client(client);
        }
    }

    fn client(&mut self, client: &ClientSettings) {
        self.client_pattern(client);
        self.rights(&client.rights);
    }

    fn client_pattern(&mut self, client: &ClientSettings) {
        self.table("listener.client", "  ");
        self.list("uid", &client.uids);
        self.list("gid", &client.gids);
        self.list("certificate", &client.certificates);
        self.list("address", &client.networks);
    }

    fn rights(&mut self, rights: &RightsSettings) {
        self.some("allow", rights.allow.as_deref().map(texts));
        // A rule that says nothing of it is shown what its listener's consumer is.
        if rights.viewed_as.is_empty() {
            self.line("consumer", texts(&rights.consumers));
        }
        self.some("min_api_version", rights.min_api_version.as_deref().map(text));
        self.line("redact", texts(&rights.view.redact));
        self.line("keep_env", texts(&rights.view.keep_env));
        self.line("keep_label", texts(&rights.view.keep_labels));
        self.line("only", texts(&rights.view.only));
    }

    fn limits(&mut self, limits: &LimitSettings) {
        self.line("header_timeout", time(limits.header_timeout));
        self.line("idle_timeout", time(limits.idle_timeout));
        self.line("stall_timeout", time(limits.stall_timeout));
        self.line("min_rate", limits.min_rate.to_string());
        self.line("max_requests", limits.max_requests.to_string());
        self.line("max_load", limits.max_load.to_string());
        self.line("client_share", limits.client_share.to_string());
        self.line("max_connections", limits.max_connections.to_string());
        self.line("max_connections_per_uid", limits.max_connections_per_uid.to_string());
    }

    fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.line(key, texts(values));
        }
    }
}

/// The engine's address, and what it comes from if nobody wrote it as this setting.
fn with_source(address: String, source: &UpstreamSource) -> String {
    match source {
        UpstreamSource::Setting(Setting::Upstream) => address,
        UpstreamSource::Setting(_) | UpstreamSource::Place(_) => format!("{address} # {source}"),
    }
}

fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

fn texts(values: &[impl AsRef<str>]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value.as_ref())).collect();
    format!("[{}]", values.join(", "))
}

fn time(value: Duration) -> String {
    text(&humantime::format_duration(value).to_string())
}

fn word<T: PartialEq + Copy>(words: &[(&str, T)], value: T) -> String {
    words.iter().find(|(_, one)| *one == value).map(|(word, _)| text(word)).unwrap_or_default()
}

fn file(key: &str, path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    Some(format!("{key} = {}", text(path.to_str()?)))
}

fn admin(settings: &AdminSettings) -> String {
    let group = settings.socket_group.as_deref().map(|group| format!(", group = {}", text(group)));
    let mode = text(&format!("{:04o}", settings.socket_mode));
    format!("{{ address = {}, mode = {mode}{} }}", text(&settings.address), group.unwrap_or_default())
}

fn access_log(target: &AccessLogTarget) -> Option<String> {
    match target {
        AccessLogTarget::Stdout => Some(text("-")),
        AccessLogTarget::File(path) => Some(text(std::path::absolute(path).ok()?.to_str()?)),
    }
}

/// What is meant, with the files that Docker's variables name.
fn tls(settings: &TlsSettings, docker: &DockerEnv) -> Option<String> {
    match TlsIntent::of(settings, docker).ok()? {
        TlsIntent::Unspecified => None,
        TlsIntent::ExplicitPlaintext => Some("false".to_owned()),
        TlsIntent::Tls(ServerFiles { key_pair, client_auth }) => {
            let ca = match &client_auth {
                ClientAuth::Required(ca) => file("ca", ca),
                ClientAuth::None => None,
            };
            let verify = Some(format!("verify = {}", ca.is_some()));
            let parts = [verify, ca, file("cert", &key_pair.cert), file("key", &key_pair.key)];
            Some(table(parts))
        }
    }
}

/// The same of the upstream.
fn upstream_tls(settings: &Settings, address: &str) -> Option<String> {
    let address = address.parse().ok()?;
    let files = of_upstream(&settings.upstream.tls, &address, &settings.docker).ok()??;
    let key_pair = files.key_pair.as_ref();
    let cert = key_pair.and_then(|pair| file("cert", &pair.cert));
    let key = key_pair.and_then(|pair| file("key", &pair.key));
    Some(table([file("ca", &files.ca), cert, key]))
}

fn table<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{{ {} }}", parts.join(", "))
}
