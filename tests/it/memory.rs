//! The promise that memory is bounded while a crowd is there, and as at rest when it has gone, or near it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::http::{connect, get_head, raw_half_closed, statuses};
use crate::support::mock::{Mock, OK};
use crate::support::process::memory;
use crate::support::proxy::Proxy;
use crate::support::{machine, until};

const CLIENTS: usize = 2000;
/// How much more than at rest there may be, in KiB.
const MOST: u64 = 16 * 1024;

/// The beginning of a head, so long.
fn partial_head(len: usize) -> Vec<u8> {
    let mut head = b"GET /info HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
    head.resize(len, b'x');
    head
}

/// A proxy that has served once, and what memory it then has.
fn at_rest(engine: &Mock) -> (Proxy, u64) {
    let proxy = Proxy::builder(engine.socket()).allow("info").quiet().start();
    assert_eq!(proxy.get("/info").status(), 200);
    let rest = memory(proxy.pid());
    (proxy, rest)
}

/// What memory a proxy has once it changes no more.
pub fn settled(proxy: &Proxy) -> u64 {
    let mut last = 0;
    until("memory changes no more", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = memory(proxy.pid());
        std::mem::replace(&mut last, now) == now
    });
    last
}

/// How long it takes until memory is near that at rest; fails after a minute.
fn until_given_back(proxy: &Proxy, rest: u64) -> Duration {
    let gone = Instant::now();
    loop {
        let now = memory(proxy.pid());
        if now <= rest + MOST {
            return gone.elapsed();
        }
        assert!(gone.elapsed() < Duration::from_secs(60), "{now} KiB after a minute, {rest} at rest");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn two_thousand_partial_heads_are_bounded_while_they_are_there_and_after() {
    let _machine = machine::disturbing();
    let engine = Mock::answering(OK);
    // Too long for a head, as long as a head may be, and short enough to need no room that counts.
    for kib in [66, 63, 2] {
        let (proxy, rest) = at_rest(&engine);
        let mut crowd: Vec<UnixStream> = (0..CLIENTS).map(|_| connect(proxy.socket())).collect();
        for client in &mut crowd {
            // Some are told already that there is no room.
            let _ = client.write_all(&partial_head(kib * 1024));
        }
        let with = settled(&proxy);
        assert_eq!(proxy.get("/info").status(), 200, "an ordinary head has its place among them");
        drop(crowd);
        let after = until_given_back(&proxy, rest);
        println!("heads of {kib} KiB: at rest {rest} KiB, with {CLIENTS} {with}, near rest after {after:?}");
        assert!(with <= rest + MOST, "{with} KiB with them, {rest} at rest");
    }
}

#[test]
fn a_long_head_without_room_is_503_and_has_room_once_others_have_gone() {
    const HEAD: usize = 60 * 1024;
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let long = [&partial_head(HEAD)[..], b"\r\n\r\n"].concat();
    let answered = || statuses(&raw_half_closed(proxy.socket(), &long));
    assert_eq!(answered(), [200]);
    let mut others: Vec<UnixStream> = (0..100).map(|_| connect(proxy.socket())).collect();
    others.iter_mut().for_each(|other| other.write_all(&partial_head(HEAD)).unwrap());
    until("there is no room", || answered() == [503]);
    proxy.logged(&["WARN limited", "status=503", "too many long heads"]);
    let short = raw_half_closed(proxy.socket(), get_head("/info").as_bytes());
    assert_eq!(statuses(&short), [200]);
    drop(others);
    until("there is room again", || answered() == [200]);
}
