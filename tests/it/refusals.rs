//! The promise of refusals: programs read them as the engine's own errors, people in the words that always
//! stood there, and nobody learns more from them than why and what would change it.

use crate::support::http::{self, Response, raw_half_closed};
use crate::support::mock::Recorder;
use crate::support::proxy::{BAD_REQUEST, NOT_FOUND, Proxy};

fn ask(proxy: &Proxy, line: &str) -> Response {
    http::parse(&raw_half_closed(proxy.socket(), format!("{line}\r\nHost: x\r\n\r\n").as_bytes()))
}

/// The body, and whether it is JSON.
fn form(answer: &Response) -> (&str, String) {
    (answer.header("Content-Type").unwrap(), answer.text())
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

#[test]
fn over_http_1_1_they_are_the_engine_s_own_form_of_an_error() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for (line, message) in [
        (
            "GET /images/json",
            "404 page not found: images:list is not allowed here (docker-proxy-acl -a images:list)",
        ),
        ("GET /nowhere", "404 page not found: this is no endpoint that docker-proxy-acl knows"),
        (
            "GET /swarm/unlockkey",
            "404 page not found: this path is never allowed: it hands out the swarm's unlock key",
        ),
        (
            "GET /v4.0.0/libpod/containers/json",
            "404 page not found: this path is never allowed: it is Podman's own API; clients are to use the \
             Docker-compatible one",
        ),
        ("POST /info", "400 Bad request ; only GET allowed: docker-proxy-acl passes no other method on"),
        ("GET /a/../b", "400 Bad request ; the path has a dot segment"),
        ("GET ftp://x/", "400 Bad Request ; the request's target is neither a path nor an http URL"),
    ] {
        let answer = ask(&proxy, &format!("{line} HTTP/1.1"));
        assert_eq!(form(&answer), (JSON, format!("{{\"message\":\"{message}\"}}\n")), "{line}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    }
}

#[test]
fn over_http_1_0_they_are_the_words_of_old() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for (line, text) in [
        ("GET /images/json", NOT_FOUND),
        ("GET /nowhere", NOT_FOUND),
        ("POST /info", BAD_REQUEST),
        ("DELETE /nowhere", BAD_REQUEST),
        ("GET /a/../b", "400 Bad request ; the path has a dot segment.\n"),
        ("GET ftp://x/", "400 Bad Request ; the request's target is neither a path nor an http URL.\n"),
    ] {
        assert_eq!(form(&ask(&proxy, &format!("{line} HTTP/1.0"))), (TEXT, text.to_owned()), "{line}");
    }
}

#[test]
fn their_form_can_be_set() {
    let engine = Recorder::new();
    for (setting, of_1_0, of_1_1) in [("text", TEXT, TEXT), ("json", JSON, JSON), ("auto", TEXT, JSON)] {
        let proxy = Proxy::builder(engine.socket()).allow("info").args(["--errors", setting]).start();
        for line in ["GET /nowhere", "POST /info", "GET /a/../b", "GET ftp://x/"] {
            assert_eq!(form(&ask(&proxy, &format!("{line} HTTP/1.0"))).0, of_1_0, "{setting}: {line}");
            assert_eq!(form(&ask(&proxy, &format!("{line} HTTP/1.1"))).0, of_1_1, "{setting}: {line}");
        }
        assert_eq!(form(&ask(&proxy, "nonsense")).0, of_1_1, "{setting}: what has no version counts as 1.1");
    }
    let text = Proxy::builder(engine.socket()).allow("info").env("DOCKER_PROXY_ACL_ERRORS", "text").start();
    assert_eq!(text.get("/nowhere").text(), NOT_FOUND);
}

/// `docker rm -f` takes a 404 for success.
#[test]
fn another_method_than_get_is_the_same_400_on_every_path() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info,ping,containers").start();
    let of = |method: &str, path: &str| {
        let answer = proxy.request(method, path);
        (answer.status_line.clone(), form(&answer).1)
    };
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        let enabled = of(method, "/info");
        assert_eq!(enabled.0, "HTTP/1.1 400 Bad Request");
        for path in [
            "/containers/web",
            "/containers/create",
            "/images/json",
            "/nowhere",
            "/swarm/unlockkey",
            "/session",
            "/a/../b",
            "/containers%2fjson",
            "/info%00",
        ] {
            assert_eq!(of(method, path), enabled, "{method} {path} tells whether it is enabled");
        }
    }
    assert_eq!(proxy.request("HEAD", "/nowhere").status(), 400);
    assert_eq!(proxy.get("/nowhere").status(), 404);
    assert_eq!(engine.received(), "");
}

#[test]
fn they_tell_nothing_of_the_host_or_of_what_else_is_enabled() {
    let engine = Recorder::new();
    let some = Proxy::builder(engine.socket()).allow("info").start();
    let more = Proxy::builder(engine.socket()).allow("info,containers,ping").start();
    for line in ["GET /images/json", "GET /nowhere", "POST /containers/json", "GET /a/../b", "GET /x?#"] {
        let line = format!("{line} HTTP/1.1");
        let (one, other) = (ask(&some, &line).text(), ask(&more, &line).text());
        assert_eq!(one, other, "{line}");
        for secret in [some.socket().to_str().unwrap(), engine.socket().to_str().unwrap(), "uid", "pid"] {
            assert!(!one.contains(secret), "{line}: {one}");
        }
    }
}
