//! Promise: each consumer of the table runs with exactly what its row says, and gets what it gets without a proxy.
//!
//! The programs are the real ones, in the versions that the rows name: `tests/consumers/fetch` brings them. What
//! stands for docker-gen is explained in `tests/consumers/docker-gen/main.go`.

mod agents;
mod docker_cli;
mod docker_gen;
mod fleet;
mod libraries;
mod prometheus;
mod terminals;
mod traefik;
mod views;

use std::path::PathBuf;
use std::process::Command;

use crate::support::engine::Engine;
use crate::support::library::{CONSUMERS, Consumer, ENGINE, names};
use crate::support::proxy::Proxy;
use crate::support::tools::without_docker_variables;

/// The row of a consumer.
fn row(name: &str) -> &'static Consumer {
    CONSUMERS.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

/// A proxy that allows and shows what a consumer's row says, and nothing else.
fn proxy_for(name: &str, engine: &Engine) -> Proxy {
    Proxy::builder(engine.socket()).args(["--for", name]).start()
}

/// The log lines of answers that could not be filtered, and of refusals that are not routine: Docker's own client asks
/// with `HEAD` before it asks with `GET`, and some programs ask for what they do without.
fn refused(proxy: &Proxy, consumer: &Consumer) -> Vec<String> {
    let routine = |line: &String| {
        line.contains("method=HEAD path=\"/_ping\"")
            || consumer.optional.iter().any(|name| line.contains(&format!("endpoint=\"{name}\"")))
    };
    let unfilterable = proxy.log().into_iter().filter(|line| line.contains("ended=\"filter_failed\""));
    proxy.refusals().into_iter().filter(|line| !routine(line)).chain(unfilterable).collect()
}

/// Fails if anything was refused that is not routine, or nothing was asked.
fn assert_nothing_refused(proxy: &Proxy, consumer: &Consumer) {
    assert_eq!(refused(proxy, consumer), Vec::<String>::new(), "{}", consumer.name);
    let asked = proxy.log().iter().any(|line| line.contains("allowed status=200"));
    assert!(asked, "{} asked nothing", consumer.name);
}

/// Waits until each name of a row was asked for, which is in the log when an answer has ended: none is idle.
fn assert_every_name_is_needed(proxy: &Proxy, consumer: &Consumer) {
    for name in consumer.allow {
        for (_, endpoint) in names::matching(&ENGINE, name) {
            proxy.logged(&["allowed status=200", &format!("endpoint=\"{}\"", endpoint.name)]);
        }
    }
}

/// A path in what `tests/consumers/fetch` brought.
fn fetched(path: &str) -> PathBuf {
    let folder = std::env::var_os("TEST_CONSUMERS").expect("run tests/run, which fetches the consumers");
    PathBuf::from(folder).join(path)
}

/// A program of those, which finds the libraries of Debian's packages, and no variable of Docker's.
fn program(path: &str) -> Command {
    let mut command = without_docker_variables(Command::new(fetched(path)));
    command.env("LD_LIBRARY_PATH", fetched("debian/usr/lib/x86_64-linux-gnu")).env("HOME", "/nonexistent");
    command
}

/// A file beside the programs' own sources.
fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/consumers").join(path)
}
