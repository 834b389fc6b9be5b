//! Whatever a hostile client sends, the engine's own log shows that it dispatches nothing but `GET`s of
//! what was named. `JUDGE_REQUESTS` makes the test longer, `JUDGE_SEED` repeats one.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::attack::request;
use crate::support::engine::Engine;
use crate::support::env_usize;
use crate::support::http::connect;
use crate::support::machine;
use crate::support::proxy::Proxy;
use crate::support::rng::{Rng, seed_from};
use crate::support::routes::{Dispatch, dispatch};

/// Some of the endpoints that the requests go for, so that as many of them are not named.
const NAMED: &[&str] = &[
    "containers:inspect",
    "containers:changes",
    "containers:top",
    "containers:logs",
    "images:list",
    "images:inspect",
    "images:history",
    "networks:list",
    "networks:inspect",
    "volumes:list",
    "volumes:inspect",
    "services:inspect",
    "tasks:list",
    "secrets:inspect",
    "configs:list",
    "plugins:list",
    "version",
    "ping",
];

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_engine_dispatches_nothing_that_was_not_named() {
    let _machine = machine::disturbing();
    let requests = env_usize("JUDGE_REQUESTS", 20_000);
    let seed = seed_from("JUDGE_SEED");
    let engine = Engine::private();
    let proxy = Proxy::builder(engine.socket()).allow(&NAMED.join(",")).quiet().start();
    let started_at = Instant::now();
    let before = engine.calls().len();

    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for attacker in 0..4 {
            let (socket, sent) = (proxy.socket(), &sent);
            scope.spawn(move || {
                let mut rng = Rng::new(seed.wrapping_add(attacker));
                while sent.load(Ordering::Relaxed) < requests {
                    sent.fetch_add(attack(socket, &mut rng), Ordering::Relaxed);
                }
            });
        }
    });

    assert_eq!(proxy.get("/_ping").status(), 200, "the proxy works after all that");
    let calls = engine.calls().split_off(before);
    let named = verdict(&calls);
    println!(
        "{} requests in {:?}; the engine dispatched {named:?}",
        sent.load(Ordering::Relaxed),
        started_at.elapsed()
    );
    assert!(calls.len() > requests / 100, "so few calls would prove little: {}", calls.len());
    for name in NAMED.iter().filter(|name| engine.has(name)) {
        assert!(named.contains_key(name), "the requests never reached {name}");
    }
}

/// One connection's worth of requests, in whole or in parts, with an end of one kind or another. Gives
/// how many requests it was.
fn attack(socket: &Path, rng: &mut Rng) -> usize {
    let count = [1, 1, 1, 2, 3, 4][rng.below(6)];
    let bytes: Vec<u8> = (0..count).flat_map(|_| request(rng)).collect();
    let mut stream = connect(socket);
    let mut rest = &bytes[..];
    let splits = if rng.once_in(5) { 1 + rng.below(4) } else { 0 };
    for _ in 0..splits {
        let (part, behind) = rest.split_at(rng.below(rest.len() + 1));
        let _ = stream.write_all(part);
        if rng.once_in(3) {
            std::thread::sleep(Duration::from_micros(300));
        }
        rest = behind;
    }
    let _ = stream.write_all(rest);
    if !rng.once_in(30) {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    count
}

/// Counts the calls by name; fails on the first that was not named.
fn verdict(calls: &[String]) -> BTreeMap<&'static str, usize> {
    let mut named = BTreeMap::new();
    for call in calls {
        let target = call.strip_prefix("GET ").unwrap_or_else(|| panic!("the engine dispatched {call}"));
        let path = target.split('?').next().unwrap();
        match dispatch(path) {
            Dispatch::Route(_, Some(name)) if NAMED.contains(&name) => *named.entry(name).or_default() += 1,
            other => panic!("the engine dispatched {call}, which is {other:?}"),
        }
    }
    named
}
