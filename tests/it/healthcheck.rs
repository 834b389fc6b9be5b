//! `healthcheck` tells whether the running listener and the engine behind it answer, whatever is enabled.

use std::ffi::OsStr;
use std::path::Path;

use crate::support::engine::Engine;
use crate::support::mock::Mock;
use crate::support::proxy::{Proxy, program};
use crate::support::transport::{Transport, for_each_transport};

const PONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

fn healthcheck(listen: impl AsRef<OsStr>, upstream: &Path) -> (Option<i32>, String) {
    let mut command = program();
    command.args(["healthcheck", "--listen"]).arg(listen.as_ref()).arg("--upstream").arg(upstream);
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code(), line)
}

fn ponging() -> Mock {
    Mock::answering_once(PONG)
}

#[test]
fn it_works_whatever_names_are_enabled() {
    let engine = ponging();
    for name in ["version", "ping", "containers:list"] {
        let proxy = Proxy::builder(engine.socket()).allow(name).start();
        let (code, line) = healthcheck(proxy.socket(), engine.socket());
        assert_eq!(code, Some(0), "{line}");
        assert!(line.starts_with("healthy"), "{line}");
    }
}

// Over TLS it shows no certificate: it asks in plain HTTP, and the words about that prove a listener alive.
for_each_transport! { [unix, tcp, tls]
    fn its_questions_are_no_warnings(transport: Transport) {
        let engine = ponging();
        let server = transport.serve(engine.socket(), "version");
        let (_, line) = healthcheck(server.address(), engine.socket());
        assert!(line.starts_with("healthy"), "{line}");
        server.proxy.logged(&["DEBUG", "status=40"]);
        assert!(server.proxy.refusals().is_empty(), "{:#?}", server.proxy.log());
    }
}

#[test]
fn it_says_when_the_listener_is_gone() {
    let engine = ponging();
    let (code, line) = healthcheck(engine.socket().with_file_name("none"), engine.socket());
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with("unhealthy: no answer on the listener") && line.contains("No such file"),
        "{line}"
    );
}

#[test]
fn it_says_when_the_engine_is_gone_or_ill() {
    let unhealthy = Mock::new(|mut connection| {
        connection.read_head();
        connection
            .send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    let proxy = Proxy::builder(unhealthy.socket()).allow("info").start();
    let (code, line) = healthcheck(proxy.socket(), unhealthy.socket());
    assert_eq!(code, Some(1));
    assert!(line.contains("the engine") && line.contains("500"), "{line}");
    let (code, line) = healthcheck(proxy.socket(), &unhealthy.socket().with_file_name("none"));
    assert_eq!(code, Some(1));
    assert!(line.starts_with("unhealthy: no answer from the engine"), "{line}");
}

#[test]
fn it_says_when_something_else_listens() {
    let engine = ponging();
    let other = Mock::answering_once("220 smtp\r\n");
    let (code, line) = healthcheck(other.socket(), engine.socket());
    assert_eq!(code, Some(1));
    assert!(line.contains("does not speak HTTP"), "{line}");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn it_works_before_a_real_engine() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let (code, line) = healthcheck(proxy.socket(), engine.socket());
    assert_eq!(code, Some(0), "{line}");
}
