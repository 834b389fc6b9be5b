//! A soak: churn, streams, slow clients, hostile ones and restarts of the engine, all at once and for as
//! long as `SOAK_SECONDS` says; it prints memory, descriptors and errors at the start and the end, and how
//! long ordinary clients waited in between. `tests/soak` is the command for it; with every other test it
//! soaks for a few seconds.
//!
//! The hostile ones send what is not HTTP, do not take what they asked for, pass file descriptors (as on a
//! kernel that cannot refuse them) and show certificate chains that take long to search.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::attack::request;
use crate::support::attempt::on_an_older_kernel;
use crate::support::crafted::{Crafted, shake_hands};
use crate::support::engine::Engine;
use crate::support::http::{GET_EVENTS, GET_INFO, connect, get, get_head, read_to_close, statuses};
use crate::support::lingering::Lingering;
use crate::support::machine;
use crate::support::mock::{Mock, OK};
use crate::support::process::{descriptors, memory};
use crate::support::proxy::Proxy;
use crate::support::rng::{Rng, seed_from};
use crate::support::tls::Pki;
use crate::support::tools::free_port;
use crate::support::{TIMEOUT, env_usize, until};

/// From this time on a soak is a measurement, for which the machine is to have nothing else to do.
const LONG: Duration = Duration::from_secs(60);
/// What 99 in 100 requests of an ordinary client take at most, in a long soak, beyond what the engine takes.
const PROMPT: Duration = Duration::from_millis(100);

/// An image that makes answers and events large: its labels, of which each is as long as the engine takes.
const LARGE: &str = "large";
const LABELS: usize = 2;
const LABEL: usize = 32 * 1024;

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
    tls: &'a Tls,
    engine: PathBuf,
    /// How often the engine has gone or come back: even while it is there.
    turns: AtomicUsize,
    end: Instant,
    tally: &'a Tally,
}

/// What clients of the TLS listener need.
struct Tls {
    pki: Pki,
    port: u16,
}

impl Scene<'_> {
    fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// Which of its lives the engine is in, if it is there.
    fn engine_life(&self) -> Option<usize> {
        let turns = self.turns.load(Ordering::SeqCst);
        turns.is_multiple_of(2).then_some(turns)
    }
}

/// How long requests of an ordinary client took.
struct Waits {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Waits {
    fn of(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "an ordinary client was never answered");
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        Self { count: times.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, max } = self;
        write!(f, "p50 {p50:?}, p99 {p99:?}, max {max:?}, of {count} requests")
    }
}

/// How long ordinary clients waited: those of the proxy, and others to compare them with.
struct AllWaits {
    /// For an answer of the proxy's own.
    own: Waits,
    /// For an answer of the engine's through the proxy, while the engine was there.
    engine: Waits,
    /// For the same from the engine itself: it takes its time too, most of all when it has just started.
    direct: Waits,
    /// For another server, which has nothing else to do: what the machine makes of the work that it has.
    idle: Waits,
}

/// What a soak without these has not been one.
const HAPPENS: &[&str] = &[
    "churn 200",
    "stream cut",
    "slow 200",
    "hostile",
    "stalled answer cut off",
    "stalled events cut off",
    "descriptor passed",
    "crafted chain refused",
    "tls client answered",
];
/// What must not happen to anybody.
const NEVER: &[&str] = &[
    "churn unexpected",
    "measured unexpected",
    "descriptor refused",
    "crafted chain accepted",
    "tls client unexpected",
];

/// By how much memory may grow from one time to the next.
const GROWTH_KIB: u64 = 2048;

/// How long it goes on before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);

