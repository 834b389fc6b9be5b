//! It starts without an engine, lives through the engine's restarts, and stops in order.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::support::engine::Engine;
use crate::support::http::{self, End, GET_EVENTS, GET_INFO, connect, contains, parse, read_until};
use crate::support::mock::{Mock, OK};
use crate::support::process::status;
use crate::support::proxy::{Proxy, until_gone};
use crate::support::until;

#[test]
fn without_an_engine_it_starts_warns_and_answers_502() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = Proxy::builder(&directory.path().join("none.sock")).allow("info").start();
    proxy.logged(&["WARN", "none.sock", "the engine is out of reach", "upstream names another path"]);
    let answer = proxy.get("/info");
    assert_eq!((answer.status(), answer.header("Content-Type")), (502, Some("application/json")));
    assert_eq!(answer.json()["message"], "docker-proxy-acl: the engine is out of reach");
    proxy.logged(&["WARN", "status=502", "/info"]);
}

#[test]
fn it_works_as_soon_as_the_engine_is_there() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let late = directory.path().join("engine.sock");
    let proxy = Proxy::builder(&late).allow("info").start();
    assert_eq!(proxy.get("/info").status(), 502);
    std::os::unix::fs::symlink(engine.socket(), &late).unwrap();
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
fn an_engine_s_socket_that_is_a_directory_or_a_file_is_told_as_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let (directory, file) = (place.path().join("docker.sock"), place.path().join("file"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(&file, "").unwrap();
    for (path, what, hint) in [
        (
            &directory,
            "docker.sock is a directory, not a socket",
            "where the source of a bind mount is missing",
        ),
        (&file, "file is a file, not a socket", "upstream names another path than its socket's"),
    ] {
        let proxy = Proxy::builder(path).allow("info").start();
        proxy.logged(&["WARN the engine is out of reach:", what, hint]);
        let answer = proxy.get("/info");
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.json()["message"], "docker-proxy-acl: the engine is out of reach");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn an_engine_s_restart_costs_no_request_once_it_is_back() {
    let mut engine = Engine::private();
    let proxy = Proxy::builder(engine.socket()).allow("version").start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/version").status(), 200);
        engine.stop();
        assert_eq!(proxy.get("/version").status(), 502);
        engine.start_again();
        assert_eq!(proxy.get("/version").status(), 200);
        engine.kill();
        engine.start_again();
        assert_eq!(proxy.get("/version").status(), 200);
    }
}

#[test]
fn answers_in_flight_finish_before_it_stops() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin");
        std::thread::sleep(Duration::from_millis(700));
        connection.send(" end");
    });
    for signal in ["TERM", "INT", "QUIT"] {
        let mut proxy = Proxy::builder(mock.socket()).allow("info").start();
        let mut client = connect(proxy.socket());
        client.write_all(GET_INFO).unwrap();
        read_until(&mut client, |all| all.ends_with(b"begin"));
        proxy.signal(signal);
        until_gone(proxy.socket());
        read_until(&mut client, |all| all.ends_with(b" end"));
        assert_eq!(proxy.wait().code(), Some(0));
    }
}

#[test]
fn a_request_that_comes_together_with_the_signal_is_answered() {
    let mock = Mock::answering(OK);
    let mut proxy = Proxy::builder(mock.socket()).allow("info").start();
    let mut client = connect(proxy.socket());
    assert_eq!(proxy.get("/info").text(), "ok", "the client before it is accepted");
    proxy.signal("STOP");
    until("the proxy is stopped", || status(proxy.pid(), "State").starts_with('T'));
    proxy.signal("TERM");
    client.write_all(GET_INFO).unwrap();
    proxy.signal("CONT");
    assert_eq!(parse(&http::read_to_close(&mut client)).text(), "ok");
    assert!(proxy.wait().success());
}

#[test]
fn streams_and_idle_clients_do_not_delay_its_stop() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
        connection.wait_until_closed();
    });
    let mut proxy = Proxy::builder(mock.socket()).allow("events").start();
    let _idle = connect(proxy.socket());
    let mut watcher = connect(proxy.socket());
    watcher.write_all(GET_EVENTS).unwrap();
    let mut all = read_until(&mut watcher, |all| contains(all, "event"));
    let signaled = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(signaled.elapsed() < Duration::from_secs(5), "it took {:?}", signaled.elapsed());
    std::io::Read::read_to_end(&mut watcher, &mut all).unwrap();
    assert_eq!(parse(&all).end, End::CutShort, "a stream that is ended is not complete");
}

