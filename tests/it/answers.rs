//! The main promise, against a real engine: what is allowed is answered by the engine, all else by 400 or 404.

use crate::support::engine::{Engine, Kind, when_it_has_time};
use crate::support::http::{self, Response};
use crate::support::library::{ENGINE, Endpoint, every_name};
use crate::support::proxy::{BAD_REQUEST, NOT_FOUND, Proxy};
use crate::support::tools::stdout;
use crate::support::until;
use crate::views::oracle::steady;

/// What another method than `GET` is answered with over HTTP/1.1.
const ONLY_GET: &str = "400 Bad request ; only GET allowed: docker-proxy-acl passes no other method on";

/// Headers that are others in each answer: the time, and the number that Podman gives a request.
const OF_THE_MOMENT: [&str; 2] = ["Date", "X-Reference-Id"];

/// Everything but the headers that are others each time.
fn but_for_the_moment(answer: &Response) -> Response {
    let mut answer = answer.clone();
    answer.headers.retain(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()));
    answer
}

/// As the README's session sends it: the head ends in `\r\n\n`.
fn echo_to_nc(socket: &std::path::Path, request: &str) -> [Response; 2] {
    let bytes = format!("{request} HTTP/1.0\r\n\n");
    [http::raw(socket, bytes.as_bytes()), http::raw_half_closed(socket, bytes.as_bytes())]
        .map(|all| http::parse(&all))
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_session_of_the_readme_goes_as_written() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("version").start();
    for answer in echo_to_nc(proxy.socket(), "GET /version") {
        assert_eq!(answer.status_line, "HTTP/1.0 200 OK");
        let direct = http::parse(&http::raw(engine.socket(), b"GET /version HTTP/1.0\r\n\r\n"));
        assert_eq!(but_for_the_moment(&answer), but_for_the_moment(&direct));
    }
    for answer in echo_to_nc(proxy.socket(), "POST /version") {
        assert_own(&answer, "HTTP/1.0 400 Bad Request", BAD_REQUEST);
    }
    for answer in echo_to_nc(proxy.socket(), "GET /_ping") {
        assert_own(&answer, "HTTP/1.0 404 Not Found", NOT_FOUND);
    }
}

fn assert_own(answer: &Response, status_line: &str, body: &str) {
    assert_eq!(answer.status_line, status_line);
    assert_eq!(answer.text(), body);
    assert_headers(answer, "text/plain; charset=utf-8");
}

/// As the engine itself writes errors.
fn assert_refused(answer: &Response, status_line: &str, message: &str) {
    assert_eq!(answer.status_line, status_line);
    assert_eq!(answer.message(), message);
    assert_headers(answer, "application/json");
}

fn assert_headers(answer: &Response, content_type: &str) {
    let length = answer.body.len().to_string();
    let headers = [
        ("Content-Type", content_type),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Length", length.as_str()),
    ];
    let sent: Vec<_> = answer
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .filter(|(n, _)| *n != "Date" && *n != "Connection")
        .collect();
    assert_eq!(sent, headers);
}

