//! Answers in flight are capped, those that cost the engine much more so, and no client takes them all.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use crate::support::http::{self, Response, connect, ends_with_head, get_head, read_until};
use crate::support::mock::{Mock, OK, quiet_stream};
use crate::support::proxy::Proxy;
use crate::support::tools::{combined_output, curl};
use crate::support::transport::tcp_proxy;
use crate::support::until;

/// An engine that answers only once it is let.
struct Holding {
    mock: Mock,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Holding {
    fn new() -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = Arc::clone(&gate);
        let mock = Mock::new(move |mut connection| {
            while connection.read_head().is_some() {
                let (open, opened) = &*held;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                connection.send(OK);
            }
        });
        Self { mock, gate }
    }

    fn release(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }

    fn until_asked(&self, times: usize) {
        until("the engine was asked", || self.mock.heads().len() == times);
    }
}

fn ask(socket: &Path, target: &str) -> UnixStream {
    let mut client = connect(socket);
    client.write_all(get_head(target).as_bytes()).unwrap();
    client
}

/// A stream that has begun.
fn begin(socket: &Path, target: &str) -> UnixStream {
    let mut client = ask(socket, target);
    assert!(read_until(&mut client, ends_with_head).starts_with(b"HTTP/1.1 200 "), "{target}");
    client
}

fn assert_limited(answer: &Response, setting: &str) {
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert!(answer.text().contains(setting) && answer.text().lines().count() == 1, "{}", answer.text());
}

#[test]
fn answers_in_flight_are_capped_and_places_given_back() {
    let engine = Holding::new();
    let limits = ["--max-requests", "3", "--client-share", "100"];
    let proxy = Proxy::builder(engine.mock.socket()).allow("info").args(limits).start();
    let mut inside: Vec<_> = (0..3).map(|_| ask(proxy.socket(), "/info")).collect();
    engine.until_asked(3);
    assert_limited(&proxy.get("/info"), "(max-requests)");
    proxy.logged(&[
        "WARN limited status=503",
        "path=\"/info\"",
        "endpoint=\"info\"",
        "3 answers are in flight",
    ]);
    assert_eq!(proxy.get("/version").status(), 404, "what needs no engine is answered");
    inside.pop();
    until("the place of a client that left is free", || {
        inside.push(ask(proxy.socket(), "/info"));
        engine.mock.heads().len() == 4
    });
    engine.release();
    read_until(&mut inside[0], |all| all.ends_with(b"ok"));
    until("the places are free", || proxy.get("/info").status() == 200);
}

#[test]
fn one_client_gets_no_more_than_its_share() {
    let engine = Holding::new();
    let proxy = tcp_proxy(engine.mock.socket()).allow("info").args(["--max-requests", "4"]).start();
    let _greedy: Vec<_> = (0..2).map(|_| ask(proxy.socket(), "/info")).collect();
    engine.until_asked(2);
    assert_limited(&proxy.get("/info"), "client-share");
    // Over TCP a client is an address.
    let port = proxy.tcp_port();
    let mut machine = http::connect_tcp(port);
    machine.write_all(get_head("/info").as_bytes()).unwrap();
    let mut again = http::connect_tcp(port);
    again.write_all(get_head("/info").as_bytes()).unwrap();
    engine.until_asked(4);
    let from = |address: &str| {
        let url = format!("http://127.0.0.1:{port}/info");
        combined_output(&curl(&["--interface", address, "-w", "%{http_code}", &url]))
    };
    assert!(from("127.0.0.1").ends_with("503"));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| from("127.0.0.2"));
        engine.until_asked(5);
        engine.release();
        assert_eq!(other.join().unwrap(), "ok200");
    });
}

#[test]
fn what_costs_the_engine_much_has_a_lower_cap_and_leaves_room_for_the_rest() {
    let mock = Mock::new(quiet_stream);
    let limits = ["--max-load", "4", "--client-share", "100"];
    let names = "containers,containers:logs,containers:archive,containers:stats";
    let proxy = Proxy::builder(mock.socket()).allow(names).args(limits).start();
    let follow = "/containers/web/logs?stdout=1&follow=1";
    let mut streams = vec![begin(proxy.socket(), follow), begin(proxy.socket(), follow)];
    for costly in
        [follow, "/containers/web/archive?path=/", "/containers/web/stats", "/containers/json?size=1"]
    {
        assert_limited(&proxy.get(costly), "(max-load 4)");
    }
    for ordinary in
        ["/containers/web/logs?stdout=1", "/containers/web/stats?stream=false", "/containers/json"]
    {
        streams.push(begin(proxy.socket(), ordinary));
    }
    streams.swap_remove(0);
    until("the load of a client that left is free", || {
        let mut client = ask(proxy.socket(), follow);
        let admitted = read_until(&mut client, ends_with_head_or_all).starts_with(b"HTTP/1.1 200 ");
        streams.push(client);
        admitted
    });
}

fn ends_with_head_or_all(bytes: &[u8]) -> bool {
    http::contains(bytes, "\r\n\r\n")
}

#[test]
fn whoever_just_watches_events_takes_no_place() {
    let mock = Mock::new(quiet_stream);
    let proxy = Proxy::builder(mock.socket()).allow("events,info").args(["--max-requests", "1"]).start();
    let _watchers: Vec<_> = (0..50).map(|_| begin(proxy.socket(), "/events")).collect();
    let _one = begin(proxy.socket(), "/info");
    assert_limited(&proxy.get("/info"), "max-requests");
}
