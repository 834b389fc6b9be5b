//! Clients that wait get their answer, and clients that are gone free what was held for them, whatever
//! they connect over.

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::engine::Engine;
use crate::support::http::{
    End, GET_EVENTS, GET_INFO, connect, contains, ends_with_head, get_head, parse, read_to_close, read_until,
};
use crate::support::mock::{CHUNKED, Mock, OK, OK_LINE, quiet_stream};
use crate::support::process::descriptors;
use crate::support::proxy::Proxy;
use crate::support::transport::{Client, Server, Transport, for_each_transport};
use crate::support::{TIMEOUT, until};

/// A client whose stream has begun.
fn begin_events(server: &Server) -> Client {
    let mut client = server.get("/events");
    read_until(&mut client, ends_with_head);
    client
}

/// How long the engine's connection outlives a client that goes.
fn freed_after<T>(mock: &Mock, client: T) -> Duration {
    let gone = Instant::now();
    drop(client);
    freed_since(mock, gone)
}

fn freed_since(mock: &Mock, gone: Instant) -> Duration {
    until("the engine's connection is closed", || mock.open() == 0);
    gone.elapsed()
}

/// What TCP says of a client that is gone is what it says of one that stopped sending, so such a client
/// is given some time; the next look at it would be after half a minute.
const AFTER_ABOUT_A_SECOND: Range<Duration> = Duration::from_millis(700)..Duration::from_secs(10);

fn assert_about_a_second(took: Duration) {
    assert!(AFTER_ABOUT_A_SECOND.contains(&took), "it took {took:?}");
}

/// Sooner than that, of a client that goes; tried again, for the machine may have had else to do.
fn assert_at_once(client_goes: impl Fn() -> Duration) {
    let mut tries = (0..3).map(|_| client_goes());
    assert!(tries.any(|took| took < AFTER_ABOUT_A_SECOND.start), "it took longer each time");
}

for_each_transport! { [unix, tcp]
    fn a_half_closed_client_gets_an_answer_that_takes_its_time(transport: Transport) {
        let mock = Mock::new(|mut connection| {
            connection.read_head();
            std::thread::sleep(Duration::from_secs(3));
            connection.send(&format!("{CHUNKED}4\r\nlate\r\n"));
            std::thread::sleep(Duration::from_secs(3));
            connection.send("5\r\nlater\r\n0\r\n\r\n");
        });
        let server = transport.serve(mock.socket(), "info");
        let ask = |head: &str| {
            let mut client = server.connect();
            client.write_all(head.as_bytes()).unwrap();
            client.half_close();
            parse(&read_to_close(&mut client))
        };
        std::thread::scope(|scope| {
            let as_nc = scope.spawn(|| ask("GET /info HTTP/1.0\r\n\n"));
            let answer = ask(&get_head("/info"));
            assert_eq!((answer.end, answer.text().as_str()), (End::Complete, "latelater"));
            let answer = as_nc.join().unwrap();
            assert_eq!((answer.status(), answer.text().as_str()), (200, "latelater"));
        });
    }
}

for_each_transport! { [unix, tcp]
    fn a_half_closed_client_gets_a_stream_while_its_bytes_move(transport: Transport) {
        let mock = Mock::new(|mut connection| {
            connection.read_head();
            connection.send(CHUNKED);
            for _ in 0..10 {
                connection.send("1\r\nx\r\n");
                std::thread::sleep(Duration::from_millis(300));
            }
            connection.send("0\r\n\r\n");
        });
        let server = transport.serve(mock.socket(), "events");
        let mut client = server.get("/events");
        client.half_close();
        let answer = parse(&read_to_close(&mut client));
        assert_eq!((answer.end, answer.text().as_str()), (End::Complete, "xxxxxxxxxx"));
    }
}

for_each_transport! { [unix, tcp]
    fn a_half_closed_client_may_read_as_slowly_as_it_likes(transport: Transport) {
        const LONG: usize = 16 * 1024 * 1024;
        let mock = Mock::new(|mut connection| {
            connection.read_head();
            connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"));
            connection.send(&"x".repeat(LONG));
        });
        let server = transport.serve(mock.socket(), "events");
        let mut client = server.get("/events");
        client.half_close();
        // Longer than a client may be silent with nothing on its way to it.
        std::thread::sleep(Duration::from_secs(3));
        let answer = parse(&read_to_close(&mut client));
        assert_eq!((answer.end, answer.body.len()), (End::Complete, LONG));
    }
}

for_each_transport! { [unix, tcp, tls]
    fn a_client_that_goes_frees_its_quiet_stream(transport: Transport) {
        let mock = Mock::new(quiet_stream);
        let server = transport.serve(mock.socket(), "events");
        let client_goes = || {
            let client = begin_events(&server);
            assert_eq!(mock.open(), 1);
            freed_after(&mock, client)
        };
        match transport {
            Transport::Unix => assert_at_once(client_goes),
            _ => assert_about_a_second(client_goes()),
        }
    }
}

/// Over a Unix socket one that has only stopped sending is told from one that is gone.
#[test]
fn a_client_that_half_closes_and_then_goes_frees_its_quiet_stream() {
    let mock = Mock::new(quiet_stream);
    let server = Transport::Unix.serve(mock.socket(), "events");
    assert_at_once(|| {
        let mut client = server.get("/events");
        client.half_close();
        read_until(&mut client, ends_with_head);
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(mock.open(), 1, "a half-closed client still waits");
        freed_after(&mock, client)
    });
}