#[test]
#[ignore = "needs an engine: tests/run"]
fn everything_at_once_leaves_memory_and_descriptors_as_they_were() {
    let _machine = machine::disturbing();
    let time = Duration::from_secs(env_usize("SOAK_SECONDS", 8) as u64);
    let seed = seed_from("SOAK_SEED");
    let mut engine = Engine::private();
    import_large(&engine);
    let tls = Tls { pki: Pki::new(), port: free_port() };
    let proxy = start(&engine, &tls);
    let tally = Tally::default();
    assert_eq!(proxy.get("/_ping").status(), 200);
    let first = descriptors(proxy.pid());

    // Once for a while before anything is measured, so that buffers have the size that they will have.
    act(&proxy, &tls, &mut engine, WARM_UP, seed, &Tally::default());
    let mut before = at_rest(&proxy, &mut engine, first);
    let mut waits = act(&proxy, &tls, &mut engine, time, seed, &tally);
    let mut after = at_rest(&proxy, &mut engine, first);
    // More clients at one time than ever before take more once; a leak takes more again.
    for _ in 0..2 {
        if after.0 >= before.0 + GROWTH_KIB {
            before = after;
            waits = act(&proxy, &tls, &mut engine, time, seed, &tally);
            after = at_rest(&proxy, &mut engine, first);
        }
    }

    println!("memory      {} KiB, after {time:?} {} KiB", before.0, after.0);
    println!("descriptors at most {first} at rest, before and after");
    println!("errors      {}, after {time:?} {}", before.1, after.1);
    println!("an ordinary client waited for the proxy's own answer  {}", waits.own);
    println!("and for the engine's, while the engine was there,     {}", waits.engine);
    println!("and for the same without the proxy                    {}", waits.direct);
    println!("and for that of a server that does nothing else       {}", waits.idle);
    println!("clients had {:#?}", tally.0.lock().unwrap());
    assert!(after.0 < before.0 + GROWTH_KIB, "memory grew from {} to {} KiB", before.0, after.0);
    for what in HAPPENS {
        assert!(tally.of(what) > 0, "the soak had no '{what}'");
    }
    for what in NEVER {
        assert_eq!(tally.of(what), 0, "the soak had '{what}'");
    }
    if time >= LONG {
        assert!(waits.own.p99 < PROMPT, "the proxy answered late: {}", waits.own);
        let engine_and_proxy = waits.direct.p99 + PROMPT;
        assert!(waits.engine.p99 < engine_and_proxy, "the engine's answers came late: {}", waits.engine);
    }
    assert_eq!(after.1, before.1, "{:#?}", proxy.log());
    assert_eq!(proxy.get("/_ping").status(), 200);
}

/// Gives the engine an image with large labels.
fn import_large(engine: &Engine) {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.tar");
    std::fs::write(&empty, [0; 1024]).unwrap();
    let labels = (0..LABELS).map(|nth| format!("--change=LABEL label{nth}={}", "x".repeat(LABEL)));
    let labels: Vec<String> = labels.collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let imported = engine.docker(&[&["import"], &labels[..], &[empty.to_str().unwrap(), LARGE]].concat());
    assert!(imported.status.success(), "{imported:?}");
}

/// A proxy that cannot refuse descriptors, with a listener over TLS, and soon through with whoever stalls.
fn start(engine: &Engine, tls: &Tls) -> Proxy {
    let limits = ["--header-timeout", "10s", "--idle-timeout", "5s", "--upstream-timeout", "5s"];
    let listen = format!("tcp://127.0.0.1:{}", tls.port);
    Proxy::builder(engine.socket())
        .allow("containers,images,events,info,ping")
        .args(limits)
        .args(["--stall-timeout", "1s", "--listen", &listen, "--tlsverify"])
        .args(tls.pki.server().docker_flags())
        .quiet()
        .under(&on_an_older_kernel())
        .start()
}

