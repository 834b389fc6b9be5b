//! Programs that draw on a terminal: glances, oxker, dockviz.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::fleet::{Fleet, LOG_LINE};
use super::{assert_every_name_is_needed, assert_nothing_refused, fetched, program, proxy_for, row};
use crate::support::process;
use crate::support::until;

/// What Glances shows: the containers by name, and whether their commands and images are there.
fn glances(socket: &Path) -> (BTreeSet<String>, bool, bool) {
    let mut glances = program("python/bin/glances")
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        // A line each few seconds; that of the first may come before the first statistics.
        .args(["--stdout", "containers", "--stop-after", "40", "--disable-check-update"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let complete =
        |line: &String| line.contains("'memory_usage': ") && !line.contains("'memory_usage': None");
    let mut lines = BufReader::new(glances.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(complete).expect("a line with the statistics of every container");
    process::terminate(&mut glances);
    let names = line.split("'name': '").skip(1).map(|rest| rest.split('\'').next().unwrap().to_owned());
    (names.collect(), line.contains(LOG_LINE), line.contains("busybox:latest"))
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn glances_shows_the_containers() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("glances", &fleet.engine);
    let direct = glances(fleet.socket());
    assert!(direct.0.contains("web") && direct.1 && direct.2, "{direct:?}");
    assert_eq!(glances(proxy.socket()), direct);
    assert_nothing_refused(&proxy, row("glances"));
    assert_every_name_is_needed(&proxy, row("glances"));
}

/// Runs a program on a terminal of its own until its screen has shown all of these.
fn until_shown(command: &str, proxy_url: &str, parts: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let screen = place.path().join("screen");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &format!("stty cols 200 rows 60; exec {command}")])
        .arg(&screen)
        .env("DOCKER_HOST", proxy_url)
        .env("TERM", "xterm")
        // The programs look for their settings there.
        .env("HOME", place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(&format!("{command} shows {parts:?}"), || {
        let bytes = std::fs::read(&screen).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        parts.iter().all(|part| text.contains(part))
    });
    process::terminate(&mut terminal);
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn oxker_shows_containers_and_their_logs() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("oxker", &fleet.engine);
    let command = format!("{} --host {}", fetched("oxker/bin/oxker").display(), proxy.url());
    until_shown(&command, &proxy.url(), &["nomad", "plain", "web", LOG_LINE]);
    assert_nothing_refused(&proxy, row("oxker"));
    assert_every_name_is_needed(&proxy, row("oxker"));
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn dockviz_shows_containers_and_their_load() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("dockviz", &fleet.engine);
    let command = fetched("python/bin/dockviz").display().to_string();
    until_shown(&command, &proxy.url(), &["nomad", "plain", "web"]);
    assert_nothing_refused(&proxy, row("dockviz"));
    assert_every_name_is_needed(&proxy, row("dockviz"));
}
