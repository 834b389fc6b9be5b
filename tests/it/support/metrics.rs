//! A proxy with an operator's listener, and what can be read there.

use std::path::{Path, PathBuf};

use super::http::{self, Response};
use super::proxy::{Builder, Proxy};

/// The figures at one time, in Prometheus's text format.
pub struct Metrics(String);

/// Gives it an operator's listener at a Unix socket beside its own.
pub fn with_admin(builder: Builder) -> Builder {
    let admin = admin_socket(builder.socket());
    builder.args(["--admin".as_ref(), admin.as_os_str()])
}

fn admin_socket(socket: &Path) -> PathBuf {
    socket.with_file_name("admin.sock")
}

/// Asks the operator's listener of a proxy that [`with_admin`] gave one.
pub fn ask(proxy: &Proxy, target: &str) -> Response {
    http::get(&admin_socket(proxy.socket()), target)
}

impl Metrics {
    pub fn of(proxy: &Proxy) -> Self {
        let answer = ask(proxy, "/metrics");
        assert_eq!(answer.status(), 200);
        Self(answer.text())
    }

    /// The sum of the figures of a family with all of these labels, written as `name="value"`; 0 without any.
    pub fn sum(&self, family: &str, labels: &[&str]) -> f64 {
        let of_family = |line: &&str| {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            name == family && labels.iter().all(|label| rest.contains(label))
        };
        let values = self.samples().filter(of_family).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// The names of all families, as they are collected.
    pub fn families(&self) -> Vec<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Every series without its figure.
    pub fn series(&self) -> Vec<String> {
        self.samples().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    fn samples(&self) -> impl Iterator<Item = &str> {
        self.0.lines().filter(|line| !line.starts_with('#'))
    }
}