/// Everything at once, until the time is over; how long ordinary clients waited.
fn act(proxy: &Proxy, tls: &Tls, engine: &mut Engine, time: Duration, seed: u64, tally: &Tally) -> AllWaits {
    let (turns, end) = (AtomicUsize::new(0), Instant::now() + time);
    let scene = &Scene { socket: proxy.socket(), tls, engine: engine.socket().into(), turns, end, tally };
    let idle = Mock::answering_once(OK);
    let waits = std::thread::scope(|scope| {
        scope.spawn(|| churn(scene));
        scope.spawn(|| stream(scene));
        scope.spawn(|| read_slowly(scene));
        scope.spawn(|| attack(scene, seed));
        scope.spawn(|| make_events(scene));
        scope.spawn(|| stall(scene, "answer", &get_head(&format!("/images/{LARGE}/json")).repeat(8)));
        scope.spawn(|| stall(scene, "events", &get_head("/events")));
        scope.spawn(|| pass_descriptors(scene, seed));
        scope.spawn(|| show_chains(scene));
        // What is not allowed is answered without the engine, so that its restarts are not measured.
        let own = scope.spawn(|| measure(scene, scene.socket, "/version", 404, || Some(0)));
        let through = scope.spawn(|| measure(scene, scene.socket, "/_ping", 200, || scene.engine_life()));
        let direct = scope.spawn(|| measure(scene, &scene.engine, "/_ping", 200, || scene.engine_life()));
        let idle = scope.spawn(|| measure(scene, idle.socket(), "/_ping", 200, || Some(0)));
        restart(scene, engine);
        let waits = |client: ScopedJoinHandle<'_, _>| Waits::of(client.join().unwrap());
        AllWaits { own: waits(own), engine: waits(through), direct: waits(direct), idle: waits(idle) }
    });
    assert_eq!(get(engine.socket(), "/_ping").status(), 200);
    waits
}

/// Memory in KiB and errors logged, once it has no more descriptors than after its first request: every
/// connection has ended, those to the engine too, which are kept for a while and end with it.
fn at_rest(proxy: &Proxy, engine: &mut Engine, first: usize) -> (u64, usize) {
    engine.stop();
    until("descriptors are as few as after the first request", || descriptors(proxy.pid()) <= first);
    let at_rest = (memory(proxy.pid()), proxy.log().len());
    engine.start_again();
    assert_eq!(proxy.get("/_ping").status(), 200);
    at_rest
}

