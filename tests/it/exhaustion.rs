//! The promise of exhaustion: no client takes so much time or room that others feel it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::files::set_mode;
use crate::support::http::{
    self, GET_EVENTS, GET_INFO, connect, raw_half_closed, read_to_close, read_until, statuses,
};
use crate::support::library::{Cli, Config};
use crate::support::machine;
use crate::support::mock::{Mock, OK, Recorder, endless_stream, quiet_stream};
use crate::support::process::{descriptors, memory};
use crate::support::proxy::Proxy;
use crate::support::{env_usize, until};

fn ask_once(stream: &mut UnixStream) {
    stream.write_all(GET_INFO).unwrap();
    let answer = read_until(stream, |all| all.ends_with(b"ok"));
    assert_eq!(statuses(&answer), [200]);
}

#[test]
fn the_limits_are_those_that_are_promised() {
    let cli = Cli::read(["x", "-a", "info"].map(Into::into)).unwrap();
    let config = Config::new(&cli.serve.settings(|_| None)).unwrap();
    let [listener] = &config.listeners[..] else { panic!("{config:?}") };
    let (limits, requests) = (listener.limits, listener.requests);
    assert_eq!(limits.header_timeout, Duration::from_secs(10));
    assert_eq!(limits.idle_timeout, Duration::from_secs(90));
    assert_eq!(limits.connections.total, 4096);
    assert_eq!(limits.connections.per_uid, 2048);
    assert_eq!(limits.pace.stall_timeout, Some(Duration::from_secs(30)));
    assert_eq!(limits.pace.min_rate, 1024);
    assert_eq!(requests.requests, 256);
    assert_eq!(requests.load, 128);
    assert_eq!(requests.client_share, 50);
}

#[test]
fn a_head_that_takes_too_long_is_cut_off() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--header-timeout", "500ms"]).start();
    let dribble = |started_at: Instant, mut stream: UnixStream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        for byte in b"GET /info HTTP/1.1\r\nHost: docker\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            let _ = stream.write_all(&[*byte]);
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&chunk[..read]),
                Err(_) => assert!(started_at.elapsed() < Duration::from_secs(20), "it is never cut off"),
            }
        }
        assert!(
            started_at.elapsed() >= Duration::from_millis(450),
            "cut off after {:?}",
            started_at.elapsed()
        );
        assert_eq!(statuses(&answer), [408]);
    };
    // Taken before the proxy's own time begins.
    dribble(Instant::now(), connect(proxy.socket()));
    let mut used = connect(proxy.socket());
    let started_at = Instant::now();
    ask_once(&mut used);
    dribble(started_at, used);
}

#[test]
fn a_client_that_never_sends_anything_is_sent_away_without_a_word() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--header-timeout", "300ms"]).start();
    assert_eq!(read_to_close(&mut connect(proxy.socket())), b"");
}

#[test]
fn an_idle_client_may_stay_longer_than_a_head_may_take_but_not_for_ever() {
    let engine = Mock::answering(OK);
    let limits = ["--header-timeout", "200ms", "--idle-timeout", "3s"];
    let proxy = Proxy::builder(engine.socket()).allow("info").args(limits).start();
    let mut stream = connect(proxy.socket());
    ask_once(&mut stream);
    std::thread::sleep(Duration::from_millis(2000));
    let started_at = Instant::now();
    ask_once(&mut stream);
    assert_eq!(read_to_close(&mut stream), b"");
    assert!(started_at.elapsed() >= Duration::from_secs(3), "sent away after {:?}", started_at.elapsed());
}

#[test]
fn a_head_begun_right_after_an_answer_gets_no_more_time_than_any_other() {
    let engine = Mock::answering(OK);
    let limits = ["--header-timeout", "2s", "--idle-timeout", "20s"];
    let proxy = Proxy::builder(engine.socket()).allow("info").args(limits).start();
    let mut stream = connect(proxy.socket());
    ask_once(&mut stream);
    let started_at = Instant::now();
    stream.write_all(b"GET /in").unwrap();
    assert_eq!(statuses(&read_to_close(&mut stream)), [408]);
    assert!(started_at.elapsed() < Duration::from_secs(10), "cut off after {:?}", started_at.elapsed());
}

