//! Clients that wait get their answer, and clients that are gone free what was held for them.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::support::engine::Engine;
use crate::support::http::{connect, holds, parse, raw_half_closed, read_until};
use crate::support::mock::{Mock, Visit};
use crate::support::proxy::Proxy;
use crate::support::{descriptors, until};

/// Begins a stream and keeps it quiet.
fn quiet_stream(mut visit: Visit) {
    visit.head();
    visit.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    visit.until_closed();
}

fn freed_within_a_second(mock: &Mock, gone: Instant) {
    until("the engine's connection is closed", || mock.open() == 0);
    assert!(gone.elapsed() < Duration::from_secs(1), "it took {:?}", gone.elapsed());
}

#[test]
fn a_half_closed_client_gets_an_answer_that_takes_its_time() {
    let mock = Mock::new(|mut visit| {
        visit.head();
        std::thread::sleep(Duration::from_millis(1500));
        visit.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlate\r\n");
        std::thread::sleep(Duration::from_millis(1500));
        visit.say("5\r\nlater\r\n0\r\n\r\n");
    });
    let proxy = Proxy::before(mock.socket()).allow("info").start();
    let answer = parse(&raw_half_closed(proxy.socket(), b"GET /info HTTP/1.0\r\n\n"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "latelater"));
}

#[test]
fn a_client_that_goes_frees_its_quiet_stream() {
    let mock = Mock::new(quiet_stream);
    let proxy = Proxy::before(mock.socket()).allow("events").start();
    let mut client = connect(proxy.socket());
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_until(&mut client, |all| all.ends_with(b"\r\n\r\n"));
    assert_eq!(mock.open(), 1);
    drop(client);
    freed_within_a_second(&mock, Instant::now());
}

#[test]
fn a_client_that_half_closes_and_then_goes_frees_its_quiet_stream() {
    let mock = Mock::new(quiet_stream);
    let proxy = Proxy::before(mock.socket()).allow("events").start();
    let mut client = connect(proxy.socket());
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_until(&mut client, |all| all.ends_with(b"\r\n\r\n"));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(mock.open(), 1, "a half-closed client still waits");
    drop(client);
    freed_within_a_second(&mock, Instant::now());
}

#[test]
fn a_client_that_goes_before_the_head_frees_its_request() {
    let mock = Mock::new(|mut visit| {
        visit.head();
        visit.until_closed();
    });
    let proxy = Proxy::before(mock.socket()).allow("info").start();
    let mut client = connect(proxy.socket());
    client.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    until("the engine was asked", || mock.heads().len() == 1);
    drop(client);
    freed_within_a_second(&mock, Instant::now());
}

#[test]
fn a_client_that_goes_with_unread_requests_frees_its_stream() {
    let mock = Mock::new(quiet_stream);
    let proxy = Proxy::before(mock.socket()).allow("events").start();
    let mut client = connect(proxy.socket());
    client
        .write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\nGET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    read_until(&mut client, |all| all.ends_with(b"\r\n\r\n"));
    drop(client);
    freed_within_a_second(&mock, Instant::now());
}

#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    let mock = Mock::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Proxy::before(mock.socket()).allow("info").start();
    proxy.get("/info");
    let before = descriptors(proxy.pid());
    for _ in 0..300 {
        let _idle = connect(proxy.socket());
        proxy.get("/info");
    }
    until("its descriptors are as before", || descriptors(proxy.pid()) <= before);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_real_event_stream_is_freed_when_its_client_goes() {
    let engine = Engine::own();
    let proxy = Proxy::before(engine.socket()).allow("events").start();
    let mut clients: Vec<_> = (0..20).map(|_| connect(proxy.socket())).collect();
    for client in &mut clients {
        client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_until(client, |all| holds(all, "\r\n\r\n"));
    }
    let ended = || engine.log().matches("Client context cancelled, stop sending events").count();
    assert_eq!(ended(), 0);
    drop(clients);
    until("the engine has ended every stream", || ended() == 20);
}
