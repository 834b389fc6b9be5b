//! Programs on the usual libraries: each lists containers and inspects one.

use std::path::Path;
use std::process::Command;

use super::fleet::Fleet;
use super::{assert_every_name_is_needed, assert_nothing_refused, fetched, program, row, source};
use crate::support::proxy::Proxy;
use crate::support::tools::stdout;

/// The names of what the programs call.
const CALLED: &str = "containers";

/// Has a program print the same through a proxy as without, with what its library asks for by itself and what it calls.
fn prints_the_same(own_names: &[&str], command: impl Fn(&Path) -> Command) -> Proxy {
    let fleet = Fleet::shared();
    let names = [own_names, &[CALLED]].concat().join(",");
    let proxy = Proxy::builder(fleet.socket()).allow(&names).start();
    let direct = stdout(command(fleet.socket()).output().unwrap());
    assert!(direct.contains("/plain") && direct.ends_with("/web\n"), "{direct}");
    assert_eq!(stdout(command(proxy.socket()).output().unwrap()), direct);
    proxy
}

/// With `DOCKER_HOST` and the name of a container.
fn with_host(mut command: Command, socket: &Path) -> Command {
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).arg("web");
    command
}

fn python(script: &str, socket: &Path) -> Command {
    let mut command = program("python/bin/python");
    command.arg(source("python").join(script));
    with_host(command, socket)
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn docker_py_asks_for_the_version_and_what_is_called() {
    let row = row("docker-py");
    let proxy = prints_the_same(row.allow, |socket| python("list_docker_py.py", socket));
    assert_nothing_refused(&proxy, row);
    assert_every_name_is_needed(&proxy, row);
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn aiodocker_asks_for_the_version_and_what_is_called() {
    let row = row("aiodocker");
    let proxy = prints_the_same(row.allow, |socket| python("list_aiodocker.py", socket));
    assert_nothing_refused(&proxy, row);
    assert_every_name_is_needed(&proxy, row);
}

/// Has a program on a library that asks for nothing by itself print the same, and be refused nothing.
fn asks_for_just_what_is_called(command: impl Fn(&Path) -> Command) {
    let proxy = prints_the_same(&[], command);
    assert_eq!(proxy.refusals(), Vec::<String>::new());
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn dockerode_asks_for_just_what_is_called() {
    asks_for_just_what_is_called(|socket| {
        let mut command = Command::new("node");
        command
            .env("NODE_PATH", fetched("node/node_modules"))
            .arg(source("node/list.js"))
            .arg(socket)
            .arg("web");
        command
    });
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn bollard_asks_for_the_version_where_it_is_to_negotiate_and_what_is_called() {
    let proxy = prints_the_same(&["version"], |socket| {
        let mut command = program("bollard/bin/consumer-bollard");
        command.arg(socket).arg("web");
        command
    });
    assert_eq!(proxy.refusals(), Vec::<String>::new());
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn docker_api_of_ruby_asks_for_just_what_is_called() {
    asks_for_just_what_is_called(|socket| {
        let mut command = Command::new("ruby");
        command.arg(source("ruby/list.rb")).arg(socket).arg("web");
        command
    });
}
