//! A client takes what waits for it, or it is cut off and what the engine holds for it is given up; one that
//! has nothing waiting may be quiet for as long as its stream is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::image::Container;
use crate::support::engine::Engine;
use crate::support::http::{End, connect, contains, get, get_head, parse, read_to_close, read_until};
use crate::support::machine;
use crate::support::mock::{CHUNKED, Mock, endless_stream, ok_with};
use crate::support::process::descriptors;
use crate::support::proxy::Proxy;
use crate::support::transport::{Server, Transport, for_each_transport};
use crate::support::until;

const TOO_SLOW: &str = "ended=\"client_too_slow\"";

for_each_transport! { [unix, tcp, tls]
    fn a_client_that_takes_nothing_is_cut_off_and_the_engine_s_connection_closed(transport: Transport) {
        for target in ["/events", "/info"] {
            let mock = Mock::new(endless_stream);
            let server = transport.serve_with(mock.socket(), "events,info", &["--stall-timeout", "1s"]);
            let before = descriptors(server.proxy.pid());
            let started_at = Instant::now();
            let _client = server.get(target);
            until("the engine was asked", || mock.heads().len() == 1);
            until("the engine's connection is closed", || mock.open() == 0);
            assert!(started_at.elapsed() >= Duration::from_secs(1), "cut off after {:?}", started_at.elapsed());
            server.proxy.logged(&["WARN allowed", TOO_SLOW, "the client took nothing for 1s (stall-timeout)"]);
            until("the client's connection is closed", || descriptors(server.proxy.pid()) <= before);
        }
    }
}

for_each_transport! { [unix, tcp, tls]
    fn a_stream_that_is_quiet_for_much_longer_lives_on(transport: Transport) {
        let mock = Mock::new(|mut connection| {
            connection.read_head();
            connection.send(&format!("{CHUNKED}5\r\nearly\r\n"));
            std::thread::sleep(Duration::from_secs(4));
            connection.send("4\r\nlate\r\n0\r\n\r\n");
        });
        let server = transport.serve_with(mock.socket(), "events", &["--stall-timeout", "200ms"]);
        let mut client = server.get("/events");
        let all = read_until(&mut client, |all| all.ends_with(b"0\r\n\r\n"));
        assert_eq!(parse(&all).text(), "earlylate");
    }
}

for_each_transport! { [unix, tcp, tls]
    fn a_client_that_reads_slowly_is_not_cut_off(transport: Transport) {
        let mock = Mock::new(endless_stream);
        let server = transport.serve_with(mock.socket(), "info", &["--stall-timeout", "1s"]);
        let mut client = server.get("/info");
        let started_at = Instant::now();
        while started_at.elapsed() < Duration::from_secs(6) {
            client.read_exact(&mut [0; 32 * 1024]).unwrap();
            std::thread::sleep(Duration::from_millis(150));
        }
        assert_eq!(mock.open(), 1);
    }
}

/// The engine has given all of its answer, and what is left of it waits in the proxy.
#[test]
fn a_client_that_does_not_take_the_end_of_its_answer_is_cut_off_too() {
    const LENGTH: usize = 260_000;
    let mock = Mock::new(|mut connection| {
        while connection.read_head().is_some() {
            connection.send(&ok_with(&"x".repeat(LENGTH)));
        }
    });
    let server = Transport::Unix.serve_with(mock.socket(), "info", &["--stall-timeout", "1s"]);
    let mut client = server.get("/info");
    server.proxy.logged(&["WARN allowed", TOO_SLOW]);
    let answer = parse(&read_to_close(&mut client));
    assert_eq!(answer.end, End::CutShort);
    assert!(answer.body.len() < LENGTH);
}

/// Reads about 24 KiB a second until it is cut off, for this long at most; how long it was.
fn read_slowly(server: &Server, target: &str, at_most: Duration) -> Duration {
    let mut client = server.get(target);
    let started_at = Instant::now();
    while started_at.elapsed() < at_most && matches!(client.read(&mut [0; 12 * 1024]), Ok(1..)) {
        std::thread::sleep(Duration::from_millis(500));
    }
    started_at.elapsed()
}

#[test]
#[ignore = "takes more than a minute: tests/run"]
fn an_answer_and_a_stream_must_be_taken_at_the_least_rate_after_a_minute() {
    let mock = Mock::new(endless_stream);
    let server = Transport::Unix.serve_with(mock.socket(), "info,events", &["--min-rate", "64KiB"]);
    std::thread::scope(|scope| {
        let targets = ["/info", "/events"];
        let slow =
            targets.map(|target| scope.spawn(|| read_slowly(&server, target, Duration::from_secs(100))));
        for (target, slow) in targets.into_iter().zip(slow) {
            let cut = slow.join().unwrap();
            let in_time = (Duration::from_secs(60)..Duration::from_secs(80)).contains(&cut);
            assert!(in_time, "{target} was cut off after {cut:?}");
            server.proxy.logged(&[target, TOO_SLOW, "less than 65536 bytes a second (min-rate)"]);
        }
    });
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn an_archive_that_nobody_reads_holds_its_container_only_until_its_client_is_cut_off() {
    let _machine = machine::disturbing();
    let engine = Engine::shared();
    let fill = "/bin/busybox dd if=/dev/zero of=/big bs=1M count=64; exec /bin/busybox sleep 100000";
    let container = Container::run(&engine, &["busybox:latest", "/bin/sh", "-c", fill]);
    let id = container.id();
    let size = ["exec", id, "/bin/busybox", "stat", "-c", "%s", "/big"];
    until("the file is there", || engine.docker(&size).stdout.starts_with(b"67108864"));

    let proxy =
        Proxy::builder(engine.socket()).allow("containers:archive").args(["--stall-timeout", "4s"]).start();
    let mut unread = connect(proxy.socket());
    unread.write_all(get_head(&format!("/containers/{id}/archive?path=/big")).as_bytes()).unwrap();
    let head = read_until(&mut unread, |all| contains(all, "\r\n\r\n"));
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    let started_at = Instant::now();
    let inspected = get(engine.socket(), &format!("/containers/{id}/json"));
    let held = started_at.elapsed();
    println!("inspect took {held:?} while an archive was not read");
    assert_eq!(inspected.status(), 200);
    assert!(held < Duration::from_secs(10), "the container was held for {held:?}");
    proxy.logged(&["WARN allowed", "/archive", TOO_SLOW]);
}
