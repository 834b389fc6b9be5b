//! The Docker CLI 20.10 and 28: what each command needs, and what becomes of those that write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::fleet::Fleet;
use super::{fetched, refused, row};
use crate::support::engine::{Engine, docker_cli};
use crate::support::http;
use crate::support::library::every_name;
use crate::support::proxy::Proxy;
use crate::support::tools::combined_output;

/// Commands that read, with arguments to try them with, and the names that each needs beside `ping`. The commands and
/// their names are the table in `docs/consumers.md`.
const READING: &[(&str, &str, &str)] = &[
    ("ps", "-a --no-trunc --format {{.Names}}-{{.Image}}-{{.Command}}", "containers:list"),
    ("inspect", "web", "containers:inspect"),
    ("container inspect", "web", "containers:inspect"),
    ("top", "nomad -o pid,comm", "containers:top"),
    ("port", "web", "containers:inspect"),
    ("logs", "nomad", "containers:inspect containers:logs"),
    ("cp", "nomad:/bin/sh -", "containers:archive"),
    ("export", "nomad", "containers:export"),
    ("save", "busybox", "images:export"),
    ("diff", "plain", "containers:changes"),
    ("stats", "--no-stream --format {{.Name}}", "containers:list containers:stats events version"),
    ("images", "--format {{.Repository}}:{{.Tag}}-{{.ID}}", "images:list"),
    ("image inspect", "busybox", "images:inspect"),
    ("history", "--no-trunc --format {{.ID}}-{{.CreatedBy}} busybox", "images:history"),
    ("network ls", "", "networks:list"),
    ("network inspect", "front", "networks:inspect"),
    ("volume ls", "", "volumes:list"),
    ("volume inspect", "store", "volumes:inspect"),
    ("service ls", "", "services:list"),
    ("service inspect", "shop", "services:inspect"),
    (
        "service ps",
        "shop --no-trunc --format {{.ID}}-{{.Name}}-{{.Image}}",
        "services:list services:inspect tasks:list nodes:inspect",
    ),
    ("stack ls", "", "services:list"),
    ("node ls", "--format {{.ID}}-{{.Hostname}}-{{.Status}}", "nodes:list info"),
    ("node inspect", "self", "info nodes:inspect"),
    ("secret ls", "--format {{.ID}}-{{.Name}}", "secrets:list"),
    ("secret inspect", "hush", "secrets:inspect"),
    ("config ls", "--format {{.ID}}-{{.Name}}", "configs:list"),
    ("config inspect", "plain", "configs:inspect"),
    ("plugin ls", "", "plugins:list"),
    ("system df", "", "system:df"),
    ("events", "--since 9m --until 1s --filter type=volume --format {{.Action}}-{{.Actor.ID}}", "events"),
    ("info", "--format {{.ID}}-{{.Containers}}", "info"),
    ("version", "", "version"),
];

/// Commands that write, each of which would do something to the fleet.
const WRITING: &[&str] = &[
    "create busybox",
    "run --rm busybox true",
    "start web",
    "stop web",
    "restart web",
    "kill web",
    "pause web",
    "rename web other",
    "update --memory 100m web",
    "rm -f web",
    "exec web true",
    "commit web other",
    "cp /etc/hostname web:/tmp/x",
    "tag busybox other",
    "rmi -f busybox",
    "pull busybox",
    "load -i /dev/null",
    "network create other",
    "network rm front",
    "network connect front plain",
    "volume create other",
    "volume rm store",
    "service scale --detach shop=2",
    "service rm shop",
    "node update --availability drain NODE",
    "secret rm hush",
    "config rm plain",
    "swarm leave --force",
    "system prune -f",
    "container prune -f",
];

/// A Docker CLI.
struct Cli {
    version: &'static str,
    path: Option<PathBuf>,
}

/// That of Debian 12, and the newest before 29.
fn both() -> [Cli; 2] {
    [
        Cli { version: "20.10", path: None },
        Cli { version: "28", path: Some(fetched("docker_28/usr/bin/docker")) },
    ]
}

