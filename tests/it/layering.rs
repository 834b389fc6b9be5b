//! Promise: the rooms of `src/` know each other only as `docs/architecture.md` says, in one direction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use docker_proxy_acl::cli::Cli;

/// Who may know whom. A room stands above all that it knows, so the rows themselves show that there is
/// no circle.
const EDGES: &[(&str, &[&str])] = &[
    ("main", &["cli", "config", "server"]),
    (
        "server",
        &[
            "cli",
            "config",
            "admin",
            "inbound",
            "proxy",
            "filter",
            "upstream",
            "tls",
            "http1",
            "telemetry",
            "sandbox",
            "system",
            "net",
            "policy",
        ],
    ),
    ("cli", &["config", "policy", "http1", "net", "tls", "upstream"]),
    (
        "config",
        &[
            "admin",
            "inbound",
            "proxy",
            "filter",
            "upstream",
            "tls",
            "http1",
            "telemetry",
            "sandbox",
            "system",
            "net",
            "policy",
        ],
    ),
    ("admin", &["telemetry", "policy", "http1", "net"]),
    ("inbound", &["proxy", "tls", "http1", "telemetry", "system", "net", "policy"]),
    ("proxy", &["filter", "upstream", "http1", "telemetry", "net", "policy"]),
    ("filter", &["upstream", "policy"]),
    ("upstream", &["tls", "http1", "net", "policy"]),
    ("tls", &["net"]),
    ("telemetry", &["net", "policy"]),
    ("sandbox", &["net"]),
    ("system", &["net"]),
    ("http1", &[]),
    ("net", &[]),
    ("policy", &[]),
];

fn source_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let nested = directories.iter().flat_map(|directory| source_files(directory));
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    files.chain(nested).collect()
}

/// The room that a file below `src/` belongs to; `lib.rs` only lists them.
fn room(file: &Path) -> Option<String> {
    let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
    let name = first.trim_end_matches(".rs");
    (name != "lib").then(|| name.to_owned())
}

/// The source without comments and without its test module, whose helpers may come from anywhere.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms named after `crate::` or, from the program, after `docker_proxy_acl::`, in `use` lines and in
/// paths, braces included.
fn mentioned(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "docker_proxy_acl::"] {
        for rest in code.split(prefix).skip(1) {
            let list = match rest.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap(),
                None => rest,
            };
            let items: Vec<&str> = if rest.starts_with('{') { list.split(',').collect() } else { vec![list] };
            for item in items {
                let name: String = item
                    .trim_start()
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
                    .collect();
                if !name.is_empty() {
                    rooms.insert(name);
                }
            }
        }
    }
    rooms
}

/// Each edge of the program, with a file that has it.
fn found() -> BTreeMap<(String, String), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut edges = BTreeMap::new();
    for path in source_files(&source) {
        let file = path.strip_prefix(&source).unwrap();
        let Some(from) = room(file) else { continue };
        for to in mentioned(&code(&std::fs::read_to_string(&path).unwrap())) {
            if to != from {
                edges.insert((from.clone(), to), file.display().to_string());
            }
        }
    }
    edges
}

fn allowed(from: &str, to: &str) -> bool {
    EDGES.iter().any(|(room, known)| *room == from && known.contains(&to))
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    let found = found();
    let known = |from: &str, to: &str| found.contains_key(&(from.to_owned(), to.to_owned()));
    assert!(known("main", "server") && known("inbound", "proxy") && known("upstream", "net"), "{found:?}");
    for ((from, to), file) in &found {
        assert!(allowed(from, to), "src/{file}: {from} must not know {to}");
    }
}

#[test]
fn the_table_has_no_circle() {
    for (position, (room, known)) in EDGES.iter().enumerate() {
        for other in *known {
            let below = EDGES.iter().position(|(name, _)| name == other).unwrap();
            assert!(below > position, "{room} knows {other}, which does not stand below it");
        }
    }
}

#[test]
fn what_the_test_reads_are_the_names_after_the_crates() {
    let names = |code: &str| mentioned(code).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::net::Peer;"), ["net"]);
    assert_eq!(names("use crate::{net::Peer, policy::Acl};"), ["net", "policy"]);
    assert_eq!(names("use docker_proxy_acl::cli::{self, Cli};"), ["cli"]);
    assert_eq!(names("let x = crate::http1::head::parse(y);"), ["http1"]);
    assert_eq!(
        names(&code("// crate::server\nuse crate::tls;\n#[cfg(test)]\nmod tests { use crate::cli; }")),
        ["tls"]
    );
}

/// Every flag of the program and of its commands, as it is written.
fn flags() -> Vec<String> {
    let program = Cli::command();
    let commands = std::iter::once(&program).chain(program.get_subcommands());
    let names = commands.flat_map(|command| command.get_arguments().filter_map(|arg| arg.get_long()));
    names.map(|name| format!("--{name}")).collect()
}

#[test]
fn only_the_command_line_knows_how_a_flag_is_spelled() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let flags = flags();
    assert!(flags.contains(&"--tlsverify".to_owned()), "{flags:?}");
    for path in source_files(&source) {
        let file = path.strip_prefix(&source).unwrap();
        if room(file).is_none_or(|room| room == "cli") {
            continue;
        }
        let code = code(&std::fs::read_to_string(&path).unwrap());
        for literal in code.split('"').skip(1).step_by(2) {
            let flag = flags.iter().find(|flag| literal.contains(flag.as_str()));
            assert_eq!(flag, None, "src/{}: \"{literal}\"", file.display());
        }
    }
}
