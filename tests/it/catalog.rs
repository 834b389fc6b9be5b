//! The catalog is complete: every GET of the Engine API is a row or a refusal, and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;

use crate::support::library::{Acl, CONSUMERS, ENGINE, Reason, Verdict, allow_everything, example, names};

/// Not operations of the published API, but answered by engines, and refused here.
const UNPUBLISHED: [&str; 4] = ["/debug/{*rest}", "/session", "/grpc", "/libpod/{*rest}"];

fn reason(acl: &Acl, method: &Method, path: &str) -> Reason {
    match acl.authorize(method, path, None) {
        Verdict::Denied(denied) => denied.reason,
        Verdict::Allowed(allowed) => panic!("{method} {path} is allowed as {}", allowed.endpoint.name),
    }
}

fn published() -> BTreeSet<String> {
    let lines = include_str!("data/engine-api-get.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn every_get_of_the_engine_api_is_a_row_or_a_refusal() {
    let rows = ENGINE.endpoints().iter().map(|row| row.api_path());
    let refusals =
        ENGINE.denied().iter().map(|refusal| refusal.path).filter(|path| !UNPUBLISHED.contains(path));
    let known: BTreeSet<String> = rows.chain(refusals.map(|path| path.replace("{*", "{"))).collect();
    assert_eq!(known, published());
}

#[test]
fn the_groups_open_what_they_always_opened() {
    let opened =
        |name: &str| -> Vec<&str> { names::matching(&ENGINE, name).map(|(_, row)| row.name).collect() };
    assert_eq!(opened("containers"), ["containers:list", "containers:inspect"]);
    assert_eq!(opened("images"), ["images:list", "images:inspect", "images:history"]);
    for group in ["networks", "volumes", "services", "tasks", "nodes"] {
        assert_eq!(opened(group), [format!("{group}:list"), format!("{group}:inspect")]);
    }
    for name in ["events", "info", "version", "ping"] {
        assert_eq!(opened(name), [name]);
    }
    for name in ["plugins", "secrets", "configs", "exec", "swarm", "system", "distribution"] {
        assert_eq!(opened(name), [""; 0], "{name} is no group");
    }
}

#[test]
fn a_name_opens_its_rows_and_no_other() {
    for name in names::all(&ENGINE) {
        let acl = Acl::from_names(&ENGINE, [name]).unwrap();
        for row in ENGINE.endpoints() {
            let path = example(row.path);
            let allowed = matches!(acl.authorize(&Method::GET, &path, None), Verdict::Allowed(_));
            assert_eq!(allowed, row.name == name || row.group == Some(name), "-a {name} and {path}");
        }
    }
}

#[test]
fn no_name_opens_a_refusal() {
    let everything = allow_everything();
    for refusal in ENGINE.denied() {
        let path = example(refusal.path);
        assert!(matches!(reason(&everything, &Method::GET, &path), Reason::DeniedPath(_)), "{path}");
    }
}

#[test]
fn no_method_but_get_is_ever_allowed() {
    let everything = allow_everything();
    for row in ENGINE.endpoints() {
        let path = example(row.path);
        for method in [
            "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "GETX",
            "PROPFIND",
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(reason(&everything, &method, &path), Reason::MethodNotAllowed, "{method} {path}");
        }
    }
}

#[test]
fn another_method_than_get_is_judged_alike_whatever_the_path() {
    let some = Acl::from_names(&ENGINE, ["containers", "ping"]).unwrap();
    for path in [
        "/containers/json",
        "/images/json",
        "/containers/create",
        "/nowhere",
        "/swarm/unlockkey",
        "/a/../b",
        "a",
    ] {
        for method in [Method::POST, Method::DELETE, Method::HEAD] {
            assert_eq!(reason(&some, &method, path), Reason::MethodNotAllowed, "{method} {path}");
        }
    }
}

/// Names as a table of a page has them.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_has_every_consumer() {
    let page = include_str!("../../README.md");
    let (_, section) = page.split_once("## Which names for which consumer").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let found: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let rows = CONSUMERS
        .iter()
        .map(|row| format!("| `{}` | {} | {} | {} |", row.name, row.program, quoted(row.allow), row.note));
    assert_eq!(found, rows.collect::<Vec<_>>());
}

#[test]
fn a_test_runs_every_consumer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/consumers");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for row in CONSUMERS {
        assert!(sources.contains(&format!("(\"{}\"", row.name)), "no test runs {}", row.name);
    }
}

#[test]
fn the_documents_have_every_name() {
    let page = include_str!("../../docs/endpoints.md");
    for row in ENGINE.endpoints() {
        let line = format!("| `{}` | `{}` | {} |", row.name, row.api_path(), row.exposes);
        assert!(page.contains(&line), "docs/endpoints.md lacks this row: {line}");
    }
}
