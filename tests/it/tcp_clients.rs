//! Clients over TCP: those that wait get their answer, those that are gone free what was held for them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::http::{Answer, End, parse};
use crate::support::mock::{Mock, Visit};
use crate::support::proxy::Proxy;
use crate::support::until;

fn before(mock: &Mock, names: &str) -> (Proxy, u16) {
    let proxy = Proxy::before(mock.socket()).args(["--listen", "tcp://127.0.0.1:0"]).allow(names).start();
    let line = proxy.logged(&["Listening on tcp://127.0.0.1:"]);
    let port = line.rsplit(':').next().unwrap().parse().unwrap();
    (proxy, port)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Begins a stream and keeps it quiet.
fn quiet_stream(mut visit: Visit) {
    visit.head();
    visit.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    visit.until_closed();
}

fn begin_events(port: u16) -> TcpStream {
    let mut client = connect(port);
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    client
}

#[test]
fn loopback_is_listened_on_without_tls_and_that_is_warned_of() {
    let mock = Mock::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
    let (proxy, port) = before(&mock, "info");
    proxy.logged(&["WARN plain TCP", "on loopback that is every process of this machine"]);
    let mut nc = Command::new("nc.openbsd");
    nc.args(["-N", "127.0.0.1", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    nc.stdin.take().unwrap().write_all(b"GET /info HTTP/1.0\r\n\n").unwrap();
    let answer = parse(&nc.wait_with_output().unwrap().stdout);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok\n"));
    proxy.logged(&["allowed", "client=127.0.0.1:", &format!("listener=tcp://127.0.0.1:{port}")]);
}

#[test]
fn a_half_closed_client_gets_an_answer_that_takes_its_time() {
    let mock = Mock::new(|mut visit| {
        visit.head();
        std::thread::sleep(Duration::from_secs(3));
        visit.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlate\r\n");
        std::thread::sleep(Duration::from_secs(3));
        visit.say("5\r\nlater\r\n0\r\n\r\n");
    });
    let (_proxy, port) = before(&mock, "info");
    let answer = half_closed(port, "/info");
    assert_eq!((answer.end, answer.text().as_str()), (End::Complete, "latelater"));
}

#[test]
fn a_half_closed_client_gets_a_stream_while_its_bytes_move() {
    let mock = Mock::new(|mut visit| {
        visit.head();
        visit.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            visit.say("1\r\nx\r\n");
            std::thread::sleep(Duration::from_millis(300));
        }
        visit.say("0\r\n\r\n");
    });
    let (_proxy, port) = before(&mock, "events");
    let answer = half_closed(port, "/events");
    assert_eq!((answer.end, answer.text().as_str()), (End::Complete, "xxxxxxxxxx"));
}

fn half_closed(port: u16, path: &str) -> Answer {
    let mut client = connect(port);
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    parse(&all)
}

#[test]
fn a_half_closed_client_may_read_as_slowly_as_it_likes() {
    const LONG: usize = 16 * 1024 * 1024;
    let mock = Mock::new(|mut visit| {
        visit.head();
        visit.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"));
        visit.say(&"x".repeat(LONG));
    });
    let (_proxy, port) = before(&mock, "events");
    let mut client = connect(port);
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Longer than a client may be silent with nothing on its way to it.
    std::thread::sleep(Duration::from_secs(3));
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    let answer = parse(&all);
    assert_eq!((answer.end, answer.body.len()), (End::Complete, LONG));
}

#[test]
fn a_quiet_stream_ends_about_a_second_after_its_client_stopped_sending() {
    let mock = Mock::new(quiet_stream);
    let (_proxy, port) = before(&mock, "events");
    let client = begin_events(port);
    assert_eq!(mock.open(), 1);
    client.shutdown(Shutdown::Write).unwrap();
    freed_after_about_a_second(&mock);
}

#[test]
fn a_client_that_goes_frees_its_quiet_stream() {
    let mock = Mock::new(quiet_stream);
    let (_proxy, port) = before(&mock, "events");
    drop(begin_events(port));
    freed_after_about_a_second(&mock);
}

fn freed_after_about_a_second(mock: &Mock) {
    let gone = Instant::now();
    until("the engine's connection is closed", || mock.open() == 0);
    let took = gone.elapsed();
    assert!(took > Duration::from_millis(700) && took < Duration::from_secs(2), "it took {took:?}");
}

#[test]
fn a_quiet_stream_stays_while_its_client_does() {
    let mock = Mock::new(quiet_stream);
    let (_proxy, port) = before(&mock, "events");
    let _client = begin_events(port);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(mock.open(), 1);
}

#[test]
fn a_client_that_resets_its_connection_is_gone_at_once() {
    let mock = Mock::new(quiet_stream);
    let (_proxy, port) = before(&mock, "events");
    let mut client = connect(port);
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    until("the stream has begun", || mock.open() == 1 && mock.heads().len() == 1);
    // Closed with an unread answer in it, a TCP socket resets.
    until("the answer has come", || client.peek(&mut [0]).is_ok());
    drop(client);
    let gone = Instant::now();
    until("the engine's connection is closed", || mock.open() == 0);
    assert!(gone.elapsed() < Duration::from_secs(1), "it took {:?}", gone.elapsed());
}

/// The kernel asks an idle client whether it is still there: timer 2 of /proc/net/tcp.
#[test]
fn machines_that_vanish_are_noticed() {
    let mock = Mock::new(quiet_stream);
    let (_proxy, port) = before(&mock, "events");
    let _client = begin_events(port);
    let ours = format!(":{port:04X} ");
    until("keep-alive is on", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = table.lines().filter(|line| line.contains(&ours)).map(fields);
        lines.any(|line| line[1].ends_with(ours.trim()) && line[3] == "01" && line[5].starts_with("02:"))
    });
}
