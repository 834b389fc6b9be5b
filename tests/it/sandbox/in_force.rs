//! The proxy gives up what it does not need, says so, and does all its work without.
//!
//! What is refused inside is tried in `inside.rs`; every other test runs inside as well.

use std::io::Write;

use crate::support::http::{self, GET_EVENTS, connect, contains, read_until};
use crate::support::mock::{Mock, OK};
use crate::support::process::{status, threads as threads_of};
use crate::support::proxy::Proxy;
use crate::support::until;

#[test]
fn it_is_in_force_and_in_the_log_before_the_first_client_comes() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!([status(proxy.pid(), "NoNewPrivs"), status(proxy.pid(), "Seccomp")], ["1", "2"]);
    let log = proxy.log();
    let line = |part: &str| log.iter().position(|line| line.contains(part));
    let (sandbox, listening) = (line("sandbox: no-new-privs, landlock ABI "), line("Listening on"));
    assert!(sandbox.is_some() && sandbox < listening, "{log:#?}");
    assert!(log[sandbox.unwrap()].contains(", seccomp "), "{log:#?}");
}

#[test]
fn every_thread_is_born_inside() {
    let engine = Mock::answering(OK);
    for (serving, name) in [(1, "docker-proxy-ac"), (3, "worker")] {
        let threads = ["--threads".to_owned(), serving.to_string()];
        let proxy = Proxy::builder(engine.socket()).allow("info").args(threads).start();
        assert_eq!(proxy.get("/info").text(), "ok");
        let of = |name| threads_of(proxy.pid(), name);
        // A thread has its name only once it runs.
        until("all threads run", || {
            [of(name).len(), of("log").len(), of("watchdog").len()] == [serving, 1, 1]
        });
        for thread in [of(name), of("log"), of("watchdog")].concat() {
            assert_eq!([status(thread, "NoNewPrivs"), status(thread, "Seccomp")], ["1", "2"]);
            assert_eq!(status(thread, "Seccomp_filters"), status(proxy.pid(), "Seccomp_filters"));
        }
    }
}

#[test]
fn it_is_left_out_only_when_told() {
    let engine = Mock::answering(OK);
    let proxy = || Proxy::builder(engine.socket()).allow("info");
    for without in [
        proxy().args(["--no-sandbox"]).start(),
        proxy().env("DOCKER_PROXY_ACL_NO_SANDBOX", "true").start(),
        proxy().env("DOCKER_PROXY_ACL_NO_SANDBOX", "1").start(),
    ] {
        assert_eq!([status(without.pid(), "NoNewPrivs"), status(without.pid(), "Seccomp")], ["0", "0"]);
        without.logged(&["sandbox: disabled"]);
        assert_eq!(without.get("/info").text(), "ok");
    }
    let with = proxy().env("DOCKER_PROXY_ACL_NO_SANDBOX", "false").start();
    assert_eq!(status(with.pid(), "Seccomp"), "2");
}

/// Answers small and big, refusals, bytes that are no HTTP, a stream, and the end.
#[test]
fn a_whole_life_passes_inside() {
    let engine = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            if head.starts_with("GET /events") {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
                return connection.wait_until_closed();
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
            connection.send(&"x".repeat(8_000_000));
        }
    });
    let mut proxy = Proxy::builder(engine.socket()).allow("info,events").start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/info").body.len(), 8_000_000);
    }
    assert_eq!(proxy.get("/version").status(), 404);
    assert_eq!(proxy.request("POST", "/info").status(), 400);
    assert_eq!(http::parse(&proxy.raw("\x01\r\n\r\n")).status(), 400);
    assert_eq!(
        http::parse(&http::raw_half_closed(proxy.socket(), b"GET /info HTTP/1.0\r\n\n")).status(),
        200
    );
    let mut stream = connect(proxy.socket());
    stream.write_all(GET_EVENTS).unwrap();
    read_until(&mut stream, |all| contains(all, "event"));
    // As a terminal does with Ctrl-Z: the kernel then goes on with the call that was waiting.
    proxy.signal("STOP");
    proxy.signal("CONT");
    assert_eq!(proxy.get("/version").status(), 404);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!proxy.socket().exists(), "it removes its socket");
}

#[test]
fn an_engine_that_makes_its_socket_anew_is_found_again() {
    let engine = |name: &'static str| {
        Mock::new(move |mut connection| {
            connection.read_head();
            connection.send(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{name}"));
        })
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let (old, new) = (engine("old"), engine("new"));
    std::fs::rename(old.socket(), &path).unwrap();
    let proxy = Proxy::builder(&path).allow("info").start();
    assert_eq!(proxy.get("/info").text(), "old");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(proxy.get("/info").status(), 502);
    std::fs::rename(new.socket(), &path).unwrap();
    assert_eq!(proxy.get("/info").text(), "new");
}
