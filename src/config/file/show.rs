//! Settings as a file that means the same.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::super::settings::{
    ClientSettings, LimitSettings, ListenerSettings, RightsSettings, SandboxMode, Settings, TlsSettings,
    UpstreamTlsSettings,
};
use super::super::{DEFAULT_LISTEN, DEFAULT_UPSTREAM};
use super::schema::{ERRORS, LOG_FORMATS, LOG_LEVELS};
use crate::telemetry::access_log_writer::AccessLogTarget;

/// All settings, the defaults too, as the text of a file.
pub fn show(settings: &Settings) -> String {
    let mut page = Page::default();
    let docker_host = settings.docker.host.as_deref();
    let upstream = settings.upstream.address.as_deref().or(docker_host).unwrap_or(DEFAULT_UPSTREAM);
    page.line("upstream", text(upstream));
    page.line("upstream_timeout", time(settings.upstream.response_header_timeout));
    page.some("upstream_tls", upstream_tls(&settings.upstream.tls));
    page.some("admin", settings.admin.as_ref().map(|admin| text(&admin.address)));
    page.some("user", settings.user.as_deref().map(text));
    page.line("sandbox", (settings.sandbox == SandboxMode::Enabled).to_string());
    page.line("shutdown_timeout", time(settings.shutdown_timeout));
    page.line("threads", settings.threads.to_string());
    page.line("watchdog", time(settings.watchdog));
    page.line("log_format", word(LOG_FORMATS, settings.log.format));
    page.line("log_level", word(LOG_LEVELS, settings.log.level));
    page.some("access_log", settings.access_log.as_ref().and_then(access_log));
    for listener in &settings.listeners {
        page.listener(listener);
    }
    page.text
}

/// Of a listener's settings those that say where it is and what its clients are let through to, as a table of a file;
/// what is not said has its default.
pub fn show_rights(listener: &ListenerSettings) -> String {
    let mut page = Page::default();
    let given: Vec<&str> = listener.addresses.iter().map(|one| one.address.as_str()).collect();
    page.table("listener", "");
    page.line("address", texts(&given));
    if given.iter().any(|address| !address.starts_with("tcp://")) {
        page.line("mode", text(&format!("{:04o}", listener.socket_mode)));
        page.some("group", listener.socket_group.as_deref().map(text));
    }
    page.some("tls", tls(&listener.tls));
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

    fn listener(&mut self, listener: &ListenerSettings) {
        self.table("listener", "");
        let given: Vec<&str> = listener.addresses.iter().map(|one| one.address.as_str()).collect();
        self.line("address", texts(if given.is_empty() { &[DEFAULT_LISTEN] } else { &given }));
        self.line("mode", text(&format!("{:04o}", listener.socket_mode)));
        self.some("group", listener.socket_group.as_deref().map(text));
        self.some("tls", tls(&listener.tls));
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

fn file(key: &str, path: Option<&Path>) -> Option<String> {
    let path = std::path::absolute(path?).ok()?;
    Some(format!("{key} = {}", text(path.to_str()?)))
}

fn access_log(target: &AccessLogTarget) -> Option<String> {
    match target {
        AccessLogTarget::Stdout => Some(text("-")),
        AccessLogTarget::File(path) => Some(text(std::path::absolute(path).ok()?.to_str()?)),
    }
}

fn tls(settings: &TlsSettings) -> Option<String> {
    let parts: Vec<String> = [
        settings.verify.map(|verify| format!("verify = {verify}")),
        file("ca", settings.ca_cert.as_deref()),
        file("cert", settings.cert.as_deref()),
        file("key", settings.key.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (settings.tls, parts.is_empty()) {
        (Some(false), _) => Some("false".to_owned()),
        (tls, true) => tls.map(|tls| tls.to_string()),
        (_, false) => Some(format!("{{ {} }}", parts.join(", "))),
    }
}

fn upstream_tls(settings: &UpstreamTlsSettings) -> Option<String> {
    let parts: Vec<String> = [
        file("ca", settings.ca_cert.as_deref()),
        file("cert", settings.cert.as_deref()),
        file("key", settings.key.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("{{ {} }}", parts.join(", ")))
}