#[test]
fn a_client_that_is_still_sending_what_was_refused_does_not_delay_its_stop() {
    let mock = Mock::answering(OK);
    let mut proxy = Proxy::builder(mock.socket()).allow("info").start();
    let mut client = connect(proxy.socket());
    client.write_all(b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n").unwrap();
    assert_eq!(parse(&http::read_to_close(&mut client)).status(), 400);
    let started_at = Instant::now();
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert!(started_at.elapsed() < Duration::from_secs(4), "it took {:?}", started_at.elapsed());
}

#[test]
fn an_answer_that_does_not_end_is_waited_for_no_longer_than_told() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin");
        connection.wait_until_closed();
    });
    let mut proxy = Proxy::builder(mock.socket()).allow("info").args(["--shutdown-timeout", "300ms"]).start();
    let mut client = connect(proxy.socket());
    client.write_all(GET_INFO).unwrap();
    read_until(&mut client, |all| all.ends_with(b"begin"));
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.logged(&["WARN", "answers unfinished"]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_socket_mounted_as_a_file_that_went_stale_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, mounted) = (directory.path().join("engine.sock"), directory.path().join("mounted.sock"));
    let engine = UnixListener::bind(&socket).unwrap();
    std::fs::write(&mounted, "").unwrap();
    rustix::mount::mount_bind(&socket, &mounted).unwrap();
    let proxy = Proxy::builder(&mounted).allow("info").start();
    drop(engine);
    let status = proxy.get("/info").status();
    rustix::mount::unmount(&mounted, rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(status, 502);
    proxy.logged(&["the engine has replaced its socket", "mount its directory instead"]);
}

#[test]
fn a_full_queue_at_the_engine_is_waited_out() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // A queue of one: two connections fill it until someone accepts.
    rustix::net::listen(&listener, 0).unwrap();
    let _first = connect(&socket);
    let proxy = Proxy::builder(&socket).allow("info").spawn();
    until("it listens", || UnixStream::connect(proxy.socket()).is_ok());
    let asking = std::thread::spawn({
        let socket = proxy.socket().to_owned();
        move || http::get(&socket, "/info")
    });
    std::thread::sleep(Duration::from_millis(200));
    for stream in listener.incoming().map_while(Result::ok) {
        let mut stream = stream;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut head = [0; 1024];
        // The first came from this test, and the proxy's first connection sends nothing.
        if stream_is_silent(&stream) || std::io::Read::read(&mut stream, &mut head).unwrap() == 0 {
            continue;
        }
        stream.write_all(OK.as_bytes()).unwrap();
        break;
    }
    assert_eq!(asking.join().unwrap().text(), "ok");
}

/// Signals that end a program by default: signal(7).
const ENDING: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31];
/// Those that are meant to end it at once: faults, SIGKILL, and SIGXCPU, the operator's limit on its time.
const MEANT_TO_END: &[u32] = &[4, 5, 6, 7, 8, 9, 11, 24, 31];
/// Those that end it in order: SIGINT, SIGQUIT, SIGTERM.
const ENDING_IN_ORDER: &[u32] = &[2, 3, 15];

/// Signals that a program may ignore or handle; the first two real-time signals are libc's own.
fn real_time() -> impl Iterator<Item = u32> {
    35..=64
}

#[test]
fn no_signal_ends_it_but_those_that_are_meant_to() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let mask = |field| u64::from_str_radix(&status(proxy.pid(), field), 16).unwrap();
    let (ignored, caught) = (mask("SigIgn"), mask("SigCgt"));
    let survives = |signal: &u32| !MEANT_TO_END.contains(signal);
    for signal in ENDING.iter().copied().filter(survives).chain(real_time()) {
        assert_ne!((ignored | caught) & (1 << (signal - 1)), 0, "signal {signal} would end it");
        if !ENDING_IN_ORDER.contains(&signal) {
            proxy.signal(&signal.to_string());
            assert_eq!(proxy.get("/info").text(), "ok", "after signal {signal}");
        }
    }
    proxy.logged(&[
        "nothing to reload: there is no configuration file, no certificate and no file of an access log",
    ]);
}

/// A certificate that is a pipe which nobody writes stands for anything that takes long at the start.
#[cfg(feature = "tls")]
#[test]
fn a_start_that_hangs_ends_with_a_signal_and_not_with_sighup() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("QUIT", 131)] {
        let engine = Mock::answering(OK);
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("cert.pem");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut proxy = Proxy::builder(engine.socket())
            .allow("info")
            .args(["--listen", "tcp://127.0.0.1:0", "--tls"])
            .args(["--tlscert".as_ref(), pipe.as_os_str(), "--tlskey".as_ref(), pipe.as_os_str()])
            .spawn();
        proxy.logged(&["Registering info handlers"]);
        proxy.signal("HUP");
        proxy.signal(signal);
        assert_eq!(proxy.wait().code(), Some(code));
        assert!(!proxy.socket().exists(), "it had made nothing yet");
    }
}

/// Whether nothing comes although the other side is open.
fn stream_is_silent(stream: &std::os::unix::net::UnixStream) -> bool {
    let mut poll = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::IN)];
    let wait = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::event::poll(&mut poll, Some(&wait)).unwrap() == 0
}
