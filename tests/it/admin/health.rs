//! Alive and ready, for this machine alone, whatever its clients do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::http::{self, GET_INFO, connect};
use crate::support::metrics::{ask, with_admin};
use crate::support::mock::{Mock, OK};
use crate::support::process::status;
use crate::support::proxy::{Proxy, program};
use crate::support::tools::combined_output;
use crate::support::{TIMEOUT, eventually, until};

#[test]
fn there_is_none_unless_it_is_asked_for() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(proxy.get("/info").text(), "ok");
    assert!(proxy.log().iter().all(|line| !line.contains("metrics and health")), "{:#?}", proxy.log());
    for path in ["/metrics", "/health", "/ready"] {
        assert_eq!(proxy.get(path).status(), 404, "{path} is not for clients");
    }
}

#[test]
fn three_paths_are_answered_and_the_engine_hears_of_one() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    proxy.logged(&["metrics and health at ", "admin.sock"]);
    assert_eq!(ask(&proxy, "/health").text(), "alive\n");
    assert_eq!(ask(&proxy, "/metrics?name=x").status(), 200);
    for path in ["/", "/info", "/v1.41/info", "/_ping", "/health/", "/metrics/x", "//health"] {
        assert_eq!(ask(&proxy, path).status(), 404, "{path}");
    }
    assert_eq!(engine.heads(), Vec::<String>::new());
    assert_eq!(ask(&proxy, "/ready").text(), "ready\n");
    let heads = engine.heads();
    assert!(heads.len() == 1 && heads[0].starts_with("GET /_ping HTTP/1.1\r\n"), "{heads:?}");
}

#[test]
fn another_method_than_get_is_405() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let admin = proxy.socket().with_file_name("admin.sock");
    for method in ["POST", "HEAD", "PUT", "DELETE"] {
        let answer = http::request(&admin, method, "/metrics");
        assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET")), "{method}");
    }
}

#[test]
fn it_is_ready_when_the_engine_answers_and_else_says_why_not() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let later = directory.path().join("engine.sock");
    let proxy = with_admin(Proxy::builder(&later).allow("info")).start();
    let answer = ask(&proxy, "/ready");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().starts_with("not ready: the engine does not answer: "), "{}", answer.text());
    assert!(answer.text().contains("out of reach"), "{}", answer.text());
    assert_eq!(ask(&proxy, "/health").status(), 200, "it is alive all the same");
    std::fs::rename(engine.socket(), &later).unwrap();
    until("it is ready", || ask(&proxy, "/ready").status() == 200);
}

#[test]
fn an_engine_that_answers_with_an_error_is_not_there() {
    let engine = Mock::answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let answer = ask(&proxy, "/ready");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("500 Internal Server Error"), "{}", answer.text());
}

#[test]
fn many_who_want_to_know_whether_it_is_ready_ask_the_engine_no_more_than_once_a_second() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let started_at = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(ask(&proxy, "/ready").status(), 200)));
        }
    });
    let seconds = started_at.elapsed().as_secs() as usize + 1;
    assert!(engine.heads().len() <= seconds, "{} in {seconds} s", engine.heads().len());
}

#[test]
fn a_program_that_stops_says_so_until_its_last_answer_is_given() {
    let may_end = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&may_end);
    let engine = Mock::new(move |mut connection| {
        while let Some(head) = connection.read_head() {
            if head.contains("/info") {
                until("it may end", || ends.load(Ordering::SeqCst));
            }
            connection.send(OK);
        }
    });
    let mut proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    assert_eq!(ask(&proxy, "/ready").status(), 200);
    let mut client = connect(proxy.socket());
    client.write_all(GET_INFO).unwrap();
    until("the engine is asked", || engine.heads().iter().any(|head| head.contains("/info")));
    proxy.signal("TERM");
    until("it is not ready", || ask(&proxy, "/ready").text() == "not ready: the program is stopping\n");
    assert_eq!(ask(&proxy, "/health").status(), 200);
    may_end.store(true, Ordering::SeqCst);
    assert!(proxy.wait().success());
    assert!(!proxy.socket().with_file_name("admin.sock").exists(), "it removes its socket");
}

#[test]
fn only_this_machine_can_reach_it() {
    for (address, part) in [
        ("tcp://0.0.0.0:9323", "can be reached from other machines"),
        ("tcp://[::]:9323", "can be reached from other machines"),
        ("tcp://192.0.2.1:9323", "unix:///path"),
        ("http://localhost", "the schemes are unix:// and tcp://"),
    ] {
        let output = program().args(["-a", "info", "--admin", address]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}");
        assert!(combined_output(&output).contains("--admin: "), "{}", combined_output(&output));
        assert!(combined_output(&output).contains(part), "{}", combined_output(&output));
    }
}

#[test]
fn it_is_no_other_listener_and_not_the_engine() {
    for (admin, part) in
        [("/tmp/acl-x/engine.sock", "is the upstream itself"), ("/tmp/acl-x/l.sock", "another listener")]
    {
        let flags = [
            "-a",
            "info",
            "--upstream",
            "/tmp/acl-x/engine.sock",
            "--listen",
            "/tmp/acl-x/l.sock",
            "--admin",
            admin,
        ];
        let output = program().args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{admin}");
        assert!(combined_output(&output).contains(part), "{}", combined_output(&output));
    }
}

#[test]
fn clients_that_say_nothing_are_cut_off_and_others_have_their_turn() {
    const MANY: usize = 40; // more than there are places
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let admin = proxy.socket().with_file_name("admin.sock");
    let mut silent: Vec<UnixStream> = (0..MANY).map(|_| UnixStream::connect(&admin).unwrap()).collect();
    assert_eq!(ask(&proxy, "/health").status(), 200);
    for stream in &mut silent {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        // An answer that says that it was too slow, or none.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
fn a_head_that_is_too_long_is_refused_and_a_body_is_not_read() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let admin = proxy.socket().with_file_name("admin.sock");
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    assert_eq!(http::parse(&http::raw(&admin, long.as_bytes())).status(), 431);
    let body = b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET /info";
    assert_eq!(http::statuses(&http::raw(&admin, body)), [200]);
    assert_eq!(engine.heads(), Vec::<String>::new());
}

#[test]
fn it_works_inside_the_sandbox_over_tcp_too() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--admin", "tcp://127.0.0.1:0"]).start();
    assert_eq!([status(proxy.pid(), "NoNewPrivs"), status(proxy.pid(), "Seccomp")], ["1", "2"]);
    let line = proxy.logged(&["metrics and health at tcp://127.0.0.1:"]);
    let port: u16 = line.rsplit(':').next().unwrap().parse().unwrap();
    let answer = eventually("it answers", || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        Some(http::parse(&http::read_to_close(&mut stream)))
    });
    assert_eq!(answer.status(), 200);
    for figure in ["process_open_fds ", "process_resident_memory_bytes ", "process_cpu_seconds_total "] {
        assert!(answer.text().lines().any(|line| line.starts_with(figure)), "{figure}: {}", answer.text());
    }
}
