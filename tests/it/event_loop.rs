//! The promise that the event loop runs: when it is late that is told, and when it is stuck the process
//! ends, so that its supervisor starts it anew.
//!
//! What holds the loop here is ptrace(2), which stops a thread and lets the others go on.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::http::{GET_EVENTS, connect, ends_with_head, read_until};
use crate::support::library::{Cli, Config};
use crate::support::mock::{Mock, OK, quiet_stream};
use crate::support::proxy::Proxy;
use crate::support::{TIMEOUT, eventually, process, until};

/// Threads that are stopped until this is dropped.
struct Held(Vec<Pid>);

impl Held {
    /// Stops those with this name, of which there are so many.
    fn threads(proxy: &Proxy, name: &str, count: usize) -> Self {
        // A thread has its name, and not its parent's, only once it runs.
        let threads = eventually("all threads run", || {
            Some(process::threads(proxy.pid(), name)).filter(|threads| threads.len() == count)
        });
        let threads: Vec<Pid> = threads.iter().map(|thread| Pid::from_raw(*thread as i32)).collect();
        for thread in &threads {
            ptrace::seize(*thread, ptrace::Options::empty()).unwrap();
            ptrace::interrupt(*thread).unwrap();
            // The stop is waited for here, so that nobody takes it for the process's end.
            waitpid(*thread, Some(WaitPidFlag::__WALL)).unwrap();
        }
        Self(threads)
    }

    /// Waits until they have ended, but for the main thread, whose end is the process's: the kernel does
    /// not report that before.
    fn ended(&self, proxy: &Proxy) {
        for thread in self.0.iter().filter(|thread| thread.as_raw() as u32 != proxy.pid()) {
            until("the thread has ended", || {
                let status = waitpid(*thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
                matches!(status, Ok(WaitStatus::Signaled(..) | WaitStatus::Exited(..)))
            });
        }
    }

    /// Stops the loop of a proxy with one thread.
    fn event_loop(proxy: &Proxy) -> Self {
        Self::threads(proxy, MAIN, 1)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for thread in &self.0 {
            // One that has ended is not let go of, but taken note of, or its process could not end.
            if ptrace::detach(*thread, None).is_err() {
                let _ = waitpid(*thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
            }
        }
    }
}

/// The main thread's name: the program's, of which the kernel keeps 15 bytes.
const MAIN: &str = "docker-proxy-ac";

#[test]
fn the_defaults_are_those_that_are_promised() {
    let cli = Cli::read(["x", "-a", "info"].map(Into::into)).unwrap();
    let config = Config::new(&cli.serve.settings(|_| None)).unwrap();
    assert_eq!(config.threads.get(), 1);
    assert_eq!(config.watchdog, Some(Duration::from_secs(60)));
}

#[test]
fn a_stuck_loop_ends_the_process_and_the_log_says_why() {
    let engine = Mock::answering(OK);
    for (threads, held, count) in [("1", MAIN, 1), ("2", "worker", 2)] {
        let proxy = Proxy::builder(engine.socket()).allow("info").args(["--watchdog", "2s"]);
        let mut proxy = proxy.args(["--threads", threads]).start();
        assert_eq!(proxy.get("/info").status(), 200);
        let held = Held::threads(&proxy, held, count);
        held.ended(&proxy);
        assert_eq!(proxy.wait().signal(), Some(libc::SIGABRT));
        proxy.logged(&["ERROR the event loop has been stuck for 2s: aborting", "last=info"]);
    }
}

#[test]
fn a_process_that_was_stopped_is_not_stuck() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--watchdog", "2s"]).start();
    proxy.signal("STOP");
    std::thread::sleep(Duration::from_secs(3));
    proxy.signal("CONT");
    // A limit's time later it would have ended.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(proxy.get("/info").status(), 200);
    }
}

#[test]
fn without_a_watchdog_a_stuck_loop_is_waited_for() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--watchdog", "0"]).start();
    assert!(process::threads(proxy.pid(), "watchdog").is_empty());
    let held = Held::event_loop(&proxy);
    std::thread::sleep(Duration::from_secs(3));
    drop(held);
    assert_eq!(proxy.get("/info").status(), 200);
}

#[test]
fn a_loop_that_was_late_is_a_warning_with_what_was_running() {
    let engine = Mock::new(quiet_stream);
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let mut watcher = connect(proxy.socket());
    watcher.write_all(GET_EVENTS).unwrap();
    read_until(&mut watcher, ends_with_head);
    let held = Held::event_loop(&proxy);
    std::thread::sleep(Duration::from_millis(2000));
    drop(held);
    proxy.logged(&["WARN the event loop was late", "lag_ms=", "events=1 last=events"]);
}

#[test]
fn systemd_hears_that_it_is_ready_lives_and_stops_and_nothing_while_its_loop_is_stuck() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let heard = |limit: Duration| {
        systemd.set_read_timeout(Some(limit)).unwrap();
        let mut said = [0; 256];
        match systemd.recv(&mut said) {
            Ok(length) => Some(String::from_utf8_lossy(&said[..length]).into_owned()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    };
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--watchdog", "0"]);
    let proxy = proxy.env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "2000000");
    let mut proxy = proxy.start();
    let ready = format!("READY=1\nSTATUS=Listening on {}", proxy.socket().display());
    assert_eq!(heard(TIMEOUT), Some(ready.clone()));
    for _ in 0..3 {
        assert_eq!(heard(Duration::from_secs(2)).as_deref(), Some("WATCHDOG=1"));
    }
    let held = Held::event_loop(&proxy);
    // What it said before may still be there.
    while heard(Duration::from_secs(1)).is_some() {}
    assert_eq!(heard(Duration::from_secs(2)), None);
    drop(held);
    assert_eq!(heard(TIMEOUT).as_deref(), Some("WATCHDOG=1"));
    proxy.signal("TERM");
    while !heard(TIMEOUT).expect("it says that it stops").starts_with("STOPPING=1\n") {}
    assert!(proxy.wait().success());
}

/// `Type=notify-reload` takes only what was said after its signal, by the monotonic clock.
#[test]
fn systemd_hears_when_it_reloads_and_when_that_is_done() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(TIMEOUT)).unwrap();
    let heard = || {
        let mut said = [0; 256];
        let length = systemd.recv(&mut said).unwrap();
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let proxy = Proxy::builder(engine.socket()).allow("info").env("NOTIFY_SOCKET", path.to_str().unwrap());
    let proxy = proxy.start();
    let ready = heard();
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    };
    let before = now();
    proxy.signal("HUP");
    let reloading = heard();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    let time: i64 = time.split('\n').next().unwrap().parse().unwrap();
    assert!((before..=now()).contains(&time), "{reloading}");
    assert_eq!(heard(), ready);
    assert_eq!(proxy.get("/info").text(), "ok");
}