/// Ordinary clients that come and go; while the engine is away they get a 502.
fn churn(scene: &Scene) {
    while scene.goes_on() {
        let mut client = connect(scene.socket);
        let ask = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";
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

/// Makes the engine tell of the large image, so that whoever follows the events has to take much.
fn make_events(scene: &Scene) {
    let tag = format!(
        "POST /images/{LARGE}/tag?repo={LARGE}&tag=again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    while scene.goes_on() {
        // While the engine is away there are none.
        if let Ok(mut engine) = UnixStream::connect(&scene.engine) {
            let _ = engine.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = engine.write_all(tag.as_bytes());
            let _ = engine.read_to_end(&mut Vec::new());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Clients that ask for much and take nothing of it, until they are cut off or the engine had nothing.
fn stall(scene: &Scene, what: &str, ask: &str) {
    // That much was waiting for a client, and not taken.
    const MUCH: usize = 64 * 1024;
    while scene.goes_on() {
        if scene.engine_life().is_none() {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let mut clients: Vec<_> = (0..20).map(|_| connect(scene.socket)).collect();
        for client in &mut clients {
            client.write_all(ask.as_bytes()).unwrap();
        }
        let enough = Instant::now() + Duration::from_secs(4);
        while Instant::now() < enough.min(scene.end) && !clients.iter().all(has_ended) {
            std::thread::sleep(Duration::from_millis(50));
        }
        for mut client in clients.into_iter().filter(has_ended) {
            let rest = read_to_close(&mut client);
            let outcome = if rest.len() > MUCH { "cut off" } else { "had nothing" };
            scene.tally.count(&format!("stalled {what} {outcome}"));
        }
    }
}

/// Whether the other side sends nothing more; nothing is read for that.
fn has_ended(client: &UnixStream) -> bool {
    let mut of_client = [PollFd::new(client, PollFlags::RDHUP)];
    poll(&mut of_client, Some(&Timespec::default())).unwrap() > 0
}

/// Clients that pass a descriptor whose last close sleeps: before a head, with it, or as urgent data.
fn pass_descriptors(scene: &Scene, seed: u64) {
    const LINGER: Duration = Duration::from_secs(2);
    const KEPT: usize = 8;
    let mut rng = Rng::new(seed);
    // As long as these are there, what was passed lingers.
    let mut lingering = VecDeque::new();
    while scene.goes_on() {
        let mut client = connect(scene.socket);
        let [none, urgent] = [SendFlags::empty(), SendFlags::OOB];
        let (bytes, flags) = [(&b"G"[..], none), (GET_INFO, none), (&b"!"[..], urgent)][rng.below(3)];
        let (sent, lingers) = Lingering::new(LINGER).pass(&client, bytes, flags);
        let outcome = if sent.is_ok() { "passed" } else { "refused" };
        scene.tally.count(&format!("descriptor {outcome}"));
        lingering.push_back(lingers);
        if lingering.len() > KEPT {
            lingering.pop_front();
        }
        if rng.once_in(2) {
            let _ = client.read_to_end(&mut Vec::new());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Clients over TLS whose certificates nobody has signed, and between them one whose certificate does.
fn show_chains(scene: &Scene) {
    let Tls { pki, port } = scene.tls;
    let crafted = Crafted::labyrinth();
    let alice = pki.alice();
    while scene.goes_on() {
        let ended = shake_hands(pki, *port, crafted.chain.clone(), crafted.key());
        let outcome = if ended.contains("HTTP/1.1 ") { "accepted" } else { "refused" };
        scene.tally.count(&format!("crafted chain {outcome}"));
        let chain = vec![CertificateDer::from_pem_file(alice.cert()).unwrap()];
        let ended = shake_hands(pki, *port, chain, PrivateKeyDer::from_pem_file(alice.key()).unwrap());
        let outcome = if ended.starts_with("HTTP/1.1 404 ") { "answered" } else { "unexpected" };
        scene.tally.count(&format!("tls client {outcome}"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An ordinary client that asks at a fixed rate, while `life` tells one, and counts what was answered in the
/// life in which it was due. From then on it counts, so that whatever is late counts for all that it held up.
fn measure(
    scene: &Scene,
    socket: &Path,
    target: &str,
    expected: u16,
    life: impl Fn() -> Option<usize>,
) -> Vec<Duration> {
    const STEP: Duration = Duration::from_millis(10);
    let mut times = Vec::new();
    let mut due = Instant::now();
    while scene.goes_on() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let before = life();
        let answered = before.and_then(|_| ask(socket, target));
        if before.is_none() || life() != before {
            due = Instant::now() + STEP;
            continue;
        }
        times.push(due.elapsed());
        due += STEP;
        if answered != Some(expected) {
            scene.tally.count("measured unexpected");
        }
    }
    times
}

/// Asks with a connection of its own; the status, if there was an answer.
fn ask(socket: &Path, target: &str) -> Option<u16> {
    let mut client = UnixStream::connect(socket).ok()?;
    client.set_read_timeout(Some(TIMEOUT)).ok()?;
    write!(client, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut all = Vec::new();
    client.read_to_end(&mut all).ok()?;
    statuses(&all).first().copied()
}

/// Restarts the engine, in order and not, now and then.
fn restart(scene: &Scene, engine: &mut Engine) {
    let mut in_order = false;
    while scene.goes_on() {
        std::thread::sleep(Duration::from_secs(2));
        scene.turns.fetch_add(1, Ordering::SeqCst);
        if in_order {
            engine.stop()
        } else {
            engine.kill()
        }
        in_order = !in_order;
        std::thread::sleep(Duration::from_millis(500));
        engine.start_again();
        scene.turns.fetch_add(1, Ordering::SeqCst);
        scene.tally.count("engine restarted");
    }
}
