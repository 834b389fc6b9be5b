//! The promise of faults: whatever breaks around it, an answer has the right status or is visibly cut
//! short, and the proxy works on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::engine::Engine;
use crate::support::http::{
    self, End, GET_EVENTS, GET_INFO, connect, raw_half_closed, read_to_close, read_until, statuses,
};
use crate::support::machine;
use crate::support::mock::{Mock, MockConnection, OK, ok_with};
use crate::support::process::{descriptors, memory, signal};
use crate::support::proxy::{Proxy, program};
use crate::support::rng::Rng;
use crate::support::tools::until_accepting;
use crate::support::{env_usize, eventually, until};

/// A mock whose answer depends on the container that is asked for.
fn engine_that_answers(answers: &'static [&'static str]) -> Mock {
    Mock::new(move |mut connection| {
        while let Some(head) = connection.read_head() {
            let number = head.strip_prefix("GET /containers/").and_then(|rest| rest.split('/').next());
            match number.and_then(|number| number.parse::<usize>().ok()) {
                // A misbehaving answer, and the end of the connection.
                Some(number) => return connection.send(answers[number]),
                None => connection.send(OK),
            }
        }
    })
}

fn assert_works(proxy: &Proxy) {
    let answer = proxy.get("/info");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn an_engine_that_answers_garbage_is_a_502() {
    const GARBAGE: &[&str] = &[
        "",
        "\r\n\r\n",
        "garbage\r\n\r\n",
        "\0\0\0\x04\0\0\0\0\0",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    let engine = engine_that_answers(GARBAGE);
    let proxy = Proxy::builder(engine.socket()).allow("containers,info").start();
    for (number, garbage) in GARBAGE.iter().enumerate() {
        let answer = proxy.get(&format!("/containers/{number}/json"));
        assert_eq!(answer.status(), 502, "{garbage:?}: {answer:?}");
        assert!(answer.json()["message"].as_str().unwrap().starts_with("docker-proxy-acl: "));
        assert_works(&proxy);
    }
}

#[test]
fn an_answer_that_breaks_off_is_cut_short_for_the_client_too() {
    const BROKEN: &[&str] = &[
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\nnonsense\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n",
    ];
    let engine = engine_that_answers(BROKEN);
    let proxy = Proxy::builder(engine.socket()).allow("containers,info").start();
    for (number, broken) in BROKEN.iter().enumerate() {
        let bytes = raw_half_closed(
            proxy.socket(),
            format!("GET /containers/{number}/json HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
        let answer = http::parse(&bytes);
        assert_eq!((answer.status(), answer.end), (200, End::CutShort), "{broken:?}: {answer:?}");
        assert_works(&proxy);
    }
}

#[test]
fn what_an_engine_sends_beyond_its_answer_reaches_nobody() {
    const BEYOND: &[&str] = &[
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsecret",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nsecret",
    ];
    // Unlike the others these connections stay open, so that the rest could come with the next answer.
    let engine = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            let number = head.strip_prefix("GET /containers/").and_then(|rest| rest.split('/').next());
            connection.send(number.map_or(OK, |number| BEYOND[number.parse::<usize>().unwrap()]));
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("containers,info").start();
    for number in 0..BEYOND.len() {
        for pause in [0, 20] {
            let mut client = connect(proxy.socket());
            let line = format!("GET /containers/{number}/json HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(line.as_bytes()).unwrap();
            let first = read_until(&mut client, |all| http::contains(all, "\r\n\r\n"));
            std::thread::sleep(Duration::from_millis(pause));
            client.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let all = [first, read_to_close(&mut client)].concat();
            assert!(!http::contains(&all, "secret"), "{number}: {}", all.escape_ascii());
            assert_eq!(*statuses(&all).last().unwrap(), 200, "{number}: {}", all.escape_ascii());
            assert!(all.ends_with(b"ok"), "{number}: {}", all.escape_ascii());
            assert_works(&proxy);
        }
    }
}

#[test]
fn what_an_engine_says_on_a_kept_connection_before_it_is_asked_answers_nobody() {
    let engine = Mock::new(|mut connection| {
        if connection.read_head().is_some() {
            connection.send(OK);
            std::thread::sleep(Duration::from_millis(30));
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
            connection.wait_until_closed();
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for _ in 0..5 {
        assert_works(&proxy);
        std::thread::sleep(Duration::from_millis(60));
    }
}

fn is_readable_within(stream: &UnixStream, time: Duration) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// An engine that ends connections which were idle for a moment, and says so.
fn engine_that_ends_idle_connections(closing_answer: &'static str) -> Mock {
    let seed = AtomicU64::new(1);
    Mock::new(move |mut connection| {
        let mut rng = Rng::new(seed.fetch_add(1, Ordering::Relaxed));
        while connection.read_head().is_some() {
            connection.send(OK);
            if !is_readable_within(&connection.stream, Duration::from_micros(rng.below(400) as u64)) {
                return connection.send(closing_answer);
            }
        }
    })
}

/// Many clients, each with one connection, so that the engine's are idle for as long as a client takes.
#[test]
fn an_engine_that_ends_an_idle_connection_with_a_408_answers_nobody_with_it() {
    let engine = engine_that_ends_idle_connections(
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate",
    );
    let proxy = Proxy::builder(engine.socket()).allow("info").quiet().start();
    let requests = env_usize("UNSOLICITED_REQUESTS", 8_000);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let socket = proxy.socket();
            scope.spawn(move || {
                let mut rng = Rng::new(1000 + number);
                let mut client = connect(socket);
                for _ in 0..requests / 4 {
                    client.write_all(GET_INFO).unwrap();
                    let answer = read_until(&mut client, http::is_whole);
                    assert_eq!((statuses(&answer), answer.ends_with(b"ok")), (vec![200], true));
                    std::thread::sleep(Duration::from_micros(rng.below(400) as u64));
                }
            });
        }
    });
    let (asked, connections) = (engine.heads().len(), engine.connections());
    println!("{requests} requests reached the engine {asked} times over {connections} connections");
    assert!(connections > requests / 20, "the engine ended only {connections} connections");
}

#[test]
fn a_408_on_a_connection_of_its_own_is_the_engine_s_answer() {
    let engine = Mock::answering_once("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    // The connection of the probe at the start is a kept one.
    until("the engine was probed", || engine.connections() == 1);
    assert_eq!(proxy.get("/info").status(), 408);
    assert_eq!(engine.heads().len(), 2);
    assert_eq!(proxy.get("/info").status(), 408);
    assert_eq!(engine.heads().len(), 3);
}

#[test]
fn a_request_that_makes_the_engine_close_its_connection_is_sent_at_most_twice() {
    const CLIENTS: usize = 10;
    let all_asked = Barrier::new(CLIENTS);
    let engine = Mock::new(move |mut connection| {
        while let Some(head) = connection.read_head() {
            if head.starts_with("GET /version") {
                return;
            }
            // Each has a connection of its own then, and several are kept.
            all_asked.wait();
            connection.send(OK);
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("info,version").start();
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(|| assert_works(&proxy))));
    });
    assert!(engine.open() >= CLIENTS, "{} connections are kept", engine.open());
    assert_eq!(proxy.get("/version").status(), 502);
    let sent = engine.heads().iter().filter(|head| head.starts_with("GET /version")).count();
    assert_eq!(sent, 2);
}

#[test]
fn answers_given_at_the_same_time_are_not_mixed_up() {
    let engine = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            let name = head.split('/').nth(2).unwrap().to_owned();
            connection.send(&ok_with(&name));
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("containers").start();
    std::thread::scope(|scope| {
        for client in 0..20 {
            let socket = proxy.socket();
            scope.spawn(move || {
                for turn in 0..100 {
                    let name = format!("{client}-{turn}");
                    let mut stream = connect(socket);
                    let ask = format!("GET /containers/{name}/json HTTP/1.1\r\nHost: x\r\n\r\n");
                    stream.write_all(ask.as_bytes()).unwrap();
                    if turn % 3 == 0 {
                        // Leaves without its answer, which must not become another's.
                        continue;
                    }
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    assert_eq!(http::parse(&read_to_close(&mut stream)).text(), name);
                }
            });
        }
    });
}

#[test]
fn an_engine_that_hangs_before_its_head_is_a_504_but_a_stream_may_be_late() {
    let engine = Mock::new(|mut connection| {
        if let Some(head) = connection.read_head() {
            if head.starts_with("GET /events") {
                std::thread::sleep(Duration::from_millis(1200));
                return connection.send(OK);
            }
            connection.wait_until_closed();
        }
    });
    let proxy =
        Proxy::builder(engine.socket()).allow("info,events").args(["--upstream-timeout", "400ms"]).start();
    let started_at = Instant::now();
    let answer = proxy.get("/info");
    assert_eq!(answer.status(), 504, "{answer:?}");
    assert!(started_at.elapsed() >= Duration::from_millis(400));
    until("the engine's connection is closed", || engine.open() == 0);
    assert_eq!(proxy.get("/events").text(), "ok");
}

#[test]
fn an_engine_that_hangs_after_its_head_is_waited_for() {
    let engine = Mock::new(|mut connection| {
        if connection.read_head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            std::thread::sleep(Duration::from_millis(1000));
            connection.send("ok");
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--upstream-timeout", "300ms"]).start();
    assert_works(&proxy);
}

#[test]
fn an_engine_that_does_not_accept_is_a_502_or_504() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let proxy = Proxy::builder(&socket).allow("info").args(["--upstream-timeout", "500ms"]).start();
    assert_eq!(proxy.get("/info").status(), 504);
    assert_eq!(proxy.get("/version").status(), 404);
}

#[test]
fn a_gibibyte_for_a_client_that_reads_slowly_waits_at_the_engine() {
    const LENGTH: u64 = 1 << 30;
    let _machine = machine::disturbing();
    let engine = Mock::new(|mut connection| {
        connection.stream.set_write_timeout(None).unwrap();
        if connection.read_head().is_some() {
            connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
            send_zeros(&mut connection, LENGTH);
        }
    });
    let proxy = Proxy::builder(engine.socket()).allow("info,version").quiet().start();
    let before = memory(proxy.pid());
    let mut client = connect(proxy.socket());
    client.write_all(GET_INFO).unwrap();
    let head = read_until(&mut client, |all| http::contains(all, "\r\n\r\n"));
    let mut came = (head.len() - head.windows(4).position(|w| w == b"\r\n\r\n").unwrap() - 4) as u64;
    let mut most = 0;
    // A byte now and then, for a while.
    for _ in 0..30 {
        client.read_exact(&mut [0; 1]).unwrap();
        came += 1;
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(memory(proxy.pid()));
    }
    // And then all of it: nothing is lost.
    let mut chunk = vec![0; 1 << 20];
    while came < LENGTH {
        let read = client.read(&mut chunk).unwrap();
        assert!(read > 0, "cut short after {came} bytes");
        came += read as u64;
        if came.is_multiple_of(64) {
            most = most.max(memory(proxy.pid()));
        }
    }
    println!("1 GiB to a slow client: {before} KiB before, {most} KiB at most");
    assert_eq!(came, LENGTH);
    assert!(most < before + 1024, "{before} KiB before, {most} KiB at most");
}

fn send_zeros(connection: &mut MockConnection, mut left: u64) {
    let zeros = vec![0; 1 << 16];
    while left > 0 && connection.stream.write_all(&zeros[..left.min(1 << 16) as usize]).is_ok() {
        left -= left.min(1 << 16);
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn an_engine_that_is_killed_hung_and_restarted_is_answered_for_and_found_again() {
    let mut engine = Engine::private();
    // It has that long for its first answer once it goes on.
    let args = ["--upstream-timeout", "5s"];
    let proxy = Proxy::builder(engine.socket()).allow("info,events,ping").args(args).start();
    assert_eq!(proxy.get("/_ping").status(), 200);

    let mut stream = connect(proxy.socket());
    stream.write_all(GET_EVENTS).unwrap();
    let head = read_until(&mut stream, |all| http::contains(all, "\r\n\r\n"));
    engine.kill();
    let cut = http::parse(&[head, read_to_close(&mut stream)].concat());
    assert_eq!((cut.status(), cut.end), (200, End::CutShort));

    let dead = proxy.get("/_ping");
    assert_eq!(dead.status(), 502);
    assert!(dead.json()["message"].as_str().unwrap().contains("out of reach"));

    engine.start_again();
    assert_eq!(proxy.get("/_ping").status(), 200);

    signal(engine.pid(), "STOP");
    assert_eq!(proxy.get("/info").status(), 504);
    signal(engine.pid(), "CONT");
    assert_eq!(proxy.get("/info").status(), 200);

    engine.stop();
    assert_eq!(proxy.get("/_ping").status(), 502);
    engine.start_again();
    assert_eq!(proxy.get("/_ping").status(), 200);
    let open = descriptors(proxy.pid());
    assert!(open < 30, "{open} descriptors are open");
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mounted(options: &str) -> Self {
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        disk.mount(options);
        disk
    }

    fn mount(&self, options: &str) {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "docker-proxy-acl-test"])
            .arg(self.directory.path())
            .status();
        assert!(mounted.unwrap().success(), "mount -o {options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.directory.path()).status();
    }
}

#[test]
#[ignore = "needs root, to mount: tests/run"]
fn a_full_disk_where_the_socket_should_go_is_told_and_leaves_nothing() {
    // Room for the root directory and one more.
    let disk = SmallDisk::mounted("mode=755,nr_inodes=2");
    let socket = disk.directory.path().join("acl/docker.sock");
    let start = |socket: &Path| {
        program()
            .args(["-a", "info", "--upstream", "/none", "--listen"])
            .arg(socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let failed = start(&socket).wait_with_output().unwrap();
    let stderr = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(socket.to_str().unwrap()) && stderr.contains("No space left on device"),
        "{stderr}"
    );
    assert!(!socket.exists());

    disk.mount("remount,nr_inodes=20");
    let mut child = start(&socket);
    until_accepting(&socket);
    signal(child.id(), "TERM");
    assert!(eventually("it has ended", || child.try_wait().unwrap()).success());
}

#[test]
fn whoever_locks_the_socket_s_directory_does_not_keep_it_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let open = std::fs::File::open(directory.path()).unwrap();
    rustix::fs::flock(&open, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut child =
        program().args(["-a", "info", "--listen"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    until_accepting(&socket);
    signal(child.id(), "TERM");
    assert!(eventually("it has ended", || child.try_wait().unwrap()).success());
}

#[test]
fn a_log_that_nobody_takes_stops_nothing() {
    let engine = Mock::answering(OK);
    for output in ["full", "closed"] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let mut command = program();
        command.args(["-a", "info", "--log-level", "trace", "--max-connections", "2", "--listen"]);
        command.arg(&socket).arg("--upstream").arg(engine.socket());
        let mut child = if output == "full" {
            let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
            command.stdout(full()).stderr(full()).spawn().unwrap()
        } else {
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop((child.stdout.take(), child.stderr.take()));
            child
        };
        until_accepting(&socket);
        for _ in 0..3 {
            until("the places are free", || http::get(&socket, "/info").status() == 200);
            until("it refuses", || http::get(&socket, "/version").status() == 404);
            until("it says what is malformed", || {
                statuses(&raw_half_closed(&socket, b"nonsense\r\n\r\n")) == [400]
            });
            let inside: Vec<UnixStream> = (0..2).map(|_| connect(&socket)).collect();
            until("it turns away", || statuses(&raw_half_closed(&socket, b"")) == [503]);
            drop(inside);
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended with its log {output}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Where Debian has libfaketime, which gives a program a clock of its own.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
#[ignore = "needs libfaketime: tests/run"]
fn jumps_of_the_clock_are_not_felt() {
    assert!(Path::new(FAKETIME).exists(), "tests/run installs libfaketime");
    let engine = Mock::answering(OK);
    let clock = tempfile::NamedTempFile::new().unwrap();
    let set = |offset: &str| std::fs::write(clock.path(), offset).unwrap();
    set("+0");
    let proxy = Proxy::builder(engine.socket())
        .allow("info")
        // The sandbox would keep libfaketime from reading its file.
        .args(["--header-timeout", "1500ms", "--idle-timeout", "60s", "--no-sandbox"])
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME_TIMESTAMP_FILE", clock.path().to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start();
    let year = || {
        let answer = http::parse(&raw_half_closed(proxy.socket(), b"nonsense\r\n\r\n"));
        answer.header("date").unwrap().split(' ').nth(3).unwrap().parse::<u32>().unwrap()
    };
    let now = year();
    for (jump, forward) in [("+10y", true), ("-10y", false)] {
        let mut idle = connect(proxy.socket());
        let ask = |stream: &mut UnixStream| {
            stream.write_all(GET_INFO).unwrap();
            assert!(read_until(stream, |all| all.ends_with(b"ok")).starts_with(b"HTTP/1.1 200"));
        };
        ask(&mut idle);
        let mut late = connect(proxy.socket());
        let started_at = Instant::now();
        late.write_all(b"GET /in").unwrap();
        set(jump);
        assert_eq!(year() > now, forward, "the proxy's clock has jumped: {} to {}", now, year());
        assert_ne!(year(), now, "the proxy's clock has jumped");
        ask(&mut idle);
        assert_eq!(statuses(&read_to_close(&mut late)), [408]);
        assert!(
            started_at.elapsed() >= Duration::from_millis(1400),
            "cut off after {:?}",
            started_at.elapsed()
        );
        set("+0");
        assert_eq!(year(), now);
        ask(&mut idle);
    }
}
