//! The promise that the log stops nobody: neither one that is read slowly or not at all, nor a client that
//! makes as many lines as it can.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::{self, raw_half_closed, statuses};
use crate::support::mock::{Mock, OK};
use crate::support::proxy::{Proxy, program};
use crate::support::{eventually, machine, process};

/// A proxy whose standard output is read by the test, or by nobody.
struct Unread {
    child: Child,
    output: Option<ChildStdout>,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Unread {
    /// One whose log has a line for each request.
    fn start(engine: &Mock) -> Self {
        Self::start_with(engine, &["--log-level", "debug"])
    }

    fn start_with(engine: &Mock, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let mut command = program();
        command.args(["-a", "images:inspect"]).args(flags).arg("--listen").arg(&socket);
        command.arg("--upstream").arg(engine.socket());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take();
        eventually("it listens", || UnixStream::connect(&socket).ok());
        Self { child, output, socket, _directory: directory }
    }

    /// All that it ever writes, read until it has ended.
    fn lines(mut self) -> Vec<String> {
        let output = BufReader::new(self.output.take().unwrap());
        let lines = std::thread::spawn(move || output.lines().map(Result::unwrap).collect());
        self.end();
        lines.join().unwrap()
    }

    fn end(&mut self) -> ExitStatus {
        process::signal(self.child.id(), "TERM");
        eventually("it has ended", || self.child.try_wait().unwrap())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A target that is allowed, and whose line in the log is longer than a kilobyte.
fn long_target() -> String {
    format!("/images/{}/json", "x".repeat(1100))
}

/// Asks for the same so often over one connection that is never read in between, and gives the statuses.
fn pipelined(socket: &Path, target: &str, times: usize) -> Vec<u16> {
    http::pipelined(socket, &http::get_head(target).repeat(times))
}

#[test]
fn a_log_that_nobody_reads_delays_no_request_and_not_the_end() {
    let engine = Mock::answering(OK);
    let mut proxy = Unread::start(&engine);
    // Far more than a pipe holds.
    assert_eq!(pipelined(&proxy.socket, &long_target(), 300), [200; 300]);
    assert_eq!(http::get(&proxy.socket, "/version").status(), 404);
    assert!(proxy.end().success());
}

#[test]
fn an_access_log_that_nobody_reads_delays_no_request_and_not_the_end() {
    const REQUESTS: usize = 5000;
    let engine = Mock::answering(OK);
    let proxy = Unread::start_with(&engine, &["--log-level", "warn", "--access-log", "-"]);
    // Far more than a pipe and the queue hold.
    assert_eq!(pipelined(&proxy.socket, &long_target(), REQUESTS).len(), REQUESTS);
    let lines = proxy.lines();
    let objects: Vec<&String> = lines.iter().filter(|line| line.starts_with('{')).collect();
    assert!((100..REQUESTS).contains(&objects.len()), "{} of {REQUESTS} were written", objects.len());
    for line in objects {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not whole: {line}");
    }
    let drops: Vec<_> =
        lines.iter().filter(|line| line.contains("lines of the access log were dropped")).collect();
    assert!(!drops.is_empty(), "it is said that some were dropped");
}

#[test]
fn what_is_not_read_is_dropped_from_its_newest_end_and_counted() {
    const REQUESTS: usize = 3000;
    let engine = Mock::answering(OK);
    let proxy = Unread::start(&engine);
    assert_eq!(pipelined(&proxy.socket, &long_target(), REQUESTS).len(), REQUESTS);
    let lines = proxy.lines();
    let allowed = lines.iter().filter(|line| line.starts_with("DEBUG allowed ")).count();
    let drops = lines.iter().filter(|line| line.contains("lines of the log were dropped"));
    let dropped: Vec<usize> = drops.map(|line| line.rsplit('=').next().unwrap().parse().unwrap()).collect();
    assert!(allowed > 500, "{allowed} of {REQUESTS} were logged");
    assert_eq!(dropped.len(), 1, "one line tells of it: {dropped:?}");
    // Of those before and after there may be others among them.
    assert!(allowed + dropped[0] >= REQUESTS, "{allowed} lines, {dropped:?} dropped");
    for line in lines.iter().filter(|line| line.contains(" path=")) {
        assert!(line.starts_with("DEBUG ") || line.starts_with("WARN "), "not whole: {line}");
        assert!(line.contains(" listener=") && line.matches(" path=").count() == 1, "not whole: {line}");
    }
}

#[test]
fn lines_that_wait_at_the_end_are_written() {
    let engine = Mock::answering(OK);
    let proxy = Unread::start(&engine);
    assert_eq!(pipelined(&proxy.socket, &long_target(), 300), [200; 300]);
    let lines = proxy.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("DEBUG allowed ")).count(), 300);
}

#[test]
fn a_collector_of_a_megabyte_a_second_does_not_let_one_client_s_refusals_delay_another() {
    let _machine = machine::undisturbed();
    let engine = Mock::answering(OK);
    let mut proxy = Unread::start(&engine);
    let mut output = proxy.output.take().unwrap();
    let collector = std::thread::spawn(move || {
        let mut chunk = [0; 10_000];
        while matches!(output.read(&mut chunk), Ok(1..)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let refused = format!("/{}", "x".repeat(1100));
    let worst = std::thread::scope(|scope| {
        let flood = scope.spawn(|| pipelined(&proxy.socket, &refused, 10_000));
        let mut worst = Duration::ZERO;
        while !flood.is_finished() {
            let started_at = Instant::now();
            assert_eq!(http::get(&proxy.socket, "/images/x/json").status(), 200);
            worst = worst.max(started_at.elapsed());
        }
        assert_eq!(flood.join().unwrap(), [404; 10_000]);
        worst
    });
    println!("beside a flood of refusals a request took at most {worst:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert!(proxy.end().success());
    collector.join().unwrap();
}

#[test]
fn beyond_twenty_refusals_in_a_second_a_client_gets_one_line_with_a_count() {
    const REQUESTS: usize = 4000;
    let engine = Mock::answering(OK);
    let mut proxy = Proxy::builder(engine.socket()).allow("info").start();
    let started_at = Instant::now();
    assert_eq!(pipelined(proxy.socket(), "/version", REQUESTS - 100), [404; REQUESTS - 100]);
    for _ in 0..100 {
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), b"nonsense\r\n\r\n")), [400]);
    }
    let seconds = started_at.elapsed().as_secs() as usize + 1;
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let me = format!("client.uid={}", rustix::process::getuid().as_raw());
    let counted = |log: &[String], outcome: &str| -> usize {
        let field = format!(" {outcome}=");
        let lines = log.iter().filter(|line| line.starts_with("WARN more requests than are logged"));
        let counts = lines.filter_map(|line| {
            assert!(line.contains(&me) && line.contains("listener="), "{line}");
            line.split(&field).nth(1)?.split(' ').next()?.parse::<usize>().ok()
        });
        counts.sum()
    };
    let log = eventually("every refusal is in a line or in a count", || {
        let log = proxy.log();
        let all = proxy.refusals().len() + counted(&log, "denied") + counted(&log, "rejected");
        (all == REQUESTS).then_some(log)
    });
    let lines = proxy.refusals().len();
    assert!((20..=20 * (seconds + 1)).contains(&lines), "{lines} lines in {seconds} s");
    let summaries = log.iter().filter(|line| line.contains("more requests than are logged")).count();
    assert!((1..=seconds + 1).contains(&summaries), "{summaries} counts in {seconds} s");
}