impl Cli {
    fn run(&self, socket: &Path, line: &str) -> Output {
        let mut command = match &self.path {
            Some(path) => Command::new(path),
            None => docker_cli(),
        };
        command.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", "/nonexistent").stdin(Stdio::null());
        command.arg("-H").arg(format!("unix://{}", socket.display())).args(line.split(' ')).output().unwrap()
    }
}

/// What a command printed, by lines, because the engine lists some things in another order each time.
fn printed(output: &Output) -> BTreeSet<String> {
    combined_output(output).lines().map(str::to_owned).collect()
}

/// What is wrong with a command's run through a proxy that allows these names alone.
fn fault(cli: &Cli, fleet: &Fleet, proxy: &Proxy, line: &str) -> Option<String> {
    let run = || (cli.run(proxy.socket(), line), cli.run(fleet.socket(), line));
    let are_equal =
        |shown: &Output, direct: &Output| shown.status.success() && printed(shown) == printed(direct);
    // Docker 26 writes the second into what it saves.
    let found = (0..10).map(|_| run()).find(|(shown, direct)| are_equal(shown, direct));
    let (shown, direct) = found.unwrap_or_else(run);
    let refused = refused(proxy, row("docker-cli"));
    (!are_equal(&shown, &direct) || !refused.is_empty()).then(|| {
        format!(
            "{} docker {line}: {:?}, directly {:?}; {refused:#?}",
            cli.version,
            printed(&shown),
            printed(&direct)
        )
    })
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn reading_commands_print_what_they_print_without_a_proxy_with_just_their_names() {
    let fleet = Fleet::shared();
    let mut faults = Vec::new();
    for (command, arguments, names) in READING {
        let line = format!("{command} {arguments}");
        let names: Vec<&str> = row("docker-cli").allow.iter().copied().chain(names.split(' ')).collect();
        let proxy = Proxy::builder(fleet.socket()).allow(&names.join(",")).start();
        faults.extend(both().iter().filter_map(|cli| fault(cli, &fleet, &proxy, line.trim_end())));
        let asked =
            |name: &&str| proxy.log().iter().any(|line| line.contains(&format!("endpoint=\"{name}\"")));
        let idle = names.into_iter().filter(|name| !asked(name));
        faults.extend(idle.map(|name| format!("docker {command} does not need {name}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn writing_commands_are_refused_readably_with_every_name_allowed() {
    let fleet = Fleet::shared();
    let before = writes(&fleet.engine);
    let proxy = Proxy::builder(fleet.socket()).allow(&every_name()).start();
    let node = http::get(fleet.socket(), "/info").json()["Swarm"]["NodeID"].as_str().unwrap().to_owned();
    for cli in both() {
        for line in WRITING {
            let line = &line.replace("NODE", &node);
            let output = cli.run(proxy.socket(), line);
            let said = combined_output(&output);
            assert!(!output.status.success(), "{} docker {line}: {said}", cli.version);
            assert!(
                said.contains("400 Bad request ; only GET allowed"),
                "{} docker {line}: {said}",
                cli.version
            );
        }
    }
    assert_eq!(writes(&fleet.engine), before);
}

/// The calls that change something and came to the engine so far.
fn writes(engine: &Engine) -> Vec<String> {
    let reads = |call: &String| call.starts_with("GET ") || call.starts_with("HEAD ");
    engine.calls().into_iter().filter(|call| !reads(call)).collect()
}

#[test]
fn the_page_has_every_command_with_its_names() {
    let page = include_str!("../../../docs/consumers.md");
    for (command, _, names) in READING {
        let names = names.split(' ').map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        let row = format!("| `docker {command}` | {names} |");
        assert!(page.contains(&row), "docs/consumers.md lacks this row: {row}");
    }
    let (_, writing) = page.split_once("Every command that writes").unwrap();
    for line in WRITING {
        let words: Vec<&str> = line.split(' ').take(2).collect();
        let named =
            [words[0].to_owned(), words.join(" ")].iter().any(|name| writing.contains(&format!("`{name}`")));
        assert!(named, "docs/consumers.md does not name docker {line}");
    }
}
