//! The Docker CLI works where allowed, and says so readably where not.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use crate::support::engine::{Engine, docker, docker_command};
use crate::support::machine;
use crate::support::proxy::Proxy;
use crate::support::tools::stdout;
use crate::support::until;

const EVERYTHING_OF_OLD: &str =
    "containers,images,networks,volumes,services,tasks,nodes,events,info,version,ping";

#[test]
#[ignore = "needs an engine: tests/run"]
fn reading_commands_print_what_they_print_without_a_proxy() {
    let _machine = machine::undisturbed();
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow(EVERYTHING_OF_OLD).start();
    let of_a_swarm = ["service ls", "service ps sleeper --no-trunc --format {{.Name}}", "node ls"];
    let of_a_swarm = of_a_swarm.into_iter().filter(|_| engine.has("services:list"));
    for command in [
        "ps -a --no-trunc --format {{.Names}}",
        "inspect web",
        "images --format {{.Repository}}:{{.Tag}}-{{.ID}}",
        "history busybox",
        "image inspect getmeili/meilisearch:v1.6",
        "network ls",
        "network inspect mesh",
        "volume ls",
        "volume inspect data",
        "version",
        "info --format {{.ServerVersion}}",
    ]
    .into_iter()
    .chain(of_a_swarm)
    {
        let args: Vec<&str> = command.split(' ').collect();
        let lines = |socket| sorted_lines(&stdout(docker(socket, &args)));
        // Podman 4 has another order in an object's lists at times.
        let agree = || lines(proxy.socket()) == lines(engine.socket());
        if !(0..10).any(|_| agree()) {
            assert_eq!(lines(proxy.socket()), lines(engine.socket()), "docker {command}");
        }
    }
}

/// The engine lists some things in another order each time.
fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn events_are_seen_as_they_happen() {
    let _machine = machine::disturbing();
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("events,ping").start();
    let mut watcher = docker_command(proxy.socket())
        .args(["events", "--filter", "type=container", "--format", "{{.Action}} {{.Actor.Attributes.name}}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (told, heard) = mpsc::channel();
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let reader =
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(told.send(line))));
    // The first come before the engine has the watcher.
    until("the watcher sees a container come", || {
        stdout(engine.docker(&["create", "--name", "seen-live", "--network", "none", "busybox", "true"]));
        stdout(engine.docker(&["rm", "seen-live"]));
        heard.try_iter().any(|line| line == "create seen-live")
    });
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    reader.join().unwrap();
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_writing_command_fails_readably_and_does_nothing() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow(EVERYTHING_OF_OLD).start();
    for command in [
        "stop web",
        "kill web",
        "rm -f web",
        "rmi -f busybox",
        "volume rm data",
        "network rm mesh",
        "run --rm busybox true",
        "exec web true",
        "tag busybox other",
    ] {
        let output = docker(proxy.socket(), &command.split(' ').collect::<Vec<_>>());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = "400 Bad request ; only GET allowed";
        assert!(!output.status.success() && stderr.contains(message), "docker {command}: {stderr}");
    }
    // With BuildKit, which newer engines ask the CLI to use, it may say no more than the status.
    for buildkit in ["0", "1"] {
        let mut build = docker_command(proxy.socket());
        let output = build.env("DOCKER_BUILDKIT", buildkit).args(["build", "-"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_said = stderr.contains("400 Bad request ; only GET allowed")
            || (buildkit == "1" && stderr.contains("received 400"));
        assert!(!output.status.success() && is_said, "docker build -: {stderr}");
    }
    let running = stdout(engine.docker(&["inspect", "-f", "{{.State.Running}}", "web"]));
    assert_eq!(running, "true\n");
    assert_eq!(stdout(engine.docker(&["volume", "inspect", "-f", "{{.Name}}", "data"])), "data\n");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_reading_command_that_is_not_enabled_fails_readably() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("version").start();
    let output = docker(proxy.socket(), &["ps"]);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message =
        "404 page not found: containers:list is not allowed here (docker-proxy-acl -a containers:list)";
    assert!(stderr.contains(message), "{stderr}");
    proxy.logged(&["denied", "GET", "/containers/json", "-a containers:list or -a containers allows it"]);
}