/// A path for a row that leads to something the engine has, where that can be.
fn example(engine: &Engine, row: &Endpoint) -> String {
    let ids = |args: &[&str]| stdout(engine.docker(args)).lines().next().unwrap().to_owned();
    let path = row.api_path();
    let family = path.split('/').nth(1).unwrap().to_owned();
    let id = match family.as_str() {
        "containers" => "web".to_owned(),
        "images" | "distribution" => "getmeili/meilisearch:v1.6".to_owned(),
        "networks" => "mesh".to_owned(),
        "volumes" => "data".to_owned(),
        "services" => "sleeper".to_owned(),
        "tasks" if engine.has("tasks:list") => ids(&["service", "ps", "-q", "--no-trunc", "sleeper"]),
        "nodes" if engine.has("nodes:list") => ids(&["node", "ls", "-q"]),
        "secrets" => "hush".to_owned(),
        "configs" => "plain".to_owned(),
        _ => "none".to_owned(),
    };
    let query = match row.name {
        "events" => "?since=0&until=1",
        "containers:logs" | "services:logs" | "tasks:logs" => "?stdout=1",
        "containers:stats" => "?stream=false",
        "containers:archive" => "?path=/bin/sh",
        "images:export" if !path.contains('{') => "?names=busybox",
        "images:search" => "?term=x",
        _ => "",
    };
    path.replace("{id}", &id).replace("{name}", &id) + query
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn every_row_is_answered_with_its_own_name_and_refused_without() {
    let engine = Engine::shared();
    let all_but = |name: &str| -> String {
        let others = ENGINE.endpoints().iter().map(|row| row.name).filter(|other| *other != name);
        others.collect::<Vec<_>>().join(",")
    };
    for row in ENGINE.endpoints() {
        let target = example(&engine, row);
        let with = Proxy::builder(engine.socket()).allow(row.name).start();
        let answer = when_it_has_time(|| with.get(&target));
        let is_of_newer =
            row.name == "images:attestations" && http::get(engine.socket(), &target).status() == 404;
        if is_of_newer || !engine.has(row.name) {
            // An engine older than API 1.55, or Podman, has no such call, and says so itself.
            assert_eq!(answer.text(), http::get(engine.socket(), &target).text());
        } else {
            let path = target.split('?').next().unwrap();
            let is_this = |call: &String| call.split('?').next() == Some(&format!("GET {path}"));
            until(&format!("the engine was asked for {target}"), || engine.calls().iter().any(is_this));
        }
        let fine = !matches!(
            row.name,
            "images:search"
                | "images:attestations"
                | "distribution:inspect"
                | "exec:inspect"
                | "plugins:inspect"
        );
        assert!(!fine || !engine.has(row.name) || answer.status() == 200, "{target}: {answer:?}");

        let without = Proxy::builder(engine.socket()).allow(&all_but(row.name)).start();
        let name = row.name;
        let not_found =
            format!("404 page not found: {name} is not allowed here (docker-proxy-acl -a {name})");
        assert_refused(&without.get(&target), "HTTP/1.1 404 Not Found", &not_found);
        for (proxy, method) in [(&without, "POST"), (&with, "POST"), (&with, "DELETE")] {
            assert_refused(&proxy.request(method, &target), "HTTP/1.1 400 Bad Request", ONLY_GET);
        }
    }
}

/// Rows whose answers are figures of the moment: what they hold is compared, the figures are not.
const FIGURES: [&str; 4] = ["containers:stats", "containers:top", "info", "system:df"];

/// An answer as far as it is the same each time.
fn lasting(row: &Endpoint, answer: &Response) -> (String, Vec<(String, String)>, Vec<u8>) {
    let has_figures = FIGURES.contains(&row.name) && answer.status() == 200;
    let varies = |name: &str| OF_THE_MOMENT.contains(&name) || (has_figures && name == "Content-Length");
    let mut headers: Vec<_> = answer.headers.iter().filter(|(name, _)| !varies(name)).cloned().collect();
    headers.sort();
    let figures = serde_json::from_slice(&answer.body).ok().filter(|_| has_figures);
    let body = figures.map_or_else(|| answer.body.clone(), |figures| steady(figures).to_string().into());
    (answer.status_line.clone(), headers, body)
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn every_row_s_answer_is_the_engine_s_own_in_status_headers_and_body() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    for row in ENGINE.endpoints() {
        let none = row.around_name().map(|(before, after)| format!("{before}none-such{after}"));
        for target in none.into_iter().chain([example(&engine, row)]) {
            let ask = |socket| lasting(row, &when_it_has_time(|| http::get(socket, &target)));
            // Other tests' things come and go between the two answers, and lists have no order of their own.
            let agree = || ask(proxy.socket()) == ask(engine.socket());
            assert!(
                (0..50).any(|_| agree()),
                "{target}: {:.1000?} instead of {:.1000?}",
                http::get(proxy.socket(), &target),
                http::get(engine.socket(), &target)
            );
        }
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_same_answer_comes_with_every_spelling_of_a_path() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers,images").start();
    let id = |target: &str| proxy.get(target).json()["Id"].as_str().map(str::to_owned).expect(target);
    let web = id("/containers/web/json");
    for spelling in [
        "/v1.41/containers/web/json",
        "/containers/%77eb/json",
        "/%63ontainers/web/json",
        "http://docker/containers/web/json",
    ] {
        assert_eq!(id(spelling), web, "{spelling}");
    }
    let image = id("/images/busybox/json");
    for spelling in [
        "/images/busybox:latest/json",
        "/images/busybox%3Alatest/json",
        "/images/ghcr.io/a/b:tag/json",
        "/images/ghcr.io%2Fa%2Fb%3Atag/json",
        "/v1.41/images/ghcr.io%2fa%2fb:tag/json",
    ] {
        assert_eq!(id(spelling), image, "{spelling}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn names_that_look_like_routes_are_names() {
    let engine = Engine::shared();
    let proxy =
        Proxy::builder(engine.socket()).allow("containers:inspect,images:inspect,images:history").start();
    for name in ["json", "export"] {
        assert_eq!(proxy.get(&format!("/containers/{name}/json")).json()["Name"], format!("/{name}"));
    }
    for name in ["getmeili/meilisearch:v1.6", "library/json", "x/history"] {
        assert_eq!(proxy.get(&format!("/images/{name}/json")).status(), 200, "{name}");
        assert_eq!(proxy.get(&format!("/images/{name}/history")).status(), 200, "{name}");
    }
    for path in ["/containers/json", "/containers/export/export", "/images/json", "/images/x/history/get"] {
        assert!(proxy.get(path).message().starts_with("404 page not found: "), "{path}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_engine_s_own_errors_arrive_as_they_are() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers,version").start();
    let newer = if engine.kind() == Kind::Docker { Some("/v9.99/version") } else { None }; // Podman takes any
    for target in ["/containers/none-such/json", "/containers/json?filters={\"none-such\":[\"x\"]}"]
        .into_iter()
        .chain(newer)
    {
        let (through, direct) = (proxy.get(target), http::get(engine.socket(), target));
        assert!(through.status() >= 400, "{through:?}");
        assert_eq!(but_for_the_moment(&through).body, direct.body, "{target}");
        assert_eq!(through.status_line, direct.status_line, "{target}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn head_counts_as_any_other_method() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("ping").start();
    let enabled = proxy.request("HEAD", "/_ping");
    assert_eq!((enabled.status(), enabled.body.len()), (400, 0));
    assert_eq!(proxy.request("HEAD", "/version").status(), 400);
    let old = http::parse(&proxy.raw("HEAD /_ping HTTP/1.0\r\n\r\n"));
    assert_eq!((old.status(), old.header("Content-Length"), old.body.len()), (400, Some("36"), 0));
    assert_eq!(proxy.get("/_ping").header("Api-Version"), Some(engine.api_version().to_string().as_str()));
}