/// Over TCP it is not.
#[test]
fn a_quiet_stream_ends_about_a_second_after_its_client_stopped_sending() {
    let mock = Mock::new(quiet_stream);
    let server = Transport::Tcp.serve(mock.socket(), "events");
    let client = begin_events(&server);
    assert_eq!(mock.open(), 1);
    let gone = Instant::now();
    client.half_close();
    assert_about_a_second(freed_since(&mock, gone));
}

for_each_transport! { [unix, tcp, tls]
    fn a_quiet_stream_stays_while_its_client_does(transport: Transport) {
        let mock = Mock::new(quiet_stream);
        let server = transport.serve(mock.socket(), "events");
        let _client = begin_events(&server);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(mock.open(), 1);
    }
}

#[test]
fn a_client_that_goes_before_the_head_frees_its_request() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.wait_until_closed();
    });
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    assert_at_once(|| {
        let asked = mock.heads().len();
        let mut client = connect(proxy.socket());
        client.write_all(GET_INFO).unwrap();
        until("the engine was asked", || mock.heads().len() > asked);
        freed_after(&mock, client)
    });
}

#[test]
fn a_client_that_goes_with_unread_requests_frees_its_stream() {
    let mock = Mock::new(quiet_stream);
    let proxy = Proxy::builder(mock.socket()).allow("events").start();
    assert_at_once(|| {
        let mut client = connect(proxy.socket());
        client.write_all(&GET_EVENTS.repeat(2)).unwrap();
        read_until(&mut client, ends_with_head);
        freed_after(&mock, client)
    });
}

#[test]
fn a_client_that_resets_its_connection_is_gone_at_once() {
    let mock = Mock::new(quiet_stream);
    let server = Transport::Tcp.serve(mock.socket(), "events");
    assert_at_once(|| {
        let Client::Tcp(client) = server.get("/events") else { panic!("it connects over TCP") };
        // Closed with an unread answer in it, a TCP socket resets.
        until("the answer has come", || client.peek(&mut [0]).is_ok());
        freed_after(&mock, client)
    });
}

/// The kernel asks an idle client whether it is still there: timer 2 of /proc/net/tcp.
#[test]
fn machines_that_vanish_are_noticed() {
    let mock = Mock::new(quiet_stream);
    let server = Transport::Tcp.serve(mock.socket(), "events");
    let _client = begin_events(&server);
    let ours = format!(":{:04X} ", server.proxy.tcp_port());
    until("keep-alive is on", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = table.lines().filter(|line| line.contains(&ours)).map(fields);
        lines.any(|line| line[1].ends_with(ours.trim()) && line[3] == "01" && line[5].starts_with("02:"))
    });
}

#[test]
fn loopback_is_listened_on_without_tls_and_that_is_warned_of() {
    let mock = Mock::answering(OK_LINE);
    let server = Transport::Tcp.serve(mock.socket(), "info");
    let port = server.proxy.tcp_port();
    server.proxy.logged(&["WARN plain TCP", "on loopback that is every process of this machine"]);
    let mut nc = Command::new("nc.openbsd");
    nc.args(["-N", "127.0.0.1", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    nc.stdin.take().unwrap().write_all(b"GET /info HTTP/1.0\r\n\n").unwrap();
    let answer = parse(&nc.wait_with_output().unwrap().stdout);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok\n"));
    server.proxy.logged(&["allowed", "client.addr=127.0.0.1:", &format!("listener=tcp://127.0.0.1:{port}")]);
}

/// A proxy for which `localhost` stands for these addresses, in a mount namespace of its own.
fn with_localhost(addresses: &[&str], engine: &Path) -> Proxy {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let lines: String = addresses.iter().map(|address| format!("{address} localhost\n")).collect();
    std::fs::write(hosts.path(), lines).unwrap();
    let mounting = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.path().display());
    let proxy = Proxy::builder(engine).allow("info").args(["--listen", "tcp://localhost:0"]);
    proxy.under(&["unshare", "-m", "sh", "-c", &mounting, "sh"]).start()
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_name_is_listened_on_at_all_its_addresses_and_one_port() {
    let mock = Mock::answering(OK);
    let proxy = with_localhost(&["127.0.0.1", "::1"], mock.socket());
    let port = proxy.tcp_port();
    for (host, address) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        proxy.logged(&[&format!("Listening on tcp://{address}:{port}")]);
        // More than one, as they take turns.
        for _ in 0..3 {
            let mut client = TcpStream::connect((host, port)).unwrap();
            client.set_read_timeout(Some(TIMEOUT)).unwrap();
            client.write_all(GET_INFO).unwrap();
            read_until(&mut client, |all| all.ends_with(b"ok"));
        }
    }
    proxy.logged(&["allowed", "client.addr=[::1]:", &format!("listener=tcp://localhost:{port}")]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_address_of_a_name_that_this_machine_does_not_have_is_left_out_and_said() {
    let mock = Mock::answering(OK);
    let proxy = with_localhost(&["127.0.0.1", "192.0.2.1"], mock.socket());
    proxy.logged(&["WARN not listening on tcp://192.0.2.1:", "which 'localhost' stands for as well"]);
    drop(TcpStream::connect(("127.0.0.1", proxy.tcp_port())).unwrap());
}

#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    let mock = Mock::answering(OK);
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
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
    let engine = Engine::private();
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let mut clients: Vec<_> = (0..20).map(|_| connect(proxy.socket())).collect();
    for client in &mut clients {
        client.write_all(GET_EVENTS).unwrap();
        read_until(client, |all| contains(all, "\r\n\r\n"));
    }
    let ended = || engine.log().matches("Client context cancelled, stop sending events").count();
    assert_eq!(ended(), 0);
    drop(clients);
    until("the engine has ended every stream", || ended() == 20);
}
