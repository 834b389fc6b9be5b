//! It starts without an engine, lives through the engine's restarts, and stops in order.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::support::engine::Engine;
use crate::support::http::{self, End, GET_EVENTS, GET_INFO, connect, contains, parse, read_until};
use crate::support::mock::{Mock, OK};
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
    for signal in ["TERM", "INT"] {
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

/// Whether nothing comes although the other side is open.
fn stream_is_silent(stream: &std::os::unix::net::UnixStream) -> bool {
    let mut poll = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::IN)];
    let wait = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::event::poll(&mut poll, Some(&wait)).unwrap() == 0
}