#[test]
fn heads_have_a_most_of_lines_and_bytes() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let with = |headers: &str| format!("GET /info HTTP/1.1\r\nHost: docker\r\n{headers}\r\n");
    let room = 64 * 1024 - with("X: \r\n").len();
    for (headers, status) in [
        ("X: y\r\n".repeat(99), 200),
        ("X: y\r\n".repeat(100), 431),
        (format!("X: {}\r\n", "y".repeat(room)), 200),
        (format!("X: {}\r\n", "y".repeat(room + 1)), 431),
        (format!("X: {}\r\n", "y".repeat(1_000_000)), 431),
        (format!("{}: y\r\n", "x".repeat(70_000)), 431),
    ] {
        let answer = raw_half_closed(proxy.socket(), with(&headers).as_bytes());
        assert_eq!(statuses(&answer), [status], "{} bytes of headers", headers.len());
    }
    let endless = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), endless.as_bytes())), [431]);
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), "\r\n".repeat(100_000).as_bytes())), [400]);
    assert_eq!(proxy.get("/info").status(), 200);
}

#[test]
fn connections_are_capped_and_places_given_back() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--max-connections", "3"]).start();
    let mut inside: Vec<UnixStream> = (0..3).map(|_| connect(proxy.socket())).collect();
    inside.iter_mut().for_each(ask_once);
    let answer = http::parse(&raw_half_closed(proxy.socket(), GET_INFO));
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("max-connections"), "{}", answer.text());
    inside.iter_mut().for_each(ask_once);
    inside.pop();
    until("the place is free", || proxy.get("/info").status() == 200);
}

#[test]
#[ignore = "needs root, to be two users: tests/run"]
fn one_user_cannot_take_every_place() {
    let engine = Mock::answering(OK);
    let builder = Proxy::builder(engine.socket()).allow("info").args([
        "--max-connections",
        "6",
        "--max-connections-per-uid",
        "4",
        "--socket-mode",
        "0666",
    ]);
    set_mode(builder.socket().parent().unwrap().parent().unwrap(), 0o755);
    let proxy = builder.start();
    let mut greedy: Vec<UnixStream> = (0..4).map(|_| connect(proxy.socket())).collect();
    greedy.iter_mut().for_each(ask_once);
    let refused = http::parse(&raw_half_closed(proxy.socket(), GET_INFO));
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("max-connections-per-uid"), "{}", refused.text());
    proxy.logged(&["limited", "client.uid=0", "max-connections-per-uid"]);

    let other = as_another_user(proxy.socket(), GET_INFO);
    assert_eq!(statuses(&other), [200], "{}", other.escape_ascii());
    greedy.iter_mut().for_each(ask_once);
}

fn as_another_user(socket: &Path, request: &[u8]) -> Vec<u8> {
    let mut nc = Command::new("setpriv")
        .args(["--reuid=12345", "--regid=12345", "--clear-groups", "nc", "-N", "-U"])
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    nc.stdin.take().unwrap().write_all(request).unwrap();
    nc.wait_with_output().unwrap().stdout
}

