//! A soak: churn, streams, slow clients, hostile ones and restarts of the engine, all at once and for as
//! long as `SOAK_SECONDS` says; it prints memory, descriptors and errors at the start and the end.
//! `tests/soak` is the command for it; with every other test it soaks for a few seconds.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::attack::request;
use crate::support::engine::Engine;
use crate::support::http::{GET_EVENTS, connect, get, statuses};
use crate::support::machine;
use crate::support::process::{descriptors, memory};
use crate::support::proxy::Proxy;
use crate::support::rng::{Rng, seed_from};
use crate::support::{env_usize, until};

/// How often each thing happened.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    fn count(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    fn of(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or_default()
    }
}

/// What each client of the soak has.
struct Scene<'a> {
    socket: &'a Path,
    end: Instant,
    tally: &'a Tally,
}

impl Scene<'_> {
    fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn everything_at_once_leaves_memory_and_descriptors_as_they_were() {
    let _machine = machine::disturbing();
    let time = Duration::from_secs(env_usize("SOAK_SECONDS", 8) as u64);
    let seed = seed_from("SOAK_SEED");
    let mut engine = Engine::private();
    let limits = ["--header-timeout", "2s", "--idle-timeout", "5s", "--upstream-timeout", "5s"];
    let proxy =
        Proxy::builder(engine.socket()).allow("containers,images,events,info,ping").args(limits).quiet();
    let proxy = proxy.start();
    let tally = Tally::default();

    // Once for a while before anything is measured, so that buffers have the size that they will have.
    act(&proxy, &mut engine, Duration::from_secs(3), seed, &Tally::default());
    let before = at_rest(&proxy);
    act(&proxy, &mut engine, time, seed, &tally);
    let after = at_rest(&proxy);

    println!("memory      {} KiB, after {time:?} {} KiB", before.0, after.0);
    println!("descriptors {}, after {time:?} {}", before.1, after.1);
    println!("errors      {}, after {time:?} {}", before.2, after.2);
    println!("clients had {:#?}", tally.0.lock().unwrap());
    assert!(after.0 < before.0 + 2048, "memory grew from {} to {} KiB", before.0, after.0);
    assert!(after.1 <= before.1 + 4, "descriptors grew from {} to {}", before.1, after.1);
    for what in ["churn 200", "stream cut", "slow 200", "hostile"] {
        assert!(tally.of(what) > 0, "the soak had no '{what}'");
    }
    assert_eq!(tally.of("churn unexpected"), 0);
    assert_eq!(after.2, before.2, "{:#?}", proxy.log());
    assert_eq!(proxy.get("/_ping").status(), 200);
}

/// Everything at once, until the time is over.
fn act(proxy: &Proxy, engine: &mut Engine, time: Duration, seed: u64, tally: &Tally) {
    let scene = &Scene { socket: proxy.socket(), end: Instant::now() + time, tally };
    std::thread::scope(|scope| {
        scope.spawn(|| churn(scene));
        scope.spawn(|| stream(scene));
        scope.spawn(|| read_slowly(scene));
        scope.spawn(|| attack(scene, seed));
        restart(scene, engine);
    });
    assert_eq!(get(engine.socket(), "/_ping").status(), 200);
}

/// Memory in KiB, descriptors, and errors logged, once every connection has ended.
fn at_rest(proxy: &Proxy) -> (u64, usize, usize) {
    let mut last = 0;
    until("descriptors are at rest", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = descriptors(proxy.pid());
        std::mem::replace(&mut last, now) == now
    });
    assert_eq!(proxy.get("/_ping").status(), 200);
    (memory(proxy.pid()), descriptors(proxy.pid()), proxy.log().len())
}

/// Ordinary clients that come and go; while the engine is away they get a 502.
fn churn(scene: &Scene) {
    while scene.goes_on() {
        let mut client = connect(scene.socket);
        let ask = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /images/json HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut all = Vec::new();
        client.write_all(ask.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client.read_to_end(&mut all).unwrap();
        for status in statuses(&all) {
            match status {
                200 => scene.tally.count("churn 200"),
                // Away, starting up, or stopped while it was asked.
                502..=504 => scene.tally.count("churn without engine"),
                _ => scene.tally.count("churn unexpected"),
            }
        }
    }
}

/// Clients that follow the events, until they have enough or the engine goes.
fn stream(scene: &Scene) {
    while scene.goes_on() {
        let mut clients: Vec<_> = (0..20).map(|_| connect(scene.socket)).collect();
        for client in &mut clients {
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            client.write_all(GET_EVENTS).unwrap();
        }
        let enough = Instant::now() + Duration::from_secs(2);
        while !clients.is_empty() && Instant::now() < enough.min(scene.end) {
            clients.retain_mut(|client| match client.read(&mut [0; 4096]) {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
        }
        scene.tally.count("stream cut");
    }
}

/// Clients that send a byte at a time, and read that slowly too.
fn read_slowly(scene: &Scene) {
    while scene.goes_on() {
        let mut client = connect(scene.socket);
        for byte in b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
            let _ = client.write_all(&[*byte]);
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut all = Vec::new();
        let mut byte = [0; 64];
        while let Ok(read @ 1..) = client.read(&mut byte) {
            all.extend_from_slice(&byte[..read]);
            std::thread::sleep(Duration::from_millis(5));
        }
        statuses(&all).iter().for_each(|status| scene.tally.count(&format!("slow {status}")));
    }
}

/// Hostile clients, of whom some leave at once and some stay until they are sent away.
fn attack(scene: &Scene, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut staying = Vec::new();
    while scene.goes_on() {
        let mut client = connect(scene.socket);
        let bytes = request(&mut rng);
        let _ = client.write_all(&bytes[..rng.below(bytes.len() + 1)]);
        scene.tally.count("hostile");
        match rng.below(8) {
            0 => staying.push(client),
            1..=3 => {}
            _ => {
                let _ = client.shutdown(Shutdown::Write);
                let _ = client.read_to_end(&mut Vec::new());
            }
        }
        if staying.len() > 300 {
            staying.clear();
        }
    }
}

/// Restarts the engine, in order and not, now and then.
fn restart(scene: &Scene, engine: &mut Engine) {
    let mut in_order = false;
    while scene.goes_on() {
        std::thread::sleep(Duration::from_secs(2));
        if in_order {
            engine.stop()
        } else {
            engine.kill()
        }
        in_order = !in_order;
        std::thread::sleep(Duration::from_millis(500));
        engine.start_again();
        scene.tally.count("engine restarted");
    }
}