#[test]
fn four_hundred_dribbling_clients_are_not_felt_by_an_ordinary_one() {
    let _machine = machine::undisturbed();
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let alone = median_of_requests(&proxy);
    let mut dribblers: Vec<UnixStream> = (0..400).map(|_| connect(proxy.socket())).collect();
    let mut among = Vec::new();
    for byte in GET_INFO.iter().take(4) {
        for dribbler in &mut dribblers {
            dribbler.write_all(&[*byte]).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(1);
        among.push(median_of_requests(&proxy));
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    println!("medians of 100 requests: alone {alone:?}, among 400 dribbling clients {among:?}");
    // What the dribblers do is in each of them, and what else the machine has to do is not.
    let best = among.into_iter().min().unwrap();
    assert!(best < alone * 3 + Duration::from_millis(5), "alone {alone:?}, among dribblers {best:?}");
}

fn median_of_requests(proxy: &Proxy) -> Duration {
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let started_at = Instant::now();
            assert_eq!(proxy.get("/info").status(), 200);
            started_at.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn memory_is_flat_over_many_requests_and_connections() {
    let _machine = machine::disturbing();
    let requests = env_usize("FLAT_REQUESTS", 40_000);
    let connections = env_usize("FLAT_CONNECTIONS", 4_000);
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").quiet().start();
    let batch = |requests: usize, connections: usize| {
        let mut stream = connect(proxy.socket());
        (0..requests).for_each(|_| ask_once(&mut stream));
        for turn in 0..connections {
            let bytes =
                [GET_INFO, b"GET /version HTTP/1.0\r\n\r\n", b"nonsense\r\n\r\n", b"POST /inf"][turn % 4];
            raw_half_closed(proxy.socket(), bytes);
        }
    };
    batch(requests / 10, connections / 10);
    let (memory_before, open_before) = (memory(proxy.pid()), descriptors(proxy.pid()));
    batch(requests, connections);
    let memory_after = memory(proxy.pid());
    println!("{requests} requests, {connections} connections: {memory_before} KiB, then {memory_after} KiB");
    assert!(memory_after < memory_before + 1024, "{memory_before} KiB, then {memory_after} KiB");
    until("descriptors are as before", || descriptors(proxy.pid()) <= open_before);
}

#[test]
fn clients_that_do_not_read_cost_little_memory_each() {
    const CLIENTS: usize = 100;
    let engine = Mock::new(endless_stream);
    let proxy = Proxy::builder(engine.socket()).allow("info").quiet().start();
    let before = memory(proxy.pid());
    let mut clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect(proxy.socket())).collect();
    clients.iter_mut().for_each(|client| client.write_all(GET_INFO).unwrap());
    let mut last = 0;
    until("memory no longer grows", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = memory(proxy.pid());
        std::mem::replace(&mut last, now) == now
    });
    let each = (last - before) / CLIENTS as u64;
    println!("a client that does not read costs {each} KiB");
    assert!(each < 220, "each client costs {each} KiB");
    assert_eq!(http::request(proxy.socket(), "GET", "/version").status(), 404);
    drop(clients);
    until("the engine's connections are closed", || engine.open() == 0);
}

#[test]
fn a_client_may_go_at_any_moment_and_leaves_nothing_behind() {
    let engine = Recorder::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n",
    );
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(proxy.get("/info").status(), 200);
    let before = descriptors(proxy.pid());
    for sent in 0..=GET_INFO.len() {
        for then_read in [0, 1, 20, 80] {
            let mut stream = connect(proxy.socket());
            stream.write_all(&GET_INFO[..sent]).unwrap();
            if sent == GET_INFO.len() && then_read > 0 {
                stream.read_exact(&mut vec![0; then_read]).unwrap();
            }
        }
    }
    // Those that were kept to the engine may stay; they are no more than there were clients at once.
    until("every client's connection is closed", || {
        descriptors(proxy.pid()) <= before + engine.mock().open()
    });
    assert_eq!(proxy.get("/info").status(), 200);
}

#[test]
fn a_client_that_leaves_takes_its_quiet_stream_with_it() {
    let engine = Mock::new(quiet_stream);
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let mut clients: Vec<UnixStream> = (0..20).map(|_| connect(proxy.socket())).collect();
    for client in &mut clients {
        client.write_all(GET_EVENTS).unwrap();
        read_until(client, |all| all.ends_with(b"\r\n\r\n"));
    }
    assert_eq!(engine.open(), 20);
    drop(clients);
    until("every stream from the engine is closed", || engine.open() == 0);
}

#[test]
fn empty_lines_before_a_request_are_no_way_to_burn_time() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &[b"\r\n", GET_INFO].concat())), [200]);
    let mut stream = connect(proxy.socket());
    stream.write_all(b"\n\n\n\n\n").unwrap();
    // The sixth is not waited for.
    assert_eq!(statuses(&read_to_close(&mut stream)), [400]);
}

#[test]
fn a_client_whose_connection_has_ended_and_that_goes_on_sending_is_cut_off_after_half_a_minute() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--max-connections", "1"]).start();
    let mut stream = connect(proxy.socket());
    let started_at = Instant::now();
    stream.write_all(b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
    assert_eq!(statuses(&read_to_close(&mut stream)), [400]);
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), GET_INFO)), [503], "it still counts");
    while stream.write_all(b"x").is_ok() {
        assert!(started_at.elapsed() < Duration::from_secs(60), "it is never cut off");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started_at.elapsed() >= Duration::from_secs(29), "cut off after {:?}", started_at.elapsed());
    until("its place is free", || statuses(&raw_half_closed(proxy.socket(), GET_INFO)) == [200]);
}

/// Whether the other side has closed a Unix socket, and not just stopped sending.
fn is_closed_by_peer(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).unwrap();
    polled[0].revents().contains(PollFlags::HUP)
}

#[test]
fn a_client_whose_connection_has_ended_and_that_says_nothing_is_cut_off_soon() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let mut stream = connect(proxy.socket());
    stream.write_all(b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").unwrap();
    let started_at = Instant::now();
    assert_eq!(statuses(&read_to_close(&mut stream)), [400]);
    until("it is cut off", || is_closed_by_peer(&stream));
    assert!(started_at.elapsed() < Duration::from_secs(10), "cut off after {:?}", started_at.elapsed());
}
